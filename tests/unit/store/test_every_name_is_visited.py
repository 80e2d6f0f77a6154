"""The walk over all that is stored passes nothing by, in whatever order the database sorts names."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from penelope.store.database import open_reader, parse_url
from penelope.store.verification_units import UNITS_A_STRETCH, names_after

CAPITALS = [f"Z{number:04}" for number in range(UNITS_A_STRETCH + 50)]
SMALL = [f"a{number:04}" for number in range(UNITS_A_STRETCH - 50)]


@pytest.mark.parametrize("order", ["NOCASE", "BINARY"])
def test_capital_letters_hide_no_small_ones(tmp_path: Path, order: str) -> None:
    """NOCASE stands for the order of a dictionary, `a` before `Z`, that most PostgreSQL servers keep; the one of the
    tests knows bytes only.
    """
    file = tmp_path / "names.db"
    with sqlite3.connect(file) as made:
        for table, column in (
            ("units_of_work", "id"),
            ("units_of_work_history", "unit"),
            ("history_payloads", "unit"),
            ("incidents", "id"),
            ("decisions", "unit"),
        ):
            made.execute(f"CREATE TABLE {table} ({column} TEXT COLLATE {order})")
        made.executemany("INSERT INTO history_payloads VALUES (?)", [(name,) for name in CAPITALS])
        made.executemany("INSERT INTO units_of_work VALUES (?)", [(name,) for name in SMALL])
    made.close()

    async def walk() -> list[str]:
        engine, found = open_reader(parse_url(f"sqlite:///{file}")), list[str]()
        try:
            async with engine.connect() as connection:
                while page := await names_after(connection, found[-1] if found else ""):
                    assert len(page) <= UNITS_A_STRETCH
                    found += page
        finally:
            await engine.dispose()
        return found

    assert sorted(asyncio.run(walk())) == sorted(CAPITALS + SMALL)
