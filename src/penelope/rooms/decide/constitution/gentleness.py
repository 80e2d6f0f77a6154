"""Praotes, gentleness: is it the smallest change that suffices?"""

from dataclasses import dataclass

from penelope.domain.action import Tier
from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision
from penelope.domain.plan import Plan
from penelope.rooms.decide.case import Case

_REVERSIBILITY, _SERVICES, _LINES = 0.5, 0.3, 0.2
_BY_TIER = {Tier.LOCAL: 0.0, Tier.SNAPSHOT: 1 / 3, Tier.HARD_TO_REVERSE: 2 / 3, Tier.IRREVERSIBLE: 1.0}
_MANY_SERVICES, _MANY_LINES = 5, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Gentleness:
    """0 (hardly anything) … 1: half of it how hard the plan is to take back, 0.3 the services beyond the first that it
    touches (of 4), 0.2 the lines of its patches (of 200). Kept up to `limit`.
    """

    limit: float = 0.7
    name: str = "gentleness"
    article: Article = Article.PRAOTES
    forbids: bool = True

    def weigh(self, case: Case, decision: Decision) -> Weighed:  # noqa: ARG002 - the plan alone tells
        measure, reason = (0.0, "nothing would be changed") if case.plan is None else _size(case.plan)
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=measure,
            limit=self.limit,
            kept=measure <= self.limit,
            reason=reason,
        )


def _size(plan: Plan) -> tuple[float, str]:
    services = {action.target.service for action in plan.actions}
    lines = sum(_lines(action.params.get("diff")) for action in plan.actions)
    measure = (
        _REVERSIBILITY * _BY_TIER[plan.tier]
        + _SERVICES * min(1.0, max(0, len(services) - 1) / (_MANY_SERVICES - 1))
        + _LINES * min(1.0, lines / _MANY_LINES)
    )
    return measure, f"tier {int(plan.tier)}, {len(services)} services, {lines} lines of patches"


def _lines(diff: object) -> int:
    """Lines that a unified diff adds or removes."""
    if not isinstance(diff, str):
        return 0
    return sum(
        line.startswith(("+", "-")) and not line.startswith(("+++", "---")) for line in diff.splitlines()
    )
