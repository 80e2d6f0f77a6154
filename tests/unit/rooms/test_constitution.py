"""The constitution: each article measures what its page says, and none makes a decision bolder."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from test_decide import LIMITS, NOW, case, evidence, objective

from penelope.domain.action import Tier
from penelope.domain.constitution import Article, Weighed, bit
from penelope.domain.decision import Contribution, Decision, Judgement, Score, score
from penelope.domain.deployment import Course, Stage
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Plan
from penelope.domain.service import Target
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.constitution.certainty import Certainty
from penelope.rooms.decide.constitution.cost import Cost
from penelope.rooms.decide.constitution.gentleness import Gentleness
from penelope.rooms.decide.constitution.halts import Halts
from penelope.rooms.decide.constitution.principle import Principle
from penelope.rooms.decide.constitution.reasons import Reasons
from penelope.rooms.decide.constitution.rest import Rest
from penelope.rooms.decide.constitution.user_impact import UserImpact
from penelope.rooms.decide.constitution.waiting import Waiting
from penelope.rooms.decide.constitution.weigh import Constitution, weigh
from penelope.rooms.decide.facts import Facts, facts_of
from penelope.rooms.decide.run import decide


def dossier(*items: Evidence) -> Dossier:
    return Dossier(service="shop", gathered_at=NOW, evidence=items)


def made(judgement: Judgement = Judgement.INTERVENE, sure: float = 0.9, **changes: Any) -> Decision:
    part = Contribution(name="evidence", value=sure, reason="it was seen")
    decision = Decision(
        incident="inc_1",
        judgement=judgement,
        risk=score(),
        confidence=score(part),
        rationale="it fits",
        decided_at=NOW,
        playbook="fix",
    )
    return replace(decision, **changes)


def plan(*params: dict[str, Any], tier: Tier = Tier.LOCAL, **changes: Any) -> Plan:
    """A plan with an action for each set of parameters, each on a service of its own."""
    (step,) = case().plan.steps
    steps = tuple(
        replace(
            step,
            params=given,
            tier=tier,
            target=Target(name="t", service=f"service-{number}", adapter="fake"),
        )
        for number, given in enumerate(params)
    )
    return replace(case().plan, steps=steps, **changes)


def only(principle: Principle) -> Constitution:
    """The constitution with one article changed."""
    changed: Any = {principle.name: principle}
    return replace(Constitution(), **changed)


def measured(principle: Principle, made_case: Case, decision: Decision) -> tuple[float, bool]:
    weighed = principle.weigh(facts_of(made_case), decision)
    assert (weighed.article, weighed.principle) == (principle.article, principle.name)
    assert weighed.reason
    return round(weighed.measure, 6), weighed.kept


# --- each article -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "watched", "expected"),
    [
        (dossier(objective(met=False)), False, (1.0, True)),
        (dossier(), False, (0.5, True)),
        (dossier(evidence("slo.x", None)), True, (1.0, True)),
        (dossier(objective(met=True)), False, (0.0, False)),
        (dossier(objective(met=True)), True, (0.5, True)),
    ],
)
def test_sophia_asks_whether_waiting_is_wiser(
    *, seen: Dossier, watched: bool, expected: tuple[float, bool]
) -> None:
    incident = replace(case().incident, observed_since=NOW if watched else None)
    assert measured(Waiting(), case(dossier=seen, incident=incident), made()) == expected
    assert measured(Waiting(), case(dossier=seen), made(Judgement.OBSERVE)) == (1.0, True)
    assert measured(Waiting(), case(dossier=seen, plan=None), made(Judgement.ESCALATE)) == (1.0, True)


DIFF = "--- a/f\n+++ b/f\n@@ -1 +1 @@\n" + "-old\n" * 50 + "+new\n" * 50


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (plan({}), 0.0),
        (plan({}, tier=Tier.SNAPSHOT), 0.5 / 3),
        (plan({}, tier=Tier.IRREVERSIBLE), 0.5),
        (plan({}, {}, {}), 0.15),
        (plan(*[{}] * 9), 0.3),
        (plan({"diff": DIFF}), 0.1),
        (plan({"diff": DIFF * 9}), 0.2),
        (plan({"diff": 7}), 0.0),
        (plan(*[{"diff": DIFF * 9}] * 9, tier=Tier.IRREVERSIBLE), 1.0),
    ],
)
def test_praotes_measures_how_much_would_be_changed(bound: Plan, expected: float) -> None:
    measure, kept = measured(Gentleness(), case(plan=bound), made())
    assert measure == pytest.approx(expected, abs=1e-6)
    assert kept is (expected <= 0.7)


def test_praotes_has_nothing_against_doing_nothing() -> None:
    assert measured(Gentleness(limit=0.0), case(plan=None), made(Judgement.ESCALATE)) == (0.0, True)
    large = case(plan=plan({}, tier=Tier.IRREVERSIBLE))
    assert measured(Gentleness(limit=0.0), large, made(Judgement.OBSERVE)) == (0.0, True)
    assert measured(Gentleness(limit=0.0), large, made(Judgement.ESCALATE)) == (0.5, False)


def test_tapeinophrosyne_does_not_act_when_unsure() -> None:
    assert measured(Certainty(), case(), made(sure=0.3)) == (0.3, True)
    assert measured(Certainty(), case(), made(sure=0.29)) == (0.29, False)
    assert measured(Certainty(), case(), made(Judgement.ESCALATE, sure=0.0)) == (0.0, True)


def test_stewardship_weighs_cost_against_the_error_budget() -> None:
    long = plan(*[{}] * 16, rollout=Course(canary="b", control="a"))
    fine = dossier(objective(met=True))
    assert measured(Cost(), case(plan=long, dossier=dossier()), made()) == (1.0, False)
    burning = replace(objective(met=False), value={"objective": 0.1, "actual": 0.4, "met": False})
    assert measured(Cost(), case(plan=long, dossier=dossier(burning)), made()) == (0.25, True)
    assert measured(Cost(), case(dossier=fine), made(Judgement.OBSERVE)) == (0.0, True)


def test_agape_counts_the_users_who_are_at_stake() -> None:
    hard, canary = (
        plan({}, tier=Tier.HARD_TO_REVERSE),
        Course(canary="b", control="a", stages=(Stage(weight=10), Stage(weight=100))),
    )
    fine, bad = (dossier(evidence("metric.error_ratio", share)) for share in (0.05, 0.9))
    assert measured(UserImpact(), case(plan=hard, dossier=fine), made()) == (0.95, False)
    assert measured(UserImpact(), case(plan=hard, dossier=bad), made()) == (0.1, True)
    assert measured(UserImpact(), case(plan=replace(hard, rollout=canary), dossier=fine), made()) == (
        0.05,
        True,
    )
    assert measured(UserImpact(), case(dossier=bad), made(Judgement.OBSERVE)) == (0.9, False)
    assert measured(UserImpact(), case(dossier=bad), made(Judgement.ESCALATE)) == (0.0, True)


def test_sabbath_leaves_in_peace_what_was_just_changed() -> None:
    def rested(seconds: float) -> tuple[float, bool]:
        record = PlaybookRecord(playbook="fix", service="shop", changed_at=NOW - timedelta(seconds=seconds))
        return measured(Rest(rest_seconds=100), case(record=record), made())

    assert rested(25) == (0.25, False)
    assert rested(100) == (1.0, True)
    assert rested(-5) == (0.0, False)
    assert measured(Rest(), case(record=None), made()) == (1.0, True)


def test_prudence_stops_where_fixes_fail() -> None:
    failed = tuple(NOW - timedelta(seconds=number) for number in (901, 900, 10, 5))
    assert measured(Halts(), case(failed_at=failed), made()) == (3.0, False)
    assert measured(Halts(limit=4), case(failed_at=failed), made()) == (3.0, True)
    assert measured(Halts(), case(failed_at=failed), made(Judgement.ESCALATE)) == (3.0, True)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, ""),
        ({"rationale": "  "}, "the judgement"),
        ({"risk": Score(value=0.4, contributions=())}, "the sum of risk"),
        ({"confidence": Score(value=float("nan"), contributions=())}, "the sum of confidence"),
        ({"risk": score(Contribution(name="tier", value=0.4, reason=""))}, "risk's tier"),
    ],
)
def test_aletheia_wants_a_reason_for_everything(changes: dict[str, Any], missing: str) -> None:
    weighed = Reasons().weigh(facts_of(case()), made(**changes))
    assert weighed.kept is (not missing)
    assert (weighed.measure == 1.0) is weighed.kept
    assert missing in weighed.reason


def test_aletheia_wants_a_source_for_all_evidence() -> None:
    nowhere = dossier(replace(evidence("metric.size", 1), source=""))
    assert not Reasons().weigh(facts_of(case(dossier=nowhere)), made()).kept


@pytest.mark.parametrize(
    ("seen", "failing"),
    [
        (dossier(objective(met=False)), 1.0),
        (dossier(evidence("metric.error_ratio", "much")), 0.0),
        (dossier(evidence("metric.error_ratio", 7)), 1.0),
        (dossier(evidence("slo.x", {"met": False})), 0.0),  # says nothing that could be held against it
    ],
)
def test_agape_counts_whom_waiting_leaves_unserved(seen: Dossier, failing: float) -> None:
    assert measured(UserImpact(), case(dossier=seen), made(Judgement.OBSERVE))[0] == failing


# --- all together -----------------------------------------------------------------------------------------


def test_a_decision_bears_every_article_in_its_order() -> None:
    decision = decide(case(), LIMITS, NOW)
    assert decision.judgement is Judgement.INTERVENE
    assert {item.article for item in decision.articles} == set(Article)
    assert all(item.kept for item in decision.articles)
    assert sorted(map(bit, Article)) == [1 << number for number in range(8)]


@pytest.mark.parametrize(
    ("principle", "changes"),
    [
        (Gentleness(limit=0.0), {"plan": plan({}, tier=Tier.SNAPSHOT)}),
        (Certainty(limit=0.99), {}),
        (Reasons(), {"dossier": dossier(replace(objective(met=False), source=""))}),
    ],
)
def test_what_forbids_leaves_the_case_to_people(principle: Principle, changes: dict[str, Any]) -> None:
    decision = decide(case(**changes), replace(LIMITS, constitution=only(principle)), NOW)
    assert (decision.judgement, decision.needs_approval) == (Judgement.ESCALATE, True)
    assert f"{principle.article.value} ({principle.name}) forbids it" in decision.rationale


@pytest.mark.parametrize(
    "principle", [Waiting(limit=1.1), Cost(limit=-1), UserImpact(limit=-1), Halts(limit=-1)]
)
def test_what_only_measures_changes_nothing(principle: Principle) -> None:
    decision = decide(case(), replace(LIMITS, constitution=only(principle)), NOW)
    assert decision.judgement is Judgement.INTERVENE
    assert [item.kept for item in decision.articles if item.principle == principle.name] == [False]


@pytest.mark.parametrize("judgement", [Judgement.OBSERVE, Judgement.ESCALATE])
def test_no_decision_becomes_bolder(judgement: Judgement) -> None:
    strict: Sequence[Principle] = (Gentleness(limit=-1), Certainty(limit=2), Reasons())
    before = made(judgement, rationale="")
    after = weigh(facts_of(case()), before, strict)
    assert replace(after, articles=()) == before


class Broken:
    """A principle that raises."""

    name, article, forbids = "broken", Article.PRUDENCE, True

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:  # noqa: ARG002 - it never comes to look
        raise ZeroDivisionError


def test_a_principle_that_breaks_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        decision = weigh(facts_of(case()), made(), (*Constitution().principles, Broken()))
    assert decision.judgement is Judgement.ESCALATE
    assert decision.articles[-1].reason == "it could not be weighed (ZeroDivisionError)"
