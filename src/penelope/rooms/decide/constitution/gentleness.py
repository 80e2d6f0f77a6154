"""Praotes, gentleness: is it the smallest change that suffices?"""

from dataclasses import dataclass
from typing import ClassVar

from penelope.domain.action import Tier
from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.facts import Candidate, Facts

_REVERSIBILITY, _SERVICES, _LINES = 0.5, 0.3, 0.2
_BY_TIER = {Tier.LOCAL: 0.0, Tier.SNAPSHOT: 1 / 3, Tier.HARD_TO_REVERSE: 2 / 3, Tier.IRREVERSIBLE: 1.0}
_MANY_SERVICES, _MANY_LINES = 5, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Gentleness:
    """0 (hardly anything) … 1: half of it how hard the plan is to take back, 0.3 the services beyond the first that it
    touches (of 4), 0.2 the lines of its patches (of 200). Kept up to `limit`; who waits changes nothing.
    """

    limit: float = 0.7
    name: ClassVar[str] = "gentleness"
    article: ClassVar[Article] = Article.PRAOTES
    forbids: ClassVar[bool] = True

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:
        plan = None if decision.judgement is Judgement.OBSERVE else facts.candidate
        measure, reason = (0.0, "nothing would be changed") if plan is None else _size(plan)
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=measure,
            limit=self.limit,
            kept=measure <= self.limit,
            reason=reason,
        )


def _size(plan: Candidate) -> tuple[float, str]:
    services = plan.strangers + (1 if plan.touched else 0)
    tier = Tier(max(plan.tiers, default=Tier.LOCAL))
    measure = (
        _REVERSIBILITY * _BY_TIER[tier]
        + _SERVICES * min(1.0, max(0, services - 1) / (_MANY_SERVICES - 1))
        + _LINES * min(1.0, plan.patch_lines / _MANY_LINES)
    )
    return measure, f"tier {int(tier)}, {services} services, {plan.patch_lines} lines of patches"
