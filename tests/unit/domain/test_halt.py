"""A breaker's states, each way in and out of them."""

from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.halt import (
    FLEET,
    Breaker,
    Failure,
    FailureKind,
    Hold,
    Limits,
    Scope,
    ScopeKind,
    State,
    scopes_of,
)
from penelope.kit.codec import from_data, to_data

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
SHOP = Scope(kind=ScopeKind.SERVICE, name="shop")
LIMITS = Limits(failures=3, window_seconds=900, cooldown_seconds=3600)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def failing(*moments: float, kind: FailureKind = FailureKind.FAILED, scope: Scope = SHOP) -> Breaker:
    breaker = Breaker(scope=scope)
    for number, moment in enumerate(moments):
        failure = Failure(incident=f"inc_{number}", kind=kind, at=at(moment))
        breaker = breaker.noted(failure, LIMITS, at(moment))
    return breaker


def hold(until: float | None = None) -> Hold:
    return Hold(actor="key:ada", reason="a move", since=NOW, until=None if until is None else at(until))


def another(moment: float, incident: str = "inc_x") -> Failure:
    return Failure(incident=incident, kind=FailureKind.FAILED, at=at(moment))


class TestScope:
    @pytest.mark.parametrize("label", ["fleet", "service:shop", "playbook:fix", "cause:0f", "service:a:b"])
    def test_its_label_tells_it(self, label: str) -> None:
        assert Scope.parse(label).label == label

    @pytest.mark.parametrize(
        "label", ["", "fleet:all", "fleet:", "service", "service:", "service: ", "team:a", ":a"]
    )
    def test_what_names_nothing_is_no_scope(self, label: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011 - its words are the enum's, too
            Scope.parse(label)

    @pytest.mark.parametrize(
        ("names", "gap"),
        [
            (("", "fix", "f"), "no service"),
            (("shop", " ", "f"), "no playbook"),
            (("shop", "fix", ""), "no cause"),
            (("", "", ""), "no service and no playbook and no cause"),
        ],
    )
    def test_an_intervention_without_a_name_is_under_no_breaker(
        self, names: tuple[str, str, str], gap: str
    ) -> None:
        with pytest.raises(ValueError, match=gap):
            scopes_of(*names)

    def test_an_intervention_is_under_four(self) -> None:
        assert [item.label for item in scopes_of("shop", "fix", "f")] == [
            "service:shop",
            "playbook:fix",
            "cause:f",
            "fleet",
        ]


class TestOpening:
    @pytest.mark.parametrize(
        ("moments", "state"),
        [
            ((), State.CLOSED),
            ((0, 1), State.CLOSED),
            ((0, 1, 2), State.OPEN),
            ((0, 1, 900), State.OPEN),  # exactly the window
            ((0, 1, 901), State.CLOSED),
            ((0, 1, 901, 901), State.OPEN),
        ],
    )
    def test_failures_close_together_open_it(self, moments: tuple[float, ...], state: State) -> None:
        assert failing(*moments).state(at(max(moments, default=0))) is state

    def test_an_incident_counts_once(self) -> None:
        breaker = failing(0, 1)
        assert breaker.noted(another(2, "inc_1"), LIMITS, at(2)) == breaker

    def test_relapses_count_like_broken_contracts(self) -> None:
        breaker = failing(0, 1, 2, kind=FailureKind.RELAPSED)
        assert breaker.objection("inc_x", at(2)) == (
            "service:shop is halted after 3 failures, 3 of them relapses, until 2026-11-21 08:00:02 UTC"
        )

    def test_failures_while_it_is_open_do_not_prolong_it(self) -> None:
        breaker = failing(0, 1, 2).noted(another(100), LIMITS, at(100))
        assert len(breaker.failures) == 4
        assert breaker.until(at(100)) == at(3602)


class TestTrial:
    def test_there_is_one_after_the_cool_down(self) -> None:
        breaker = failing(0, 1, 2)
        assert breaker.state(at(3601.9)) is State.OPEN
        assert breaker.taken("inc_x", at(3601.9)) == breaker
        assert breaker.state(at(3602)) is State.HALF_OPEN
        on_trial = breaker.taken("inc_x", at(3602))
        assert on_trial.objection("inc_x", at(3603)) == ""
        assert on_trial.objection("inc_y", at(3603)) == (
            "service:shop is half open, and incident inc_x is its trial"
        )
        assert on_trial.taken("inc_y", at(3603)) == on_trial

    def test_its_success_closes_and_forgets(self) -> None:
        assert failing(0, 1, 2).taken("inc_x", at(3602)).succeeded("inc_x") == Breaker(scope=SHOP)

    def test_nobody_elses_does(self) -> None:
        on_trial = failing(0, 1, 2).taken("inc_x", at(3602))
        assert on_trial.succeeded("inc_y") == on_trial
        assert on_trial.freed("inc_y") == on_trial

    def test_its_failure_opens_again(self) -> None:
        again = failing(0, 1, 2).taken("inc_x", at(3602)).noted(another(3700), LIMITS, at(3700))
        assert (again.state(at(3700)), again.until(at(3700))) == (State.OPEN, at(7300))
        assert again.trip is not None
        assert again.trip.trial is None

    def test_its_failure_opens_again_though_the_clock_was_set_back(self) -> None:
        again = failing(0, 1, 2).taken("inc_x", at(3602)).noted(another(10), LIMITS, at(10))
        assert again.until(at(10)) == at(3610)

    def test_a_failure_of_another_opens_a_half_open_one_too(self) -> None:
        again = failing(0, 1, 2).taken("inc_x", at(3602)).noted(another(3700, "inc_y"), LIMITS, at(3700))
        assert again.state(at(3700)) is State.OPEN

    def test_freed_it_is_there_for_the_next(self) -> None:
        freed = failing(0, 1, 2).taken("inc_x", at(3602)).freed("inc_x")
        assert freed.state(at(3602)) is State.HALF_OPEN
        assert freed.objection("inc_y", at(3602)) == ""


class TestHold:
    def test_it_lasts_until_a_person_closes(self) -> None:
        held = Breaker(scope=SHOP).opened(hold())
        assert held.state(at(1e9)) is State.OPEN
        assert held.until(at(1)) is None
        assert held.closed().state(at(1)) is State.CLOSED

    def test_it_ends_at_its_end(self) -> None:
        held = Breaker(scope=SHOP).opened(hold(60))
        assert [held.state(at(moment)) for moment in (59.9, 60)] == [State.OPEN, State.CLOSED]
        assert held.until(at(1)) == at(60)

    def test_it_hides_nothing_of_what_failures_did(self) -> None:
        held = failing(0, 1, 2).opened(hold(60))
        assert held.until(at(3)) == at(3602)
        assert held.state(at(61)) is State.OPEN
        assert held.state(at(3602)) is State.HALF_OPEN

    def test_no_trial_under_it(self) -> None:
        held = failing(0, 1, 2).opened(hold())
        assert held.taken("inc_x", at(3602)) == held

    def test_closing_keeps_the_failures_and_resetting_forgets_them(self) -> None:
        breaker = failing(0, 1, 2).opened(hold())
        assert breaker.closed().noted(another(3), LIMITS, at(3)).state(at(3)) is State.OPEN
        assert breaker.reset().noted(another(3), LIMITS, at(3)).state(at(3)) is State.CLOSED


class TestRecent:
    def test_failures_beyond_the_window_are_not_told(self) -> None:
        breaker = failing(0, 600)
        assert breaker.recent(LIMITS, at(900)) == breaker
        assert [item.at for item in breaker.recent(LIMITS, at(901)).failures] == [at(600)]
        assert breaker.recent(LIMITS, at(99_999)).failures == ()

    def test_what_opened_it_is_told_until_it_closes(self) -> None:
        assert len(failing(0, 1, 2).recent(LIMITS, at(99_999)).failures) == 3


class TestStopping:
    def test_what_is_under_way_is_stopped_by_a_person_and_by_a_failing_fleet(self) -> None:
        assert failing(0, 1, 2).stops("inc_1", at(3)) == ""
        assert (
            failing(0, 1, 2, scope=FLEET).stops("inc_1", at(3)).startswith("fleet is halted after 3 failures")
        )
        assert (
            Breaker(scope=SHOP)
            .opened(hold())
            .stops("inc_1", at(3))
            .startswith("service:shop was halted by key:ada")
        )
        assert Breaker(scope=SHOP).stops("inc_1", at(3)) == ""
        assert failing(0, 1, 2, scope=FLEET).stops("inc_1", at(3602)) == ""

    def test_a_hold_that_was_lifted_for_one_stops_all_others(self) -> None:
        lifted = Breaker(scope=SHOP).opened(hold()).overridden("inc_1", at(1))
        assert lifted.overridden("inc_1", at(1)) == lifted
        assert lifted.stops("inc_1", at(3)) == ""
        assert lifted.stops("inc_2", at(3)).startswith("service:shop was halted by key:ada")
        assert lifted.objection("inc_1", at(3))  # the gate asks for the glass each time
        assert lifted.opened(hold()).stops("inc_1", at(3))
        assert Breaker(scope=FLEET).opened(hold()).overridden("inc_1", at(1)).stops("inc_1", at(3))
        ended = Breaker(scope=SHOP).opened(hold(5))
        assert ended.overridden("inc_1", at(5)) == ended


def test_it_is_stored_and_read_back() -> None:
    breaker = failing(0, 1, 2).taken("inc_x", at(3602)).opened(hold(9))
    assert from_data(Breaker, to_data(breaker)) == breaker
