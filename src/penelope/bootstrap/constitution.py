"""Makes the articles of the constitution, and the scale of its score, from the settings."""

from penelope.domain.constitution import Article
from penelope.rooms.decide.constitution.certainty import Certainty
from penelope.rooms.decide.constitution.cost import Cost
from penelope.rooms.decide.constitution.gentleness import Gentleness
from penelope.rooms.decide.constitution.halts import Halts
from penelope.rooms.decide.constitution.rest import Rest
from penelope.rooms.decide.constitution.user_impact import UserImpact
from penelope.rooms.decide.constitution.waiting import Waiting
from penelope.rooms.decide.constitution.weigh import Constitution
from penelope.rooms.learn.compliance import Scale
from penelope.settings.constitution import Constitution as Settings


def constitution_of(settings: Settings) -> Constitution:
    return Constitution(
        waiting=Waiting(limit=settings.waiting_limit),
        gentleness=Gentleness(limit=settings.gentleness_limit),
        certainty=Certainty(limit=settings.certainty_limit),
        cost=Cost(limit=settings.cost_limit),
        user_impact=UserImpact(limit=settings.user_impact_limit),
        rest=Rest(rest_seconds=settings.rest_seconds),
        halts=Halts(limit=float(settings.halts_limit), window_seconds=settings.halts_window_seconds),
    )


def scale_of(settings: Settings) -> Scale:
    return Scale(
        weights={Article(name.capitalize()): weight for name, weight in settings.weights.items()},
        observe_band=(settings.observe_least, settings.observe_most),
        escalate_band=(settings.escalate_least, settings.escalate_most),
        few=settings.few_decisions,
        healthy=settings.healthy_share,
    )
