"""Counters of an exposition as series of one process: each once, whole, by arm."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from prometheus_client.samples import Sample as Line

from penelope.domain.counts import Series, bound
from penelope.domain.service import MetricQueries
from penelope.errors import Unavailable

PROCESS_START = "process_start_time_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines of an exposition are counted: the names of counter and histogram, which requests are errors, and which
    are left out (a label and a pattern each, matched in full).
    """

    counter: str
    histogram: str
    error_label: str
    error_pattern: str
    counter_match: Mapping[str, str]
    histogram_match: Mapping[str, str]
    left_out: str | None = None

    @classmethod
    def of(cls, queries: MetricQueries) -> Self:
        """What a service's entry names."""
        return cls(
            counter=queries.requests.counter,
            histogram=queries.latency.histogram,
            error_label=queries.errors.label,
            error_pattern=queries.errors.pattern,
            counter_match=queries.requests.match,
            histogram_match=queries.latency.match,
        )

    @property
    def names(self) -> set[str]:
        return {self.counter, f"{self.histogram}_bucket", PROCESS_START}

    @property
    def families(self) -> set[str]:
        return {self.counter.removesuffix("_total"), self.histogram, PROCESS_START}


def require_each_once(lines: Iterable[Line]) -> None:
    """Raises Unavailable where a series is listed twice: which of the two holds nobody can say, and their sum does not."""
    seen: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    for line in lines:
        key = (line.name, tuple(sorted(line.labels.items())))
        if key in seen:
            raise Unavailable(f"the source lists a series of {line.name[:100]} twice")
        seen.add(key)


def began(lines: Iterable[Line]) -> float | None:
    """When the process began, in seconds since 1970; None where it does not tell."""
    found = [float(line.value) for line in lines if line.name == PROCESS_START]
    return found[0] if len(found) == 1 and 0 < found[0] < 1e11 else None


def series_by(
    lines: Iterable[Line],
    wanted: Wanted,
    arm_of: Callable[[Mapping[str, str]], str | None],
    since: float | None,
) -> dict[str, Series]:
    """The counters by arm; an arm without any line is absent. Lines that `arm_of` gives None for are left out."""
    error, left_out = re.compile(wanted.error_pattern), re.compile(wanted.left_out or "(?!)")
    requests: dict[str, float] = {}
    errors: dict[str, float] = {}
    buckets: dict[str, dict[str, float]] = {}
    for line in lines:
        arm = arm_of(line.labels)
        code = line.labels.get(wanted.error_label, "")
        if arm is None or left_out.fullmatch(code):
            continue
        value = float(line.value)
        if line.name == wanted.counter and wanted.counter_match.items() <= line.labels.items():
            requests[arm] = requests.get(arm, 0.0) + value
            errors[arm] = errors.get(arm, 0.0) + (value if error.fullmatch(code) else 0.0)
        elif (
            line.name == f"{wanted.histogram}_bucket"
            and wanted.histogram_match.items() <= line.labels.items()
        ):
            upper = bound(float(line.labels["le"]))
            mine = buckets.setdefault(arm, {})
            mine[upper] = mine.get(upper, 0.0) + value
    return {
        arm: Series(
            requests=requests.get(arm, 0.0),
            errors=errors.get(arm, 0.0),
            buckets=buckets.get(arm, {}),
            began=since,
        )
        for arm in {*requests, *buckets}
    }
