from datetime import UTC, datetime

import pytest

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity, Signal, SignalStatus, problem_fingerprint

ENDED = {IncidentState.HEALED, IncidentState.RESOLVED, IncidentState.ESCALATED}
NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize("state", IncidentState)
def test_healed_resolved_and_escalated_are_ends_and_nothing_else(state):
    assert state.ended is (state in ENDED)


@pytest.mark.parametrize("state", IncidentState)
@pytest.mark.parametrize("lapsed", [False, True])
def test_an_escalated_incident_takes_signals_until_it_lapses(state, lapsed):
    incident = Incident(
        id="i", service="shop", fingerprint="f", name="HighErrors", severity=Severity.ERROR, state=state,
        opened_at=NOW, updated_at=NOW, signal_count=1, lapsed=lapsed,
    )  # fmt: skip
    expected = state not in ENDED or (state is IncidentState.ESCALATED and not lapsed)
    assert incident.takes_signals is expected


def test_severities_weigh_more_the_louder_they_are():
    weights = [severity.weight for severity in Severity]
    assert weights == sorted(set(weights))
    assert 0 < weights[0] < weights[-1] == 1.0


def test_a_problem_is_its_service_and_name():
    assert problem_fingerprint("shop", "HighErrors") == problem_fingerprint("shop", "HighErrors")
    assert problem_fingerprint("shop", "HighErrors") != problem_fingerprint("shopHigh", "Errors")


def test_a_subject_is_one_watched_thing_whatever_the_order_of_its_labels():
    def signal(**labels: str) -> Signal:
        return Signal(
            source="test", id="1", service="shop", name="HighErrors", severity=Severity.ERROR,
            status=SignalStatus.FIRING, starts_at=NOW, received_at=NOW, fingerprint="f", labels=labels,
        )  # fmt: skip

    assert signal(job="web", instance="a").subject == signal(instance="a", job="web").subject
    assert signal(instance="a").subject != signal(instance="b").subject
