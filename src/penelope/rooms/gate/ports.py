"""What the gate's rules need from outside: languages for policies, calendars, scanners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from penelope.domain.gate import Ruling
from penelope.domain.signal import Severity
from penelope.kit.canonical import Json
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


class Danger(StrEnum):
    """How bad a finding is: critical refuses, a warning is shown and may ask, info is shown."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a scanner saw: the `rule` that it breaks, where, and a redacted excerpt, which never holds a secret."""

    rule: str
    danger: Danger
    place: str
    excerpt: str

    def __str__(self) -> str:
        return f"{self.danger.value} {self.rule} at {self.place}: {self.excerpt}"


class Scanner(Protocol):
    """Looks through the values of a plan or a playbook, in bounded time."""

    def scan(self, values: Mapping[str, Json]) -> Sequence[Finding]:
        """What it finds in values, by place; what is too large, too deep or takes too long is a critical finding."""
