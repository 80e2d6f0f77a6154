"""Agape: do the users come before the metric?"""

from dataclasses import dataclass

from penelope.domain.action import Tier
from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.domain.plan import Plan
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.constitution.objectives import share_failing

_AT_STAKE = {Tier.LOCAL: 0.25, Tier.SNAPSHOT: 0.5, Tier.HARD_TO_REVERSE: 1.0, Tier.IRREVERSIBLE: 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserImpact:
    """Who acts puts users at stake who are served well now: their share beyond those who are not. Who waits leaves
    those who are not served: their share. 0…1; kept up to `limit`.
    """

    limit: float = 0.8
    name: str = "user_impact"
    article: Article = Article.AGAPE
    forbids: bool = False

    def weigh(self, case: Case, decision: Decision) -> Weighed:
        failing = share_failing(case.dossier)
        measure, reason = 0.0, "people take care of it"
        if decision.judgement is Judgement.OBSERVE:
            measure, reason = failing, f"{failing:.0%} of requests fail while it waits"
        elif decision.judgement is Judgement.INTERVENE and case.plan is not None:
            stake = _at_stake(case.plan)
            measure = max(0.0, stake - failing)
            reason = f"{stake:.0%} of users are at stake, {failing:.0%} of requests fail now"
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=measure,
            limit=self.limit,
            kept=measure <= self.limit,
            reason=reason,
        )


def _at_stake(plan: Plan) -> float:
    """A canary puts its first step at stake; without one it is as many as the change is hard to take back."""
    if plan.rollout is not None and plan.rollout.steps:
        return min(1.0, plan.rollout.steps[0] / 100)
    return _AT_STAKE[plan.tier]
