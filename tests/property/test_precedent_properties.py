"""The ranking of precedents, whatever the cases are."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.likeness import Hit
from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase, Stratum
from penelope.domain.signal import Severity
from penelope.rooms.decide.precedents import rank

NOW = datetime(2026, 11, 21, tzinfo=UTC)

few = st.sampled_from(["a", "b", "c"])
labels = st.dictionaries(few, few, max_size=3)
names = st.sampled_from([f"case-{number}" for number in range(8)])

incidents = st.builds(
    Incident,
    id=st.just("inc"),
    service=few,
    fingerprint=few,
    name=few,
    severity=st.just(Severity.ERROR),
    state=st.just(IncidentState.RECEIVED),
    opened_at=st.just(NOW),
    updated_at=st.just(NOW),
    signal_count=st.just(1),
    labels=labels,
)
cases = st.builds(
    PastCase,
    incident=names,
    service=few,
    fingerprint=few,
    name=few,
    severity=st.sampled_from(Severity),
    labels=labels,
    summary=st.text(max_size=5),
    playbook=st.none() | few,
    kind=st.sampled_from(OutcomeKind),
    verified=st.none() | st.booleans(),
    alone_seconds=st.floats(0, 1e6),
    healed_itself=st.booleans(),
    stratum=st.sampled_from(Stratum),
    confidence=st.none(),
    imported=st.booleans(),
    opened_at=st.just(NOW),
    ended_at=st.integers(0, 3).map(lambda days: NOW - timedelta(days=days)),
)
hits = st.builds(Hit, incident=names, likeness=st.floats(0, 1), by=st.just(("meaning",)))
limits = st.integers(1, 8)


@given(
    incidents,
    st.lists(cases, max_size=8, unique_by=lambda case: case.incident),
    st.lists(hits, max_size=8, unique_by=lambda hit: hit.incident),
    limits,
    st.randoms(use_true_random=False),
)
def test_the_order_of_candidates_does_not_matter(incident, found, by_text, limit, chance) -> None:
    first = rank(incident, found, by_text, playbook="a", limit=limit)
    chance.shuffle(found)
    chance.shuffle(by_text)
    assert rank(incident, found, by_text, playbook="a", limit=limit) == first


@given(incidents, st.lists(cases, max_size=8), st.lists(hits, max_size=8), limits)
def test_similarity_is_a_share_and_falls(incident, found, by_text, limit) -> None:
    ranked = rank(incident, found, by_text, playbook="a", limit=limit)
    figures = [item.similarity for item in ranked]
    assert all(0 <= figure <= 1 for figure in figures)
    assert figures == sorted(figures, reverse=True)
    assert len(ranked) <= limit
    assert len({item.incident for item in ranked}) == len(ranked)
    assert all(item.by for item in ranked)


@given(incidents, st.lists(cases, min_size=1, max_size=8, unique_by=lambda case: case.incident))
def test_more_room_only_adds_at_the_end(incident, found) -> None:
    everything = rank(incident, found, [], playbook=None, limit=8)
    assert rank(incident, found, [], playbook=None, limit=1) == everything[:1]
