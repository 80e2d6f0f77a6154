"""Known ways in which judgements of machines were led astray: absurd figures, poisoned pasts, clocks, altered records."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from penelope.domain.decision import Decision, Judgement, added
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.incident import IncidentState
from penelope.domain.precedent import Durations, PastCase, PastDurations, Stratum, Tallies, Tally
from penelope.errors import ChainBroken
from penelope.flow.recording import of_decision
from penelope.flow.replaying import Replaying
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.run import Limits, decide
from penelope.store import guards
from penelope.store.audit import SqlAudit
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.reader import SqlReader
from penelope.store.transaction import SqlTransaction
from penelope.testing.cases import BEGINNING, drawn_case
from penelope.testing.past import past_case

LIMITS = Limits(risk_limit=0.7, confidence_floor=0.5, observe_seconds=60, recheck_seconds=10)

ABSURD = [
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    -1.0,
    1e308,
    5e-324,
    True,
    "0.9",
    None,
    [],
    {},
    [[0.9]],
]


def planned(**changes: Any) -> Case:
    """A case with a plan, about a service that burns."""
    random = Random(11)
    made = next(
        case
        for case in (drawn_case(random, "inc_1") for _ in range(1000))
        if case.plan is not None and case.playbook is not None and not case.playbook.approval
    )
    incident = replace(
        made.incident,
        opened_at=BEGINNING - timedelta(seconds=5),
        observed_since=None,
        state=IncidentState.RECEIVED,
    )
    made = replace(
        made,
        incident=incident,
        dossier=seen({"objective": 0.02, "actual": 0.5, "met": False}),
        durations=PastDurations(),
        tallies=Tallies(),
        similar=(),
    )
    return replace(made, **changes)


def seen(value: Any, confidence: float = 1.0) -> Dossier:
    item = Evidence(
        concept="slo.availability", value=value, source="test", observed_at=BEGINNING, confidence=confidence
    )
    return Dossier(service="shop", gathered_at=BEGINNING, evidence=(item,))


def sound(decision: Decision) -> None:
    for figure in (decision.risk, decision.cost, decision.confidence):
        assert math.isfinite(figure.value)
        assert 0 <= figure.value <= 1
        assert added(figure.contributions) == figure.value


# --- figures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absurd", ABSURD, ids=repr)
@pytest.mark.parametrize("name", ["actual", "objective"])
def test_an_absurd_figure_never_confirms_a_signal_nor_breaks_a_figure(name: str, absurd: Any) -> None:
    told = {"objective": 0.02, "actual": 0.0, "met": True, name: absurd}
    decision = decide(planned(dossier=seen(told)), LIMITS, BEGINNING)
    sound(decision)
    if name == "actual" and absurd != 1e308:
        assert decision.stratum is not Stratum.CONFIRMED


@pytest.mark.parametrize("absurd", ABSURD, ids=repr)
def test_an_objective_that_is_no_objective_counts_as_not_seen(absurd: Any) -> None:
    decision = decide(planned(dossier=seen(absurd)), LIMITS, BEGINNING)
    sound(decision)
    assert decision.stratum is Stratum.UNSEEN


@pytest.mark.parametrize("absurd", ABSURD, ids=repr)
def test_an_absurd_figure_does_not_break_what_people_are_told(absurd: Any) -> None:
    item = Evidence(
        concept="metric.strange", value=absurd, source="test", observed_at=BEGINNING, confidence=1.0
    )
    dossier = seen({"objective": 0.02, "actual": 0.5, "met": False})
    case = planned(dossier=replace(dossier, evidence=(*dossier.evidence, item)))
    told = decide(case, replace(LIMITS, observe_seconds=0.001, confidence_floor=1.0), BEGINNING).briefing
    assert any(line.startswith("metric.strange is ") for line in told.known) is (absurd is not None)


def test_who_says_met_beside_figures_that_say_otherwise_is_not_believed() -> None:
    told = {"objective": 0.02, "actual": 0.5, "met": True}
    assert decide(planned(dossier=seen(told)), LIMITS, BEGINNING).stratum is Stratum.CONFIRMED
    told = {"objective": 0.02, "actual": 0.001, "met": False}
    assert decide(planned(dossier=seen(told)), LIMITS, BEGINNING).stratum is Stratum.CONTRADICTED


@pytest.mark.parametrize("sureness", [-5.0, 0.0, 7.0, 1e300])
def test_evidence_cannot_be_surer_than_sure(sureness: float) -> None:
    sure = decide(planned(dossier=seen({"objective": 0.02, "actual": 0.5}, 1.0)), LIMITS, BEGINNING)
    made = decide(planned(dossier=seen({"objective": 0.02, "actual": 0.5}, sureness)), LIMITS, BEGINNING)
    sound(made)
    assert made.confidence.value <= sure.confidence.value


def test_a_tier_that_does_not_exist_counts_as_the_worst() -> None:
    case = planned()
    strange = decide(replace(case, service=replace(case.service, tier=99)), LIMITS, BEGINNING)
    worst = decide(replace(case, service=replace(case.service, tier=1)), LIMITS, BEGINNING)
    assert strange.risk.value == worst.risk.value


def test_an_empty_plan_or_past_is_no_reason_to_act_unasked() -> None:
    blind = planned(dossier=Dossier(service="shop", gathered_at=BEGINNING, evidence=()))
    assert decide(blind, LIMITS, BEGINNING).judgement is not Judgement.INTERVENE


# --- clocks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-86_400 * 365, -3600, -1e-6, 0, 86_400 * 365 * 100])
def test_whatever_the_clock_says_the_figures_hold(seconds: float) -> None:
    past = PastDurations(here=Durations(healed=tuple(float(number) for number in range(1, 40))))
    decision = decide(planned(durations=past), LIMITS, BEGINNING + timedelta(seconds=seconds))
    sound(decision)
    if decision.judgement is Judgement.OBSERVE:
        assert 0 < decision.recheck_seconds <= LIMITS.waiting.longest_seconds


def test_hope_does_not_hold_an_incident_for_ever() -> None:
    past = PastDurations(here=Durations(healed=(1e9,) * 50 + (299.0,) * 50_0))
    judgements = {
        after: decide(planned(durations=past), LIMITS, BEGINNING + timedelta(seconds=after)).judgement
        for after in range(0, 2000, 50)
    }
    late = {judgement for after, judgement in judgements.items() if after >= LIMITS.waiting.longest_seconds}
    assert late == {Judgement.INTERVENE}


# --- the past ---------------------------------------------------------------------------------------------


def test_imported_triumphs_do_not_outweigh_lived_failures() -> None:
    lived = Tally(failures=6)
    poisoned = Tallies(
        everything=lived, playbook=lived, alike=lived, service=lived, imported=Tally(successes=10**9)
    )
    decision = decide(planned(tallies=poisoned), LIMITS, BEGINNING)
    assert decision.confidence.value < LIMITS.confidence_floor
    assert decision.judgement is not Judgement.INTERVENE


def test_imported_healings_do_not_outweigh_lived_ones_that_lasted() -> None:
    past = PastDurations(
        here=Durations(cut=(900.0,) * 6), imported=Durations(healed=tuple(map(float, range(6, 26))))
    )
    assert decide(planned(durations=past), LIMITS, BEGINNING).judgement is Judgement.INTERVENE


def past(number: int, **changes: Any) -> PastCase:
    lasted = past_case(incident=f"inc_{number}", verified=False, alone_seconds=900.0)
    return replace(lasted, **changes)


class Store:
    """An operational store whose owner is not to be trusted."""

    def __init__(self, url: str) -> None:
        self.writer, self.reading = open_engine(parse_url(url)), open_reader(parse_url(url))
        self.reader = SqlReader(self.reading)

    @asynccontextmanager
    async def transaction(self, now: datetime = BEGINNING) -> AsyncIterator[SqlTransaction]:
        async with self.writer.connect() as connection:
            await connection.execution_options(isolation_level="SERIALIZABLE")
            async with connection.begin():
                yield SqlTransaction(connection, now)

    async def tamper(self, statement: str) -> None:
        async with self.writer.begin() as connection:
            await connection.run_sync(guards.remove)
            assert (await connection.exec_driver_sql(statement)).rowcount

    async def close(self) -> None:
        await self.reading.dispose()
        await self.writer.dispose()


def on_store(databases: tuple[str, str], scene: Any) -> None:
    async def run() -> None:
        store = Store(databases[0])
        try:
            await migrate(store.writer)
            await scene(store)
        finally:
            await store.close()

    asyncio.run(run())


def test_a_flood_of_imported_cases_does_not_push_lived_ones_out_of_sight(databases: tuple[str, str]) -> None:
    async def scene(store: Store) -> None:
        later = BEGINNING + timedelta(days=400)
        async with store.transaction() as transaction:
            for number in range(8):
                await transaction.add_past_case(past(number), "tier=2")
            poison = [
                past(
                    number,
                    imported=True,
                    verified=True,
                    healed_itself=True,
                    alone_seconds=6.0,
                    # As if it had ended after everything else, or not even yet.
                    ended_at=BEGINNING if number % 2 else later,
                    stratum=Stratum.UNSEEN if number % 2 else Stratum.CONFIRMED,
                )
                for number in range(100, 400)
            ]
            assert await transaction.import_cases(poison) == 300
        async with store.transaction() as transaction:
            durations = await transaction.durations("shop", "problem", "Broken")
            assert durations.here == Durations(cut=(900.0,) * 8)
            assert len(durations.imported.healed) == 20
            assert durations.elsewhere == Durations()
            far = await transaction.durations("bank", "other", "Broken")
            assert far == PastDurations(elsewhere=Durations(cut=(900.0,) * 8))
            tallies = await transaction.tallies("fix", "shop", "tier=2", Stratum.CONFIRMED)
            lived = Tally(failures=8)
            assert tallies == Tallies(
                everything=lived, playbook=lived, alike=lived, service=lived, imported=Tally(successes=300)
            )
            assert (await transaction.tallies("fix", "shop", "tier=2", Stratum.UNSEEN)).service == Tally()
            assert (await transaction.tallies("", "", "", Stratum.CONFIRMED)).everything == lived

    on_store(databases, scene)


@pytest.mark.parametrize("alone", ["-1", "1e999", "'NaN'"])
def test_a_duration_that_cannot_be_says_nothing(tmp_path: Any, alone: str) -> None:
    async def scene(store: Store) -> None:
        async with store.transaction() as transaction:
            await transaction.add_past_case(past(1), "")
        async with store.writer.begin() as connection:
            await connection.exec_driver_sql(f"UPDATE past_cases SET alone_seconds = {alone}")
        async with store.transaction() as transaction:
            assert await transaction.durations("shop", "problem", "Broken") == PastDurations()

    on_store((f"sqlite:///{tmp_path}/penelope.db", ""), scene)


# --- altered records --------------------------------------------------------------------------------------


async def as_they_are(entries: Any) -> Any:
    return entries


ALTERATIONS = {
    "its inputs": "UPDATE history_payloads SET body = replace(body, '\"fits\":true', '\"fits\":false')",
    "its limits": "UPDATE history_payloads SET body = replace(body, '\"risk_limit\":0.7', '\"risk_limit\":0.9')",
    "its hash": "UPDATE units_of_work_history SET payload_hash = 'x'",
    "its line": "UPDATE units_of_work_history SET body = replace(body, 'DecisionMade', 'DecisionMeant')",
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_an_altered_decision_does_not_replay(databases: tuple[str, str], what: str) -> None:
    async def scene(store: Store) -> None:
        case = planned()
        async with store.transaction() as transaction:
            await transaction.save(of_decision(decide(case, LIMITS, BEGINNING), case, LIMITS))
        replaying = Replaying(SqlAudit(store.reading), store.reader, as_they_are)
        assert (await replaying.replay("inc_1")).differences == []
        await store.tamper(ALTERATIONS[what])
        with pytest.raises(ChainBroken):
            await replaying.replay("inc_1")

    on_store(databases, scene)
