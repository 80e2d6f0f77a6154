"""How a plan went on a twin of the service, before anything real was touched."""

from dataclasses import dataclass
from enum import StrEnum


class RehearsalOutcome(StrEnum):
    """PASSED and FAILED are findings; NOT_POSSIBLE says that nothing of the plan can be tried on a twin here, and why."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_POSSIBLE = "not_possible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was tried on the twin: a declared check, a replayed request, or an action of the plan.

    `before` and `after` are its short results without and with the change; `held` says whether the change is no worse.
    """

    name: str
    before: str
    after: str
    held: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What a rehearsal came to, how long it took, and under which limits it ran (in words, for people)."""

    outcome: RehearsalOutcome
    reason: str
    checks: tuple[Check, ...] = ()
    seconds: float = 0.0
    limits: tuple[str, ...] = ()
