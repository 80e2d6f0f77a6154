"""Agape: do the users come before the metric?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from penelope.domain.action import Tier
from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.domain.evidence import Evidence
from penelope.rooms.decide.facts import Candidate, Facts
from penelope.rooms.decide.objectives import figure, held

_AT_STAKE = {Tier.LOCAL: 0.25, Tier.SNAPSHOT: 0.5, Tier.HARD_TO_REVERSE: 1.0, Tier.IRREVERSIBLE: 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserImpact:
    """Who acts puts users at stake who are served well now: their share beyond those who are not. Who waits leaves
    those who are not served: their share. 0…1; kept up to `limit`.
    """

    limit: float = 0.8
    name: ClassVar[str] = "user_impact"
    article: ClassVar[Article] = Article.AGAPE
    forbids: ClassVar[bool] = False

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:
        failing = _share_failing(facts.evidence)
        measure, reason = 0.0, "people take care of it"
        if decision.judgement is Judgement.OBSERVE:
            measure, reason = failing, f"{failing:.0%} of requests fail while it waits"
        elif decision.judgement is Judgement.INTERVENE and facts.candidate is not None:
            stake = _at_stake(facts.candidate)
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


def _at_stake(plan: Candidate) -> float:
    """A canary puts its first step at stake; without one it is as many as the change is hard to take back."""
    if plan.shares:
        return min(1.0, plan.shares[0] / 100)
    return _AT_STAKE[Tier(max(plan.tiers, default=Tier.LOCAL))]


def _share_failing(evidence: Sequence[Evidence]) -> float:
    """The share of requests that fail now, 0…1; where only a missed objective tells of harm, all of them."""
    told = next((item.value for item in evidence if item.concept == "metric.error_ratio"), None)
    failing = min(1.0, max(0.0, figure(told) or 0.0))
    return failing or float(any(not item.met for item in held(evidence)))
