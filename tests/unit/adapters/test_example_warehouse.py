"""The example's warehouse: the same rows every time, whole or not there."""

import os
import time
from pathlib import Path

import duckdb
import pytest

from penelope.adapters.example import warehouse as example
from penelope.errors import Unavailable

DIGEST = """
SELECT count(*), sum(amount), sum(hash(id, customer_id, status, channel, currency, coupon, created_at)), min(created_at),
  max(created_at) FROM orders
"""


def digest(file: Path) -> tuple[object, ...]:
    with duckdb.connect(str(file), read_only=True) as connection:
        found = connection.execute(DIGEST).fetchone()
    assert found is not None
    return found


def test_it_is_large_and_the_same_every_time(tmp_path: Path) -> None:
    first = example.warehouse(tmp_path / "a" / "shop.duckdb")
    written = first.stat().st_mtime_ns
    orders, amount, _, oldest, newest = digest(first)
    assert orders == 1_200_000
    assert amount
    assert str(oldest)[:10] == "2024-01-01"
    assert str(newest)[:10] == "2026-11-20"
    assert example.warehouse(first).stat().st_mtime_ns == written
    assert digest(example.warehouse(tmp_path / "b" / "it's.duckdb")) == digest(first)
    assert [item.name for item in (tmp_path / "a").iterdir()] == ["shop.duckdb"]


def test_what_is_no_whole_warehouse_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(example, "_STATEMENTS", "CREATE TABLE orders AS SELECT 1 AS id\n;\n")
    file = tmp_path / "shop.duckdb"
    file.write_bytes(b"half of a file, or somebody else's")
    stale = tmp_path / ".shop.duckdb.0123.part"
    stale.write_bytes(b"left by a writer that was killed")
    os.utime(stale, (time.time() - 7200,) * 2)
    fresh = tmp_path / ".shop.duckdb.4567.part"
    fresh.write_bytes(b"of a writer that is at work")

    example.warehouse(file)

    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute("SELECT version FROM warehouse").fetchall() == [(example.VERSION,)]
    assert not stale.exists()
    assert fresh.exists()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        example.warehouse(tmp_path / "file" / "shop.duckdb")
