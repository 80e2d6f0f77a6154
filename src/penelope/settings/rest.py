"""Settings of the rest that services are owed."""

from pathlib import Path

from pydantic import Field

from penelope.settings.section import LONGEST_SECONDS, Location, Seconds, Section


class Rest(Section):
    """Freezes, quiet hours and cool-downs, see [rest](../rest.md)."""

    calendars: Location | None = None
    """The file that lists the calendars of freezes and quiet hours. Without it there are none."""

    cache: Location = Path("var/calendars")
    """The folder in which calendars that were fetched from addresses outlast a restart."""

    refresh_seconds: Seconds = 300
    """How often, in seconds, calendars are read and fetched anew."""

    cooldown_seconds: float = Field(default=60, ge=0, le=LONGEST_SECONDS)
    """How long, in seconds, a service that was healed rests before the next plan; 0 for not at all."""
