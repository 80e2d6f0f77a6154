"""Tapeinophrosyne, humility: does it leave to people what it is not sure of?"""

from dataclasses import dataclass
from typing import ClassVar

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Certainty:
    """The decision's confidence, 0…1. Kept from `limit` on, and by whatever does not act."""

    limit: float = 0.3
    name: ClassVar[str] = "certainty"
    article: ClassVar[Article] = Article.TAPEINOPHROSYNE
    forbids: ClassVar[bool] = True

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:  # noqa: ARG002 - the decision alone tells
        sure = decision.confidence.value
        acts = decision.judgement is Judgement.INTERVENE
        return Weighed(
            article=self.article,
            principle=self.name,
            measure=sure,
            limit=self.limit,
            kept=not acts or sure >= self.limit,
            reason=f"confidence {sure:.2f}" if acts else f"it does not act; confidence {sure:.2f}",
        )
