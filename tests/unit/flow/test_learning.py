"""What an ended incident leaves behind for later decisions."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import Outcome, OutcomeKind
from penelope.domain.precedent import Stratum, traits
from penelope.domain.service import RouterReference, Service, Target
from penelope.domain.signal import Severity
from penelope.flow.learning import past_case

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
INCIDENT = Incident(
    id="inc_1",
    service="shop",
    fingerprint="f",
    name="Broken",
    severity=Severity.ERROR,
    state=IncidentState.OBSERVING,
    opened_at=NOW,
    updated_at=NOW,
    signal_count=1,
    labels={"alertname": "Broken"},
)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def outcome(kind: OutcomeKind, after: float = 60, **changes) -> Outcome:
    made = Outcome(
        incident="inc_1",
        service="shop",
        kind=kind,
        reason="why",
        acted=False,
        ended_at=at(after),
        total_seconds=after,
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("marks", "ended", "alone", "healed_itself"),
    [
        ({"resolved_at": at(20)}, outcome(OutcomeKind.RESOLVED), 20, True),
        ({}, outcome(OutcomeKind.RESOLVED), 60, True),
        ({"resolved_at": at(900)}, outcome(OutcomeKind.RESOLVED), 60, True),  # the source's clock is ahead
        ({"resolved_at": at(-900)}, outcome(OutcomeKind.RESOLVED), 0, True),  # or behind
        ({}, outcome(OutcomeKind.ESCALATED), 60, False),
        ({"resolved_at": at(50)}, outcome(OutcomeKind.ESCALATED), 60, False),
        ({}, outcome(OutcomeKind.ESCALATED, -5), 0, False),  # our own clock went back
        (
            {"intervened_at": at(7)},
            outcome(OutcomeKind.HEALED, playbook="fix", acted=True, verified=True),
            7,
            False,
        ),
    ],
)
def test_how_long_it_was_left_alone(
    *, marks: dict, ended: Outcome, alone: float, healed_itself: bool
) -> None:
    case = past_case(replace(INCIDENT, **marks), ended, stratum=Stratum.UNSEEN, confidence=None)
    assert (case.alone_seconds, case.healed_itself) == (alone, healed_itself)
    assert (case.verified, case.imported, case.labels) == (ended.verified, False, {"alertname": "Broken"})


def test_a_story_that_broke_off_says_nothing_of_a_playbook() -> None:
    broken = outcome(OutcomeKind.ESCALATED, acted=True, verified=False)
    assert past_case(INCIDENT, broken, stratum=Stratum.UNSEEN, confidence=None).verified is None


def test_services_with_equal_traits_are_alike() -> None:
    def service(name: str, **changes) -> Service:
        targets = {kind: Target(name=kind, service=name, adapter=kind) for kind in ("process", "git")}
        return Service(name=name, owner="", tier=2, targets=targets, **changes)

    router = RouterReference(kind="traefik", options={}, arms={})
    assert traits(service("a")) == traits(service("b")) == "tier=2 adapters=git,process router="
    assert traits(service("c", router=router)) == "tier=2 adapters=git,process router=traefik"
