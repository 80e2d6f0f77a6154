"""What surrounds a service takes from a decision's boldness and never adds to it."""

from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest

from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.surroundings import (
    DEPENDENTS,
    IMPACT,
    OWNER,
    RUNBOOKS,
    UPSTREAM,
    dependents_of,
    in_words,
    reach_unknown,
    rests_on,
    suspects,
    with_open_incidents,
)
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.confidence import confidence
from penelope.rooms.decide.facts import Facts, facts_of
from penelope.rooms.decide.objectives import held, stratum
from penelope.rooms.decide.risk import cost, risk
from penelope.rooms.gate.facts import facts
from penelope.testing.cases import drawn_case
from penelope.testing.gate import passage, planned

AT = datetime(2026, 11, 20, tzinfo=UTC)
BLAST = {"services": 2, "names": ["a", "b"], "tiers": {"1": 2}, "teams": ["x"], "others": {"Dataset": 3}}


def evidence(concept: str, value: object, sure: float = 1.0, note: str = "") -> Evidence:
    return Evidence(
        concept=concept,
        value=value,
        source="graph",
        observed_at=AT,
        confidence=0.0 if value is None else sure,
        note=note,
    )


def with_context(case: Case, *items: Evidence, dependents: int = 0) -> Facts:
    dossier = replace(case.dossier, evidence=(*case.dossier.evidence, *items))
    return facts_of(replace(case, dossier=dossier, dependents=case.dependents + dependents))


def test_no_store_that_fails_makes_a_decision_bolder() -> None:
    random = Random(7)
    stricter = 0
    for number in range(1000):
        case = drawn_case(random, f"inc_{number}")
        plain = facts_of(case)
        told = with_context(
            case, evidence(DEPENDENTS, BLAST), evidence(OWNER, "team"), dependents=random.randint(0, 3)
        )
        missing = with_context(case, evidence(DEPENDENTS, None), evidence(OWNER, None))
        said = stratum(plain.evidence)
        trust = [confidence(facts, said).value for facts in (missing, told, plain)]
        assert trust == sorted(trust)
        assert risk(missing).value >= risk(told).value >= risk(plain).value
        assert cost(missing, held(plain.evidence)).value <= cost(told, held(plain.evidence)).value
        stricter += risk(missing).value > risk(told).value
    assert stricter > 300


def test_without_the_platform_a_decision_is_as_before() -> None:
    case = drawn_case(Random(3), "inc_1")
    assert not reach_unknown(facts_of(case).evidence)
    assert dependents_of(case.dossier.evidence) == rests_on(case.dossier.evidence) == frozenset()


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (evidence(DEPENDENTS, BLAST), "2 services (2 of tier 1), of x; and 3 x Dataset"),
        (evidence(DEPENDENTS, {"services": 1, "at_least": True}), "at least 1 service"),
        (evidence(DEPENDENTS, None, note="down"), "unknown (down)"),
        (evidence(OWNER, "team", 0.5, "of before"), "team (of before)"),
        (evidence(UPSTREAM, {"suspects": []}), "nothing that it rests on is known to be broken or changed"),
        (evidence(UPSTREAM, {"suspects": [{"name": "db", "why": "failing"}]}), "db: failing"),
        (evidence(RUNBOOKS, []), "none fits"),
        (
            evidence(RUNBOOKS, [{"title": "Do", "source": "do.md", "score": 1}]),
            "“Do” (do.md, 1.00)",
        ),
        (
            evidence(
                f"{IMPACT}.m", {"title": "Revenue", "unit": "USD", "per": "minute", "now": 10, "before": 40}
            ),
            "Revenue 10.00 USD per minute, a week before 40.00 (-75%)",
        ),
        (
            evidence(f"{IMPACT}.m", {"title": "Rate", "unit": "", "per": "", "now": 0.5, "before": 0}),
            "Rate 0.50, a week before 0.00",
        ),
    ],
)
def test_each_piece_has_words(item: Evidence, words: str) -> None:
    assert in_words(item) == words


def test_what_was_recorded_by_another_version_breaks_nothing() -> None:
    for value in ("text", 7, [1, None], {"names": 3, "suspects": "x", "tiers": [], "now": "y"}, {}):
        for concept in (OWNER, DEPENDENTS, UPSTREAM, RUNBOOKS, IMPACT):
            item = evidence(concept, value)
            assert isinstance(in_words(item), str)
            assert isinstance(suspects([item]), tuple)
            assert isinstance(dependents_of([item]), frozenset)


def test_our_own_incidents_come_first() -> None:
    item = evidence(UPSTREAM, {"suspects": [{"name": "db", "why": "failing"}], "rests_on": ["db", "api"]})
    found = with_open_incidents(item, [("inc_1", "api", AT)])
    assert suspects([found]) == ("api", "db")
    assert "inc_1" in in_words(found)
    assert rests_on([found]) == {"api", "db"}
    assert with_open_incidents(item, []) == item


def test_policies_see_what_surrounds_the_service_and_what_nobody_could_see() -> None:
    now = datetime(2026, 11, 21, 7, tzinfo=UTC)
    found = (
        evidence(
            UPSTREAM, {"suspects": [{"name": "db", "why": "failing"}, {"name": "db", "why": "changed"}]}
        ),
        evidence(DEPENDENTS, None),
        evidence("metric.error_ratio", None),
    )
    dossier = Dossier(service="shop", gathered_at=now, evidence=found)
    seen = facts(passage(planned(), now, dossier=dossier, dependents=4))
    assert seen["service.dependents"] == 4
    assert seen["context.suspects"] == ["db"]
    assert seen["context.unknown"] == [DEPENDENTS]
