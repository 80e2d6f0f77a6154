"""A source of counts with a time limit, retries and a call breaker; and the source that a service's entry names."""

import asyncio
from collections.abc import Callable, Mapping

import stamina

from penelope.adapters.metrics.prometheus import PrometheusCounter
from penelope.adapters.metrics.scrape_counts import ScrapeCounter, TraefikCounter
from penelope.domain.counts import Totals
from penelope.domain.service import Service
from penelope.errors import InvalidCatalogue, Timeout, Unavailable
from penelope.kit.call_breaker import CallBreaker
from penelope.kit.clock import Clock
from penelope.rooms.rollout.ports import ArmCounter

_ATTEMPTS = 3
_FIRST_WAIT_SECONDS = 0.05


class GuardedCounter:
    """Fulfils ArmCounter with others, by the name of a source; one call breaker a service.

    An answer takes `deadline_seconds` at most, with all retries. While a breaker is open it raises Unavailable at once.
    """

    def __init__(
        self,
        counters: Mapping[str, ArmCounter],
        deadline_seconds: float,
        breaker: Callable[[], CallBreaker] = CallBreaker,
    ) -> None:
        self._counters = counters
        self._deadline_seconds = deadline_seconds
        self._breaker = breaker
        self._breakers: dict[str, CallBreaker] = {}

    async def totals(self, service: Service) -> Totals:
        source = "scrape" if service.counts is None else service.counts.source
        counter = self._counters.get(source)
        if counter is None:
            known = ", ".join(sorted(self._counters))
            raise InvalidCatalogue(
                f"{service.name!r} names a source of counts that is none; there are {known}"
            )
        breaker = self._breakers.setdefault(service.name, self._breaker())
        if not breaker.allows():
            raise Unavailable(
                f"the source of counts of {service.name!r} failed again and again and is left alone"
            )
        try:
            found = await self._asked(counter, service)
        except (Unavailable, Timeout):
            breaker.failed()
            raise
        breaker.succeeded()
        return found

    async def _asked(self, counter: ArmCounter, service: Service) -> Totals:
        attempts = stamina.retry_context(
            on=(Unavailable, Timeout),
            attempts=_ATTEMPTS,
            wait_initial=_FIRST_WAIT_SECONDS,
            wait_jitter=_FIRST_WAIT_SECONDS,
            timeout=self._deadline_seconds,
        )
        try:
            async with asyncio.timeout(self._deadline_seconds):
                async for attempt in attempts:
                    with attempt:
                        return await counter.totals(service)
        except TimeoutError:
            pass
        raise Timeout(f"the source of counts has not answered within {self._deadline_seconds:g} s")


def counter_of(clock: Clock, timeout_seconds: float) -> GuardedCounter:
    """All sources there are; each call of one takes `timeout_seconds` at most, and an answer three times that."""
    counters: dict[str, ArmCounter] = {
        "scrape": ScrapeCounter(clock, timeout_seconds),
        "traefik": TraefikCounter(clock, timeout_seconds),
        "prometheus": PrometheusCounter(timeout_seconds),
    }
    return GuardedCounter(counters, 3 * timeout_seconds)
