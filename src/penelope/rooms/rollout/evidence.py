"""What speaks against a canary, and for it: all its tests side by side, moved by one look at a time.

Rows of the harm tests: errors, slow requests by edge, the two guards, and the guards' tests of the control.
Rows of the refutations: errors, slow requests by edge. Every array has rollouts on its leading axes.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from penelope.domain.analysis import Tempering
from penelope.rooms.rollout.eprocess import (
    MODEST,
    NOTHING,
    ODDS,
    RIVALS,
    Array,
    Table,
    advance,
    breach_bound,
    calm_of,
    entering,
    log_breach,
    log_harm,
    log_harm_value,
    log_refutation,
    log_sum,
    refutation_weights,
)
from penelope.rooms.rollout.tempering import Learned, at, learned

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
_REFUTERS = len(RIVALS) + len(MODEST)


class Fixed(NamedTuple):
    """What follows from the rules alone, by test where it is an array."""

    weights: Array
    """Logarithms, of the harm tests that count."""
    refutations: Array
    calm: Array
    calm_alone: Array
    """The same where all traffic is the canary's."""
    breach: Array
    """By guard."""
    noise: Learned | None
    guards_noise: Array | None
    p99: NDArray[np.intp]
    """By the number of edges that the control's p99 is above: the test of the edge that a canary is held to; 0 for none."""
    condemned: float
    """The log e-value from which on a canary is rolled back."""
    refuted: float


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
    fixed: Fixed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Computes once what each look needs."""
        object.__setattr__(self, "fixed", _fixed(self))


class Arm(NamedTuple):
    """What one arm did: requests, errors, timed requests and those above each edge."""

    total: Array
    errors: Array
    timed: Array
    slow: Array


class Counts(NamedTuple):
    """What happened between two looks, `seconds` apart.

    The last axis of `rows` are tests, errors among requests and slow requests among those timed by edge; the axis
    before it the canary's events, how many they are among, and the same two of the control.
    """

    seconds: Array
    rows: Array

    @classmethod
    def of(cls, seconds: Array, own: Arm, other: Arm) -> "Counts":
        """From both arms."""
        return cls(seconds, np.concatenate([_by_test(own), _by_test(other)], axis=-2))


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
    fixed = rules.fixed
    own, both = counts.rows[..., :2, :], counts.rows[..., :2, :] + counts.rows[..., 2:, :]
    compared = Table(own[..., 0, :], own[..., 1, :], both[..., 0, :], both[..., 1, :])
    noise = None if fixed.noise is None else at(fixed.noise, compared, counts.seconds)
    increments = np.empty(evidence.harm.shape)
    increments[..., :-4, :] = log_harm(compared, noise)
    increments[..., -4:, :] = _guards(fixed, evidence, counts)
    log_entry = np.log(entering(evidence.elapsed, counts.seconds))[..., None, None]
    harm = advance(evidence.harm, log_entry, increments)
    if alone:
        # A control without traffic breaks no limit any more, and must not excuse the canary for ever.
        harm[..., -2:, :] = NOTHING
    elapsed = evidence.elapsed + counts.seconds
    calm = fixed.calm_alone if alone else fixed.calm
    fade = np.exp(-counts.seconds / (math.inf if alone else _MEMORY_SECONDS))
    return Evidence(
        elapsed=elapsed,
        harm=_forgiven(harm, elapsed),
        refuted=evidence.refuted + log_refutation(compared, rules.factor, calm, noise),
        sample=evidence.sample + counts.rows[..., 1, 0],
        timed=fade * evidence.timed + _timed(counts),
        slow=fade[..., None] * evidence.slow + counts.rows[..., 2, 1:],
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
    shared, suspect = values[..., -2:] >= SUSPECT, values[..., -4:-2] >= SUSPECT
    by_test = values[..., :-2]
    np.copyto(by_test[..., -2:], NOTHING, where=shared)
    return Standing(
        harm=log_sum(by_test + rules.fixed.weights),
        by_test=by_test,
        refuted=log_sum(evidence.refuted, rules.fixed.refutations),
        shared=shared,
        suspect=suspect,
    )


def condemned(rules: Rules, stands: Standing) -> Flags:
    """Whether the canary is to be rolled back."""
    answer: Flags = stands.harm >= rules.fixed.condemned
    return answer


def certified(rules: Rules, evidence: Evidence, stands: Standing, *, alone: bool = False) -> Flags:
    """Whether the canary may go on: not worse by the factor, in nothing that is judged, and nothing suspect."""
    tests = stands.refuted[..., :1] if alone else stands.refuted
    refuted = np.minimum.reduce(tests, axis=-1) >= rules.fixed.refuted
    calm = (stands.harm < SUSPECT) & ~np.logical_or.reduce(stands.suspect, axis=-1)
    answer: Flags = refuted & calm & (evidence.sample >= rules.min_requests)
    return answer


def _fixed(rules: Rules) -> Fixed:
    tempering, edges = rules.tempering, np.array(rules.edges)
    noises = (tempering.errors.factor, tempering.latency.factor)
    known = learned(tempering, len(edges))
    quiet = all(np.ndim(each) == 0 and each == 1.0 for each in noises)
    negligible = np.full(len(edges) + 1, rules.negligible_slow_ratio)
    above = np.searchsorted(edges, edges + rules.most_p99_increase_seconds) + 1
    return Fixed(
        weights=_log_weights(len(edges), judged=rules.latency),
        refutations=refutation_weights(len(edges) + 1),
        calm=calm_of(np.concatenate([[rules.negligible_error_ratio], negligible[1:]])),
        calm_alone=calm_of(np.concatenate([[rules.most_error_ratio], negligible[1:]])),
        breach=breach_bound(np.array([rules.most_error_ratio, _SLOWEST_SHARE] * 2)),
        noise=known,
        guards_noise=None if quiet else np.stack([*np.broadcast_arrays(*noises)] * 2, axis=-1),
        p99=np.append(np.where(above > len(edges), 0, above), 0),
        condemned=-math.log(rules.alpha),
        refuted=-math.log(rules.beta),
    )


def _by_test(arm: Arm) -> Array:
    """Events, and how many they are among."""
    rows = np.empty((*arm.total.shape, 2, arm.slow.shape[-1] + 1))
    rows[..., 0, 0], rows[..., 0, 1:] = arm.errors, arm.slow
    rows[..., 1, 0], rows[..., 1, 1:] = arm.total, arm.timed[..., None]
    return rows


def _timed(counts: Counts) -> Array | float:
    return counts.rows[..., 3, 1] if counts.rows.shape[-1] > 1 else 0.0


def _guards(fixed: Fixed, evidence: Evidence, counts: Counts) -> Array:
    """The log e-values of both guards, for the canary and for the control."""
    leading = counts.rows.shape[:-2]
    guarded = np.empty((*leading, 4, 2))
    guarded[..., 0] = counts.rows[..., 0]
    guarded[..., 1] = _picked(counts.rows, _test_of_p99(fixed, evidence))
    events = guarded[..., ::2, :].reshape(*leading, 4)
    totals = guarded[..., 1::2, :].reshape(*leading, 4)
    return log_breach(events, totals, fixed.breach, fixed.guards_noise)


def _test_of_p99(fixed: Fixed, evidence: Evidence) -> NDArray[np.intp]:
    """The test of the first edge above what the canary's p99 may be, by what was seen of the control before; 0 for none.

    Counts fall from edge to edge, so that the edges below the control's p99 are the first ones.
    """
    share = evidence.slow / np.maximum(evidence.timed, 1.0)[..., None]
    below = np.add.reduce(share > _SLOWEST_SHARE, axis=-1)
    test: NDArray[np.intp] = fixed.p99[below] * (evidence.timed >= _ENOUGH_TIMED)
    return test


def _picked(rows: Array, test: NDArray[np.intp]) -> Array:
    """The column of this test, by row; nothing where there is none."""
    if rows.ndim == 2:
        picked: Array = rows[:, test] if test else np.zeros(len(rows))
        return picked
    column = np.take_along_axis(rows, test[..., None, None], axis=-1)[..., 0]
    return column * (test > 0)[..., None]


def _forgiven(harm: Array, elapsed: Array) -> Array:
    """A canary's breach of a limit that the control breaks too is no evidence, lest it be blamed when that ends."""
    control = harm[..., -2:, :]
    if np.maximum.reduce(control, axis=None) <= 0.0:
        return harm  # masses of at most 1 make no e-value of 3
    np.minimum(control, _MOST_OF_CONTROL, out=control)
    shared = log_harm_value(control, elapsed) >= SUSPECT
    canary = harm[..., -4:-2, :]
    canary[shared] = np.minimum(canary[shared], _MOST_OF_SHARED)
    return harm


def _log_weights(edges: int, *, judged: bool) -> Array:
    """Latency, of which every request tells something, needs less weight than errors; a guard has a part of its metric's."""
    latency = LATENCY_SHARE if judged else 1e-300
    compared, guards = 1.0 - GUARD_SHARE, GUARD_SHARE
    errors = 1.0 - latency
    by_edge = np.full(edges, latency * compared / max(edges, 1))
    slowest = latency * guards if edges else latency
    weights: Array = np.log(np.concatenate([[errors * compared], by_edge, [errors * guards, slowest]]))
    return weights
