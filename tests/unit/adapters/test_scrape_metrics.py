import asyncio
import gzip
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from penelope.adapters.metrics.exposition import sample
from penelope.adapters.metrics.scrape import ScrapedMetrics
from penelope.domain.service import CounterQuery, ErrorSelector, HistogramQuery, MetricQueries, Service
from penelope.errors import Unavailable
from penelope.kit.clock import SystemClock
from penelope.testing.clock import FakeClock

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
GOOD = b'# TYPE shop_requests_total counter\nshop_requests_total{code="200"} 7\n'

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def queries(**instances: str) -> MetricQueries:
    return MetricQueries(
        source="scrape",
        instances=instances,
        requests=CounterQuery(counter="shop_requests_total", match={"app": "web"}),
        errors=ErrorSelector(label="code", pattern="5.."),
        latency=HistogramQuery(histogram="shop_seconds", match={"app": "web"}),
        gauges={"valid": "shop_valid", "missing": "shop_missing"},
    )


def unlabelled(**instances: str) -> MetricQueries:
    return MetricQueries(
        source="scrape",
        instances=instances,
        requests=CounterQuery(counter="shop_requests_total"),
        errors=ErrorSelector(label="code", pattern="5.."),
        latency=HistogramQuery(histogram="shop_seconds"),
        gauges={"valid": "shop_valid"},
    )


def registry() -> CollectorRegistry:
    found = CollectorRegistry()
    requests = Counter("shop_requests", "Requests.", ("code", "app"), registry=found)
    requests.labels("200", "web").inc(90)
    requests.labels("503", "web").inc(8)
    requests.labels("500", "web").inc(2)
    requests.labels("500", "admin").inc(1000)
    requests.labels("1500", "web").inc(5)
    seconds = Histogram("shop_seconds", "Duration.", ("app",), buckets=(0.1, 1), registry=found)
    seconds.labels("web").observe(0.05, {"trace": "a # b"})
    seconds.labels("web").observe(5)
    seconds.labels("admin").observe(5)
    valid = Gauge("shop_valid", "Valid.", ("file",), registry=found)
    for file, value in (("a", 3), ("b", 2), ("c", math.nan)):
        valid.labels(file).set(value)
    return found


@pytest.mark.parametrize(
    ("content_type", "generate"),
    [(TEXT, generate_latest), ("", generate_latest), (OPENMETRICS, openmetrics.generate_latest)],
)
def test_a_sample_holds_what_the_queries_select(content_type, generate):
    found = sample(generate(registry()), content_type, queries(), NOW)
    assert found.at == NOW
    assert (found.requests, found.errors) == (105, 10)
    assert found.buckets == {0.1: 1, 1.0: 1, math.inf: 2}
    assert found.gauges == {"valid": 2.0}


def test_counters_without_an_increment_are_zero():
    found = sample(b"# HELP other Other.\n# TYPE other counter\n", TEXT, unlabelled(), NOW)
    assert (found.requests, found.errors, found.buckets, found.gauges) == (0, 0, {}, {})


def test_a_counter_whose_name_only_begins_alike_is_another_one():
    body = GOOD + b"shop_requests_total_of_bots 50\nshop_requests_total\t1\n"
    assert sample(body, TEXT, unlabelled(), NOW).requests == 8


def test_figures_that_are_none_stay_visible_as_such():
    assert math.isnan(sample(b"shop_requests_total NaN\n", TEXT, unlabelled(), NOW).requests)


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"", TEXT, "no Prometheus exposition"),
        (b"<html><body>It works</body></html>", "text/html", "no Prometheus exposition"),
        (b"\x00\xff" * 1000, TEXT, "no Prometheus exposition"),
        (b"shop_requests_total \xff\n", TEXT, "does not parse"),
        (b"shop_requests_total{code= 1\n", TEXT, "does not parse"),
        (b'shop_requests_total{code="200",code="500"} 1\n', TEXT, "does not parse"),
        (b"shop_requests_total many\n", TEXT, "does not parse"),
        (b"shop_requests_total 1" + b"0" * 400 + b"\n", TEXT, "does not parse"),
        (b"shop_seconds_bucket 1\n", TEXT, "does not parse"),
        (b'shop_seconds_bucket{le="wide"} 1\n', TEXT, "does not parse"),
        (b"shop_requests_total{" + b"a" * 5000 + b"} 1\n", TEXT, "line of more than"),
        (
            b"".join(b'shop_requests_total{n="%030d"} 1\n' % n for n in range(50_000)),
            TEXT,
            "more than 1048576 bytes",
        ),
        (b"# TYPE \n" + b"\n" * 200_000, TEXT, "more than 200000 lines"),
        (GOOD, OPENMETRICS, "# EOF is missing"),
    ],
)
def test_hostile_answers_are_refused(body, content_type, message):
    with pytest.raises(Unavailable, match=message):
        sample(body, content_type, unlabelled(), NOW)


def http(body: bytes, status: str = "200 OK", headers: str = f"Content-Type: {TEXT}\r\n") -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)

    return answer


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(b"# nothing to see here\n" * 10_000)
        await writer.drain()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        writer.write(b"#")
        await writer.drain()
        await asyncio.sleep(0.01)


async def silent(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def gone(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


class Server:
    """Answers every request as it is told; keeps the requests."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.port = 0
        self._talks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(asyncio.current_task())
        try:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await self.answer(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Server"]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for talk in self._talks:
                talk.cancel()
            await asyncio.gather(*self._talks, return_exceptions=True)


def shop(**instances: str) -> Service:
    return Service(name="shop", owner="team", tier=1, metrics=unlabelled(**instances))


@asynccontextmanager
async def scraping(service: Service, clock=None, **options: float) -> AsyncIterator[ScrapedMetrics]:
    settings = {"interval_seconds": 0.02, "timeout_seconds": 0.2, "retention_seconds": 60, **options}
    metrics = ScrapedMetrics({service.name: service}, clock=clock or SystemClock(), **settings)
    running = asyncio.create_task(metrics.run())
    try:
        async with asyncio.timeout(20):
            yield metrics
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await metrics.close()
    assert running.cancelled()


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - real servers and a real sampler are polled, with a deadline
        await asyncio.sleep(0.005)


async def figures(metrics: ScrapedMetrics, service: Service):
    while True:
        try:
            found = await metrics.read(service, 60)
        except Unavailable:
            found = None
        if found and found.arms:
            return found
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (http(b"hello"), "the answer is no Prometheus exposition"),
        (http(b"shop_requests_total garbage\n"), "the answer does not parse as an exposition (ValueError)"),
        (http(GOOD, "503 Service Unavailable"), "HTTP 503"),
        (http(b"", "302 Found", "Location: /elsewhere\r\n"), "HTTP 302"),
        (http(b"x" * 9 * 1024 * 1024), "the answer is larger than 8388608 bytes"),
        (
            http(gzip.compress(GOOD), headers="Content-Encoding: gzip\r\n"),
            "the answer is no Prometheus exposition",
        ),
        (drip, "no complete answer in time"),
        (silent, "no complete answer in time"),
        (gone, "RemoteProtocolError: Server disconnected without sending a response."),
        (nonsense, "RemoteProtocolError: illegal status line"),
    ],
    ids=[
        "hello", "garbage", "503", "redirect", "huge", "gzip", "drip", "silent", "gone", "nonsense"
    ],
)  # fmt: skip
def test_a_hostile_instance_is_counted_and_may_recover(answer, message):
    async def scenario():
        async with Server(answer).serving() as bad, Server(http(GOOD)).serving() as good:
            service = shop(bad=bad.url, good=good.url)
            timeout = 2 if "larger" in message else 0.2
            async with scraping(service, timeout_seconds=timeout) as metrics:
                await until(lambda: metrics.failures["shop", "bad"] >= 2)
                assert metrics.last_errors["shop", "bad"].startswith(message)
                assert (await figures(metrics, service)).arms.keys() == {"good"}
                assert metrics.failures["shop", "good"] == 0
                bad.answer = http(GOOD)
                await until(lambda: not metrics.last_errors)
                assert metrics.failures["shop", "bad"] >= 2

    asyncio.run(scenario())


def test_an_answer_without_an_end_is_cut_off():
    async def scenario():
        async with (
            Server(endless).serving() as server,
            scraping(shop(a=server.url), timeout_seconds=1) as metrics,
        ):
            await until(lambda: metrics.failures["shop", "a"] >= 1)
            assert metrics.last_errors["shop", "a"] in {
                "the answer is larger than 8388608 bytes",
                "no complete answer in time",
            }

    asyncio.run(scenario())


def test_an_instance_whose_counts_are_nan_has_no_figures_but_does_not_stop_the_others():
    async def scenario():
        nan = http(b"shop_requests_total NaN\n")
        async with Server(nan).serving() as odd, Server(http(GOOD)).serving() as good:
            service = shop(odd=odd.url, good=good.url)
            async with scraping(service) as metrics:
                assert (await figures(metrics, service)).arms.keys() == {"good"}
                await until(lambda: len(odd.requests) > 2)
                assert metrics.failures["shop", "odd"] == 0

    asyncio.run(scenario())


def test_nobody_answering_is_unavailable_and_says_why():
    async def scenario():
        service = shop(a="http://127.0.0.1:1/metrics", b="no url at all")
        async with scraping(service) as metrics:
            with pytest.raises(Unavailable, match="a: not sampled lately"):
                await metrics.read(service, 60)
            await until(lambda: all(metrics.failures.values()))
            with pytest.raises(Unavailable, match=r"a: ConnectError.*; b: UnsupportedProtocol"):
                await metrics.read(service, 60)

    asyncio.run(scenario())


def test_a_url_that_breaks_the_client_does_not_break_the_loop():
    async def scenario():
        async with scraping(shop(a="http://127.0.0.1:none/")) as metrics:
            await until(lambda: metrics.failures["shop", "a"] >= 2)
            assert metrics.last_errors["shop", "a"] == "InvalidURL"

    asyncio.run(scenario())


def test_a_service_without_metrics_is_unavailable():
    async def scenario():
        service = Service(name="dark", owner="team", tier=1)
        async with Server(http(GOOD)).serving() as server, scraping(shop(a=server.url)) as metrics:
            with pytest.raises(Unavailable, match="no metrics are read for dark") as caught:
                await metrics.read_since(service, NOW, 60)
            assert "catalogue" in caught.value.advice

    asyncio.run(scenario())


def test_credentials_of_a_url_are_sent_as_a_header_and_compression_is_declined():
    async def scenario():
        async with Server(http(GOOD)).serving() as server:
            url = server.url.replace("127", "me:s%40cret@127", 1)
            async with scraping(shop(a=url)):
                await until(lambda: server.requests)
        request = server.requests[0].decode().lower()
        assert "authorization: basic bwu6c0bjcmv0" in request
        assert "accept-encoding: identity" in request
        assert request.startswith("get /metrics http/1.1")

    asyncio.run(scenario())


def test_a_silent_arm_is_absent_after_two_and_a_half_intervals():
    async def scenario():
        clock = FakeClock()
        async with Server(http(GOOD)).serving() as a, Server(http(GOOD)).serving() as b:
            service = shop(a=a.url, b=b.url)
            # The interval is far longer than the test: each instance is sampled exactly once.
            async with scraping(service, clock, interval_seconds=1000, retention_seconds=1e6) as metrics:
                await until(lambda: metrics_of(metrics, "a") and metrics_of(metrics, "b"))
                clock.advance(2500)
                assert (await metrics.read(service, 1e6)).at == clock.now()
                clock.advance(0.001)
                with pytest.raises(Unavailable, match="not sampled lately"):
                    await metrics.read(service, 1e6)

    asyncio.run(scenario())


def metrics_of(metrics: ScrapedMetrics, arm: str):
    return metrics._samples["shop", arm]


def test_samples_are_stamped_when_asked_and_forgotten_after_the_retention():
    async def scenario():
        clock = FakeClock()
        async with Server(http(GOOD)).serving() as server:
            service = shop(a=server.url)
            async with scraping(service, clock, retention_seconds=10) as metrics:
                kept = metrics_of(metrics, "a")
                for seconds in (0, 8, 8):
                    moment = clock.advance(seconds)
                    await until(lambda moment=moment: kept and kept[-1].at == moment)
                assert (await metrics.read(service, 3600)).window_seconds == 8
                assert (await metrics.read_since(service, moment, 3600)).window_seconds == 0

    asyncio.run(scenario())


def test_without_instances_there_is_nothing_to_run():
    async def scenario():
        metrics = ScrapedMetrics(
            {"dark": Service(name="dark", owner="team", tier=1)},
            interval_seconds=1, timeout_seconds=1, retention_seconds=1, clock=SystemClock(),
        )  # fmt: skip
        await metrics.run()
        await metrics.close()
        assert metrics.failures == {}

    asyncio.run(scenario())
