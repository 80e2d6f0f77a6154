"""The expected effect of a change, and how far it came true."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from penelope.kit.canonical import Json


class Comparator(StrEnum):
    """How an observation is held against what is expected."""

    EQUALS = "equals"
    AT_MOST = "at_most"
    AT_LEAST = "at_least"
    ONE_OF = "one_of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One expectation: the observed `subject` compared with `expected`.

    Subjects: ``metric.<name>`` and ``metric.<name>@<arm>`` for figures of the service, ``state.<key>`` for
    what the action's adapter reports of its target.
    """

    subject: str
    comparator: Comparator
    expected: Json
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Clauses that must all hold `hold_seconds` on end.

    They must begin to hold at the latest `deadline_seconds` after the change, so a verdict takes at most
    the sum of both.
    """

    clauses: tuple[Clause, ...]
    deadline_seconds: float
    hold_seconds: float = 0.0


class ClauseState(StrEnum):
    """A clause whose subject was not seen is unknown, which is never a pass."""

    HOLDS = "holds"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseResult:
    """What was seen for a clause."""

    clause: Clause
    state: ClauseState
    actual: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How far a contract came true: the weight of the clauses that hold, 0…1. It passes only when all hold."""

    score: float
    passed: bool
    results: tuple[ClauseResult, ...]
    judged_at: datetime
    waited_seconds: float = 0.0

    @property
    def drift(self) -> tuple[ClauseResult, ...]:
        """The clauses that do not hold, or could not be seen."""
        return tuple(result for result in self.results if result.state is not ClauseState.HOLDS)


def _compare(clause: Clause, actual: Json) -> bool:
    match clause.comparator:
        case Comparator.EQUALS:
            return bool(actual == clause.expected)
        case Comparator.ONE_OF:
            return isinstance(clause.expected, list | tuple) and actual in clause.expected
        case Comparator.AT_MOST:
            return bool(actual <= clause.expected)
        case Comparator.AT_LEAST:
            return bool(actual >= clause.expected)


def judge(contract: Contract, observed: dict[str, Json], now: datetime) -> Verdict:
    """Holds observations (by subject) against a contract. A value that cannot be compared counts as broken."""
    results: list[ClauseResult] = []
    for clause in contract.clauses:
        actual = observed.get(clause.subject)
        if actual is None:
            state = ClauseState.UNKNOWN
        else:
            try:
                state = ClauseState.HOLDS if _compare(clause, actual) else ClauseState.BROKEN
            except TypeError:
                state = ClauseState.BROKEN
        results.append(ClauseResult(clause=clause, state=state, actual=actual))
    held = sum(result.clause.weight for result in results if result.state is ClauseState.HOLDS)
    total = sum(clause.weight for clause in contract.clauses)
    return Verdict(
        score=held / total if total else 0.0,
        passed=bool(results) and all(result.state is ClauseState.HOLDS for result in results),
        results=tuple(results),
        judged_at=now,
    )
