"""One observation from outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from penelope.kit.ids import digest_id


class Severity(StrEnum):
    """How loud the source was, in rising order."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def weight(self) -> float:
        """0…1, for risk arithmetic."""
        return {"info": 0.1, "warning": 0.4, "error": 0.7, "critical": 1.0}[self.value]


class SignalStatus(StrEnum):
    """Whether the source sees the condition begin (or last) or end."""

    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """An alert, error or event about one service.

    `(source, id)` identifies the observation: the same pair twice is the same observation.
    `fingerprint` identifies the problem: signals that share service and fingerprint belong together.
    """

    source: str
    id: str
    service: str
    name: str
    severity: Severity
    status: SignalStatus
    starts_at: datetime
    received_at: datetime
    fingerprint: str
    ends_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """What the source watches (an alert of one instance, say): ends when a signal with equal labels says so."""
        labels = (f"{name}={value}" for name, value in sorted(self.labels.items()))
        return digest_id(self.source, self.service, self.name, *labels)


def problem_fingerprint(service: str, name: str) -> str:
    """The identity of a problem: what it is about and what it is called, not where it was seen.

    Labels such as instance or pod vary from one observation of a problem to the next, so they do not count.
    """
    return digest_id("problem", service, name)
