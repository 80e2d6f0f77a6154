"""`decide`: the same case gets the same answer, and every figure is the sum of what is listed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Contract
from penelope.domain.decision import Decision, Judgement, Precedent, Score
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Match, Plan, Playbook
from penelope.domain.service import Service, Target
from penelope.domain.signal import Severity
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.confidence import confidence
from penelope.rooms.decide.risk import risk
from penelope.rooms.decide.run import Limits, decide

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
LIMITS = Limits(risk_limit=0.7, confidence_floor=0.5, observe_seconds=60, recheck_seconds=10)
ANYTHING = Contract(clauses=(), deadline_seconds=1)


def evidence(concept: str, value: object, sureness: float = 1.0) -> Evidence:
    return Evidence(concept=concept, value=value, source="test", observed_at=NOW, confidence=sureness)


def objective(name: str = "availability", *, met: bool) -> Evidence:
    return evidence(f"slo.{name}", {"objective": 0.02, "actual": 0.3, "met": met})


MISSED = Dossier(service="shop", gathered_at=NOW, evidence=(objective(met=False),))


def case(tier: Tier = Tier.LOCAL, **changes) -> Case:
    incident = Incident(
        id="inc_1",
        service="shop",
        fingerprint="f",
        name="Broken",
        severity=Severity.ERROR,
        state=IncidentState.RECEIVED,
        opened_at=NOW - timedelta(seconds=5),
        updated_at=NOW,
        signal_count=1,
    )
    step = Action(
        key="k",
        name="restart",
        adapter="fake",
        operation="set",
        target=Target(name="one", service="shop", adapter="fake"),
        params={},
        tier=tier,
        timeout_seconds=1,
    )
    made = Case(
        incident=incident,
        service=Service(name="shop", owner="team", tier=4),
        dependents=0,
        dossier=MISSED,
        playbook=Playbook(name="fix", version="1", title="Fix", match=Match(), steps=(), verify=ANYTHING),
        plan=Plan(
            id="p",
            incident="inc_1",
            service="shop",
            playbook="fix",
            playbook_version="1",
            steps=(step,),
            verify=ANYTHING,
        ),
        record=PlaybookRecord(playbook="fix", service="shop", successes=1),
        fits=True,
    )
    return replace(made, **changes)


def record(successes: int, failures: int) -> PlaybookRecord:
    return PlaybookRecord(playbook="fix", service="shop", successes=successes, failures=failures)


def named(score: Score) -> dict[str, float]:
    """The parts by name; they add up to the score, whatever it is."""
    assert score.value == pytest.approx(sum(item.value for item in score.contributions))
    assert 0 <= score.value <= 1
    return {item.name: round(item.value, 6) for item in score.contributions}


class TestRisk:
    def test_without_a_plan_there_is_nothing_to_risk(self) -> None:
        assert risk(case(plan=None)) == Score(value=0.0, contributions=())

    @pytest.mark.parametrize(("tier", "value"), [(1, 0.05), (2, 0.2), (3, 0.5), (4, 0.8)])
    def test_the_hardest_step_counts(self, tier: int, value: float) -> None:
        made = case(Tier(tier))
        softer = replace(made.plan.steps[0], tier=Tier.LOCAL)
        made = replace(made, plan=replace(made.plan, after=(softer,)))
        assert named(risk(made)) == {"reversibility": value}

    @pytest.mark.parametrize(
        ("tier", "dependents", "parts"),
        [
            (1, 1, {"criticality": 0.2, "dependents": 0.05}),
            (2, 4, {"criticality": 0.1, "dependents": 0.2}),
            (3, 9, {"criticality": 0.05, "dependents": 0.2}),
            (4, 0, {}),
        ],
    )
    def test_what_leans_on_the_service_counts(
        self, tier: int, dependents: int, parts: dict[str, float]
    ) -> None:
        service = Service(name="shop", owner="team", tier=tier)
        found = named(risk(case(service=service, dependents=dependents)))
        assert found == {"reversibility": 0.05, **parts}

    @pytest.mark.parametrize(
        ("past", "parts"),
        [
            (None, {"unproven": 0.05}),
            (record(0, 0), {"unproven": 0.05}),
            (record(9, 0), {}),
            (record(9, 1), {"failures": 0.1}),
            (record(0, 9), {"failures": 0.3}),
        ],
    )
    def test_what_the_playbook_came_to_counts(
        self, past: PlaybookRecord | None, parts: dict[str, float]
    ) -> None:
        assert named(risk(case(record=past))) == {"reversibility": 0.05, **parts}

    def test_the_worst_of_everything_is_1(self) -> None:
        service = Service(name="shop", owner="team", tier=1)
        worst = risk(case(Tier.IRREVERSIBLE, service=service, dependents=9, record=record(0, 9)))
        assert named(worst)["limit"] == pytest.approx(-0.5)
        assert worst.value == 1


class TestConfidence:
    def test_all_that_speaks_for_it(self) -> None:
        assert named(confidence(case(record=record(1, 0)))) == {
            "evidence": 0.3,
            "confirmed": 0.25,
            "fit": 0.2,
            "precedent": round(0.25 * 2 / 3, 6),
        }

    @pytest.mark.parametrize(
        ("past", "belief"), [(None, 0.5), (record(0, 0), 0.5), (record(0, 2), 0.25), (record(98, 0), 0.99)]
    )
    def test_precedents_count_by_the_rule_of_succession(
        self, past: PlaybookRecord | None, belief: float
    ) -> None:
        assert named(confidence(case(record=past)))["precedent"] == pytest.approx(0.25 * belief)

    def test_what_could_not_be_seen_lowers_it(self) -> None:
        unseen = Evidence(
            concept="slo.latency", value=None, source="test", observed_at=NOW, confidence=0, note="no answer"
        )
        dossier = replace(MISSED, evidence=(objective(met=False), unseen))
        trust = confidence(case(dossier=dossier))
        assert named(trust)["evidence"] == 0.15
        assert trust.contributions[0].reason == "1 of 2 pieces of evidence could be seen"

    def test_objectives_that_are_met_speak_against_the_signal(self) -> None:
        both = replace(MISSED, evidence=(objective(met=True), objective("latency", met=True)))
        assert named(confidence(case(dossier=both)))["contradicted"] == -0.1
        one = replace(MISSED, evidence=(objective(met=True), objective("latency", met=False)))
        trust = confidence(case(dossier=one))
        assert "contradicted" not in named(trust)
        assert trust.contributions[1].reason == "not met: latency"

    def test_without_objectives_nothing_bears_the_signal_out(self) -> None:
        strange = evidence("slo.strange", {"objective": 1})
        dossier = replace(MISSED, evidence=(evidence("metric.error_ratio", 0.5), strange))
        assert set(named(confidence(case(dossier=dossier)))) == {"evidence", "fit", "precedent"}

    def test_of_nothing_nothing_is_known(self) -> None:
        empty = replace(MISSED, evidence=())
        trust = confidence(case(dossier=empty, plan=None))
        assert named(trust) == {"evidence": 0.0}
        against = replace(MISSED, evidence=(replace(objective(met=True), confidence=0.0),))
        assert confidence(case(dossier=against, plan=None)).value == 0


def judged(made: Case, *, after: float = 5, **limits) -> Decision:
    """The decision `after` so many seconds of the incident."""
    return decide(made, replace(LIMITS, **limits), made.incident.opened_at + timedelta(seconds=after))


class TestJudgement:
    def test_a_safe_fix_is_carried_out(self) -> None:
        decision = judged(case())
        assert decision.judgement is Judgement.INTERVENE
        assert (decision.incident, decision.playbook) == ("inc_1", "fix")
        assert (decision.needs_approval, decision.recheck_seconds) == (False, None)
        assert decision.rationale == "playbook fix fits, risk 0.05 ≤ 0.70, confidence 0.92 ≥ 0.50"
        assert decision.precedents == (Precedent(playbook="fix", service="shop", successes=1, failures=0),)
        assert judged(case()) == decision

    def test_limits_that_are_just_met_are_met(self) -> None:
        made = case(Tier.SNAPSHOT)
        trust = confidence(made).value
        assert judged(made, risk_limit=0.2, confidence_floor=trust).judgement is Judgement.INTERVENE
        above = judged(made, risk_limit=0.1999)
        assert (above.judgement, above.needs_approval) == (Judgement.ESCALATE, True)
        assert "risk 0.20 is above 0.20: a person must say" in above.rationale
        below = judged(made, confidence_floor=trust + 1e-9)
        assert (below.judgement, below.needs_approval) == (Judgement.OBSERVE, False)

    def test_doubt_is_looked_into_and_then_put_to_a_person(self) -> None:
        early = judged(case(), after=59.9, confidence_floor=0.99)
        assert (early.judgement, early.recheck_seconds) == (Judgement.OBSERVE, 10)
        assert early.rationale == "confidence 0.92 is below 0.99: look again"
        late = judged(case(), after=60, confidence_floor=0.99)
        assert (late.judgement, late.needs_approval) == (Judgement.ESCALATE, True)
        assert late.recheck_seconds is None
        assert late.rationale == "confidence 0.92 is below 0.99 after 60 s: a person must say"

    def test_an_observation_counts_from_when_it_began(self) -> None:
        made = case()
        waited = replace(made.incident, observed_since=made.incident.opened_at + timedelta(seconds=30))
        made = replace(made, incident=waited)
        assert judged(made, after=89.9, confidence_floor=0.99).judgement is Judgement.OBSERVE
        assert judged(made, after=90, confidence_floor=0.99).judgement is Judgement.ESCALATE

    def test_a_playbook_may_always_want_a_person(self) -> None:
        made = case()
        decision = judged(replace(made, playbook=replace(made.playbook, approval=True)))
        assert (decision.judgement, decision.needs_approval) == (Judgement.ESCALATE, True)
        assert decision.rationale == "playbook fix is for a person to approve; confidence 0.92"

    def test_without_a_playbook_there_is_nothing_to_wait_for(self) -> None:
        made = case(playbook=None, plan=None, record=None, obstacles=("none fits", "none at all"), fits=False)
        decision = judged(made)
        assert (decision.judgement, decision.needs_approval) == (Judgement.ESCALATE, False)
        assert (decision.rationale, decision.playbook, decision.precedents) == (
            "none fits; none at all",
            None,
            (),
        )

    def test_a_playbook_that_cannot_be_bound_yet_is_waited_for(self) -> None:
        made = case(playbook=None, plan=None, record=None, obstacles=("fix: too few figures",))
        early = judged(made, after=59.9)
        assert (early.judgement, early.rationale) == (Judgement.OBSERVE, "not yet: fix: too few figures")
        late = judged(made, after=60)
        assert (late.judgement, late.needs_approval) == (Judgement.ESCALATE, False)
        assert late.rationale == "fix: too few figures"

    def test_a_record_without_uses_is_no_precedent(self) -> None:
        assert judged(case(record=record(0, 0))).precedents == ()
