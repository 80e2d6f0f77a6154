"""Every source of counts gives both arms of one moment, and says so when it cannot: failing, lying and hanging."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from penelope.adapters.metrics.guarded import GuardedCounter, counter_of
from penelope.adapters.metrics.prometheus import Prometheus, PrometheusCounter, prometheus_options
from penelope.domain.counts import Counts, Doubt, Totals, counted
from penelope.domain.service import (
    CounterQuery,
    CountsReference,
    ErrorSelector,
    HistogramQuery,
    MetricQueries,
    Service,
)
from penelope.errors import DependencyError, InvalidCatalogue, Timeout, Unavailable
from penelope.kit.call_breaker import CallBreaker
from penelope.kit.clock import SystemClock

SOURCES = ["scrape", "traefik", "prometheus"]


class Source:
    """A server that answers in the words of a source. `counts` are requests, errors and slow requests by arm; `body`
    and `status` replace the answer; while `silent` is set it does not answer at all.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.counts: dict[str, tuple[Any, Any, Any]] = {"blue": (0, 0, 0), "green": (0, 0, 0)}
        self.began = 1_700_000_000.0
        self.moment = 1_800_000_000.0
        self.total: float | None = None
        self.body: bytes | None = None
        self.status = 200
        self.silent = threading.Event()
        self.asked: list[str] = []
        self.url = ""

    def answer(self, path: str, body: str) -> bytes:
        self.asked.append(body or path)
        if self.body is not None:
            return self.body
        match self.kind:
            case "scrape":
                return self._page(path.strip("/")).encode()
            case "traefik":
                return self._traefik().encode()
        return self._prometheus()

    def _page(self, arm: str) -> str:
        requests, errors, slow = self.counts[arm]
        return (
            f'# TYPE shop_requests_total counter\nshop_requests_total{{code="200"}} {requests - errors}\n'
            f'shop_requests_total{{code="500"}} {errors}\n'
            f'shop_seconds_bucket{{le="0.1"}} {requests - slow}\nshop_seconds_bucket{{le="+Inf"}} {requests}\n'
            f"process_start_time_seconds {self.began}\n"
        )

    def _traefik(self) -> str:
        text = f"# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds {self.began}\n"
        for arm, (requests, errors, slow) in self.counts.items():
            name = f'method="GET",protocol="http",service="shop-{arm}@file"'
            text += f'traefik_service_requests_total{{code="200",{name}}} {requests - errors}\n'
            text += f'traefik_service_requests_total{{code="502",{name}}} {errors}\n'
            text += f'traefik_service_requests_total{{code="499",{name}}} 77\n'
            seconds = "traefik_service_request_duration_seconds_bucket"
            text += f'{seconds}{{code="200",{name},le="0.1"}} {requests - slow}\n'
            text += f'{seconds}{{code="200",{name},le="+Inf"}} {requests}\n'
            text += f'{seconds}{{code="499",{name},le="+Inf"}} 77\n'
        if self.total is not None:
            text += f'traefik_router_requests_total{{code="200",router="shop@file",service="shop@file"}} {self.total}\n'
        return text

    def _prometheus(self) -> bytes:
        result = []
        for arm, (requests, errors, slow) in self.counts.items():
            plain = {"job": "shop", "instance": f"{arm}:80", "version": f"v-{arm}"}
            for labels, value in (
                ({"__name__": "shop_requests_total", "code": "200"}, requests - errors),
                ({"__name__": "shop_requests_total", "code": "500"}, errors),
                ({"__name__": "shop_seconds_bucket", "le": "0.1"}, requests - slow),
                ({"__name__": "shop_seconds_bucket", "le": "+Inf"}, requests),
            ):
                result.append({"metric": {**plain, **labels}, "value": [self.moment, str(value)]})
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()

    def service(self) -> Service:
        url = self.url
        options: dict[str, Any] = {
            "scrape": {},
            "traefik": {"url": url, "arms": {"blue": "shop-blue@file", "green": "shop-green@file"}},
            "prometheus": {
                "url": url,
                "arm_label": "version",
                "arms": {"blue": "v-blue", "green": "v-green"},
            },
        }[self.kind]
        if self.total is not None:
            options["router"] = "shop@file"
        metrics = MetricQueries(
            source="scrape",
            instances={arm: f"{url}/{arm}" for arm in ("blue", "green")},
            requests=CounterQuery(counter="shop_requests_total"),
            errors=ErrorSelector(label="code", pattern="5.."),
            latency=HistogramQuery(histogram="shop_seconds"),
        )
        counts = CountsReference(source=self.kind, options=options)
        return Service(name="shop", owner="team", tier=2, metrics=metrics, counts=counts)


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    made = Source(request.param)
    release = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if made.silent.is_set():
                release.wait(10)
                return
            size = int(self.headers.get("Content-Length") or 0)
            body = made.answer(self.path, self.rfile.read(size).decode())
            self.send_response(made.status)
            self.send_header(
                "Content-Type", "application/json" if made.kind == "prometheus" else "text/plain"
            )
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that http.server asks for

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    release.set()
    server.shutdown()
    server.server_close()


def look(source: Source, service: Service | None = None) -> Totals:
    source.moment += 5
    return asyncio.run(counter_of(SystemClock(), 2.0).totals(service or source.service()))


def test_both_arms_are_counted_between_two_looks(source: Source) -> None:
    source.counts = {"blue": (1000, 20, 30), "green": (100, 2, 3)}
    before = look(source)
    source.counts = {"blue": (1900, 38, 60), "green": (200, 7, 13)}
    found = counted(before, look(source))
    assert isinstance(found, Counts)
    assert found.seconds > 0
    assert {arm: (each.requests, each.errors) for arm, each in found.arms.items()} == {
        "blue": (900, 18),
        "green": (100, 5),
    }
    assert found.arms["green"].buckets == {"0.1": 90, "+Inf": 100}


def test_both_arms_come_from_one_answer_where_the_source_has_one(source: Source) -> None:
    look(source)
    assert len(source.asked) == (2 if source.kind == "scrape" else 1)


def test_counts_that_go_back_are_a_new_beginning_or_a_lie(source: Source) -> None:
    source.counts = {"blue": (1000, 20, 30), "green": (100, 2, 3)}
    before = look(source)
    source.counts = {"blue": (1100, 20, 30), "green": (10, 1, 1)}
    if source.kind != "prometheus":
        lie = counted(before, look(source))
        assert isinstance(lie, Doubt)
        assert "went back" in lie.reasons[0]
        source.began += 100
        source.counts["blue"] = (100, 2, 3)
    found = counted(before, look(source))
    assert isinstance(found, Counts)
    assert found.arms["green"].requests == 10
    assert any("anew" in note for note in found.notes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -5, 0.5])
def test_figures_that_are_no_counts_are_told(source: Source, value: float) -> None:
    before = look(source)
    source.counts["green"] = (value, 0, 0)
    assert isinstance(counted(before, look(source)), Doubt)


def test_an_arm_that_says_nothing_is_never_good(source: Source) -> None:
    before = look(source)
    source.counts = {"blue": (100, 0, 0)}
    if source.kind == "traefik":  # an arm without a request yet is not on its page
        source.counts = {"blue": (100, 0, 0), "green": (0, 0, 0)}
        found = counted(before, look(source))
        assert isinstance(found, Counts)
        assert found.arms["green"].requests == 0
    elif source.kind == "prometheus":
        assert isinstance(counted(before, look(source)), Doubt)
    else:
        with pytest.raises(DependencyError):
            look(source)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (302, b""),
        (200, b"<html>sign in</html>"),
        (200, b"\xff\xfe\x00"),
        (200, b'{"status":"error","errorType":"timeout"}'),
        (200, b'{"status":"success","data":{"resultType":"matrix","result":[]}}'),
        (200, b'{"status":"success","warnings":["partial"],"data":{"resultType":"vector","result":[]}}'),
        (200, b'{"status":"success","data":{"resultType":"vector","result":[{"value":[1,"x"]}]}}'),
    ],
)
def test_an_answer_that_is_none_is_a_source_that_is_down(source: Source, status: int, body: bytes) -> None:
    source.status, source.body = status, body
    with pytest.raises(Unavailable):
        look(source)


def test_a_series_listed_twice_is_refused(source: Source) -> None:
    source.counts = {"blue": (10, 0, 0), "green": (10, 0, 0)}
    text = source.answer("/blue", "")
    if source.kind == "prometheus":
        whole = json.loads(text)
        whole["data"]["result"] *= 2
        source.body = json.dumps(whole).encode()
    else:
        source.body = text + text
    with pytest.raises(Unavailable, match="twice"):
        look(source)


def test_a_source_that_hangs_is_given_up_in_time(source: Source) -> None:
    source.silent.set()
    with pytest.raises((Timeout, Unavailable)):
        asyncio.run(asyncio.wait_for(counter_of(SystemClock(), 0.2).totals(source.service()), 3))


def test_one_failure_is_retried_and_many_are_left_alone(source: Source) -> None:
    class Flaky:
        def __init__(self) -> None:
            self.asked, self.fails = 0, 1

        async def totals(self, service: Service) -> Totals:
            self.asked += 1
            if self.asked <= self.fails:
                raise Unavailable("not now")
            return await counter_of(SystemClock(), 2.0).totals(service)

    flaky = Flaky()
    seconds = [0.0]
    guarded = GuardedCounter(
        {source.kind: flaky}, 5.0, lambda: CallBreaker(failures=2, now=lambda: seconds[0])
    )

    async def story() -> None:
        assert (await guarded.totals(source.service())).arms.keys() == {"blue", "green"}
        assert flaky.asked == 2
        flaky.fails = 10**6
        for _ in range(2):
            with pytest.raises(Unavailable, match="not now"):
                await guarded.totals(source.service())
        asked = flaky.asked
        with pytest.raises(Unavailable, match="left alone"):
            await guarded.totals(source.service())
        assert flaky.asked == asked
        flaky.fails, seconds[0] = 0, 11.0
        await guarded.totals(source.service())

    asyncio.run(story())


@pytest.mark.parametrize("source", ["traefik"], indirect=True)
def test_arms_that_do_not_add_up_to_the_routers_requests_are_told(source: Source) -> None:
    source.total = 0.0
    before = look(source)
    source.counts, source.total = {"blue": (900, 0, 0), "green": (100, 0, 0)}, 1003.0
    assert isinstance(counted(before, look(source)), Counts)
    source.total = 1500.0
    assert isinstance(counted(before, look(source)), Doubt)


@pytest.mark.parametrize("source", ["prometheus"], indirect=True)
def test_queries_of_people_are_asked_for_each_arm(source: Source) -> None:
    service = source.service()
    assert service.counts is not None
    template = 'sum(rate(shop_requests_total{version=~"{{ arm }}"}[{{ window }}]))'
    options = {**service.counts.options, "queries": {"rate": template}}
    service = replace(service, counts=replace(service.counts, options=options))
    counter = PrometheusCounter(2.0)
    one = {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "2.5"]}]},
    }
    source.body = json.dumps(one).encode()
    assert asyncio.run(counter.figures(service, "rate", 60)) == {"blue": 2.5, "green": 2.5}
    assert [parse_qs(body)["query"][0] for body in source.asked] == [
        f'sum(rate(shop_requests_total{{version=~"v-{arm}"}}[60s]))' for arm in ("blue", "green")
    ]
    one["data"]["result"] = [{"metric": {}, "value": [1, "NaN"]}]  # type: ignore[index]  # a test answer is plain data
    source.body = json.dumps(one).encode()
    assert asyncio.run(counter.figures(service, "rate", 60)) == {"blue": None, "green": None}
    one["data"]["result"] *= 2  # type: ignore[index]  # a test answer is plain data
    source.body = json.dumps(one).encode()
    with pytest.raises(Unavailable, match="2 series"):
        asyncio.run(counter.figures(service, "rate", 60))
    with pytest.raises(InvalidCatalogue):
        asyncio.run(counter.figures(service, "other", 60))


@pytest.mark.parametrize("source", ["prometheus"], indirect=True)
def test_a_range_keeps_its_gaps(source: Source) -> None:
    result = [{"metric": {"a": "b"}, "values": [[10, "1"], [30, "3"]]}]
    source.body = json.dumps(
        {"status": "success", "data": {"resultType": "matrix", "result": result}}
    ).encode()
    server = Prometheus(prometheus_options(source.service()), 2.0)
    now = SystemClock().now()
    points = asyncio.run(server.range("x", now, now, 10))
    assert [(point.at, point.value) for point in points] == [(10, 1.0), (30, 3.0)]
    assert parse_qs(source.asked[0])["step"] == ["10"]


@pytest.mark.parametrize("source", ["traefik"], indirect=True)
def test_a_source_that_is_none_is_named(source: Source) -> None:
    service = replace(source.service(), counts=CountsReference(source="oracle"))
    with pytest.raises(InvalidCatalogue, match="scrape"):
        look(source, service)
    with pytest.raises(InvalidCatalogue, match="url"):
        look(source, replace(service, counts=CountsReference(source="traefik")))
