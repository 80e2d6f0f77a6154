"""The sweep: what does not fit becomes one incident, is told again each day, and nothing that was damaged mutes it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.signers.logkeys import FolderKeys
from penelope.domain.signal import Severity, Signal, SignalStatus
from penelope.errors import ChainBroken, Unavailable
from penelope.flow import integrity
from penelope.flow.commands import Receipt
from penelope.flow.integrity import DRIFT, MOST_FLAWS, SERVICE, LedgerSweep, Sweep
from penelope.kit.clock import SystemClock
from penelope.ledger.chain import Flaw
from penelope.ledger.notes import Checkpoint, sign_checkpoint
from penelope.ledger.ports import Verifier

ORIGIN = "log.example/penelope"
NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


class Clock:
    def __init__(self, now: datetime = NOW) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now


@dataclass
class World:
    """Stands in for verification, commands and observer."""

    found: list[Flaw] = field(default_factory=list)
    troubles: list[Exception] = field(default_factory=list)
    given: list[tuple[list[Checkpoint], list[str]]] = field(default_factory=list)
    signals: dict[str, Signal] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    forged: set[str] = field(default_factory=set)
    gate: asyncio.Event | None = None

    async def flaws(
        self, outside: Sequence[Checkpoint] = (), verifiers: Sequence[Verifier] = ()
    ) -> AsyncIterator[Flaw]:
        self.given.append((list(outside), [each.key_id for each in verifiers]))
        if self.gate is not None:
            await self.gate.wait()
        if self.troubles:
            raise self.troubles.pop(0)
        for flaw in self.found:
            yield flaw

    async def receive_signals(self, signals: Sequence[Signal]) -> Receipt:
        """Each signal once, as the real commands do, and none about a problem whose incident was forged."""
        if any(signal.fingerprint in self.forged for signal in signals):
            raise ChainBroken("the attributes of inc_1 were changed by something else than Penelope")
        new = [signal for signal in signals if signal.id not in self.signals]
        self.signals |= {signal.id: signal for signal in new}
        touched = ("inc_1",) if new else ()
        return Receipt(accepted=len(new), duplicates=len(signals) - len(new), incidents=touched, opened=())

    def ledger_swept(self, flaws: int) -> None:
        self.counts.append(flaws)

    def sweep(self, keys: Any, now: datetime = NOW) -> LedgerSweep:
        mine: Any = self
        return LedgerSweep(verification=mine, keys=keys, commands=mine, observer=self, clock=Clock(now))


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


def test_an_anchor_that_no_key_signed_is_a_flaw_and_not_taken_for_one(
    keys: FolderKeys, tmp_path: Path
) -> None:
    stranger = FolderKeys(tmp_path / "other", ORIGIN, SystemClock())
    world = World(found=flaws(1))

    async def sweep() -> Sweep:
        await keys.remember(await sign_checkpoint(Checkpoint(ORIGIN, 7, b"r" * 32), stranger.signers))
        return await world.sweep(keys).sweep()

    found = asyncio.run(sweep())
    assert [flaw.unit for flaw in found.flaws] == ["log", "u-1"]
    assert found.flaws[0].problem == (
        "the checkpoint beside its keys cannot be used: no trusted key signed the note"
    )
    assert (found.count, found.incident, world.counts) == (2, "inc_1", [2])
    assert world.given == [([], [keys.signers[0].key_id])]


@pytest.mark.parametrize("content", [b"no key at all\n", None])
def test_keys_that_cannot_be_read_are_a_flaw(keys: FolderKeys, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "keys" / "keys.pub"
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    world = World(found=flaws(1))
    found = asyncio.run(world.sweep(keys).sweep())
    assert [flaw.unit for flaw in found.flaws] == ["log", "u-1"]
    assert found.flaws[0].problem.startswith("its keys cannot be read: ")
    assert world.given == [([], [])]


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


def test_what_was_not_mended_is_told_again_the_next_day(keys: FolderKeys) -> None:
    world = World(found=flaws(1))
    days = (NOW, NOW + timedelta(hours=16), NOW + timedelta(hours=17), NOW + timedelta(hours=40))
    told = [asyncio.run(world.sweep(keys, now).sweep()).incident for now in days]
    assert told == ["inc_1", None, "inc_1", None]
    assert len({signal.fingerprint for signal in world.signals.values()}) == 1


def test_an_incident_that_was_forged_too_does_not_mute_the_next(keys: FolderKeys) -> None:
    world = World()
    for numbers in ((1,), (1, 2), (1, 2, 3)):
        world.found = flaws(*numbers)
        assert asyncio.run(world.sweep(keys).sweep()).incident == "inc_1"
        told = {signal.fingerprint for signal in world.signals.values()}
        assert len(told) == len(numbers)
        known, world.forged = world.forged, told
    world.forged = known
    assert asyncio.run(world.sweep(keys).sweep()).incident is None


def test_flaws_beyond_those_that_are_told_make_a_difference(keys: FolderKeys) -> None:
    world = World()
    for last in (MOST_FLAWS, MOST_FLAWS + 1):
        world.found = flaws(*range(MOST_FLAWS), last)
        assert asyncio.run(world.sweep(keys).sweep()).incident == "inc_1"


def test_one_walk_goes_on_at_a_time(keys: FolderKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_PATIENCE_SECONDS", 0.01)
    world = World()

    async def live() -> None:
        world.gate = asyncio.Event()
        ledger = world.sweep(keys)
        walking = asyncio.create_task(ledger.walk())
        patient = asyncio.create_task(ledger.sweep(patient=True))
        await asyncio.sleep(0)
        for asked in (ledger.walk(), ledger.sweep()):
            with pytest.raises(Unavailable):
                await asked
        assert len(world.given) == 1
        world.gate.set()
        assert (await walking).count == (await patient).count == 0
        assert len(world.given) == 2
        await ledger.walk()

    asyncio.run(live())


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
