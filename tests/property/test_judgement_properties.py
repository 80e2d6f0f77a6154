"""What must hold of every decision, whatever is drawn."""

from dataclasses import replace
from fractions import Fraction
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st

from penelope.domain.decision import Contribution, Judgement, Steps, added, score
from penelope.domain.precedent import Durations, PastDurations, Tallies, Tally
from penelope.rooms.decide.confidence import confidence
from penelope.rooms.decide.facts import Facts, facts_of
from penelope.rooms.decide.objectives import held, stratum
from penelope.rooms.decide.risk import cost, risk
from penelope.rooms.decide.run import Limits, decide, judge
from penelope.rooms.decide.survival import Waiting, healing, product_limit
from penelope.testing.cases import BEGINNING, drawn_case

LIMITS = Limits(risk_limit=0.7, confidence_floor=0.5, observe_seconds=60, recheck_seconds=10)
SEEDS = st.integers(0, 2**32)
SECONDS = st.floats(0, 100).map(lambda value: round(value, 1))


def facts(seed: int) -> Facts:
    return facts_of(drawn_case(Random(seed), "inc_1"))


def figures(found: Facts) -> tuple[float, float, float]:
    objectives = held(found.evidence)
    trust = confidence(found, stratum(found.evidence))
    return risk(found).value, cost(found, objectives).value, trust.value


@given(SEEDS)
def test_every_figure_is_the_sum_of_its_parts_bit_for_bit(seed: int) -> None:
    decision = decide(drawn_case(Random(seed), "inc_1"), LIMITS, BEGINNING)
    for figure in (decision.risk, decision.cost, decision.confidence):
        assert added(figure.contributions) == figure.value
        assert 0 <= figure.value <= 1
        if figure.interval is not None:
            low, high = figure.interval
            assert 0 <= low <= high <= 1


@given(st.lists(st.floats(-3, 3), max_size=20))
def test_a_score_is_always_exactly_its_sum(values: list[float]) -> None:
    made = score(*(Contribution(name="part", value=value, reason="") for value in values))
    assert added(made.contributions) == made.value
    assert 0 <= made.value <= 1


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_steps_arrive_where_they_lead(values: list[float]) -> None:
    steps = Steps()
    for value in values:
        steps.to(value, "step", "")
    assert abs(steps.score().value - values[-1]) < 1e-12
    assert added(steps.score().contributions) == steps.score().value


@given(SEEDS)
def test_the_same_inputs_give_the_same_decision(seed: int) -> None:
    case = drawn_case(Random(seed), "inc_1")
    decision = decide(case, LIMITS, BEGINNING)
    assert decide(case, LIMITS, BEGINNING) == decision == judge(facts_of(case), LIMITS, BEGINNING)
    assert (decision.recheck_seconds is not None) == (decision.judgement is Judgement.OBSERVE)
    assert (decision.briefing is None) == (decision.judgement is Judgement.OBSERVE)
    assert decision.rationale
    if decision.judgement is Judgement.INTERVENE:
        risked, harmed, trust = decision.risk.value, decision.cost.value, decision.confidence.value
        assert (1 - trust) * risked <= trust * harmed
        assert risked <= LIMITS.risk_limit
        assert trust >= LIMITS.confidence_floor


@given(SEEDS, st.integers(1, 50), st.sampled_from(["everything", "playbook", "alike", "service"]))
def test_more_successes_never_lower_confidence_and_more_failures_never_raise_it(
    seed: int, more: int, innermost: str
) -> None:
    before = facts(seed)
    up, down = before.tallies, before.tallies
    # A use counts at its level and at all those around it.
    for level in ("everything", "playbook", "alike", "service"):
        had: Tally = getattr(before.tallies, level)
        up = replace(up, **{level: replace(had, successes=had.successes + more)})
        down = replace(down, **{level: replace(had, failures=had.failures + more)})
        if level == innermost:
            break
    trust = [figures(replace(before, tallies=tallies))[2] for tallies in (down, before.tallies, up)]
    assert trust[0] <= trust[1] + 1e-12
    assert trust[1] <= trust[2] + 1e-12


@given(SEEDS, st.integers(0, 10_000), st.integers(0, 10_000))
def test_imported_cases_move_confidence_by_a_third_of_the_way_at_most(
    seed: int, successes: int, failures: int
) -> None:
    before = replace(facts(seed), tallies=Tallies(), similar=())
    imported = Tallies(imported=Tally(successes=successes, failures=failures))
    first, moved = figures(before)[2], figures(replace(before, tallies=imported))[2]
    assert first * 2 / 3 - 1e-12 <= moved <= first + (1 - first) / 3 + 1e-12


@given(SEEDS, st.integers(0, 20), st.integers(0, 3), st.integers(1, 4))
def test_more_blast_never_lowers_risk(seed: int, dependents: int, strangers: int, tier: int) -> None:
    before = facts(seed)
    plan = before.candidate
    if plan is None:
        return
    more = replace(before, dependents=before.dependents + dependents)
    wider = replace(before, candidate=replace(plan, strangers=plan.strangers + strangers))
    longer = replace(before, candidate=replace(plan, tiers=(*plan.tiers, tier)))
    harder = replace(before, candidate=replace(plan, tiers=tuple(max(tier, item) for item in plan.tiers)))
    nearer = replace(before, tier=max(1, before.tier - 1))
    for worse in (more, wider, longer, harder, nearer):
        assert risk(worse).value >= risk(before).value - 1e-12


def brute(durations: Durations, after: float, until: float) -> Fraction:
    """The product-limit estimate in exact numbers, asking every case at every moment."""
    cases = [(time, True) for time in durations.healed] + [(time, False) for time in durations.cut]
    left = Fraction(1)
    for moment in sorted({time for time, healed in cases if healed and after < time <= until}):
        at_risk = [case for case in cases if case[0] >= moment]
        left *= 1 - Fraction(sum(1 for case in at_risk if case == (moment, True)), len(at_risk))
    return left


@example(healed=[], cut=[5.0] * 5, after=1.0, within=3.9)
@given(st.lists(SECONDS, max_size=40), st.lists(SECONDS, max_size=40), SECONDS, SECONDS)
def test_survival_is_what_a_slow_estimator_says(
    healed: list[float], cut: list[float], after: float, within: float
) -> None:
    durations = Durations(healed=tuple(healed), cut=tuple(cut))
    curve = product_limit(durations, after, after + within)
    assert abs(curve.survival - float(brute(durations, after, after + within))) < 1e-12
    found = healing(PastDurations(here=durations), after, within, Waiting())
    if found is not None:
        low, high = found.interval
        assert 0 <= low <= high <= 1
        assert low - 1e-12 <= found.probability <= high + 1e-12
        assert 0 < found.recheck_seconds <= within
        assert found.cases >= Waiting().least_cases
