"""Settings of waiting for incidents that heal by themselves."""

from pydantic import Field

from penelope.settings.section import Count, Seconds, Section, Share


class Waiting(Section):
    """When to wait for an incident to heal by itself."""

    likely: Share = 0.7
    """How likely, 0 to 1, an incident must be to heal by itself for Penelope to wait. The lower end of the 95 %
    interval of the estimate counts, so that few cases never suffice; 1 never waits."""

    longest_seconds: Seconds = 300
    """The longest time, in seconds from its opening, that an incident is left to heal by itself."""

    budget_share: Share = 0.001
    """The share of an error budget, 0 to 1, that such a wait may use up: at ten times the rate that the objective
    allows, 0.001 of 30 days are 259 seconds."""

    budget_seconds: Seconds = 30 * 86_400
    """The period, in seconds, that an error budget is for."""

    least_cases: Count = 5
    """How many past incidents must have been followed to their own end, or beyond the wait, to tell anything."""

    quantile: float = Field(default=0.8, gt=0, le=1)
    """When to look again: once this share, 0 to 1, of those that heal in time have healed."""
