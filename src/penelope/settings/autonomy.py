"""The section `autonomy`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from penelope.settings.section import Count, Section, Share

LevelName = Literal["shadow", "suggest", "supervised", "autonomous"]

Bound = Annotated[float, Field(ge=0, le=0.99)]
"""What the lower end of an interval must reach; no number of successes takes it to 1."""


class Autonomy(Section):
    """How far a playbook may go on a service by itself, and how it earns more (see docs/autonomy.md).

    The levels, in order: `shadow` decides and records but does not act, `suggest` asks, `supervised` acts and asks
    above low risk, `autonomous` acts.
    """

    start: LevelName = "suggest"
    """Where a playbook begins on a service on which it has no past."""

    low_risk: Share = 0.3
    """The highest risk, 0 to 1, at which a playbook acts unasked while it is `supervised`."""

    suggest_bound: Bound = 0.5
    """The lower bound of the 95 % interval of agreement with what people did from which a playbook rises from `shadow`
    to `suggest`; 0.5 takes 4 agreements in a row."""

    supervised_bound: Bound = 0.6
    """The lower bound of the 95 % interval of its success from which it rises from `suggest` to `supervised`; 0.6 takes
    6 verified successes in a row."""

    autonomous_bound: Bound = 0.8
    """The same for `supervised` to `autonomous`; 0.8 takes 16. At least `autonomy.supervised_bound`."""

    fall_levels: Count = 1
    """How many levels a playbook falls at once by a failure or by a person's override."""

    floor: Literal["shadow", "suggest"] = "suggest"
    """The level below which no fall leads. At `suggest` a playbook does nothing unasked, and goes on being offered; with
    `shadow` one that fails there falls silent, until reports of what people did speak for it."""

    cap: LevelName = "autonomous"
    """The highest level that any playbook may reach on any service."""

    service_caps: Mapping[str, LevelName] = {}
    """The highest level on single services, such as `{checkout: supervised}`; of several caps the lowest holds."""

    playbook_caps: Mapping[str, LevelName] = {}
    """The highest level of single playbooks, such as `{free-disk-space: suggest}`."""

    @field_validator("autonomous_bound")
    @classmethod
    def _bounds_rise(cls, bound: float, info: ValidationInfo) -> float:
        lower = info.data.get("supervised_bound", bound)
        if bound < lower:
            raise ValueError(f"should not be below autonomy.supervised_bound, which is {lower:g}")
        return bound
