"""Settings of what the context platform is asked for an incident."""

from typing import Annotated

from pydantic import Field

from penelope.settings.section import Seconds, Section

Word = Annotated[str, Field(min_length=1, max_length=200)]


class ContextHealing(Section):
    """What incidents are seen in the light of, see [in healing](../context.md#in-healing). What it finds becomes evidence, which all
    who may read incidents see: give it no role that sees more than they may.
    """

    enabled: bool = True
    """Whether graph, documents and governed measures are asked about an incident, where they are set up."""

    actor: Word = "penelope"
    """By which name Penelope asks; the [policy](../context-policy.md) judges it as it judges anybody."""

    role: Word = "service"
    """The role in which it asks."""

    purpose: str = Field(default="incident", max_length=200)
    """The purpose for which it asks."""

    region: str = Field(default="", max_length=200)
    """The region whose rows it sees, where the policy binds its role to one."""

    seconds: Seconds = 2.0
    """How long, in seconds, all stores together may take; then the decision is made without what is missing."""

    impact_minutes: int = Field(default=60, ge=1, le=1440)
    """Over how many minutes measures of a service's harm are taken."""
