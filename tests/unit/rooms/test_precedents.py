"""Which past cases count as like an incident, in which order, and whether they agree."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.likeness import Hit
from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase
from penelope.domain.signal import Severity
from penelope.rooms.decide.precedents import agrees, rank, terms_of, text_of
from penelope.testing.past import past_case

NOW = datetime(2026, 11, 21, tzinfo=UTC)

INCIDENT = Incident(
    id="inc_now",
    service="shop",
    fingerprint="f1",
    name="HighErrorRate",
    severity=Severity.CRITICAL,
    state=IncidentState.RECEIVED,
    opened_at=NOW,
    updated_at=NOW,
    signal_count=1,
    labels={"team": "shop", "release": "2.5.0"},
    summary="requests fail",
)


def past(incident: str, **changes: Any) -> PastCase:
    made = past_case(
        incident=incident,
        fingerprint="f1",
        name="HighErrorRate",
        severity=Severity.CRITICAL,
        confidence=0.8,
        opened_at=NOW - timedelta(days=1),
        ended_at=NOW - timedelta(hours=1),
    )
    return replace(made, **changes)


def ranked(
    *cases: PastCase, hits: tuple[Hit, ...] = (), limit: int = 10
) -> list[tuple[str, tuple[str, ...]]]:
    found = rank(INCIDENT, cases, hits, playbook="fix", limit=limit)
    return [(item.incident, item.by) for item in found]


def hit(name: str, likeness: float, *by: str) -> Hit:
    return Hit(incident=name, likeness=likeness, by=by or ("meaning",))


def test_the_same_problem_stands_above_the_same_name_above_likeness() -> None:
    same = past("same")
    elsewhere = past("elsewhere", service="blog", fingerprint="f2")
    like = past("like", service="blog", fingerprint="f3", name="Other")
    found = ranked(like, elsewhere, same, hits=(hit("like", 0.6),))
    assert found == [("same", ("fingerprint",)), ("elsewhere", ("name",)), ("like", ("meaning",))]


def test_however_alike_the_words_are_the_same_problem_stands_above() -> None:
    like = past("like", fingerprint="f3", name="Other")
    assert [name for name, _ in ranked(like, past("same"), hits=(hit("like", 1.0),))] == ["same", "like"]


def test_of_equals_the_newest_comes_first() -> None:
    cases = [past(f"case-{hours}", ended_at=NOW - timedelta(hours=hours)) for hours in (3, 1, 2)]
    assert [name for name, _ in ranked(*cases, limit=2)] == ["case-1", "case-2"]


def test_a_label_that_few_have_weighs_more_than_one_that_all_have() -> None:
    common = [past(f"common-{number}", labels={"team": "shop"}) for number in range(5)]
    rare = past("rare", labels={"release": "2.5.0"}, ended_at=NOW - timedelta(days=9))
    names = [name for name, _ in ranked(*common, rare)]
    assert names[0] == "rare"


def test_what_is_hardly_alike_is_left_out() -> None:
    other = past("other", fingerprint="f3", name="Other", service="blog")
    assert ranked(other, replace(other, incident="far"), hits=(hit("far", 0.2),)) == []


def test_an_incident_is_no_precedent_of_itself() -> None:
    assert ranked(past("inc_now")) == []


def test_a_case_that_is_given_twice_counts_once() -> None:
    assert len(ranked(past("one"), past("one"))) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"verified": False, "kind": OutcomeKind.ESCALATED}, False),
        ({"playbook": None, "verified": None, "kind": OutcomeKind.RESOLVED, "healed_itself": True}, False),
        ({"playbook": None, "verified": None, "kind": OutcomeKind.ESCALATED}, None),
        ({"playbook": "another"}, None),
        ({"playbook": "another", "verified": False}, None),
    ],
)
def test_whether_a_case_speaks_for_the_plan(changes: dict[str, Any], expected: bool | None) -> None:  # noqa: FBT001 - a case's answer
    assert agrees(past("case", **changes), "fix") is expected
    assert agrees(past("case", **changes), None) is None


def test_names_are_read_as_words() -> None:
    assert text_of("HighErrorRate", "now") == "High Error Rate. now"
    assert text_of("disk_full-HTTPErrors", "") == "disk full HTTP Errors. "
    assert text_of("", "only this") == "only this"
    assert terms_of("HighErrorRate", "An ERROR, again", {"zone": "a"}) == (
        "high",
        "error",
        "rate",
        "an",
        "again",
        "zone=a",
    )


def test_endless_texts_are_cut() -> None:
    assert len(text_of("Name", "x" * 100_000)) == 1000
    assert len(terms_of("Name", " ".join(f"word{number}" for number in range(5000)), {})) <= 128


def test_what_the_tallies_hold_already_says_so() -> None:
    def counted(*cases: PastCase) -> list[tuple[bool | None, bool]]:
        return [(item.verified, item.counted) for item in rank(INCIDENT, cases, (), playbook="fix", limit=9)]

    assert counted(past("lived")) == [(True, True)]
    assert counted(past("told", imported=True)) == [(True, False)]
    assert counted(past("other", playbook="another")) == [(None, False)]


def test_labels_from_outside_are_no_words_without_end() -> None:
    terms = terms_of("Odd", "a b", {f"key-{number:03}": "x" * 4096 for number in range(1000)})
    assert terms[:3] == ("odd", "a", "b")
    assert len(terms) == 3 + 64
    assert max(map(len, terms)) == 128
