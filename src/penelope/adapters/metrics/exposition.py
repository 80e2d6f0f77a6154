"""Reads the few figures that a service's catalogue entry asks for out of a Prometheus exposition."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from datetime import datetime

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample as Line

from penelope.domain.metrics import Sample
from penelope.domain.service import MetricQueries
from penelope.errors import Unavailable

# The library's parser takes some 25 us a line, and time quadratic in the length of a line, so what it is
# given is bounded; a mebibyte is some 10,000 series of one service. The worst answer costs about a second.
_LONGEST_LINE = 4096
_MOST_LINES = 200_000
_MOST_BYTES = 1024 * 1024


def sample(body: bytes, content_type: str, queries: MetricQueries, at: datetime) -> Sample:
    """The sample that an instance's answer holds; series that are asked for but not there count as 0.

    Client libraries leave a labelled counter out until its first increment, so 0 is what an exposition
    without it says. An answer that is no exposition at all says nothing. Raises Unavailable for it, and for
    one that does not parse or is too large.
    """
    names = {queries.requests.counter, f"{queries.latency.histogram}_bucket", *queries.gauges.values()}
    families = {queries.requests.counter.removesuffix("_total"), queries.latency.histogram}
    found = lines(body, content_type, names, families | set(queries.gauges.values()))
    with parsing():
        return _sample(found, queries, at)


def lines(body: bytes, content_type: str, names: AbstractSet[str], families: AbstractSet[str]) -> list[Line]:
    """The lines of an exposition that bear one of the names; `families` are the names as `# TYPE` writes them.

    Raises Unavailable for an answer that is no exposition, that does not parse or that is too large.
    """
    openmetrics = content_type.startswith("application/openmetrics-text")
    if openmetrics and not body.rstrip().endswith(b"# EOF"):
        raise Unavailable("the answer was cut off: # EOF is missing")
    if body.count(b"\n") > _MOST_LINES:
        raise Unavailable(f"the exposition has more than {_MOST_LINES} lines")
    wanted = _wanted_lines(body, names, families if openmetrics else frozenset())
    if not wanted and b"# TYPE " not in body:
        raise Unavailable("the answer is no Prometheus exposition")
    with parsing():
        return _parse(wanted, openmetrics=openmetrics)


@contextmanager
def parsing() -> Iterator[None]:
    """Whatever goes wrong inside is the answer's fault: it raises Unavailable."""
    try:
        yield
    except Unavailable:
        raise
    except Exception as error:
        # The parser is not written for hostile input: besides ValueError it raises IndexError and others.
        raise Unavailable(f"the answer does not parse as an exposition ({type(error).__name__})") from error


def _wanted_lines(body: bytes, names: AbstractSet[str], families: AbstractSet[str]) -> list[bytes]:
    starts = [f"{name}{end}" for name in names for end in "{ \t"]
    # Without its TYPE a bucket of OpenMetrics may carry no exemplar. In the text format it would only rename counters.
    starts += [f"# TYPE {name} " for name in families]
    prefixes = tuple(start.encode() for start in starts)
    wanted = [line for line in body.split(b"\n") if line.startswith(prefixes)]
    if any(len(line) > _LONGEST_LINE for line in wanted):
        raise Unavailable(f"the exposition has a line of more than {_LONGEST_LINE} bytes")
    if sum(map(len, wanted)) > _MOST_BYTES:
        raise Unavailable(f"the exposition has more than {_MOST_BYTES} bytes of the metrics asked for")
    return wanted


def _parse(lines: Iterable[bytes], *, openmetrics: bool) -> list[Line]:
    text = b"".join(line + b"\n" for line in lines).decode()
    families = parse_openmetrics(f"{text}# EOF\n") if openmetrics else parse_text(text)  # type: ignore[no-untyped-call]  # it has no types
    return [line for family in families for line in family.samples]


def _sample(lines: list[Line], queries: MetricQueries, at: datetime) -> Sample:
    requests = list(_selected(lines, queries.requests.counter, queries.requests.match))
    error = re.compile(queries.errors.pattern)
    failed = [line for line in requests if error.fullmatch(line.labels.get(queries.errors.label, ""))]
    buckets: dict[float, float] = {}
    for line in _selected(lines, f"{queries.latency.histogram}_bucket", queries.latency.match):
        bound = float(line.labels["le"])
        buckets[bound] = buckets.get(bound, 0.0) + float(line.value)
    return Sample(
        at=at,
        requests=sum(float(line.value) for line in requests),
        errors=sum(float(line.value) for line in failed),
        buckets=buckets,
        gauges=_gauges(lines, queries.gauges),
    )


def _gauges(lines: list[Line], names: Mapping[str, str]) -> dict[str, float]:
    """The least of a gauge's series, as over arms; a gauge that is not there is absent."""
    found: dict[str, float] = {}
    for gauge, name in names.items():
        values = [float(line.value) for line in _selected(lines, name, {})]
        finite = [value for value in values if math.isfinite(value)]
        if finite:
            found[gauge] = min(finite)
    return found


def _selected(lines: Iterable[Line], name: str, match: Mapping[str, str]) -> Iterator[Line]:
    for line in lines:
        if line.name == name and all(line.labels.get(label) == value for label, value in match.items()):
            yield line
