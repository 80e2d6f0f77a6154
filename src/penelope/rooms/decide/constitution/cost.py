"""Stewardship: is what acting costs worth the error budget that it saves?"""

from dataclasses import dataclass
from typing import ClassVar

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.facts import Facts
from penelope.rooms.decide.objectives import burn, held

_MANY_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Actions and canary steps, as a share of twenty, divided by how many times too fast the error budget burns.

    Kept up to `limit`, and by whatever does not act.
    """

    limit: float = 0.5
    name: ClassVar[str] = "cost"
    article: ClassVar[Article] = Article.STEWARDSHIP
    forbids: ClassVar[bool] = False

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:
        measure, reason = 0.0, "nothing is spent"
        plan = facts.candidate
        if plan is not None and decision.judgement is Judgement.INTERVENE:
            steps = len(plan.tiers) + len(plan.shares)
            rate = burn(held(facts.evidence)) or 0.0
            measure = min(1.0, steps / _MANY_STEPS) / max(1.0, rate)
            reason = f"{steps} steps, while the error budget burns {rate:.1f} times as fast as allowed"
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=measure,
            limit=self.limit,
            kept=measure <= self.limit,
            reason=reason,
        )
