"""`learn`: only what acted says anything about a playbook."""

from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import OutcomeKind
from penelope.domain.signal import Severity
from penelope.rooms.learn.run import conclude, counts_for_playbook

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
INCIDENT = Incident(
    id="inc_1",
    service="shop",
    fingerprint="f",
    name="Broken",
    severity=Severity.ERROR,
    state=IncidentState.VERIFYING,
    opened_at=NOW - timedelta(seconds=12.5),
    updated_at=NOW,
    signal_count=1,
)


@pytest.mark.parametrize(
    ("kind", "playbook", "acted", "verified", "counts"),
    [
        (OutcomeKind.HEALED, "fix", True, True, True),
        (OutcomeKind.ESCALATED, "fix", True, False, True),
        (OutcomeKind.ESCALATED, "fix", False, None, False),
        (OutcomeKind.RESOLVED, None, False, None, False),
        (OutcomeKind.ESCALATED, None, True, False, False),  # a story that broke off, and nobody knows at what
    ],
)
def test_an_outcome_counts_for_the_playbook_that_acted(
    *, kind: OutcomeKind, playbook: str | None, acted: bool, verified: bool | None, counts: bool
) -> None:
    outcome = conclude(INCIDENT, kind, "why", NOW, playbook=playbook, acted=acted)
    assert (outcome.incident, outcome.service, outcome.kind, outcome.reason) == ("inc_1", "shop", kind, "why")
    assert (outcome.playbook, outcome.acted, outcome.verified) == (playbook, acted, verified)
    assert (outcome.ended_at, outcome.total_seconds) == (NOW, 12.5)
    assert counts_for_playbook(outcome) is counts
