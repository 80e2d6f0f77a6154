"""Arithmetic on the counters of a service's arms: how many requests there were between two looks, or why nobody can say."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

_LARGEST = 2.0**53 - 1  # beyond it floats are no exact counts any more
INFINITY = "+Inf"

_SLACK_REQUESTS = 20
_SLACK_SHARE = 0.005
"""How far arms and total may differ: requests that end while a page is written are in one and not yet in the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The counters of one process for one arm since it began; `began` in seconds since 1970, None where it does not tell.

    `buckets` holds cumulative counts by upper bound in seconds as text (`bound`), the last one ``+Inf``.
    """

    requests: float
    errors: float
    buckets: Mapping[str, float] = field(default_factory=dict)
    began: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a source's counters said at one moment: series by arm and by process; all of it is plain data for history.

    `total` counts the requests of all arms together by counters of their own, by process; empty where there are none.
    """

    at: datetime
    arms: Mapping[str, Mapping[str, Series]]
    total: Mapping[str, float] = field(default_factory=dict)

    @property
    def finite(self) -> bool:
        """Whether all are numbers; what is none cannot even be kept."""
        each = (series for arm in self.arms.values() for series in arm.values())
        said = ((one.requests, one.errors, one.began or 0.0, *one.buckets.values()) for one in each)
        return all(map(math.isfinite, chain(self.total.values(), *said)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """What happened in one arm between two looks; `buckets` as in Series."""

    requests: int
    errors: int
    buckets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What happened in all arms between two looks, `seconds` apart.

    `notes` name what is no lie but lost some requests: processes that began anew, came or went.
    """

    seconds: float
    arms: Mapping[str, ArmCounts]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """The source said something that cannot be: there is no figure, and these are the reasons."""

    reasons: tuple[str, ...]


class _Impossible(Exception):
    """A series that cannot be what it says."""


def bound(upper: float) -> str:
    """An upper bound as text: one text for each number. Raises ValueError for one that is none."""
    if math.isnan(upper):
        raise ValueError("a bucket without an upper bound")
    return INFINITY if upper == math.inf else repr(float(upper))


def counted(before: Totals, after: Totals) -> Counts | Doubt:
    """What happened between two answers of one source.

    A process that began anew counts from 0, as Prometheus has it; where it tells when it began, counters that fall without
    that are a lie. Series that came count from 0 if they began since, else not at all this time.
    """
    seconds = (after.at - before.at).total_seconds()
    reasons = [] if seconds > 0 else ["no time has passed between the two looks"]
    missing = sorted(set(before.arms) ^ set(after.arms)) + [
        arm for arm, told in after.arms.items() if not told
    ]
    reasons += [f"{arm}: there is no series of it" for arm in missing]
    arms: dict[str, ArmCounts] = {}
    notes: list[str] = []
    for arm in sorted(set(before.arms) & set(after.arms)):
        try:
            arms[arm] = _arm(before.arms[arm], after.arms[arm], before.at.timestamp(), notes)
        except _Impossible as impossible:
            reasons.append(f"{arm}: {impossible}")
    if not reasons:
        reasons += _against_total(before, after, arms, restarted=bool(notes))
    return (
        Doubt(reasons=tuple(reasons)) if reasons else Counts(seconds=seconds, arms=arms, notes=tuple(notes))
    )


def _arm(
    before: Mapping[str, Series], after: Mapping[str, Series], looked_at: float, notes: list[str]
) -> ArmCounts:
    requests = errors = 0.0
    buckets: dict[str, float] = {}
    notes += [f"{process}: it is gone" for process in sorted(set(before) - set(after))]
    for process, now in sorted(after.items()):
        _require_sound(process, now)
        then = before.get(process)
        if then is None and (now.began is None or now.began <= looked_at):
            notes.append(f"{process}: seen for the first time")
            continue
        if then is None or _began_anew(process, then, now):
            notes.append(f"{process}: it began anew")
            then = Series(requests=0.0, errors=0.0, buckets=dict.fromkeys(now.buckets, 0.0))
        if not then.requests and not then.buckets:
            # A histogram with labels is not there until its first observation.
            then = replace(then, buckets=dict.fromkeys(now.buckets, 0.0))
        _require_sound(process, then)
        if then.buckets.keys() != now.buckets.keys():
            raise _Impossible(f"{process}: its buckets are not those of the look before")
        rises = {upper: count - then.buckets[upper] for upper, count in now.buckets.items()}
        if buckets and rises and buckets.keys() != rises.keys():
            raise _Impossible(f"{process}: its buckets are not those of the other processes")
        requests += now.requests - then.requests
        errors += now.errors - then.errors
        buckets = {upper: buckets.get(upper, 0.0) + rise for upper, rise in rises.items()} or buckets
    _require_sound("together", Series(requests=requests, errors=errors, buckets=buckets))
    whole = {upper: int(count) for upper, count in buckets.items()}
    return ArmCounts(requests=int(requests), errors=int(errors), buckets=whole)


def _began_anew(process: str, before: Series, after: Series) -> bool:
    """A process loses all its counters at once, so one that fell says that the others began at 0 too."""
    fell = any(now < then for then, now in _pairs(before, after))
    if before.began is None or after.began is None:
        return fell
    if fell and after.began == before.began:
        raise _Impossible(f"{process}: its counts went back, and it did not begin anew")
    return after.began != before.began


def _pairs(before: Series, after: Series) -> Iterator[tuple[float, float]]:
    yield before.requests, after.requests
    yield before.errors, after.errors
    for upper, count in before.buckets.items():
        yield count, after.buckets.get(upper, count)


def _require_sound(process: str, series: Series) -> None:
    values = [series.requests, series.errors, *series.buckets.values()]
    if not all(0 <= value <= _LARGEST and value == int(value) for value in values):  # NaN is in no range
        raise _Impossible(f"{process}: a figure is no count")
    if series.errors > series.requests:
        raise _Impossible(f"{process}: more errors than requests")
    if series.buckets:
        ordered = [series.buckets[upper] for upper in sorted(series.buckets, key=float)]
        if INFINITY not in series.buckets or ordered != sorted(ordered):
            raise _Impossible(f"{process}: its buckets do not add up")


def _against_total(
    before: Totals, after: Totals, arms: Mapping[str, ArmCounts], *, restarted: bool
) -> list[str]:
    """Whether the arms and a counter of all of them tell the same story. A restart tells too little to compare."""
    if restarted or not before.total or before.total.keys() != after.total.keys():
        return []
    values = [*before.total.values(), *after.total.values()]
    rises = [after.total[process] - count for process, count in before.total.items()]
    if not all(0 <= value <= _LARGEST for value in values) or min(rises) < 0:
        return ["the counter of all requests is no count, or went back"]
    total, summed = sum(rises), sum(arm.requests for arm in arms.values())
    if abs(total - summed) > _SLACK_REQUESTS + _SLACK_SHARE * max(total, summed):
        return [f"the arms count {summed:.0f} requests and all together {total:.0f}"]
    return []
