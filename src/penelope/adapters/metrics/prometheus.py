"""Prometheus' HTTP API: raw counters of both arms by one query at one moment, ranges, and queries written by people."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import msgspec
from prometheus_client.samples import Sample as Line

from penelope.adapters.metrics import exposition
from penelope.adapters.metrics.counting import Wanted, require_each_once, series_by
from penelope.adapters.metrics.promql import rendered, selector
from penelope.adapters.outbound import Call, ask
from penelope.domain.counts import Series, Totals
from penelope.domain.service import Service
from penelope.errors import InvalidCatalogue, Unavailable
from penelope.kit.codec import to_data

_LARGEST_BODY = 8 * 1024 * 1024
_MOST_SERIES = 20_000
_PROCESS_LABELS = ("job", "instance", "namespace", "pod")


class PrometheusOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the source: the server's URL, the label that tells the arms apart and its value for each, further labels
    that every series bears, credentials (`token`, or the path of one in `token_file`), the certificates to trust, and
    queries of people's own by name.
    """

    url: str
    arm_label: str
    arms: dict[str, str]
    match: dict[str, str] = msgspec.field(default_factory=dict)
    token: str | None = None
    token_file: str | None = None
    ca: str | None = None
    queries: dict[str, str] = msgspec.field(default_factory=dict)


class _Result(msgspec.Struct, frozen=True):
    metric: dict[str, str] = msgspec.field(default_factory=dict)
    value: tuple[float, str] | None = None
    values: list[tuple[float, str]] = msgspec.field(default_factory=list)


class _Data(msgspec.Struct, frozen=True):
    resultType: str  # noqa: N815 - the API's own word
    result: list[_Result]


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Data | None = None
    warnings: list[str] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of one series; `at` in seconds since 1970."""

    labels: Mapping[str, str]
    at: float
    value: float


class Prometheus:
    """One server. Whatever it says of itself as incomplete (`warnings`) is refused."""

    def __init__(self, options: PrometheusOptions, timeout_seconds: float) -> None:
        self._options = options
        self._timeout_seconds = timeout_seconds

    async def instant(self, query: str) -> list[Point]:
        """The values of all series now. Raises Unavailable, Timeout."""
        found = await self._ask("query", {"query": query}, "vector")
        return [
            Point(labels=each.metric, at=each.value[0], value=_number(each.value[1]))
            for each in found
            if each.value is not None
        ]

    async def range(self, query: str, start: datetime, end: datetime, step_seconds: float) -> list[Point]:
        """The values of all series from `start` to `end`; gaps stay gaps. Raises Unavailable, Timeout."""
        given = {
            "query": query,
            "start": f"{start.timestamp():.3f}",
            "end": f"{end.timestamp():.3f}",
            "step": f"{step_seconds:g}",
        }
        found = await self._ask("query_range", given, "matrix")
        return [
            Point(labels=each.metric, at=at, value=_number(text))
            for each in found
            for at, text in each.values
        ]

    async def _ask(self, what: str, given: Mapping[str, str], shape: str) -> list[_Result]:
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        if token := await asyncio.to_thread(_token, self._options):
            headers["Authorization"] = f"Bearer {token}"
        seconds = {"timeout": f"{self._timeout_seconds:g}s"}
        answer = await ask(
            Call(
                what="Prometheus",
                method="POST",
                url=f"{self._options.url.rstrip('/')}/api/v1/{what}",
                headers=headers,
                content=urlencode({**given, **seconds}).encode(),
                timeout_seconds=self._timeout_seconds,
                body_limit_bytes=_LARGEST_BODY,
                ca=self._options.ca or "",
            )
        )
        if answer.status != 200:
            raise Unavailable(f"Prometheus answered {answer.status}")
        try:
            told = msgspec.json.decode(answer.body, type=_Answer)
        except msgspec.MsgspecError as error:
            raise Unavailable("Prometheus answered something that is no result") from error
        if told.status != "success" or told.data is None or told.data.resultType != shape:
            raise Unavailable(f"Prometheus gave no {shape}")
        if told.warnings:
            raise Unavailable("Prometheus says that its answer is incomplete")
        if len(told.data.result) > _MOST_SERIES:
            raise Unavailable(f"Prometheus gave more than {_MOST_SERIES} series")
        return told.data.result


class PrometheusCounter:
    """Counters as Prometheus holds them, not its rates, which are made of guesses between samples.

    Names and errors are those of the service's `metrics`. The figures are as old as Prometheus' last scrape: looks closer
    than its interval find nothing new.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds

    async def totals(self, service: Service) -> Totals:
        options, queries = prometheus_options(service), service.metrics
        if queries is None:
            raise InvalidCatalogue(f"service {service.name!r} has no metrics that name its counters")
        wanted = Wanted.of(queries)
        names = [wanted.counter, f"{wanted.histogram}_bucket"]
        query = selector(names, options.match, options.arm_label, options.arms.values())
        points = await Prometheus(options, self._timeout_seconds).instant(query)
        if len({point.at for point in points}) > 1:
            raise Unavailable("Prometheus gave values of several moments")
        arms = _arms(options, wanted, points)
        moment = points[0].at if points else 0.0
        return Totals(at=datetime.fromtimestamp(moment, UTC), arms=arms)

    async def figures(self, service: Service, name: str, window_seconds: int) -> dict[str, float | None]:
        """What a query of the catalogue says of each arm; None for no series, or one without a number.

        The query must give one series at most. Raises InvalidCatalogue, Unavailable, Timeout.
        """
        options = prometheus_options(service)
        template = options.queries.get(name)
        if template is None:
            raise InvalidCatalogue(f"service {service.name!r} has no query {name[:64]!r}")
        server = Prometheus(options, self._timeout_seconds)
        found: dict[str, float | None] = {}
        for arm, value in options.arms.items():
            given = {"arm": value, "service": service.name}
            points = await server.instant(rendered(template, given, window_seconds))
            if len(points) > 1:
                raise Unavailable(f"the query {name!r} gives {len(points)} series for one arm")
            found[arm] = points[0].value if points and math.isfinite(points[0].value) else None
        return found


def prometheus_options(service: Service) -> PrometheusOptions:
    """Raises InvalidCatalogue, without showing any value."""
    if service.counts is None:
        raise InvalidCatalogue(f"service {service.name!r} has no counts in the catalogue")
    try:
        return msgspec.convert(to_data(service.counts.options), PrometheusOptions)
    except msgspec.ValidationError as error:
        raise InvalidCatalogue(f"the options of counts of {service.name!r} do not fit: {error}") from None


def _arms(options: PrometheusOptions, wanted: Wanted, points: list[Point]) -> dict[str, dict[str, Series]]:
    """Series by arm and by process, which is known by the labels that Prometheus gives to what it scrapes."""
    arm_of = {value: arm for arm, value in options.arms.items()}
    arms: dict[str, dict[str, Series]] = {arm: {} for arm in options.arms}
    lines = [Line(point.labels.get("__name__", ""), dict(point.labels), point.value) for point in points]
    require_each_once(lines)
    by_process: dict[str, list[Line]] = {}
    for line in lines:
        process = "/".join(line.labels.get(label, "") for label in _PROCESS_LABELS)
        by_process.setdefault(process, []).append(line)
    for process, mine in by_process.items():
        with exposition.parsing():
            found = series_by(
                mine, wanted, lambda labels: arm_of.get(labels.get(options.arm_label, "")), None
            )
        for arm, series in found.items():
            arms[arm][process] = series
    return arms


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Unavailable("Prometheus gave a value that is no number") from None


def _token(options: PrometheusOptions) -> str:
    if not options.token_file:
        return options.token or ""
    try:
        return Path(options.token_file).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Unavailable(f"the token for Prometheus cannot be read: {type(error).__name__}") from None
