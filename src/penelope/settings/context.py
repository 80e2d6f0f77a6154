"""Settings of what concepts in words are taken to mean."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from penelope.domain.people import identity_of
from penelope.settings.section import Section, Share


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError("should be the name of a time zone, such as Europe/Berlin") from None
    return name


Zone = Annotated[str, AfterValidator(_zone)]
"""The IANA name of a time zone."""

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f]+$")]


class Standing(Section):
    """For whom somebody asks."""

    role: Name
    """The role, as the policy knows it, such as `analyst`."""

    region: Annotated[str, Field(max_length=64)] = ""
    """The region that they are bound to; empty is none."""


class Context(Section):
    """How concepts in words are understood."""

    roles: dict[Name, Standing] = Field(default_factory=dict)
    """Which role somebody has by whom the policy judges, by the owner of their key or, where it names none, its name; or by
    the name of their token, such as `oidc:corp:SUBJECT`, before what its groups say."""

    default_role: Name = "guest"
    """The role of everybody else."""

    zone: Zone = "UTC"
    """The time zone, by its IANA name, in which "yesterday" is meant where the asker says none."""

    fiscal_month: int = Field(default=1, ge=1, le=12)
    """The month in which the fiscal year begins, 1 to 12."""

    fiscal_year_named_by: Literal["end", "start"] = "end"
    """Whether a fiscal year has the name of the calendar year in which it ends or in which it starts."""

    answer_at: Share = 0.5
    """The least confidence, 0 to 1, at which a concept is answered; below it there is no answer, only hints."""

    too_close: Share = 0.03
    """How near the scores of two definitions may be before a person has to choose."""

    def standing(self, holder: str, role: str = "", region: str = "") -> Standing:
        """For whom the holder of a key or a token asks, however the name is spelled.

        `role` and `region` are what is said of somebody whom `context.roles` does not name; without a role it is the
        default one, and the region is left aside.
        """
        wanted = identity_of(holder)
        found = (who for name, who in self.roles.items() if identity_of(name) == wanted)
        other = Standing(role=role, region=region) if role else Standing(role=self.default_role)
        return next(found, other)
