"""Intake under any sequence of batches, stories that end, and time that passes."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity, Signal, SignalStatus, problem_fingerprint
from penelope.rooms.intake.run import Correlation, Known, Rules, correlate

START = datetime(2026, 11, 21, 7, tzinfo=UTC)
RULES = Rules(hold_seconds=100)

Problem = tuple[str, str]


def signal(number: int, service: str, name: str, instance: str, status: SignalStatus, age: int) -> Signal:
    return Signal(
        source="test",
        id=str(number),
        service=service,
        name=name,
        severity=Severity.WARNING,
        status=status,
        starts_at=START - timedelta(seconds=age),
        received_at=START,
        fingerprint=problem_fingerprint(service, name),
        labels={"instance": instance},
    )


signals = st.builds(
    signal,
    number=st.integers(0, 40),  # few enough that many come twice
    service=st.sampled_from(["shop", "bakery"]),
    name=st.sampled_from(["Broken", "Slow"]),
    instance=st.sampled_from("ab"),
    status=st.sampled_from(SignalStatus),
    age=st.integers(-300, 300),
)
batches = st.lists(signals, max_size=8)


class Ground:
    """What a store keeps between two batches."""

    def __init__(self) -> None:
        self.now = START
        self.numbers = count()
        self.owners: dict[tuple[str, str], str | None] = {}
        self.counts: Counter[str] = Counter()
        self.incidents: dict[str, Incident] = {}
        self.firing: dict[str, set[str]] = {}

    def about(self) -> dict[Problem, Incident]:
        """The newest incident about each problem: ids are given in order."""
        return {(item.service, item.fingerprint): item for item in self.incidents.values()}

    def take(self, batch: list[Signal]) -> Correlation:
        known = Known(signals=set(self.owners), incidents=self.about(), firing=self.firing)
        result = correlate(batch, known, RULES, now=self.now, new_id=lambda: f"inc_{next(self.numbers):06}")
        for transition in result.transitions:
            self.incidents[transition.incident.id] = transition.incident
        for taken, owner in result.signals:
            assert (taken.source, taken.id) not in self.owners
            self.owners[taken.source, taken.id] = owner
            if owner is None:
                continue
            burning = self.firing.setdefault(owner, set())
            if taken.status is SignalStatus.FIRING:
                self.counts[owner] += 1
                burning.add(taken.subject)
            else:
                burning.discard(taken.subject)
        return result


class Intake(RuleBasedStateMachine):
    """Batches come in while stories end in every way that they can."""

    def __init__(self) -> None:
        super().__init__()
        self.ground = Ground()
        self.opened: list[str] = []

    @rule(batch=batches)
    def receive(self, batch: list[Signal]) -> None:
        result = self.ground.take(batch)
        # No signal is lost, and each is what it was.
        assert len(result.signals) + result.duplicates == len(batch)
        assert {id(taken) for taken, _ in result.signals} <= {id(sent) for sent in batch}
        for taken, owner in result.signals:
            if owner is None:
                assert taken.status is SignalStatus.RESOLVED
                continue
            incident = self.ground.incidents[owner]
            assert (taken.service, taken.fingerprint) == (incident.service, incident.fingerprint)
        self.opened += [incident for incident, _ in result.opened]
        assert all(self.ground.incidents[name].service == service for name, service in result.opened)

    @precondition(lambda self: any(not item.state.ended for item in self.ground.incidents.values()))
    @rule(
        choice=st.randoms(use_true_random=False),
        state=st.sampled_from([state for state in IncidentState if state is not IncidentState.RECEIVED]),
    )
    def the_story_goes_on(self, choice, state: IncidentState) -> None:
        name = choice.choice(
            sorted(name for name, item in self.ground.incidents.items() if not item.state.ended)
        )
        incident = self.ground.incidents[name]
        ended_at = self.ground.now if state.ended else None
        self.ground.incidents[name] = replace(incident, state=state, ended_at=ended_at)

    @rule(seconds=st.integers(0, 150))
    def time_passes(self, seconds: int) -> None:
        self.ground.now += timedelta(seconds=seconds)

    @invariant()
    def one_incident_a_problem_is_open(self) -> None:
        taking = Counter(
            (item.service, item.fingerprint) for item in self.ground.incidents.values() if item.takes_signals
        )
        assert set(taking.values()) <= {1}
        newest = self.ground.about()
        for item in self.ground.incidents.values():
            assert not item.takes_signals or newest[item.service, item.fingerprint] is item

    @invariant()
    def incidents_are_opened_once_and_count_what_was_reported(self) -> None:
        assert len(set(self.opened)) == len(self.opened)
        assert set(self.opened) == set(self.ground.incidents)
        for name, item in self.ground.incidents.items():
            assert item.signal_count == self.ground.counts[name]

    @invariant()
    def an_open_incident_has_ended_when_nothing_burns(self) -> None:
        for name, item in self.ground.incidents.items():
            if item.takes_signals:
                assert (item.resolved_at is None) is bool(self.ground.firing[name])


TestIntake = Intake.TestCase


def outline(ground: Ground) -> list[object]:
    """All that is known, but for the names and the moments of the incidents."""
    names = {name: (item.service, item.fingerprint) for name, item in ground.incidents.items()}
    order: Counter[Problem] = Counter()
    places: dict[str, tuple[Problem, int]] = {}
    for name in sorted(names):
        order[names[name]] += 1
        places[name] = (names[name], order[names[name]])
    return [
        {
            places[name]: replace(item, id="", updated_at=START)
            for name, item in sorted(ground.incidents.items())
        },
        {key: None if owner is None else places[owner] for key, owner in ground.owners.items()},
        {places[name]: burning for name, burning in ground.firing.items()},
    ]


@given(batch=batches, cuts=st.lists(st.integers(0, 8), max_size=3))
def test_how_signals_are_packed_makes_no_difference(batch: list[Signal], cuts: list[int]) -> None:
    whole, parts = Ground(), Ground()
    whole.take(batch)
    edges = [0, *sorted(cuts), len(batch)]
    for first, last in pairwise(edges):
        parts.take(batch[first:last])
    assert outline(whole) == outline(parts)


@given(batch=batches)
def test_sending_again_changes_nothing(batch: list[Signal]) -> None:
    ground = Ground()
    ground.take(batch)
    before = outline(ground)
    again = ground.take(batch)
    assert (again.duplicates, again.signals, again.transitions) == (len(batch), [], [])
    assert outline(ground) == before
