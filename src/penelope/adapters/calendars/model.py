"""The shape of the file that lists the calendars."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from penelope.adapters.playbooks.model import Slug, Word
from penelope.adapters.yaml_model import Part, PositiveDuration
from penelope.domain.signal import Severity


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError("zone", "must be a time zone such as Europe/Berlin") from None
    return name


class CalendarRule(Part):
    """One calendar: while one of its events lasts, its services are left alone."""

    name: Slug
    """What it is called in verdicts."""
    source: Annotated[str, Field(min_length=1, max_length=2000)]
    """An iCalendar file, seen from this file's folder, or an address (`https://...`) that is fetched in the background."""
    services: list[Word] = Field(default_factory=list)
    """The services that it is for; empty means all."""
    passes: Literal["info", "warning", "error", "critical"] | None = None
    """The severity from which incidents are healed all the same; without it, none is."""
    stale_after: PositiveDuration = 86_400.0
    """How long the last good copy is believed once its source cannot be read any more. After that it pauses all."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    """The zone of whole days, and of times without a zone of their own."""

    @property
    def severity(self) -> Severity | None:
        return None if self.passes is None else Severity(self.passes)


class CalendarsFile(Part):
    """All calendars."""

    api_version: Literal["penelope.dev/v1"] = Field(alias="apiVersion")
    """The version of this form."""
    kind: Literal["Calendars"]
    """What the file holds."""
    calendars: Annotated[list[CalendarRule], Field(min_length=1, max_length=100)]
    """The calendars."""
