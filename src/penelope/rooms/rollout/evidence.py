"""What speaks against a canary, and for it: all its tests side by side, moved by one look at a time.

Rows of the harm tests: errors, slow requests by edge, the two guards, and the guards' tests of the control.
Rows of the refutations: errors, slow requests by edge. Every array has rollouts on its leading axes.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from penelope.domain.analysis import Tempering
from penelope.rooms.rollout.eprocess import (
    NOTHING,
    ODDS,
    RIVALS,
    Array,
    Table,
    advance,
    entering,
    log_breach,
    log_harm,
    log_harm_value,
    log_refutation,
    log_refutation_value,
    log_sum,
)
from penelope.rooms.rollout.tempering import at

Flags = NDArray[np.bool_]

SUSPECT = np.log(3.0)
"""From this log e-value on an arm looks as if it broke a limit."""
_MOST_OF_CONTROL = 10.0
"""Evidence against the control is no test, only a sign: it is capped, so that an incident that ends is soon forgotten."""
_MOST_OF_SHARED = np.log(4.0)
"""What a canary's breach may amount to while the control is in breach too: suspect, and far from a rollback."""
_SLOWEST_SHARE = 0.01
_MEMORY_SECONDS = 600.0
_ENOUGH_TIMED = 100.0
GUARD_SHARE = 0.04
LATENCY_SHARE = 0.2
_REFUTERS = 2 * len(RIVALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is tested, and how surely: `alpha` and `beta` are the chances of a false rollback and of a wrong promotion."""

    edges: tuple[float, ...] = ()
    """Upper bounds in seconds above which a request is slow; without them latency is not judged."""
    alpha: float = 0.05
    beta: float = 0.05
    factor: float = 2.0
    negligible_error_ratio: float = 0.002
    negligible_slow_ratio: float = 0.025
    most_error_ratio: float = 0.02
    most_p99_increase_seconds: float = 0.5
    min_requests: int = 20
    tempering: Tempering = field(default_factory=Tempering)
    latency: bool = True


class Counts(NamedTuple):
    """What happened between two looks, `seconds` apart: requests, errors, timed requests and those above each edge."""

    seconds: Array
    own: Array
    own_errors: Array
    own_timed: Array
    own_slow: Array
    other: Array
    other_errors: Array
    other_timed: Array
    other_slow: Array


class Evidence(NamedTuple):
    """The state of all tests: logarithms, the time judged so far, and what is remembered of the control."""

    elapsed: Array
    harm: Array
    refuted: Array
    sample: Array
    """The canary's requests in this step."""
    timed: Array
    """The control's timed requests, those of ten minutes ago counting for 1/e."""
    slow: Array


def nothing_yet(rules: Rules, shape: tuple[int, ...] = ()) -> Evidence:
    """The state before the first look."""
    edges = len(rules.edges)
    return Evidence(
        elapsed=np.zeros(shape),
        harm=np.full((*shape, edges + 5, len(ODDS)), NOTHING),
        refuted=np.zeros((*shape, edges + 1, _REFUTERS)),
        sample=np.zeros(shape),
        timed=np.zeros(shape),
        slow=np.zeros((*shape, edges)),
    )


def next_step(evidence: Evidence) -> Evidence:
    """Another share of the traffic: what speaks for the canary is gathered anew, what speaks against it stays."""
    return evidence._replace(refuted=np.zeros_like(evidence.refuted), sample=np.zeros_like(evidence.sample))


def observe(rules: Rules, evidence: Evidence, counts: Counts, *, alone: bool = False) -> Evidence:
    """The evidence with one more look. `alone` says that the control has no traffic in this step by plan.

    What was seen of the control's p99 is kept as it was then.
    """
    errors, slow = _tables(counts)
    fade = np.exp(-counts.seconds / (np.inf if alone else _MEMORY_SECONDS))
    guards = _guards(rules, evidence, counts)
    tempering = _tempering(rules, errors, slow, counts.seconds)
    log_entry = np.log(entering(evidence.elapsed, counts.seconds))[..., None, None]
    compared = Table(*(_rows(one, many) for one, many in zip(errors, slow, strict=True)))
    increments = np.concatenate([log_harm(compared, tempering), guards], axis=-2)
    harm = advance(evidence.harm, log_entry, increments)
    if alone:
        # A control without traffic breaks no limit any more, and must not excuse the canary for ever.
        harm[..., -2:, :] = NOTHING
    ceiling = np.full(compared.own.shape, rules.negligible_slow_ratio)
    ceiling[..., 0] = rules.most_error_ratio if alone else rules.negligible_error_ratio
    return Evidence(
        elapsed=evidence.elapsed + counts.seconds,
        harm=_forgiven(harm, evidence.elapsed + counts.seconds),
        refuted=evidence.refuted + log_refutation(compared, rules.factor, ceiling, tempering),
        sample=evidence.sample + counts.own,
        timed=fade * evidence.timed + counts.other_timed,
        slow=fade[..., None] * evidence.slow + counts.other_slow,
    )


class Standing(NamedTuple):
    """Where the tests stand. All but `shared` are log e-values; `harm` is what a rollback goes by."""

    harm: Array
    by_test: Array
    """Errors, each edge, the guard of errors, the guard of p99."""
    refuted: Array
    """Errors, each edge."""
    shared: Flags
    """By guard: the control breaks the limit as well."""
    suspect: Flags
    """By guard: the canary looks as if it broke the limit."""


def standing(rules: Rules, evidence: Evidence) -> Standing:
    """Where the tests stand after the looks so far. Tests are combined by the weighted mean of their e-values."""
    values = log_harm_value(evidence.harm, evidence.elapsed)
    shared = values[..., -2:] >= SUSPECT
    by_test = values[..., :-2].copy()
    by_test[..., -2:] = np.where(shared, NOTHING, by_test[..., -2:])
    return Standing(
        harm=log_sum(by_test + _log_weights(len(rules.edges), judged=rules.latency)),
        by_test=by_test,
        refuted=log_refutation_value(evidence.refuted),
        shared=shared,
        suspect=values[..., -4:-2] >= SUSPECT,
    )


def condemned(rules: Rules, stands: Standing) -> Flags:
    """Whether the canary is to be rolled back."""
    answer: Flags = stands.harm >= -np.log(rules.alpha)
    return answer


def certified(rules: Rules, evidence: Evidence, stands: Standing, *, alone: bool = False) -> Flags:
    """Whether the canary may go on: not worse by the factor, in nothing that is judged, and nothing suspect."""
    tests = stands.refuted[..., :1] if alone else stands.refuted
    refuted = np.all(tests >= -np.log(rules.beta), axis=-1)
    calm = (stands.harm < SUSPECT) & ~np.any(stands.suspect, axis=-1)
    answer: Flags = refuted & calm & (evidence.sample >= rules.min_requests)
    return answer


def _tables(counts: Counts) -> tuple[Table, Table]:
    errors = Table(
        counts.own_errors,
        counts.own,
        counts.own_errors + counts.other_errors,
        counts.own + counts.other,
    )
    none = np.zeros_like(counts.own_slow)
    timed = none + counts.own_timed[..., None]
    both = timed + counts.other_timed[..., None]
    return errors, Table(counts.own_slow, timed, counts.own_slow + counts.other_slow, both)


def _rows(one: Array, many: Array) -> Array:
    return np.concatenate([one[..., None], many], axis=-1)


def _tempering(rules: Rules, errors: Table, slow: Table, seconds: Array) -> Array:
    """By row: errors, edges."""
    first = at(rules.tempering.errors, errors, seconds)
    requests = slow._replace(events=slow.total)
    timed = at(rules.tempering.latency, requests, seconds[..., None])
    return _rows(first, timed)


def _guards(rules: Rules, evidence: Evidence, counts: Counts) -> Array:
    """The log e-values of both guards, for the canary and for the control."""
    edge = _edge_of_p99(rules, evidence)
    known = edge >= 0
    events, totals = np.empty((*edge.shape, 4)), np.empty((*edge.shape, 4))
    events[..., 0], totals[..., 0] = counts.own_errors, counts.own
    events[..., 1], totals[..., 1] = known * _picked(counts.own_slow, edge), known * counts.own_timed
    events[..., 2], totals[..., 2] = counts.other_errors, counts.other
    events[..., 3], totals[..., 3] = known * _picked(counts.other_slow, edge), known * counts.other_timed
    limits = np.array([rules.most_error_ratio, _SLOWEST_SHARE] * 2)
    noise = _noise_of_guards(rules.tempering)
    return log_breach(events, totals, limits, noise)


def _noise_of_guards(tempering: Tempering) -> Array:
    errors, latency = tempering.errors.factor, tempering.latency.factor
    if np.ndim(errors) + np.ndim(latency) == 0:
        return np.array([errors, latency] * 2)
    return np.stack([*np.broadcast_arrays(errors, latency)] * 2, axis=-1)


def _edge_of_p99(rules: Rules, evidence: Evidence) -> NDArray[np.intp]:
    """The first edge above what the canary's p99 may be, by what was seen of the control before; -1 for none."""
    if not rules.edges:
        return np.full(evidence.timed.shape, -1)
    share = evidence.slow / np.maximum(evidence.timed, 1.0)[..., None]
    fast = share <= _SLOWEST_SHARE
    edges = np.array(rules.edges)
    p99 = np.where(fast.any(axis=-1), edges[np.argmax(fast, axis=-1)], np.inf)
    index = np.searchsorted(edges, p99 + rules.most_p99_increase_seconds)
    unknown = (evidence.timed < _ENOUGH_TIMED) | (index >= len(edges))
    return np.where(unknown, -1, index)


def _picked(slow: Array, edge: NDArray[np.intp]) -> Array:
    if slow.shape[-1] == 0:
        return np.zeros(edge.shape)
    if edge.ndim == 0:
        return np.asarray(slow[max(int(edge), 0)])
    return np.take_along_axis(slow, np.maximum(edge, 0)[..., None], axis=-1)[..., 0]


def _forgiven(harm: Array, elapsed: Array) -> Array:
    """A canary's breach of a limit that the control breaks too is no evidence, lest it be blamed when that ends."""
    if (harm[..., -2:, :] <= 0.0).all():
        return harm  # masses of at most 1 make no e-value of 3
    control = np.minimum(harm[..., -2:, :], _MOST_OF_CONTROL)
    shared = log_harm_value(control, elapsed) >= SUSPECT
    canary = harm[..., -4:-2, :]
    canary = np.where(shared[..., None], np.minimum(canary, _MOST_OF_SHARED), canary)
    return np.concatenate([harm[..., :-4, :], canary, control], axis=-2)


@cache
def _log_weights(edges: int, *, judged: bool) -> Array:
    """Latency, of which every request tells something, needs less weight than errors; a guard has a part of its metric's."""
    latency = LATENCY_SHARE if judged else 1e-300
    compared, guards = 1.0 - GUARD_SHARE, GUARD_SHARE
    errors = 1.0 - latency
    by_edge = np.full(edges, latency * compared / max(edges, 1))
    slowest = latency * guards if edges else latency
    weights: Array = np.log(np.concatenate([[errors * compared], by_edge, [errors * guards, slowest]]))
    return weights
