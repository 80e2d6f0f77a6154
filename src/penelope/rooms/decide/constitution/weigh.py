"""Weighs a decision by the articles."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from penelope.domain.constitution import Weighed
from penelope.domain.decision import Decision, Judgement
from penelope.rooms.decide.constitution.certainty import Certainty
from penelope.rooms.decide.constitution.cost import Cost
from penelope.rooms.decide.constitution.gentleness import Gentleness
from penelope.rooms.decide.constitution.halts import Halts
from penelope.rooms.decide.constitution.principle import Principle
from penelope.rooms.decide.constitution.reasons import Reasons
from penelope.rooms.decide.constitution.rest import Rest
from penelope.rooms.decide.constitution.user_impact import UserImpact
from penelope.rooms.decide.constitution.waiting import Waiting
from penelope.rooms.decide.facts import Facts

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constitution:
    """Every article as a check with its limit, in the order in which they are shown."""

    waiting: Waiting = field(default_factory=Waiting)
    gentleness: Gentleness = field(default_factory=Gentleness)
    certainty: Certainty = field(default_factory=Certainty)
    cost: Cost = field(default_factory=Cost)
    user_impact: UserImpact = field(default_factory=UserImpact)
    rest: Rest = field(default_factory=Rest)
    reasons: Reasons = field(default_factory=Reasons)
    halts: Halts = field(default_factory=Halts)

    @property
    def principles(self) -> Sequence[Principle]:
        return (
            self.waiting,
            self.gentleness,
            self.certainty,
            self.cost,
            self.user_impact,
            self.rest,
            self.reasons,
            self.halts,
        )


def weigh(facts: Facts, decision: Decision, principles: Sequence[Principle]) -> Decision:
    """The decision with its articles. Where one that forbids is broken, what would be done unasked is left to people;
    no decision becomes bolder.
    """
    pairs = [(principle, _weighed(principle, facts, decision)) for principle in principles]
    decision = replace(decision, articles=tuple(weighed for _, weighed in pairs))
    broken = [weighed for principle, weighed in pairs if principle.forbids and not weighed.kept]
    if not broken or decision.judgement is not Judgement.INTERVENE:
        return decision
    why = "; ".join(f"{item.article.value} ({item.principle}) forbids it: {item.reason}" for item in broken)
    return replace(
        decision,
        judgement=Judgement.ESCALATE,
        needs_approval=True,
        rationale=f"{decision.rationale}; {why}" if decision.rationale else why,
    )


def _weighed(principle: Principle, facts: Facts, decision: Decision) -> Weighed:
    """A principle that breaks counts as not kept: what could not be weighed is not good."""
    try:
        return principle.weigh(facts, decision)
    except Exception as error:  # noqa: BLE001 - whatever it raises, it has not found the decision good
        _log.exception("the principle %s broke", principle.name)
        return Weighed(
            article=principle.article,
            principle=principle.name,
            measure=0.0,
            limit=0.0,
            kept=False,
            reason=f"it could not be weighed ({type(error).__name__})",
        )
