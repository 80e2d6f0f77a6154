"""The sweep: what does not fit becomes one incident, and is not told again and again."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.signers.logkeys import FolderKeys
from penelope.domain.signal import Severity, Signal, SignalStatus
from penelope.errors import SignatureInvalid
from penelope.flow import integrity
from penelope.flow.commands import Receipt
from penelope.flow.integrity import DRIFT, MOST_FLAWS, SERVICE, LedgerSweep
from penelope.kit.clock import SystemClock
from penelope.ledger.chain import Flaw
from penelope.ledger.notes import Checkpoint, sign_checkpoint
from penelope.ledger.ports import Verifier

ORIGIN = "log.example/penelope"
NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


class Clock:
    def now(self) -> datetime:
        return NOW


@dataclass
class World:
    """Stands in for verification, commands and observer."""

    found: list[Flaw] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)
    given: list[tuple[list[Checkpoint], list[str]]] = field(default_factory=list)
    signals: dict[str, Signal] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)

    async def flaws(
        self, outside: Sequence[Checkpoint] = (), verifiers: Sequence[Verifier] = ()
    ) -> AsyncIterator[Flaw]:
        self.given.append((list(outside), [each.key_id for each in verifiers]))
        if self.troubles:
            raise self.troubles.pop(0)
        for flaw in self.found:
            yield flaw

    async def receive_signals(self, signals: Sequence[Signal]) -> Receipt:
        """Each signal once, as the real commands do."""
        new = [signal for signal in signals if signal.id not in self.signals]
        self.signals |= {signal.id: signal for signal in new}
        touched = ("inc_1",) if new else ()
        return Receipt(accepted=len(new), duplicates=len(signals) - len(new), incidents=touched, opened=())

    def ledger_swept(self, flaws: int) -> None:
        self.counts.append(flaws)

    def sweep(self, keys: Any) -> LedgerSweep:
        mine: Any = self
        return LedgerSweep(verification=mine, keys=keys, commands=mine, observer=self, clock=Clock())


@pytest.fixture
def keys(tmp_path: Path) -> FolderKeys:
    return FolderKeys(tmp_path / "keys", ORIGIN, SystemClock())


def flaws(*numbers: int) -> list[Flaw]:
    return [Flaw(unit=f"u-{number}", version=number, problem="was altered") for number in numbers]


def test_what_fits_is_no_incident(keys: FolderKeys) -> None:
    world = World()
    found = asyncio.run(world.sweep(keys).sweep())
    assert (found.count, found.flaws, found.incident) == (0, (), None)
    assert world.signals == {}
    assert world.counts == [0]
    assert world.given == [([], [keys.signers[0].key_id])]


def test_the_log_is_held_against_the_anchor(keys: FolderKeys) -> None:
    world, checkpoint = World(), Checkpoint(ORIGIN, 7, b"r" * 32)

    async def sweep() -> None:
        await keys.remember(await sign_checkpoint(checkpoint, keys.signers))
        await world.sweep(keys).sweep()

    asyncio.run(sweep())
    assert [outside for outside, _ in world.given] == [[checkpoint]]


def test_an_anchor_that_no_key_signed_is_not_taken_for_one(keys: FolderKeys, tmp_path: Path) -> None:
    stranger = FolderKeys(tmp_path / "other", ORIGIN, SystemClock())

    async def sweep() -> None:
        await keys.remember(await sign_checkpoint(Checkpoint(ORIGIN, 7, b"r" * 32), stranger.signers))
        await World().sweep(keys).sweep()

    with pytest.raises(SignatureInvalid):
        asyncio.run(sweep())


def test_flaws_are_one_critical_signal(keys: FolderKeys, caplog: pytest.LogCaptureFixture) -> None:
    world = World(found=[*flaws(1, 2, 3, 4, 5, 6), Flaw(unit="", version=0, problem="shrank")])
    found = asyncio.run(world.sweep(keys).sweep())
    assert (found.count, found.flaws, found.incident) == (7, world.found, "inc_1")
    (signal,) = world.signals.values()
    assert (signal.service, signal.name, signal.severity) == (SERVICE, DRIFT, Severity.CRITICAL)
    assert (signal.status, signal.starts_at) == (SignalStatus.FIRING, NOW)
    summary = signal.annotations["summary"]
    assert summary.startswith("7 flaws in stored history: u-1, version 1: was altered; u-2")
    assert "u-5" in summary
    assert "u-6" not in summary
    assert "stored history was altered: u-1, version 1: was altered" in caplog.text
    assert world.counts == [7]


def test_the_same_flaws_are_told_once_and_others_again(keys: FolderKeys) -> None:
    world = World()
    told = []
    for numbers in ((1,), (1,), (1, 2), (2,), (1,)):
        world.found = flaws(*numbers)
        told.append(asyncio.run(world.sweep(keys).sweep()).incident)
    assert told == ["inc_1", None, "inc_1", "inc_1", None]
    assert len({signal.fingerprint for signal in world.signals.values()}) == 1


def test_many_flaws_are_counted_and_few_of_them_told(keys: FolderKeys) -> None:
    world = World(found=flaws(*range(MOST_FLAWS + 50)))
    found = asyncio.run(world.sweep(keys).sweep())
    assert (found.count, len(found.flaws)) == (MOST_FLAWS + 50, MOST_FLAWS)
    assert world.counts == [MOST_FLAWS + 50]


def test_one_that_is_nameless_is_of_the_log(keys: FolderKeys) -> None:
    world = World(found=[Flaw(unit="", version=0, problem="shrank")])
    asyncio.run(world.sweep(keys).sweep())
    (signal,) = world.signals.values()
    assert signal.annotations["summary"].endswith("the log, version 0: shrank")


def test_it_sweeps_on_though_the_database_fails(
    keys: FolderKeys, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "_FIRST_SWEEP_SECONDS", 0.0)
    world = World(troubles=[OSError("the database is away")])

    async def live() -> None:
        task = asyncio.create_task(world.sweep(keys).run(0.001))
        async with asyncio.timeout(10):
            while len(world.counts) < 2:  # noqa: ASYNC110 - what is waited for happens in another task that tells nobody
                await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with caplog.at_level(logging.ERROR):
        asyncio.run(live())
    assert [record.getMessage() for record in caplog.records] == ["the ledger could not be swept"]


def test_a_server_that_has_just_started_is_left_alone_for_a_while(keys: FolderKeys) -> None:
    world = World()

    async def live() -> None:
        async with asyncio.timeout(0.05):
            await world.sweep(keys).run(3600)

    with pytest.raises(TimeoutError):
        asyncio.run(live())
    assert world.given == []
