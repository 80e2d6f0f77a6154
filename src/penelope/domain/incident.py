"""What correlated signals are about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from penelope.domain.signal import Severity


class IncidentState(StrEnum):
    """Where an incident stands in the story."""

    RECEIVED = "received"
    OBSERVING = "observing"
    AWAITING_APPROVAL = "awaiting_approval"
    ACTING = "acting"
    VERIFYING = "verifying"
    ROLLING_OUT = "rolling_out"
    COMPENSATING = "compensating"
    HEALED = "healed"
    RESOLVED = "resolved"
    ESCALATED = "escalated"

    @property
    def ended(self) -> bool:
        """Whether Penelope does nothing more about it by itself."""
        return self in _ENDED

    @property
    def intervening(self) -> bool:
        """Whether the service is being changed, so that nothing else may change it now."""
        return self in _INTERVENING


_INTERVENING = frozenset(
    {
        IncidentState.ACTING,
        IncidentState.VERIFYING,
        IncidentState.ROLLING_OUT,
        IncidentState.COMPENSATING,
    }
)
_ENDED = frozenset({IncidentState.HEALED, IncidentState.RESOLVED, IncidentState.ESCALATED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One problem of one service, from its first signal to its outcome.

    `resolved_at` is when the source said that the condition ended; Penelope's own verdict is in the outcome.
    An escalated incident goes on taking signals in until its source ends it, or it has `lapsed`.
    `observed_since` is from when on its observation counts; `intervened_at` is when it was first acted on.
    `glass` is the break-glass under which it is mended.
    """

    id: str
    service: str
    fingerprint: str
    name: str
    severity: Severity
    state: IncidentState
    opened_at: datetime
    updated_at: datetime
    signal_count: int
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str = ""
    resolved_at: datetime | None = None
    ended_at: datetime | None = None
    lapsed: bool = False
    observed_since: datetime | None = None
    intervened_at: datetime | None = None
    glass: str | None = None

    @property
    def takes_signals(self) -> bool:
        """Whether a new signal about the same problem belongs to this incident."""
        return not self.state.ended or (self.state is IncidentState.ESCALATED and not self.lapsed)
