"""`intake`: no signal is lost, and one incident a problem is open at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity, Signal, SignalStatus, problem_fingerprint
from penelope.rooms.intake.run import Correlation, Known, Rules, correlate

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
RULES = Rules(hold_seconds=3600)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def firing(number: int = 1, instance: str = "a", **changes) -> Signal:
    signal = Signal(
        source="test",
        id=f"signal-{number}",
        service="shop",
        name="Broken",
        severity=Severity.WARNING,
        status=SignalStatus.FIRING,
        starts_at=NOW,
        received_at=NOW,
        fingerprint=problem_fingerprint("shop", "Broken"),
        labels={"instance": instance},
        annotations={"summary": "It is broken"},
    )
    return replace(signal, **changes)


def resolved(number: int = 2, instance: str = "a", **changes) -> Signal:
    return firing(number, instance, status=SignalStatus.RESOLVED, **changes)


def incident(state: IncidentState = IncidentState.OBSERVING, **changes) -> Incident:
    made = Incident(
        id="inc_old",
        service="shop",
        fingerprint=problem_fingerprint("shop", "Broken"),
        name="Broken",
        severity=Severity.WARNING,
        state=state,
        opened_at=at(-600),
        updated_at=at(-600),
        signal_count=3,
        ended_at=at(-60) if state.ended else None,
    )
    return replace(made, **changes)


def take(
    *signals: Signal, known: Incident | None = None, burning: tuple[str, ...] = (), now: datetime = NOW
) -> Correlation:
    numbers = count(1)
    there = Known(
        incidents={} if known is None else {(known.service, known.fingerprint): known},
        firing={} if known is None else {known.id: burning},
    )
    return correlate(signals, there, RULES, now=now, new_id=lambda: f"inc_{next(numbers)}")


def events(result: Correlation) -> list[tuple[str, str, int]]:
    return [(item.incident.id, item.event, item.signals) for item in result.transitions]


def test_a_new_problem_opens_an_incident() -> None:
    result = take(firing())
    assert result.opened == [("inc_1", "shop")]
    assert result.signals == [(firing(), "inc_1")]
    (transition,) = result.transitions
    assert transition.reason == "test says Broken on shop"
    assert transition.incident == Incident(
        id="inc_1",
        service="shop",
        fingerprint=firing().fingerprint,
        name="Broken",
        severity=Severity.WARNING,
        state=IncidentState.RECEIVED,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
        labels={"instance": "a"},
        summary="It is broken",
    )


def test_signals_about_an_open_problem_join_it_and_the_loudest_counts() -> None:
    result = take(
        firing(1, severity=Severity.CRITICAL), firing(2, severity=Severity.INFO), known=incident(), now=at(5)
    )
    assert result.opened == []
    (transition,) = result.transitions
    assert (transition.event, transition.reason, transition.signals) == (
        "SignalsCorrelated",
        "2 more signals about it",
        2,
    )
    after = transition.incident
    assert (after.severity, after.signal_count, after.updated_at) == (Severity.CRITICAL, 5, at(5))
    assert after.opened_at == at(-600)
    assert {owner for _, owner in result.signals} == {"inc_old"}
    assert take(firing(), known=incident()).transitions[0].reason == "another signal about it"


def test_seen_before_is_seen_before_in_one_batch_and_over_batches() -> None:
    result = take(firing(1), firing(1), firing(2))
    assert (result.duplicates, len(result.signals)) == (1, 2)
    known = Known(signals={("test", "signal-1")})
    again = correlate([firing(1)], known, RULES, now=NOW, new_id=lambda: "inc_1")
    assert (again.duplicates, again.signals, again.transitions) == (1, [], [])
    other_source = correlate([firing(1, source="other")], known, RULES, now=NOW, new_id=lambda: "inc_1")
    assert (other_source.duplicates, len(other_source.signals)) == (0, 1)


def test_problems_of_other_names_or_services_are_other_incidents() -> None:
    result = take(
        firing(1),
        firing(2, service="bakery", fingerprint=problem_fingerprint("bakery", "Broken")),
        firing(3, name="Slow", fingerprint=problem_fingerprint("shop", "Slow")),
        firing(4, "b"),
    )
    assert result.opened == [("inc_1", "shop"), ("inc_2", "bakery"), ("inc_3", "shop")]
    assert [owner for signal, owner in sorted(result.signals, key=lambda pair: pair[0].id)] == [
        "inc_1",
        "inc_2",
        "inc_3",
        "inc_1",
    ]


def test_a_problem_has_ended_when_all_of_its_subjects_have() -> None:
    subjects = (firing(instance="a").subject, firing(instance="b").subject)
    half = take(resolved(1, "a"), known=incident(), burning=subjects)
    assert (half.transitions, half.ended_by_source) == ([], [])
    assert half.signals == [(resolved(1, "a"), "inc_old")]
    whole = take(resolved(1, "a"), resolved(2, "b", ends_at=at(-7)), known=incident(), burning=subjects)
    assert events(whole) == [("inc_old", "ConditionEnded", 0)]
    assert whole.ended_by_source == ["inc_old"]
    assert whole.transitions[0].incident.resolved_at == at(-7)
    assert whole.transitions[0].incident.state is IncidentState.OBSERVING


def test_without_an_end_of_its_own_a_condition_ended_when_we_heard_of_it() -> None:
    result = take(resolved(), known=incident(), now=at(9))
    assert result.transitions[0].incident.resolved_at == at(9)


def test_a_problem_that_fires_again_after_its_end_goes_on() -> None:
    over = incident(resolved_at=at(-30))
    result = take(firing(), known=over)
    assert events(result) == [("inc_old", "SignalsCorrelated", 1)]
    assert result.transitions[0].incident.resolved_at is None


def test_ends_and_begins_in_one_batch_are_told_in_order() -> None:
    result = take(firing(1), firing(2), resolved(3), firing(4), resolved(5))
    assert events(result) == [
        ("inc_1", "IncidentOpened", 1),
        ("inc_1", "SignalsCorrelated", 1),
        ("inc_1", "ConditionEnded", 0),
        ("inc_1", "SignalsCorrelated", 1),
        ("inc_1", "ConditionEnded", 0),
    ]
    assert result.transitions[-1].incident.signal_count == 3
    assert result.ended_by_source == ["inc_1", "inc_1"]


def test_an_end_that_was_told_before_changes_nothing() -> None:
    over = incident(resolved_at=at(-30))
    result = take(resolved(), known=over)
    assert (result.transitions, result.ended_by_source) == ([], [])
    assert result.signals == [(resolved(), "inc_old")]


def test_the_end_of_something_that_nobody_opened_is_kept() -> None:
    result = take(resolved())
    assert result.signals == [(resolved(), None)]
    assert (result.transitions, result.opened) == ([], [])


@pytest.mark.parametrize("state", [IncidentState.HEALED, IncidentState.RESOLVED])
def test_a_problem_that_comes_back_is_a_new_incident(state: IncidentState) -> None:
    result = take(firing(starts_at=at(-59)), known=incident(state))
    assert events(result) == [("inc_1", "IncidentOpened", 1)]


def test_a_signal_from_before_the_healing_is_only_late() -> None:
    late = firing(1, severity=Severity.CRITICAL, starts_at=at(-60))
    result = take(late, known=incident(IncidentState.HEALED, resolved_at=at(-50)))
    assert events(result) == [("inc_old", "SignalsCorrelated", 1)]
    after = result.transitions[0].incident
    assert (after.state, after.resolved_at, after.ended_at) == (IncidentState.HEALED, at(-50), at(-60))
    assert after.severity is Severity.CRITICAL


def test_a_late_signal_about_what_went_by_itself_is_a_new_incident() -> None:
    """Nothing was mended, so that it may well be burning still."""
    result = take(firing(starts_at=at(-600)), known=incident(IncidentState.RESOLVED))
    assert result.opened == [("inc_1", "shop")]


def test_the_source_confirms_a_healed_incident() -> None:
    result = take(resolved(), known=incident(IncidentState.HEALED), burning=(firing().subject,))
    assert events(result) == [("inc_old", "ConditionEnded", 0)]
    assert result.transitions[0].incident.state is IncidentState.HEALED


def test_the_source_resolves_an_escalated_incident() -> None:
    result = take(firing(1), resolved(2), firing(3, starts_at=at(1)), known=incident(IncidentState.ESCALATED))
    assert events(result) == [
        ("inc_old", "SignalsCorrelated", 1),
        ("inc_old", "IncidentResolved", 0),
        ("inc_1", "IncidentOpened", 1),
    ]
    assert result.transitions[1].incident.state is IncidentState.RESOLVED


def test_what_was_handed_over_long_ago_lapses_when_it_begins_anew() -> None:
    handed_over = incident(IncidentState.ESCALATED, ended_at=at(-3601))
    result = take(firing(1), firing(2), known=handed_over)
    assert events(result) == [
        ("inc_old", "IncidentLapsed", 0),
        ("inc_1", "IncidentOpened", 1),
        ("inc_1", "SignalsCorrelated", 1),
    ]
    old = result.transitions[0].incident
    assert (old.lapsed, old.takes_signals, old.state) == (True, False, IncidentState.ESCALATED)


def test_until_the_last_moment_what_was_handed_over_takes_signals() -> None:
    result = take(firing(), known=incident(IncidentState.ESCALATED, ended_at=at(-3600)))
    assert events(result) == [("inc_old", "SignalsCorrelated", 1)]


def test_a_lapsed_incident_takes_no_more_signals() -> None:
    result = take(firing(), known=incident(IncidentState.ESCALATED, lapsed=True))
    assert events(result) == [("inc_1", "IncidentOpened", 1)]


def test_what_burns_in_an_incident_that_has_ended_does_not_keep_the_next_one_open() -> None:
    old = incident(IncidentState.HEALED)
    result = take(firing(1, "b", starts_at=at(0)), resolved(2, "b"), known=old, burning=(firing().subject,))
    assert events(result) == [("inc_1", "IncidentOpened", 1), ("inc_1", "ConditionEnded", 0)]


def test_nothing_comes_of_nothing() -> None:
    assert take() == Correlation()
