"""What every metric reader promises, held against the real sampler and the fake that ships."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Protocol

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from penelope.adapters.metrics.scrape import ScrapedMetrics
from penelope.domain.metrics import observations
from penelope.domain.service import CounterQuery, ErrorSelector, HistogramQuery, MetricQueries, Service
from penelope.errors import Unavailable
from penelope.kit.clock import Clock, SystemClock
from penelope.rooms.context import ports as context
from penelope.rooms.verify import ports as verify
from penelope.testing.clock import FakeClock
from penelope.testing.metrics import FakeMetrics, Figures, figures

ARMS = ("a", "b")
Traffic = Mapping[str, tuple[int, int]]
"""Requests and errors by arm; an arm that is left out does not answer."""


class Reader(context.MetricReader, verify.MetricReader, Protocol):
    """Both ports in one."""


class Stage(Protocol):
    """A reader, its clock, and a service of two arms whose traffic can be directed."""

    reader: Reader
    clock: Clock
    service: Service

    async def serve(self, traffic: Traffic) -> None:
        """Returns when the traffic has been served, is visible and has ended."""


class FakeStage:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.reader = FakeMetrics(self.clock)
        self.service = Service(name="shop", owner="team", tier=1)

    async def serve(self, traffic: Traffic) -> None:
        arms = {arm: figures(requests, errors) for arm, (requests, errors) in traffic.items()}
        if arms:
            self.reader.script("shop", Figures(arms, gauges={arm: {"valid": 1.0} for arm in arms}))
        else:
            self.reader.script("shop", Unavailable("nobody answers"))
        self.clock.advance(10)


class Instance:
    """One instance of a service that counts what it is told to."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.requests = Counter("shop_requests", "Requests.", ("code",), registry=registry)
        self.seconds = Histogram("shop_seconds", "Duration.", registry=registry)
        Gauge("shop_valid", "Valid.", registry=registry).set(1)
        self._server, self._thread = start_http_server(0, "127.0.0.1", registry)
        self._stopped = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/metrics"

    def serve(self, requests: int, errors: int) -> None:
        self.requests.labels("200").inc(requests - errors)
        self.requests.labels("503").inc(errors)
        for _ in range(requests):
            self.seconds.observe(0.02)

    def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


class ScrapeStage:
    def __init__(self, instances: Mapping[str, Instance]) -> None:
        self._instances = instances
        self.clock = SystemClock()
        self.service = Service(
            name="shop",
            owner="team",
            tier=1,
            metrics=MetricQueries(
                source="scrape",
                instances={arm: instance.url for arm, instance in instances.items()},
                requests=CounterQuery(counter="shop_requests_total"),
                errors=ErrorSelector(label="code", pattern="5.."),
                latency=HistogramQuery(histogram="shop_seconds"),
                gauges={"valid": "shop_valid"},
            ),
        )
        self.reader = ScrapedMetrics(
            {"shop": self.service},
            interval_seconds=0.05,
            timeout_seconds=1,
            retention_seconds=60,
            clock=self.clock,
        )

    async def serve(self, traffic: Traffic) -> None:
        # A first sample of each arm is the baseline, so the traffic comes after it, and a sample after that.
        await self._sampled(frozenset(ARMS) if traffic else frozenset())
        for arm, (requests, errors) in traffic.items():
            self._instances[arm].serve(requests, errors)
        for arm in ARMS:
            if arm not in traffic:
                await asyncio.to_thread(self._instances[arm].stop)
        await self._sampled(frozenset(traffic))

    async def _sampled(self, arms: frozenset[str]) -> None:
        """Waits until these arms have figures from after now, and no other arm is seen any more."""
        began = self.clock.now()
        while await self._seen(began) != (arms, arms):  # noqa: ASYNC110 - a real sampler is polled
            await asyncio.sleep(0.01)

    async def _seen(self, since: datetime) -> tuple[frozenset[str], frozenset[str]]:
        try:
            lately = await self.reader.read_since(self.service, since, 60)
            return frozenset(lately.arms), frozenset((await self.reader.read(self.service, 60)).gauges)
        except Unavailable:
            return frozenset(), frozenset()


@asynccontextmanager
async def fake() -> AsyncIterator[Stage]:
    yield FakeStage()


@asynccontextmanager
async def scraped() -> AsyncIterator[Stage]:
    instances = {arm: Instance() for arm in ARMS}
    stage = ScrapeStage(instances)
    running = asyncio.create_task(stage.reader.run())
    try:
        async with asyncio.timeout(20):
            yield stage
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await stage.reader.close()
        for instance in instances.values():
            await asyncio.to_thread(instance.stop)


Opener = Callable[[], AbstractAsyncContextManager[Stage]]
every_reader = pytest.mark.parametrize("opened", [fake, scraped])


@every_reader
def test_figures_are_told_by_arm_and_in_total(opened: Opener):
    async def scenario():
        async with opened() as stage:
            await stage.serve({"a": (100, 10), "b": (300, 10)})
            found = await stage.reader.read(stage.service, 60)
            assert {arm: (each.requests, each.errors) for arm, each in found.arms.items()} == {
                "a": (100, 10),
                "b": (300, 10),
            }
            assert (found.total.requests, found.total.errors, found.total.error_ratio) == (400, 20, 0.05)
            assert 0 < found.arms["a"].latency_p99_seconds < 0.1
            assert 0 < found.total.latency_p99_seconds < 0.1
            assert 0 < found.window_seconds <= 60
            assert abs((found.at - stage.clock.now()).total_seconds()) < 1
            assert found.gauges == {"a": {"valid": 1.0}, "b": {"valid": 1.0}}
            assert observations(found)["metric.error_ratio@a"] == 0.1

    asyncio.run(scenario())


@every_reader
def test_an_arm_that_does_not_answer_is_absent(opened: Opener):
    async def scenario():
        async with opened() as stage:
            await stage.serve({"a": (100, 10), "b": (100, 0)})
            began = stage.clock.now()
            await stage.serve({"b": (50, 0)})
            found = await stage.reader.read_since(stage.service, began, 60)
            assert found.arms.keys() == {"b"}
            assert found.total.errors == 0
            assert found.gauges.keys() == {"b"}

    asyncio.run(scenario())


@every_reader
def test_no_arm_answering_is_unavailable(opened: Opener):
    async def scenario():
        async with opened() as stage:
            await stage.serve({})
            with pytest.raises(Unavailable):
                await stage.reader.read(stage.service, 60)
            with pytest.raises(Unavailable):
                await stage.reader.read_since(stage.service, stage.clock.now(), 60)

    asyncio.run(scenario())


@every_reader
def test_a_service_that_nobody_reads_is_unavailable(opened: Opener):
    async def scenario():
        async with opened() as stage:
            other = Service(name="other", owner="team", tier=1)
            with pytest.raises(Unavailable, match="other"):
                await stage.reader.read(other, 60)

    asyncio.run(scenario())


@every_reader
def test_what_was_before_a_moment_never_counts(opened: Opener):
    async def scenario():
        async with opened() as stage:
            await stage.serve({"a": (100, 100), "b": (100, 100)})
            began = stage.clock.now()
            await stage.serve({"a": (100, 0), "b": (100, 0)})
            found = await stage.reader.read_since(stage.service, began, 60)
            assert found.arms["a"].errors == 0
            assert found.total.errors == 0
            assert found.total.requests == 200

    asyncio.run(scenario())


@every_reader
def test_of_the_time_since_now_nothing_is_known(opened: Opener):
    async def scenario():
        async with opened() as stage:
            await stage.serve({"a": (100, 0), "b": (100, 0)})
            found = await stage.reader.read_since(stage.service, stage.clock.now(), 60)
            assert found.arms == {}
            assert found.window_seconds == 0
            assert found.total.error_ratio is None
            assert observations(found) == {}

    asyncio.run(scenario())
