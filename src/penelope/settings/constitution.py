"""The section `constitution`."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from penelope.settings.section import Count, Seconds, Section, Share

_WHOLE = 100

Weight = Annotated[float, Field(ge=0, le=_WHOLE)]


class Constitution(Section):
    """The articles by which every decision is weighed, and what each counts (see docs/constitution).

    The weights add up to 100.
    """

    waiting_limit: Share = 0.5
    """Sophia: the lowest measure, 0 to 1, of having asked whether waiting is wiser."""

    gentleness_limit: Share = 0.7
    """Praotes: the largest plan, 0 (hardly anything) to 1, that is carried out unasked."""

    certainty_limit: Share = 0.3
    """Tapeinophrosyne: the lowest confidence, 0 to 1, with which anything is done unasked, whatever
    `decide.confidence_floor` allows."""

    cost_limit: Share = 0.5
    """Stewardship: the largest cost of a plan, 0 to 1, beside the error budget that burns."""

    user_impact_limit: Share = 0.8
    """Agape: the largest share of users, 0 to 1, that may be put at stake, or left unserved while waiting."""

    rest_seconds: Seconds = 300
    """Sabbath: how long, in seconds, a service is left in peace after it was changed."""

    halts_limit: Count = 3
    """Prudence: how many fixes of a service that failed within `constitution.halts_window_seconds` are too many."""

    halts_window_seconds: Seconds = 900
    """The window, in seconds, in which those failures are counted."""

    sophia_weight: Weight = 20
    """What Sophia counts in the score."""

    praotes_weight: Weight = 15
    """What Praotes counts in the score."""

    tapeinophrosyne_weight: Weight = 15
    """What Tapeinophrosyne counts in the score."""

    stewardship_weight: Weight = 0
    """What Stewardship counts in the score; by default it is shown, and counts nothing."""

    agape_weight: Weight = 15
    """What Agape counts in the score."""

    sabbath_weight: Weight = 10
    """What Sabbath counts in the score."""

    aletheia_weight: Weight = 10
    """What Aletheia counts in the score."""

    prudence_weight: Weight = 15
    """What Prudence counts in the score."""

    observe_least: Share = 0.05
    """The lowest share of observations among decisions, 0 to 1, that is healthy."""

    observe_most: Share = 0.6
    """The highest share of observations that is healthy."""

    escalate_least: Share = 0.1
    """The lowest share of escalations among decisions, 0 to 1, that is healthy: below it Penelope trusts itself too
    much."""

    escalate_most: Share = 0.2
    """The highest share of escalations that is healthy: above it Penelope is of too little use."""

    few_decisions: Count = 20
    """Below so many decisions, or outcomes for calibration, no ratio is judged."""

    healthy_share: Share = 0.95
    """The lowest share of decisions, 0 to 1, that keep an article which counts as healthy."""

    window_days: Annotated[int, Field(ge=1, le=366)] = 30
    """Over how many days the score in the metrics is taken."""

    refresh_seconds: Seconds = 60
    """How often, in seconds, the score in the metrics is taken anew."""

    @property
    def weights(self) -> dict[str, float]:
        """The weights by the articles' names in small letters."""
        end = "_weight"
        return {
            name.removesuffix(end): getattr(self, name)
            for name in type(self).model_fields
            if name.endswith(end)
        }

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        total = sum(self.weights.values())
        if round(total, 6) != _WHOLE:
            raise ValueError(f"weights should add up to {_WHOLE}, not to {total:g}")
        for least, most, what in (
            (self.observe_least, self.observe_most, "observe"),
            (self.escalate_least, self.escalate_most, "escalate"),
        ):
            if least > most:
                raise ValueError(f"{what}_least should not exceed {what}_most")
        return self
