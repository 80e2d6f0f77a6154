"""`decide`: the same case gets the same answer, and every figure is the sum of what is listed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Contract
from penelope.domain.decision import Decision, Judgement, Precedent, Score, added
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.likeness import Likeness
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.plan import Match, Plan, Playbook
from penelope.domain.precedent import Durations, PastDurations, Stratum, Tallies, Tally
from penelope.domain.service import Service, Target
from penelope.domain.signal import Severity
from penelope.rooms.decide import confidence as belief
from penelope.rooms.decide import risk as danger
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.facts import facts_of
from penelope.rooms.decide.objectives import held, stratum
from penelope.rooms.decide.run import Limits, decide

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
LIMITS = Limits(risk_limit=0.7, confidence_floor=0.5, observe_seconds=60, recheck_seconds=10)
ANYTHING = Contract(clauses=(), deadline_seconds=1)


def evidence(concept: str, value: object, sureness: float = 1.0) -> Evidence:
    return Evidence(concept=concept, value=value, source="test", observed_at=NOW, confidence=sureness)


def objective(name: str = "availability", *, met: bool) -> Evidence:
    return evidence(f"slo.{name}", {"objective": 0.02, "actual": 0.01 if met else 0.3, "met": met})


MISSED = Dossier(service="shop", gathered_at=NOW, evidence=(objective(met=False),))


SHOP = Service(
    name="shop", owner="team", tier=4, targets={"one": Target(name="one", service="shop", adapter="fake")}
)


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
        service=SHOP,
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
    assert score.value == added(score.contributions)
    assert 0 <= score.value <= 1
    return {item.name: round(item.value, 6) for item in score.contributions}


def risk(made: Case) -> Score:
    return danger.risk(facts_of(made))


def cost(made: Case) -> Score:
    facts = facts_of(made)
    return danger.cost(facts, held(facts.evidence))


def confidence(made: Case) -> Score:
    return belief.confidence(facts_of(made), stratum(made.dossier.evidence))


def tallies(**levels: tuple[int, int]) -> Tallies:
    """Of each level as much as it has beyond those inside it."""
    successes = failures = 0
    made = {}
    for name in ("service", "alike", "playbook", "everything"):
        well, badly = levels.get(name, (0, 0))
        successes, failures = successes + well, failures + badly
        made[name] = Tally(successes=successes, failures=failures)
    well, badly = levels.get("imported", (0, 0))
    return Tallies(**made, imported=Tally(successes=well, failures=badly))


class TestRisk:
    def test_without_a_plan_there_is_nothing_to_risk(self) -> None:
        assert risk(case(plan=None)) == Score(value=0.0, contributions=())

    @pytest.mark.parametrize(("tier", "value"), [(1, 0.02), (2, 0.1), (3, 0.5), (4, 1.0)])
    def test_it_is_irreversibility_by_reach_by_criticality(self, tier: int, value: float) -> None:
        found = risk(case(Tier(tier)))
        assert list(named(found)) == ["irreversibility", "reach", "criticality"]
        assert found.value == pytest.approx(value * 0.8 * 0.4)
        assert named(found)["irreversibility"] == value

    def test_each_step_adds_to_what_cannot_be_taken_back(self) -> None:
        made = case(Tier.SNAPSHOT)
        more = replace(made.plan.steps[0], tier=Tier.HARD_TO_REVERSE)
        made = replace(made, plan=replace(made.plan, after=(more,)))
        assert named(risk(made))["irreversibility"] == pytest.approx(1 - 0.9 * 0.5)
        assert "2 steps, the hardest of tier 3" in risk(made).contributions[0].reason

    def test_what_leans_on_the_service_is_within_reach(self) -> None:
        values = [risk(case(Tier.IRREVERSIBLE, dependents=number)).value / 0.4 for number in (0, 1, 2, 9)]
        assert values == pytest.approx([0.8, 0.84, 0.872, 1 - 0.2 * 0.8**9])

    def test_part_of_a_service_is_less_than_all_of_it(self) -> None:
        four = {name: Target(name=name, service="shop", adapter="fake") for name in ("one", "b", "c", "d")}
        part = risk(case(Tier.IRREVERSIBLE, service=replace(SHOP, targets=four)))
        assert part.value == pytest.approx(0.2 * 0.4)
        assert "1 of 4 targets" in part.contributions[1].reason

    def test_a_target_of_another_service_widens_the_reach(self) -> None:
        made = case(Tier.IRREVERSIBLE)
        far = replace(made.plan.steps[0], target=Target(name="x", service="bank", adapter="fake"))
        made = replace(made, plan=replace(made.plan, after=(far,)))
        assert risk(made).value == pytest.approx((1 - 0.2 * 0.8) * 0.4)
        assert ", 1 service besides" in risk(made).contributions[1].reason

    def test_what_is_reversible_stays_well_below_the_limit_and_what_is_not_goes_well_above(self) -> None:
        service = replace(SHOP, tier=2)
        assert risk(case(Tier.SNAPSHOT, service=service, dependents=2)).value < 0.1
        service = replace(SHOP, tier=1)
        assert risk(case(Tier.IRREVERSIBLE, service=service, dependents=2)).value > 0.85


class TestCost:
    @pytest.mark.parametrize(
        ("severity", "actual", "burn"),
        [
            (Severity.ERROR, 0.3, 15 / 19),
            (Severity.ERROR, 0.001, 2 / 6),
            (Severity.CRITICAL, 0.04, 4 / 8),
            (Severity.INFO, 1e300, 1000 / 1004),
        ],
    )
    def test_the_error_budget_burns_and_the_severity_is_a_floor(
        self, severity: Severity, actual: float, burn: float
    ) -> None:
        figures = evidence("slo.availability", {"objective": 0.02, "actual": actual, "met": actual <= 0.02})
        made = case(dossier=replace(MISSED, evidence=(figures,)))
        made = replace(made, incident=replace(made.incident, severity=severity))
        assert named(cost(made))["burn"] == pytest.approx(burn)
        assert cost(made).value == pytest.approx(burn * 0.8 * 0.4)

    def test_unseen_it_is_what_the_severity_stands_for(self) -> None:
        found = cost(case(dossier=replace(MISSED, evidence=())))
        assert named(found)["burn"] == pytest.approx(2 / 6)
        assert (
            found.contributions[0].reason == "no objective was seen; error stands for 2 times what is allowed"
        )


class TestConfidence:
    def test_of_a_new_playbook_the_objectives_tell(self) -> None:
        assert confidence(case()).value == 0.7
        both = replace(MISSED, evidence=(objective(met=True), objective("latency", met=True)))
        assert confidence(case(dossier=both)).value == 0.3
        one = replace(MISSED, evidence=(objective(met=True), objective("latency", met=False)))
        assert confidence(case(dossier=one)).value == 0.7
        strange = evidence("slo.strange", {"objective": 1})
        none = replace(MISSED, evidence=(evidence("metric.error_ratio", 0.5), strange))
        assert confidence(case(dossier=none)).value == 0.55

    def test_what_could_not_be_seen_lowers_the_first_belief(self) -> None:
        unseen = Evidence(
            concept="slo.latency", value=None, source="test", observed_at=NOW, confidence=0, note="no answer"
        )
        trust = confidence(case(dossier=replace(MISSED, evidence=(objective(met=False), unseen))))
        assert named(trust) == {"confirmed": 0.7, "evidence": pytest.approx(-0.7 * 0.075)}
        assert trust.contributions[1].reason == "1 of 2 pieces of evidence could be seen"

    @pytest.mark.parametrize("level", ["everything", "playbook", "alike", "service"])
    def test_each_level_moves_it_towards_what_it_saw(self, level: str) -> None:
        up = confidence(case(tallies=tallies(**{level: (6, 0)})))
        down = confidence(case(tallies=tallies(**{level: (0, 6)})))
        assert (up.value, down.value) == pytest.approx((0.85, 0.35))
        assert len(up.contributions) == 3

    def test_the_levels_follow_each_other(self) -> None:
        trust = confidence(case(tallies=tallies(everything=(6, 0), playbook=(0, 6), service=(14, 0))))
        assert list(named(trust)) == ["confirmed", "evidence", "all playbooks", "playbook", "this service"]
        assert trust.value == pytest.approx((6 * 0.425 + 14) / 20)
        assert trust.contributions[-1].reason == "fix on shop: verified 14 of 14 times"
        assert trust.interval == pytest.approx((0.614, 0.935), abs=0.001)

    def test_imported_and_similar_cases_weigh_little(self) -> None:
        poisoned = confidence(case(tallies=tallies(imported=(1_000_000, 0))))
        assert poisoned.value == pytest.approx((6 * 0.7 + 3) / 9)
        lived = confidence(case(tallies=tallies(imported=(1_000_000, 0), service=(0, 12))))
        assert lived.value < 0.3
        near = [Likeness(incident=f"inc_{n}", similarity=0.9, verified=False) for n in range(50)]
        alike = confidence(case(similar=(*near, Likeness(incident="inc_x", similarity=1.0))))
        assert alike.value == pytest.approx(6 * 0.7 / 8)

    def test_an_imported_case_that_is_similar_counts_once(self) -> None:
        near = [Likeness(incident=f"past_{n}", similarity=0.9, verified=True) for n in range(2)]
        trust = confidence(case(tallies=tallies(imported=(2, 0)), similar=tuple(near)))
        assert "imported" not in named(trust)
        assert trust.value == pytest.approx((6 * 0.7 + 1.8) / 7.8)
        lived = Likeness(incident="inc_1", similarity=0.9, verified=True, counted=True)
        trust = confidence(case(tallies=tallies(imported=(2, 0)), similar=(lived,)))
        assert trust.value == pytest.approx((6 * 0.7 + 2) / 8)

    def test_of_nothing_nothing_is_known(self) -> None:
        assert confidence(case(plan=None)) == Score(value=0.0, contributions=())
        empty = confidence(case(dossier=replace(MISSED, evidence=())))
        assert empty.value == pytest.approx(0.55 * 0.85)

    def test_two_failures_do_not_stop_a_confirmed_fix_and_three_do(self) -> None:
        trust = [confidence(case(tallies=tallies(service=(0, number)))).value for number in (2, 3)]
        assert trust[0] >= 0.5 > trust[1]


def judged(made: Case, *, after: float = 5, **limits) -> Decision:
    """The decision `after` so many seconds of the incident."""
    return decide(made, replace(LIMITS, **limits), made.incident.opened_at + timedelta(seconds=after))


class TestJudgement:
    def test_a_safe_fix_is_carried_out(self) -> None:
        decision = judged(case())
        assert decision.judgement is Judgement.INTERVENE
        assert (decision.incident, decision.playbook) == ("inc_1", "fix")
        assert (decision.needs_approval, decision.recheck_seconds) == (False, None)
        assert decision.rationale == "playbook fix fits, risk 0.01 ≤ 0.70, confidence 0.70 ≥ 0.50"
        assert decision.precedents == (Precedent(playbook="fix", service="shop", successes=1, failures=0),)
        assert judged(case()) == decision

    def test_limits_that_are_just_met_are_met(self) -> None:
        made = case(Tier.SNAPSHOT)
        trust, risked = confidence(made).value, risk(made).value
        assert judged(made, risk_limit=risked, confidence_floor=trust).judgement is Judgement.INTERVENE
        above = judged(made, risk_limit=risked - 1e-9)
        assert (above.judgement, above.needs_approval) == (Judgement.ESCALATE, True)
        assert "risk 0.03 is above 0.03: a person must say" in above.rationale
        below = judged(made, confidence_floor=trust + 1e-9)
        assert (below.judgement, below.needs_approval) == (Judgement.OBSERVE, False)

    def test_doubt_is_looked_into_and_then_put_to_a_person(self) -> None:
        early = judged(case(), after=59.9, confidence_floor=0.99)
        assert (early.judgement, early.recheck_seconds) == (Judgement.OBSERVE, 10)
        assert early.rationale == "confidence 0.70 is below 0.99: look again"
        late = judged(case(), after=60, confidence_floor=0.99)
        assert (late.judgement, late.needs_approval) == (Judgement.ESCALATE, True)
        assert late.recheck_seconds is None
        assert late.rationale == "confidence 0.70 is below 0.99 after 60 s: a person must say"

    def test_where_all_objectives_are_met_there_is_time_to_ask(self) -> None:
        met = Dossier(service="shop", gathered_at=NOW, evidence=(objective(met=True),))
        proven = Tally(successes=1000, failures=0)
        tallies = Tallies(everything=proven, playbook=proven, alike=proven, service=proven)
        assert judged(case(tallies=tallies)).judgement is Judgement.INTERVENE
        early = judged(case(dossier=met, tallies=tallies))
        assert early.judgement is Judgement.OBSERVE
        assert early.rationale.startswith("the service meets all its objectives; confidence")
        late = judged(case(dossier=met, tallies=tallies), after=60)
        assert (late.judgement, late.needs_approval) == (Judgement.ESCALATE, True)

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
        assert decision.rationale == "playbook fix is for a person to approve; confidence 0.70"

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

    def test_what_risks_more_than_the_incident_harms_is_for_a_person(self) -> None:
        quiet = evidence("slo.availability", {"objective": 0.02, "actual": 0.03, "met": False})
        made = case(Tier.HARD_TO_REVERSE, dossier=replace(MISSED, evidence=(quiet,)))
        made = replace(made, incident=replace(made.incident, severity=Severity.INFO))
        made = replace(made, tallies=tallies(service=(0, 2)))
        early, late = judged(made, after=5), judged(made, after=60)
        assert (early.judgement, late.judgement) == (Judgement.OBSERVE, Judgement.ESCALATE)
        assert late.needs_approval
        assert late.rationale.startswith("risk 0.16 outweighs the incident's harm 0.09 at confidence 0.5")

    def test_every_decision_but_an_observation_is_a_prepared_dossier(self) -> None:
        assert judged(case(), confidence_floor=0.99).briefing is None
        asked = judged(case(Tier.IRREVERSIBLE, service=replace(SHOP, tier=1))).briefing
        assert (asked.candidate, asked.steps) == ("fix", ("restart",))
        assert asked.known[1] == "objective availability is not met: 15 times what is allowed"
        assert asked.dangers[0] == "irreversibility +1.00: 1 steps, the hardest of tier 4"
        assert asked.precedents == ("fix on shop: verified 1 of 1 times",)
        assert asked.ruled_out == ("that it heals by itself: nothing is known of how such incidents last",)
        assert asked.next_steps[0].startswith("read the plan of fix")
        none = judged(case(plan=None, playbook=None, obstacles=("none fits",), fits=False)).briefing
        assert "a plan: none fits" in none.ruled_out
        assert none.next_steps == (
            "call team, who looks after shop",
            "write a playbook for Broken: none fits",
        )


def lasting(*healed: float, cut: tuple[float, ...] = ()) -> PastDurations:
    return PastDurations(here=Durations(healed=healed, cut=cut))


class TestWaiting:
    def test_what_heals_by_itself_is_waited_for(self) -> None:
        past = lasting(*(10.0 + number for number in range(20)))
        decision = judged(case(durations=past), after=5)
        assert decision.judgement is Judgement.OBSERVE
        assert decision.healing.probability == 1.0
        assert decision.recheck_seconds == 25.0 - 5  # when four fifths have healed
        assert decision.rationale.startswith(
            "of 20 cases that lasted as long, 100% healed by themselves within"
        )

    def test_also_without_a_plan(self) -> None:
        past = lasting(*(10.0 + number for number in range(20)))
        made = case(plan=None, playbook=None, obstacles=("none fits",), durations=past)
        assert judged(made).judgement is Judgement.OBSERVE

    @pytest.mark.parametrize(
        ("past", "after"),
        [
            (PastDurations(), 5),  # nothing is known
            (lasting(10, 11, 12, 13), 5),  # too little
            (lasting(*range(10, 18)), 5),  # all of 8: too few to be so sure
            (lasting(*range(10, 30)), 30),  # it has lasted longer than all of them
            (lasting(*range(10, 20), cut=tuple(range(200, 210))), 5),  # half of them
            (lasting(cut=(1.0,) * 50), 0.5),  # all were acted on at once
        ],
    )
    def test_otherwise_it_is_acted_on(self, past: PastDurations, after: float) -> None:
        assert judged(case(durations=past), after=after).judgement is Judgement.INTERVENE

    def test_an_error_budget_that_burns_fast_does_not_bear_the_wait(self) -> None:
        past = lasting(*(100.0 + number for number in range(20)))
        assert judged(case(durations=past)).judgement is Judgement.OBSERVE
        fierce = evidence("slo.availability", {"objective": 0.01, "actual": 0.9, "met": False})
        made = case(durations=past, dossier=replace(MISSED, evidence=(fierce,)))
        assert judged(made).judgement is Judgement.INTERVENE

    def test_a_person_who_was_asked_waits_no_more(self) -> None:
        made = case(durations=lasting(*(10.0 + number for number in range(20))))
        asked = replace(made.incident, state=IncidentState.AWAITING_APPROVAL)
        assert judged(replace(made, incident=asked)).judgement is Judgement.INTERVENE

    def test_a_clock_that_went_back_is_a_beginning(self) -> None:
        made = case(durations=lasting(*(10.0 + number for number in range(20))))
        assert judged(made, after=-3600).healing == judged(made, after=0).healing

    def test_who_was_seen_says_which_past(self) -> None:
        decision = judged(case())
        assert (decision.stratum, decision.traits) == (
            Stratum.CONFIRMED,
            "tier=4 adapters=fake router=",
        )
