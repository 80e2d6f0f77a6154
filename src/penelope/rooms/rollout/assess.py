"""Judges one look at a canary by tests that stay valid however often one looks (docs/rollout-statistics.md)."""

import math
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from penelope.domain.analysis import (
    AnalysisSpec,
    AnalysisState,
    ArmCounts,
    ArmTotals,
    Assessment,
    Finding,
    Grounds,
    Otherwise,
    Scrape,
)
from penelope.domain.rollout import Step
from penelope.rooms.rollout.evidence import Evidence, Rules, certified, condemned, observe, standing
from penelope.rooms.rollout.findings import findings, forecast
from penelope.rooms.rollout.reckoning import (
    Totals,
    added,
    counts_of,
    edges_of,
    evidence_of,
    remembered,
    rules_of,
    sound,
    span,
    timed,
    untimed,
    with_edges,
)

_ALL_TRAFFIC = 100
_SHARED = "the canary and the control break the same limit"


def begin(revision: str, weight: int, now: datetime) -> AnalysisState:
    """What is remembered of a revision of which nothing was seen yet."""
    return AnalysisState(revision=revision, weight=weight, step_started_at=now, seen_at=now)


def at_step(state: AnalysisState, revision: str, weight: int, now: datetime) -> AnalysisState:
    """The state for this revision at this weight: begun anew for another revision, and for another weight but the harm.

    What speaks against a canary runs through all steps, so that its chance of a false rollback is spent once.
    """
    if state.revision != revision:
        return begin(revision, weight, now)
    if state.weight == weight:
        return state
    refuted = tuple((0.0,) * len(row) for row in state.refuted)
    empty = ArmTotals(slow=(0.0,) * len(state.edges))
    return replace(
        state,
        weight=weight,
        refuted=refuted,
        step_started_at=now,
        step_seconds=0.0,
        canary=empty,
        control=empty,
    )


def assess(
    spec: AnalysisSpec, state: AnalysisState, scrape: Scrape | None, now: datetime
) -> tuple[AnalysisState, Assessment]:
    """One look: the state after it, and promote, hold or roll back, with the reasons.

    `state` stands at the present revision and weight (`at_step`); `scrape` covers the time since the look
    before, None where there is none. Looking twice at the same scrape counts it twice: keep the state that is
    given back. Never raises over figures: what is no figure is missing.
    """
    look = _look(spec, state, scrape, now)
    state, rules, evidence = look.state, look.rules, look.evidence
    alone = state.weight >= _ALL_TRAFFIC
    stands = standing(rules, evidence)
    found = findings(spec, state, stands, alone=alone)
    judged = alone or not spec.latency or bool(state.edges)
    seconds, grounds = None, Grounds.WORSE
    if condemned(rules, stands):
        step, reasons = Step.ROLLBACK, _worst(found)
    elif look.lack:
        grounds = Grounds.SILENCE
        step, reasons = _silence(spec, state, look.lack, now)
    elif (stands.shared & stands.suspect).any():
        step, reasons = Step.HOLD, (f"shared incident: {_SHARED}", *_texts(found))
    elif judged and certified(rules, evidence, stands, alone=alone):
        step, reasons = Step.PROMOTE, _texts(found)
    elif (now - state.step_started_at).total_seconds() >= spec.max_step_seconds:
        grounds = Grounds.UNDECIDED
        step, reasons = (
            _undecided(spec, evidence),
            (f"no verdict within {spec.max_step_seconds:g} s", *_texts(found)),
        )
    else:
        step, reasons = Step.HOLD, _texts(found)
        seconds = forecast(spec, state, stands, alone=alone)
    harm = round(float(stands.harm) / math.log(10.0), 3)
    return state, Assessment(
        step=step,
        reasons=reasons,
        findings=found,
        harm=harm,
        expected_seconds=seconds,
        grounds=grounds,
    )


class _Look(NamedTuple):
    """The state moved by a look, and what was missing in it."""

    state: AnalysisState
    rules: Rules
    evidence: Evidence
    lack: str


def _look(spec: AnalysisSpec, state: AnalysisState, scrape: Scrape | None, now: datetime) -> _Look:
    alone = state.weight >= _ALL_TRAFFIC
    canary = sound(scrape.canary) if scrape else None
    control = sound(scrape.control) if scrape else None
    if control is None and alone:
        control = ArmCounts(requests=0, errors=0)
    if scrape is None or canary is None or control is None:
        rules = rules_of(spec, state.edges)
        return _Look(
            state,
            rules,
            evidence_of(state, rules),
            f"no figures of the {'canary' if canary is None else 'control'}",
        )
    if spec.latency and not state.edges and (edges := edges_of(canary, control)):
        state = with_edges(state, edges)
    one, two = timed(canary, state.edges), timed(control, state.edges)
    if alone and one is not None and two is None:
        two = untimed(control, state.edges)
    known = not spec.latency or (one is not None and two is not None)
    if one is None or two is None:
        one, two = untimed(canary, state.edges), untimed(control, state.edges)
    rules = rules_of(spec, state.edges)
    evidence = observe(rules, evidence_of(state, rules), counts_of(scrape, one, two), alone=alone)
    lack = _lack(canary, control, known=known, alone=alone)
    totals = Totals(state.step_seconds + span(scrape), added(state.canary, one), added(state.control, two))
    return _Look(remembered(state, evidence, totals, state.seen_at if lack else now), rules, evidence, lack)


def _lack(canary: ArmCounts, control: ArmCounts, *, known: bool, alone: bool) -> str:
    if not canary.requests:
        return "no traffic on the canary"
    if not control.requests and not alone:
        return "no traffic on the control"
    return "" if known else "latency is unknown"


def _silence(
    spec: AnalysisSpec, state: AnalysisState, lack: str, now: datetime
) -> tuple[Step, tuple[str, ...]]:
    """Silence is never health: hold for a while, then what the spec says."""
    silent = (now - state.seen_at).total_seconds()
    if silent < spec.silence_seconds or spec.on_silence is Otherwise.HOLD:
        return Step.HOLD, (lack,)
    return Step.ROLLBACK, (f"{lack}, for {silent:.0f} s",)


def _undecided(spec: AnalysisSpec, evidence: Evidence) -> Step:
    """Too small a sample is silence as well."""
    if spec.undecided is Otherwise.PROMOTE and evidence.sample < spec.limits.min_requests:
        return Step.HOLD
    return Step(spec.undecided.value)


def _worst(found: tuple[Finding, ...]) -> tuple[str, ...]:
    against = sorted((each for each in found if each.harm > 0), key=lambda each: -each.harm)
    return _texts(tuple(against) or found)


def _texts(found: tuple[Finding, ...]) -> tuple[str, ...]:
    return tuple(each.reason for each in found)
