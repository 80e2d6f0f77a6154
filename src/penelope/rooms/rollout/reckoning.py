"""From what was scraped to what is tested, and from what is remembered to arrays and back."""

import math
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from penelope.domain.analysis import AnalysisSpec, AnalysisState, ArmCounts, ArmTotals, Scrape
from penelope.rooms.rollout.eprocess import NOTHING, ODDS, Array, remaining
from penelope.rooms.rollout.evidence import Counts, Evidence, Rules, nothing_yet

_LARGEST = 2.0**53 - 1
_MOST_EDGES = 12
_SHORTEST_SECONDS = 0.001
_LONGEST_SECONDS = 86_400.0


@lru_cache(maxsize=1024)
def rules_of(spec: AnalysisSpec, edges: tuple[float, ...]) -> Rules:
    """The tests that a spec asks for. Of the two limits on errors the stricter one binds."""
    limits = spec.limits
    return Rules(
        edges=edges,
        alpha=spec.alpha,
        beta=spec.beta,
        factor=spec.factor,
        negligible_error_ratio=spec.negligible_error_ratio,
        negligible_slow_ratio=spec.negligible_slow_ratio,
        most_error_ratio=min(limits.max_error_ratio, max(1.0 - limits.min_success_ratio, 1e-6)),
        most_p99_increase_seconds=limits.max_latency_p99_increase_seconds,
        min_requests=limits.min_requests,
        tempering=spec.tempering,
        latency=spec.latency,
    )


def sound(arm: ArmCounts | None) -> ArmCounts | None:
    """An arm's counts, whole numbers; None where they are no counts. A histogram that is none is left out."""
    if arm is None or not 0 <= arm.errors <= arm.requests <= _LARGEST:
        return None
    return ArmCounts(
        requests=float(round(arm.requests)), errors=float(round(arm.errors)), buckets=_buckets(arm)
    )


def edges_of(canary: ArmCounts, control: ArmCounts) -> tuple[float, ...]:
    """The bounds above which requests are slow: those that both arms have, twelve at most."""
    shared = sorted(edge for edge in canary.buckets.keys() & control.buckets.keys() if 0 < edge < math.inf)
    if len(shared) <= _MOST_EDGES:
        return tuple(shared)
    picked = np.unique(np.linspace(0, len(shared) - 1, _MOST_EDGES).round().astype(int))
    return tuple(shared[index] for index in picked)


def timed(arm: ArmCounts, edges: tuple[float, ...]) -> ArmTotals | None:
    """An arm with its requests above each edge; None where its histogram does not tell."""
    buckets = arm.buckets
    if not edges or not buckets.keys() >= set(edges):
        return None
    total = buckets[math.inf]
    slow = tuple([total - buckets[edge] for edge in edges])
    return ArmTotals(requests=arm.requests, errors=arm.errors, timed=total, slow=slow)


def untimed(arm: ArmCounts, edges: tuple[float, ...]) -> ArmTotals:
    """An arm of whose latency nothing is known."""
    return ArmTotals(requests=arm.requests, errors=arm.errors, slow=(0.0,) * len(edges))


def counts_of(scrape: Scrape, canary: ArmTotals, control: ArmTotals) -> Counts:
    """Both arms as arrays without leading axes."""
    edges = len(canary.slow)
    rows = [
        row
        for arm in (canary, control)
        for row in ((arm.errors, *arm.slow), (arm.requests, *(arm.timed,) * edges))
    ]
    return Counts(scalar(span(scrape)), np.array(rows))


def scalar(value: float) -> Array:
    """A number that behaves like an array without axes, and is ten times as fast."""
    return np.float64(value)  # type: ignore[return-value] # numpy has no type for both


def span(scrape: Scrape) -> float:
    """The seconds that a scrape covers; what is no time is next to none."""
    seconds = scrape.seconds if math.isfinite(scrape.seconds) else 0.0
    return min(max(seconds, _SHORTEST_SECONDS), _LONGEST_SECONDS)


def added(totals: ArmTotals, look: ArmTotals) -> ArmTotals:
    """A step's totals with one more look."""
    slow = look.slow
    if totals.slow:
        slow = tuple([one + two for one, two in zip(totals.slow, slow, strict=True)])
    return ArmTotals(
        requests=totals.requests + look.requests,
        errors=totals.errors + look.errors,
        timed=totals.timed + look.timed,
        slow=slow,
    )


def evidence_of(state: AnalysisState, rules: Rules) -> Evidence:
    """The tests as they were remembered."""
    if not state.harm:
        return nothing_yet(rules)
    return Evidence(
        elapsed=scalar(state.elapsed),
        harm=np.array(state.harm),
        refuted=np.array(state.refuted),
        sample=scalar(state.canary.requests),
        timed=scalar(state.control_timed),
        slow=np.array(state.control_slow),
    )


class Totals(NamedTuple):
    """What a step came to: its time and its totals."""

    seconds: float
    canary: ArmTotals
    control: ArmTotals


def remembered(state: AnalysisState, evidence: Evidence, step: Totals, seen_at: datetime) -> AnalysisState:
    """A state with the tests and the step as they stand."""
    # Not dataclasses.replace, which takes three times as long: this is half of what a look costs beside its arithmetic.
    return AnalysisState(
        revision=state.revision,
        weight=state.weight,
        step_started_at=state.step_started_at,
        seen_at=seen_at,
        edges=state.edges,
        elapsed=float(evidence.elapsed),
        harm=_tuples(evidence.harm),
        refuted=_tuples(evidence.refuted),
        control_timed=float(evidence.timed),
        control_slow=tuple(evidence.slow.tolist()),
        step_seconds=step.seconds,
        canary=step.canary,
        control=step.control,
    )


def with_edges(state: AnalysisState, edges: tuple[float, ...]) -> AnalysisState:
    """A state whose histograms came only now: the mixture has entered so far as if nothing had happened."""
    if not state.harm:
        return replace(state, edges=edges)
    here = float(np.log(np.maximum(1.0 - remaining(np.asarray(state.elapsed)), np.exp(NOTHING))))
    rows = ((here,) * len(ODDS),) * len(edges)
    quiet = ((0.0,) * len(state.refuted[0]),) * len(edges)
    return replace(
        state,
        edges=edges,
        harm=(*state.harm[:1], *rows, *state.harm[1:]),
        refuted=(*state.refuted[:1], *quiet),
        control_slow=(0.0,) * len(edges),
        canary=replace(state.canary, slow=(0.0,) * len(edges)),
        control=replace(state.control, slow=(0.0,) * len(edges)),
    )


def _tuples(rows: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, rows.tolist()))


def _buckets(arm: ArmCounts) -> dict[float, float]:
    """The histogram; empty where it has no total, falls, or holds what is no count."""
    bounds = sorted([bound for bound in arm.buckets if not math.isnan(bound)])
    counts = [arm.buckets[bound] for bound in bounds]
    if not bounds or bounds[-1] != math.inf or not all(0 <= count <= _LARGEST for count in counts):
        return {}
    whole = [float(round(count)) for count in counts]
    if sorted(whole) != whole:
        return {}
    return dict(zip(bounds, whole, strict=True))
