"""The absolute limits on their own, for judges who do not go by the comparison of `assess`."""

import math
from datetime import datetime
from typing import NamedTuple

from penelope.domain.analysis import AnalysisSpec, AnalysisState, Assessment, Finding, Otherwise
from penelope.rooms.rollout.eprocess import log_harm_value
from penelope.rooms.rollout.evidence import standing
from penelope.rooms.rollout.reckoning import evidence_of, rules_of

_GUARDS = 2
_MOST_OF_CONTROL = 9.0
"""Evidence against a control is kept no further than e to the tenth."""
LIMITS = frozenset({"error_limit", "p99_limit"})
"""The findings that are about limits."""


class Guarded(NamedTuple):
    """Whether the canary, and whether the control, breaks a limit beyond doubt; `suspect`: the canary looks as if it did,
    `shared`: both do.
    """

    canary: bool
    control: bool
    suspect: bool
    shared: bool


def guarded(spec: AnalysisSpec, state: AnalysisState) -> Guarded:
    """How both arms keep the limits. The chance that one that keeps them is said to break one is at most alpha for each."""
    rules = rules_of(spec, state.edges)
    evidence = evidence_of(state, rules)
    stands = standing(rules, evidence)
    enough = math.log(_GUARDS / spec.alpha)
    control = log_harm_value(evidence.harm, evidence.elapsed)[-_GUARDS:]
    return Guarded(
        canary=bool((stands.by_test[-_GUARDS:] >= enough).any()),
        control=bool((control >= min(enough, _MOST_OF_CONTROL)).any()),
        suspect=bool(stands.suspect.any()),
        shared=bool((stands.shared & stands.suspect).any()),
    )


def limits_in(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those that are about limits."""
    return tuple(each for each in findings if each.metric in LIMITS)


def silent_seconds(state: AnalysisState, now: datetime) -> float:
    """How long figures have been missing; 0 where this look has them."""
    return (now - state.seen_at).total_seconds()


def silenced(spec: AnalysisSpec, state: AnalysisState, now: datetime) -> bool:
    """Whether figures have been missing for so long that it is to be ended."""
    return spec.on_silence is not Otherwise.HOLD and silent_seconds(state, now) >= spec.silence_seconds


def told(before: Assessment) -> tuple[str, ...]:
    """What the limits say in an assessment."""
    return tuple(each.reason for each in limits_in(before.findings))
