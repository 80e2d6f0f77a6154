"""Keeps an eye on how well decisions keep the constitution."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol

from penelope.flow.audit import Window
from penelope.kit.clock import Clock
from penelope.rooms.learn.compliance import Compliance, Scale, Tally, comply

_log = logging.getLogger(__name__)


class TallyReader(Protocol):
    """Counts decisions that were committed."""

    async def tally(self, window: Window) -> Mapping[date, Tally]:
        """What was decided, by day (UTC) in order; days without decisions and outcomes are left out."""


class ComplianceObserver(Protocol):
    """Is told how well the constitution is kept."""

    def constitution_scored(self, compliance: Compliance) -> None: ...


class ComplianceWatch:
    """Scores what was decided of late."""

    def __init__(self, reader: TallyReader, scale: Scale, clock: Clock, observer: ComplianceObserver) -> None:
        self._reader = reader
        self._scale = scale
        self._clock = clock
        self._observer = observer

    async def look(self, *, service: str | None, days: int) -> tuple[Compliance, Mapping[date, Compliance]]:
        """So many days (UTC) up to today as a whole, and each day with decisions by itself."""
        by_day = await self._tally(self._today() - timedelta(days=days - 1), service)
        trend = {day: comply(tally, self._scale) for day, tally in by_day.items() if tally.decisions}
        return comply(together(by_day), self._scale), trend

    async def run(self, seconds: float, *, days: int) -> None:
        """Tells the observer at once, and then each `seconds`, until cancelled.

        What lies behind is read once. Yesterday is read again with today: it may have been committed past midnight.
        """
        known: Mapping[date, Tally] = {}
        looked = date.min
        while True:
            try:
                today = self._today()
                first = today - timedelta(days=days - 1)
                since = max(first, looked)
                kept = {day: tally for day, tally in known.items() if first <= day < since}
                known = {**kept, **await self._tally(since, None)}
                looked = today - timedelta(days=1)
                self._observer.constitution_scored(comply(together(known), self._scale))
            except Exception:  # noqa: BLE001 - the database may be away for a moment; the next look tries again
                _log.exception("the constitution could not be scored")
            await asyncio.sleep(seconds)

    def _today(self) -> date:
        return self._clock.now().astimezone(UTC).date()

    async def _tally(self, since: date, service: str | None) -> Mapping[date, Tally]:
        begin = datetime.combine(since, time(), UTC)
        until = self._clock.now() + timedelta(microseconds=1)
        return await self._reader.tally(Window(since=begin, until=until, service=service))


def together(by_day: Mapping[date, Tally]) -> Tally:
    """Many days as one."""
    tallies = list(by_day.values())
    verified = sum(tally.verified for tally in tallies)
    distance = sum(tally.brier * tally.verified for tally in tallies if tally.brier is not None)
    articles = {article for tally in tallies for article in tally.broken}
    return Tally(
        decisions=sum(tally.decisions for tally in tallies),
        observed=sum(tally.observed for tally in tallies),
        escalated=sum(tally.escalated for tally in tallies),
        weighed=sum(tally.weighed for tally in tallies),
        broken={article: sum(tally.broken.get(article, 0) for tally in tallies) for article in articles},
        verified=verified,
        brier=distance / verified if verified else None,
    )
