"""Contract, what was seen and verdict are lines of history, by which anybody can judge again."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stage import BAD, GOOD, Stage, begin, healthy, play, playbook, shop, state_is, step

from penelope.domain.contract import Clause, Comparator, Contract, Gravity, Verdict, judge
from penelope.domain.incident import IncidentState
from penelope.domain.work import UnitOfWork
from penelope.flow.checking import Question, of_contract
from penelope.kit.clock import SystemClock
from penelope.kit.codec import from_data


def of(units: Mapping[str, UnitOfWork], unit: str) -> tuple[Contract, dict[str, Any], Verdict]:
    contract = from_data(Contract, units[f"{unit}:contract"].attributes["contract"])
    verdict = {name: value for name, value in units[unit].attributes.items() if name != "of"}
    return contract, units[f"{unit}:actuals"].attributes, from_data(Verdict, verdict)


def test_a_verdict_can_be_made_again_from_history(databases: tuple[str, str]) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        units = {unit.id: unit for unit in await stage.reader.units(incident)}
        verdicts = [unit.id for unit in units.values() if unit.kind == "verdict"]
        assert len(verdicts) == 2
        for name in verdicts:
            contract, actuals, verdict = of(units, name)
            assert judge(contract, actuals["seen"], verdict.judged_at).results == verdict.results
            assert (units[name].status, units[f"{name}:actuals"].status) == ("passed", "complete")
            assert verdict.score == 1
        events = await stage.events(incident)
        at = events.index("ContractMade")
        assert events[at : at + 3] == ["ContractMade", "ActualsGathered", "VerdictReached"]
        assert await stage.flaws() == []

    play(databases, scene)


def test_drift_is_told_with_its_severity_and_what_was_not_seen(databases: tuple[str, str]) -> None:
    hidden = Clause(
        subject="state.hidden", comparator=Comparator.EQUALS, expected=1, severity=Gravity.CRITICAL
    )
    wrong = replace(state_is("other").clauses[0], severity=Gravity.MINOR, weight=3)
    right = state_is("first").clauses[0]
    contract = Contract(clauses=(hidden, wrong, right), deadline_seconds=1.0, pass_at=0.1)
    failing = playbook(steps=(step("first", expect=contract),), verify=healthy())

    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        units = {unit.id: unit for unit in await stage.reader.units(incident)}
        (name,) = [unit.id for unit in units.values() if unit.kind == "verdict"]
        _, actuals, verdict = of(units, name)
        assert (verdict.passed, verdict.score) == (False, 0.2)
        assert (actuals["seen"], units[f"{name}:actuals"].status) == (
            {"state.hidden": None, "state.value": "first"},
            "incomplete",
        )
        assert actuals["looks"] > 1
        (entry,) = [
            entry
            for entry in await stage.reader.entries(incident=incident, after=0, limit=1000)
            if entry.event == "VerdictReached"
        ]
        assert [(item["subject"], item["state"], item["severity"]) for item in entry.details["drift"]] == [
            ("state.hidden", "unknown", "critical"),
            ("state.value", "broken", "minor"),
        ]

    play(databases, scene, playbooks=(failing,))


def test_what_was_there_before_is_kept_with_the_contract() -> None:
    less = Clause(subject="state.used", comparator=Comparator.CHANGES_AT_LEAST, expected="-20%")
    contract = Contract(clauses=(less, *healthy().clauses), deadline_seconds=1)
    question = Question(
        unit="u",
        label="Clear",
        incident="inc_1",
        contract=contract,
        service=shop(),
        since=SystemClock().now(),
        before={"state.used": 100, "metric.error_ratio": 0.5},
    )
    assert of_contract(question).attributes["before"] == {"state.used": 100}
