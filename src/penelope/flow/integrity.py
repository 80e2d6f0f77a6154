"""Verifies all stored history from time to time, and makes an incident of what does not fit."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from penelope.domain.signal import Severity, Signal, SignalStatus, problem_fingerprint
from penelope.errors import Unavailable
from penelope.flow.commands import Commands, Receipt
from penelope.flow.ports import Verification
from penelope.flow.sequencing import LogKeys
from penelope.flow.verifying import outside
from penelope.kit.clock import Clock, timestamp
from penelope.kit.ids import digest_id
from penelope.ledger.chain import Flaw
from penelope.ledger.notes import Checkpoint

SERVICE = "penelope"
DRIFT = "LedgerDrift"
"""What the incident is about, and its name."""

MOST_FLAWS = 100
"""How many flaws a walk tells of; it counts them all."""

_MOST_NAMED = 5
_FIRST_SWEEP_SECONDS = 30.0
"""A server that has just started has better things to do first."""

_PATIENCE_SECONDS = 5.0
"""How long who asks for a walk waits in line: long enough for a short walk to end, and too short for a long line."""

_DATE_CHARACTERS = 10

_log = logging.getLogger(__name__)


class SweepObserver(Protocol):
    """Is told what a sweep found."""

    def ledger_swept(self, flaws: int) -> None:
        """So many flaws were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What a walk found: how many flaws, the first of them, and a digest of them all."""

    count: int
    flaws: Sequence[Flaw]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a sweep found: how many flaws, the first of them, and the incident that was told, if there was any."""

    count: int
    flaws: Sequence[Flaw]
    incident: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSweep:
    """Walks and sweeps; the anchor, which lies outside of the database, is what the log is held against."""

    verification: Verification
    keys: LogKeys
    commands: Commands
    observer: SweepObserver
    clock: Clock
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def run(self, seconds: float) -> None:
        """Sweeps each `seconds` until cancelled."""
        await asyncio.sleep(min(seconds, _FIRST_SWEEP_SECONDS))
        while True:
            try:
                await self.sweep(patient=True)
            except Exception:  # noqa: BLE001 - the database may be away for a moment; the next sweep tries again
                _log.exception("the ledger could not be swept")
            await asyncio.sleep(seconds)

    async def sweep(self, *, patient: bool = False) -> Sweep:
        """Verifies everything once, and raises an incident if anything is wrong. Raises as `walk` does."""
        found = await self.walk(patient=patient)
        self.observer.ledger_swept(found.count)
        if not found.count:
            return Sweep(count=0, flaws=(), incident=None)
        _log.critical("stored history was altered: %s", _told(found.flaws[0]))
        receipt = await self._tell(found)
        incident = receipt.incidents[0] if receipt.incidents else None
        return Sweep(count=found.count, flaws=found.flaws, incident=incident)

    async def walk(self, *given: Checkpoint, patient: bool = False) -> Walk:
        """Verifies everything once, also against the checkpoints given.

        One walk at a time goes over history, so that nobody can use up the database by asking. Others wait in line;
        those who are not patient get Unavailable after a while, and so the line in front of the patient is short.
        """
        try:
            async with asyncio.timeout(None if patient else _PATIENCE_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            hint = "Ask again in some minutes; one walk over all history goes on at a time."
            raise Unavailable("stored history is being verified for somebody else", hint=hint) from None
        try:
            return await self._walked(given)
        finally:
            self._turn.release()

    async def _walked(self, given: Sequence[Checkpoint]) -> Walk:
        first: list[Flaw] = []
        count, digest = 0, ""
        async for flaw in self._flaws(given):
            count, digest = count + 1, digest_id(digest, _told(flaw))
            if count <= MOST_FLAWS:
                first.append(flaw)
        return Walk(count=count, flaws=first, digest=digest)

    async def _flaws(self, given: Sequence[Checkpoint]) -> AsyncIterator[Flaw]:
        found = await outside(self.keys)
        for flaw in found.flaws:
            yield flaw
        async for flaw in self.verification.flaws([*found.checkpoints, *given], found.verifiers):
            yield flaw

    async def _tell(self, found: Walk) -> Receipt:
        signal = _signal(found, self.clock.now())
        try:
            return await self.commands.receive_signals([signal])
        except Exception:  # noqa: BLE001 - whatever was done to the open incident must not mute the alarm
            _log.exception("the incident that is open about stored history takes nothing in; another is told")
        # About a problem of its own, it meets no incident that was there when these flaws were found.
        alone = replace(signal, fingerprint=digest_id(signal.fingerprint, found.digest))
        return await self.commands.receive_signals([alone])


def _signal(found: Walk, now: datetime) -> Signal:
    """One signal a set of flaws and day (UTC): what was not mended is told again the next day, and new flaws at once."""
    summary = "; ".join(map(_told, found.flaws[:_MOST_NAMED]))
    return Signal(
        source="penelope/ledger-sweep",
        id=digest_id(timestamp(now)[:_DATE_CHARACTERS], found.digest),
        service=SERVICE,
        name=DRIFT,
        severity=Severity.CRITICAL,
        status=SignalStatus.FIRING,
        starts_at=now,
        received_at=now,
        fingerprint=problem_fingerprint(SERVICE, DRIFT),
        annotations={"summary": f"{found.count} flaws in stored history: {summary}"},
    )


def _told(flaw: Flaw) -> str:
    return f"{flaw.unit or 'the log'}, version {flaw.version}: {flaw.problem}"
