"""Saves units of work under load, sequences and signs them, and is killed again and again at random moments.

``hammer.py URL FOLDER KILLS SEED``: a parent that has everything imported forks a worker, lets it work for some
milliseconds, kills it with SIGKILL and forks the next. What a worker was told is durable it writes to FOLDER/saved,
every checkpoint that was signed to FOLDER/signed, a line each, before it goes on.
"""

import asyncio
import gc
import os
import random
import signal
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from penelope.adapters.signers.logkeys import FolderKeys
from penelope.domain.work import Change, Entry
from penelope.errors import AppendConflict
from penelope.flow.log import Lag
from penelope.flow.sequencing import LogParts, Sequencer
from penelope.kit.clock import SystemClock
from penelope.store.database import open_engine, parse_url
from penelope.store.group import GroupCommit
from penelope.store.log import SqlLog

ORIGIN = "hammer.example/log"
CALLERS = 12
SHORTEST_SECONDS, SHORT_SECONDS, LONG_SECONDS = 0.005, 0.08, 0.4
LONG_LIVES = 0.25


class Nobody:
    """Observes nothing."""

    def entry_recorded(self, entry: Entry) -> None: ...

    def log_looked_at(self, size: int, lag: Lag) -> None: ...

    def checkpoint_signed(self, size: int) -> None: ...

    def witness_asked(self, witness: str, outcome: str) -> None: ...


def change(chance: random.Random) -> Change:
    number = chance.randrange(10**9)
    return Change(
        unit=f"unit-{chance.randrange(200)}",
        kind="verdict",
        incident=f"inc-{chance.randrange(20)}",
        status=chance.choice(["passed", "drifted"]),
        attributes={"number": number, "text": "x" * chance.randrange(200)},
        event="VerdictReached",
        actor=f"key:{chance.randrange(5)}",
        reason=f"for the {number}th time",
        details={"number": number},
    )


def lines(*texts: str) -> bytes:
    """Lines of 128 bytes: a kill may cut a write at the end of a memory page, and there one of these ends too."""
    told = "".join(f"{text:<127}\n" for text in texts).encode()
    assert len(told) == 128 * len(texts)
    return told


async def work(url: str, folder: Path, seed: int) -> None:
    saved = os.open(folder / "saved", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    signed = os.open(folder / "signed", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    writer = open_engine(parse_url(url))
    clock, nobody = SystemClock(), Nobody()
    group = GroupCommit(writer, clock, nobody)
    keys = FolderKeys(folder / "keys", ORIGIN, clock)
    parts = LogParts(
        store=SqlLog(writer, writer, ORIGIN), keys=keys, witnesses=(), observer=nobody, clock=clock
    )

    async def save(number: int) -> None:
        chance = random.Random(f"{seed}-{number}")
        while True:
            try:
                entries = await group.save(*(change(chance) for _ in range(chance.randrange(1, 4))))
            except AppendConflict:
                continue
            os.write(saved, lines(*(f"{entry.unit} {entry.version} {entry.hash}" for entry in entries)))

    async def sequence() -> None:
        sequencer = Sequencer(parts)
        while True:
            checkpoint = await sequencer.round()
            if checkpoint is not None:
                os.write(signed, lines(f"{checkpoint.size} {checkpoint.root.hex()}"))
            await asyncio.sleep(0.001)

    try:
        await asyncio.gather(sequence(), *map(save, range(CALLERS)))
    finally:
        await group.close()
        await writer.dispose()
        os.close(saved)
        os.close(signed)


async def _for_a_moment(working: Coroutine[Any, Any, None]) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await working


def main(url: str, folder: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    sys.setswitchinterval(0.0002)  # as the server does
    # Whatever is imported at first use is imported here, so that a child is at work within milliseconds.
    asyncio.run(_for_a_moment(work(url, folder, seed)))
    gc.freeze()
    for number in range(kills):
        child = os.fork()
        if child == 0:
            try:
                asyncio.run(work(url, folder, seed * 1_000_003 + number))
            except BaseException as error:  # noqa: BLE001 - told to the test, by which nothing goes unseen
                text = f"{datetime.now(UTC)} {type(error).__name__}: {error}\n"
                (folder / "broken").open("a").write(text)
            finally:
                os._exit(1)
        longest = LONG_SECONDS if chance.random() < LONG_LIVES else SHORT_SECONDS
        time.sleep(chance.uniform(SHORTEST_SECONDS, longest))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
