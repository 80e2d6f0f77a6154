"""The expected effect of a change, and how far it came true."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from penelope.domain.comparing import Comparator, holds
from penelope.kit.canonical import Json

__all__ = ["Clause", "ClauseResult", "ClauseState", "Comparator", "Contract", "Gravity", "Verdict", "judge"]

_ROUNDING = 1e-9
"""What a sum of shares may be off."""


class Gravity(StrEnum):
    """How much it matters when a clause does not hold. Where a CRITICAL one does not, no contract passes."""

    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One expectation: the observed `subject` compared with `expected`.

    Subjects: ``metric.<name>`` and ``metric.<name>@<arm>`` for figures of the service, ``state.<key>`` for
    what the action's adapter reports of its target. `within_seconds` and `hold_seconds` are its own deadline and
    hold; without them those of the contract count.
    """

    subject: str
    comparator: Comparator
    expected: Json
    weight: float = 1.0
    severity: Gravity = Gravity.MAJOR
    within_seconds: float | None = None
    hold_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Clauses that must hold `hold_seconds` on end.

    They must begin to hold at the latest `deadline_seconds` after the change. All of them must, unless `pass_at`,
    a share of their weight above 0 and at most 1, says that less is enough.
    """

    clauses: tuple[Clause, ...]
    deadline_seconds: float
    hold_seconds: float = 0.0
    pass_at: float = 1.0

    @property
    def relative(self) -> bool:
        """Whether a clause needs to know what was there before the change."""
        return any(clause.comparator.relative for clause in self.clauses)

    def deadline_of(self, clause: Clause) -> float:
        """Seconds after the change at which the clause must have begun to hold."""
        return self.deadline_seconds if clause.within_seconds is None else clause.within_seconds

    def hold_of(self, clause: Clause) -> float:
        """Seconds on end that the clause must hold."""
        return self.hold_seconds if clause.hold_seconds is None else clause.hold_seconds


class ClauseState(StrEnum):
    """A clause whose subject was not seen is unknown, which is never a pass. LATE is one that holds now, but
    was not seen to by its deadline.
    """

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"
    LATE = "late"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseResult:
    """What was seen for a clause; `before` only where it is held against that."""

    clause: Clause
    state: ClauseState
    actual: Json
    before: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How far a contract came true: the share of the weight of the clauses that hold, 0…1.

    It passes where all hold, or as many as the contract is content with, no critical one missing. `waited_seconds` is
    the time that counted, `unwatched_seconds` that in which nobody looked, which does not.
    """

    score: float
    passed: bool
    results: tuple[ClauseResult, ...]
    judged_at: datetime
    waited_seconds: float = 0.0
    unwatched_seconds: float = 0.0

    @property
    def drift(self) -> tuple[ClauseResult, ...]:
        """The clauses that do not hold, or could not be seen."""
        return tuple(result for result in self.results if result.state is not ClauseState.HOLDS)


def judge(
    contract: Contract,
    observed: Mapping[str, Json],
    now: datetime,
    before: Mapping[str, Json] | None = None,
) -> Verdict:
    """Holds observations (by subject) against a contract, those before the change where a clause asks for them.

    A value that cannot be compared counts as broken. Of two readings of the same thing, what was not seen is never
    better than what was.
    """
    results = tuple(_result(clause, observed, before or {}) for clause in contract.clauses)
    return weighed(contract, results, now)


def weighed(contract: Contract, results: tuple[ClauseResult, ...], now: datetime) -> Verdict:
    """The verdict that results come to, one for each clause."""
    held = [result.clause for result in results if result.state is ClauseState.HOLDS]
    return Verdict(
        score=share(held, contract.clauses),
        passed=suffices(contract, results),
        results=results,
        judged_at=now,
    )


def suffices(contract: Contract, results: Iterable[ClauseResult]) -> bool:
    """Whether the contract is content with those of its clauses that hold."""
    held: list[Clause] = []
    missing: list[Clause] = []
    for result in results:
        (held if result.state is ClauseState.HOLDS else missing).append(result.clause)
    if not held or any(clause.severity is Gravity.CRITICAL for clause in missing):
        return False
    enough = contract.pass_at
    return not missing or (0 < enough < 1 and share(held, contract.clauses) >= enough - _ROUNDING)


def share(held: Iterable[Clause], clauses: Iterable[Clause]) -> float:
    """The share of the weight of all that those which hold have, 0…1. A weight that is none counts nothing."""
    of_all = [_weight(clause) for clause in clauses]
    largest = max(of_all, default=0.0)
    if largest <= 0:
        return 0.0
    # Against the largest, so that no sum runs over.
    total = math.fsum(weight / largest for weight in of_all)
    return min(1.0, math.fsum(_weight(clause) / largest for clause in held) / total)


def _weight(clause: Clause) -> float:
    return clause.weight if math.isfinite(clause.weight) and clause.weight > 0 else 0.0


def _result(clause: Clause, observed: Mapping[str, Json], before: Mapping[str, Json]) -> ClauseResult:
    actual = observed.get(clause.subject)
    seen = before.get(clause.subject) if clause.comparator.relative else None
    if actual is None or (clause.comparator.relative and seen is None):
        state = ClauseState.UNKNOWN
    elif holds(clause.comparator, clause.expected, actual, seen):
        state = ClauseState.HOLDS
    else:
        state = ClauseState.BROKEN
    return ClauseResult(clause=clause, state=state, actual=actual, before=seen)
