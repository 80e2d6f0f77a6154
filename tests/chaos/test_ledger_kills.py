"""A thousand kill -9 under load on each database: no acknowledged save lost, no leaf twice, no checkpoint going back."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hammer import ORIGIN, Nobody
from sqlalchemy import func, select

from penelope.adapters.signers.logkeys import FolderKeys
from penelope.flow.sequencing import LogParts, Sequencer
from penelope.kit.clock import SystemClock
from penelope.ledger.merkle import check_consistency
from penelope.ledger.notes import open_checkpoint
from penelope.ledger.tiles import consistency, tiles_of_consistency
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.log import SqlLog
from penelope.store.tables import log_leaves, units_of_work_history
from penelope.store.verification import SqlVerification

_KILLS = int(os.environ.get("CHAOS_LEDGER_KILLS", "1000"))
_SEED = int(os.environ.get("CHAOS_SEED", "20261121"))
_HAMMER = Path(__file__).with_name("hammer.py")

pytestmark = pytest.mark.chaos


def test_a_thousand_kills(databases: tuple[str, str], tmp_path: Path) -> None:
    url = databases[0]
    asyncio.run(_prepare(url))
    command = [sys.executable, str(_HAMMER), url, str(tmp_path), str(_KILLS), str(_SEED)]
    subprocess.run(command, check=True, timeout=1200)
    assert not (tmp_path / "broken").exists(), (tmp_path / "broken").read_text()
    asyncio.run(_judge(url, tmp_path))


async def _prepare(url: str) -> None:
    engine = open_engine(parse_url(url))
    await migrate(engine)
    await engine.dispose()


async def _judge(url: str, folder: Path) -> None:
    writer, reader = open_engine(parse_url(url)), open_reader(parse_url(url))
    clock, log = SystemClock(), SqlLog(writer, reader, ORIGIN)
    keys = FolderKeys(folder / "keys", ORIGIN, clock)
    parts = LogParts(store=log, keys=keys, witnesses=(), observer=Nobody(), clock=clock)
    try:
        last = await Sequencer(parts).round()
        assert last is not None
        saved = _lines(folder / "saved", 3)
        async with reader.connect() as connection:
            columns = units_of_work_history.c
            found = (await connection.execute(select(columns.unit, columns.version, columns.hash))).all()
            leaves, lines, highest = (
                await connection.execute(
                    select(
                        func.count(), func.count(log_leaves.c.seq.distinct()), func.max(log_leaves.c.index)
                    ).select_from(log_leaves)
                )
            ).one()
        there = {(unit, str(version), digest) for unit, version, digest in found}
        assert len(saved) > _KILLS / 2, "the workers were killed before they had done anything"
        assert {tuple(line) for line in saved} <= there, "an acknowledged save is lost"
        assert leaves == lines == highest + 1 == len(found) == last.size, "a leaf is missing or there twice"
        signed = _checkpoints(folder / "signed")
        assert signed == sorted(signed, key=lambda each: each[0]), "a checkpoint went back"
        await _check_succession(log, [*signed, (last.size, last.root)])
        outside = open_checkpoint(last.note, keys.verifiers)
        flaws = [flaw async for flaw in SqlVerification(reader).flaws([outside], keys.verifiers)]
        assert flaws == []
        print(
            f"\n{writer.dialect.name}, seed {_SEED}: {_KILLS} kills; {len(saved)} saves acknowledged, "
            f"{len(found)} found; {len(signed)} checkpoints seen, the last of {last.size} leaves "
            f"({datetime.now(UTC):%H:%M:%S})"
        )
    finally:
        await reader.dispose()
        await writer.dispose()


async def _check_succession(log: SqlLog, signed: Sequence[tuple[int, bytes]]) -> None:
    """Each checkpoint is consistent with the last, and so with every later one."""
    size, root = signed[-1]
    for old, old_root in sorted(set(signed)):
        proof = consistency(await log.tiles(tiles_of_consistency(old, size)), old, size) if old < size else []
        check_consistency(old, size, old_root, root, proof)


def _checkpoints(file: Path) -> list[tuple[int, bytes]]:
    return [(int(size), bytes.fromhex(root)) for size, root in _lines(file, 2)]


def _lines(file: Path, words: int) -> list[list[str]]:
    """Whole lines: `hammer.lines` sees to it that no kill cuts one in two."""
    found = [line.split() for line in file.read_text().splitlines()]
    assert all(len(line) == words for line in found), "a line is cut"
    return found
