"""What the gate's rules need from outside: languages for policies, calendars."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penelope.domain.gate import Ruling
from penelope.domain.signal import Severity
from penelope.rooms.gate.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """What one policy has against a request: REFUSE or ASK. `broken` tells why it could not be judged, if so."""

    policy: str
    ruling: Ruling
    message: str
    broken: str = ""


class Policies(Protocol):
    """Policies that were read and checked before."""

    def __len__(self) -> int:
        """How many there are."""

    def objections(self, facts: Facts) -> Sequence[Objection]:
        """What they have against it, in their order; none if nothing. One that breaks refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A time in which nothing is changed. `passes` is the severity from which healing goes on; None for none.

    Where the calendar cannot be told, `until` is None and `title` says why.
    """

    calendar: str
    title: str
    until: datetime | None
    passes: Severity | None = None


class Calendars(Protocol):
    """Freeze windows and quiet hours, read before."""

    def pauses(self, service: str, moment: datetime) -> Sequence[Pause]:
        """The pauses of a service at a moment, and every calendar that does not know; answered from memory."""
