"""Stewardship: is what acting costs worth the error budget that it saves?"""

from dataclasses import dataclass

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.constitution.objectives import objectives

_MANY_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Actions and canary steps, as a share of twenty, divided by how many times too fast the error budget burns.

    Kept up to `limit`, and by whatever does not act.
    """

    limit: float = 0.5
    name: str = "cost"
    article: Article = Article.STEWARDSHIP
    forbids: bool = False

    def weigh(self, case: Case, decision: Decision) -> Weighed:
        measure, reason = 0.0, "nothing is spent"
        if case.plan is not None and decision.judgement is Judgement.INTERVENE:
            rollout = case.plan.rollout
            steps = len(case.plan.actions) + (0 if rollout is None else len(rollout.steps))
            burn = objectives(case.dossier).burn
            measure = min(1.0, steps / _MANY_STEPS) / max(1.0, burn)
            reason = f"{steps} steps, while the error budget burns {burn:.1f} times as fast as allowed"
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=measure,
            limit=self.limit,
            kept=measure <= self.limit,
            reason=reason,
        )
