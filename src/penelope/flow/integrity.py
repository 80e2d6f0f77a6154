"""Verifies all stored history from time to time, and makes an incident of what does not fit."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penelope.domain.signal import Severity, Signal, SignalStatus, problem_fingerprint
from penelope.flow.commands import Commands
from penelope.flow.ports import Verification
from penelope.flow.sequencing import LogKeys
from penelope.flow.verifying import outside
from penelope.kit.clock import Clock
from penelope.kit.ids import digest_id
from penelope.ledger.chain import Flaw

SERVICE = "penelope"
DRIFT = "LedgerDrift"
"""What the incident is about, and its name."""

MOST_FLAWS = 100
"""How many flaws a sweep tells of; it counts them all."""

_MOST_NAMED = 5
_FIRST_SWEEP_SECONDS = 30.0
"""A server that has just started has better things to do first."""

_log = logging.getLogger(__name__)


class SweepObserver(Protocol):
    """Is told what a sweep found."""

    def ledger_swept(self, flaws: int) -> None:
        """So many flaws were found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a sweep found: how many flaws, the first of them, and the incident that was told, if there was any."""

    count: int
    flaws: Sequence[Flaw]
    incident: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerSweep:
    """Sweeps; the anchor, which lies outside of the database, is what the log is held against."""

    verification: Verification
    keys: LogKeys
    commands: Commands
    observer: SweepObserver
    clock: Clock

    async def run(self, seconds: float) -> None:
        """Sweeps each `seconds` until cancelled."""
        await asyncio.sleep(min(seconds, _FIRST_SWEEP_SECONDS))
        while True:
            try:
                await self.sweep()
            except Exception:  # noqa: BLE001 - the database may be away for a moment; the next sweep tries again
                _log.exception("the ledger could not be swept")
            await asyncio.sleep(seconds)

    async def sweep(self) -> Sweep:
        """Verifies everything once, and raises an incident if anything is wrong."""
        flaws, count = await self._look()
        self.observer.ledger_swept(count)
        if not count:
            return Sweep(count=0, flaws=(), incident=None)
        _log.critical("stored history was altered: %s", _told(flaws[0]))
        receipt = await self.commands.receive_signals([_signal(flaws, count, self.clock.now())])
        incident = receipt.incidents[0] if receipt.incidents else None
        return Sweep(count=count, flaws=flaws, incident=incident)

    async def _look(self) -> tuple[list[Flaw], int]:
        first: list[Flaw] = []
        count = 0
        async for flaw in self.verification.flaws(await outside(self.keys), self.keys.verifiers):
            count += 1
            if count <= MOST_FLAWS:
                first.append(flaw)
        return first, count


def _signal(flaws: Sequence[Flaw], count: int, now: datetime) -> Signal:
    """One signal a set of flaws: the same ones are not told twice, and new ones join the open incident."""
    named = [_told(flaw) for flaw in flaws]
    summary = "; ".join(named[:_MOST_NAMED])
    return Signal(
        source="penelope/ledger-sweep",
        id=digest_id(str(count), *named),
        service=SERVICE,
        name=DRIFT,
        severity=Severity.CRITICAL,
        status=SignalStatus.FIRING,
        starts_at=now,
        received_at=now,
        fingerprint=problem_fingerprint(SERVICE, DRIFT),
        annotations={"summary": f"{count} flaws in stored history: {summary}"},
    )


def _told(flaw: Flaw) -> str:
    return f"{flaw.unit or 'the log'}, version {flaw.version}: {flaw.problem}"
