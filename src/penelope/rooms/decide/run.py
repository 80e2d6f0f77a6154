"""Weighs an incident: would it heal by itself, what would acting risk, is there precedent, and what follows."""

from dataclasses import dataclass, field
from datetime import datetime

from penelope.domain.decision import Decision, Healing, Judgement, Score
from penelope.domain.precedent import Stratum
from penelope.rooms.decide.briefing import brief
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.confidence import confidence
from penelope.rooms.decide.constitution.weigh import Constitution, weigh
from penelope.rooms.decide.facts import Facts, facts_of
from penelope.rooms.decide.objectives import held, stratum
from penelope.rooms.decide.risk import burn_rate, cost, risk
from penelope.rooms.decide.survival import Waiting, healing


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """From which risk on a person must agree, below which confidence nothing is done, and for how long to look.

    Risk and confidence 0…1; an incident is observed at most `observe_seconds`, with a look each
    `recheck_seconds`. `waiting` is about incidents that may heal by themselves; by the
    `constitution` the decision is weighed.
    """

    risk_limit: float
    confidence_floor: float
    observe_seconds: float
    recheck_seconds: float
    waiting: Waiting = field(default_factory=Waiting)
    constitution: Constitution = field(default_factory=Constitution)


def decide(case: Case, limits: Limits, now: datetime) -> Decision:
    """The decision; the same case at the same moment always gets the same one."""
    return judge(facts_of(case), limits, now)


def judge(facts: Facts, limits: Limits, now: datetime) -> Decision:
    """The decision from all that it rests on: recorded facts give the recorded decision again, bit by bit."""
    weighed = _weigh(facts, limits, now)
    ruling = _healing_is_likely(weighed) or _ruling(weighed)
    observes = ruling.judgement is Judgement.OBSERVE
    decision = Decision(
        incident=facts.incident,
        judgement=ruling.judgement,
        risk=weighed.risk,
        confidence=weighed.confidence,
        rationale=ruling.why,
        decided_at=now,
        playbook=None if facts.candidate is None else facts.candidate.playbook,
        needs_approval=ruling.needs_approval,
        recheck_seconds=(ruling.recheck_seconds or limits.recheck_seconds) if observes else None,
        precedents=facts.precedents,
        leaned_on=facts.similar,
        cost=weighed.cost,
        healing=weighed.healing,
        stratum=weighed.stratum,
        traits=facts.traits,
        briefing=None if observes else brief(facts, weighed.risk, weighed.healing),
    )
    return weigh(facts, decision, limits.constitution.principles)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighed:
    """The figures that a judgement follows from."""

    facts: Facts
    limits: Limits
    risk: Score
    cost: Score
    confidence: Score
    stratum: Stratum
    healing: Healing | None
    may_wait: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ruling:
    """A judgement, why, and whether a person must agree."""

    judgement: Judgement
    why: str
    needs_approval: bool = False
    recheck_seconds: float | None = None


def _weigh(facts: Facts, limits: Limits, now: datetime) -> _Weighed:
    objectives, said = held(facts.evidence), stratum(facts.evidence)
    lasted = max(0.0, (now - facts.opened_at).total_seconds())
    observed = (now - (facts.observed_since or facts.opened_at)).total_seconds()
    waiting = limits.waiting
    # An error budget that burns ten times faster bears a tenth of the wait.
    borne = waiting.budget_share * waiting.budget_seconds / burn_rate(facts, objectives)
    within = min(waiting.longest_seconds, borne) - lasted
    return _Weighed(
        facts=facts,
        limits=limits,
        risk=risk(facts),
        cost=cost(facts, objectives),
        confidence=confidence(facts, said),
        stratum=said,
        healing=healing(facts.durations, lasted, within, waiting),
        may_wait=observed < limits.observe_seconds,
    )


def _healing_is_likely(weighed: _Weighed) -> _Ruling | None:
    """Waits where even the lower end of the estimate is likely: to wait in vain is downtime, to act in vain is little."""
    hope, limits = weighed.healing, weighed.limits
    if hope is None or weighed.facts.asked or hope.interval[0] < limits.waiting.likely:
        return None
    why = (
        f"of {hope.cases} cases that lasted as long, {hope.probability:.0%} healed by themselves within "
        f"{hope.within_seconds:.0f} s (at least {hope.interval[0]:.0%} ≥ {limits.waiting.likely:.0%}): wait"
    )
    recheck = min(hope.within_seconds, max(limits.recheck_seconds, hope.recheck_seconds))
    return _Ruling(judgement=Judgement.OBSERVE, why=why, recheck_seconds=recheck)


def _ruling(weighed: _Weighed) -> _Ruling:
    """What follows where it is not likely to heal by itself."""
    facts, limits, plan = weighed.facts, weighed.limits, weighed.facts.candidate
    if plan is None:
        return _without_plan(facts, may_wait=weighed.may_wait)
    trust, dangers = weighed.confidence.value, weighed.risk.value
    sure = f"confidence {trust:.2f}"
    if doubt := _doubt(weighed, sure):
        return _look_or_ask(weighed, doubt)
    if plan.approval:
        return _ask(f"playbook {plan.playbook} is for a person to approve; {sure}")
    if dangers > limits.risk_limit:
        return _ask(f"risk {dangers:.2f} is above {limits.risk_limit:.2f}: a person must say; {sure}")
    if (1 - trust) * dangers > trust * weighed.cost.value:
        why = f"risk {dangers:.2f} outweighs the incident's harm {weighed.cost.value:.2f} at {sure}"
        return _look_or_ask(weighed, why)
    why = (
        f"playbook {plan.playbook} fits, risk {dangers:.2f} ≤ {limits.risk_limit:.2f}, "
        f"{sure} ≥ {limits.confidence_floor:.2f}"
    )
    return _Ruling(judgement=Judgement.INTERVENE, why=why)


def _doubt(weighed: _Weighed, sure: str) -> str:
    """Why to look again before anything is done; empty where there is no doubt."""
    floor = weighed.limits.confidence_floor
    if weighed.confidence.value < floor:
        return f"{sure} is below {floor:.2f}"
    if weighed.stratum is Stratum.CONTRADICTED:
        # However often it went well: nobody suffers by the service's own measure, so there is time to ask.
        return f"the service meets all its objectives; {sure}"
    return ""


def _look_or_ask(weighed: _Weighed, why: str) -> _Ruling:
    if weighed.may_wait:
        return _Ruling(judgement=Judgement.OBSERVE, why=f"{why}: look again")
    return _ask(f"{why} after {weighed.limits.observe_seconds:g} s: a person must say")


def _ask(why: str) -> _Ruling:
    return _Ruling(judgement=Judgement.ESCALATE, why=why, needs_approval=True)


def _without_plan(facts: Facts, *, may_wait: bool) -> _Ruling:
    """Figures may need a moment to show what the signal says; a playbook that does not exist never comes."""
    obstacles = "; ".join(facts.obstacles)
    if facts.fits and may_wait:
        return _Ruling(judgement=Judgement.OBSERVE, why=f"not yet: {obstacles}")
    return _Ruling(judgement=Judgement.ESCALATE, why=obstacles or "no plan could be made")
