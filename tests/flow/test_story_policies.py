"""Policies and the scanner in the whole story: what is denied is never done, what asks waits for a person once."""

from dataclasses import replace

import pytest
from stage import APPROVAL, GATE, GOOD, Stage, begin, play, playbook, step

from penelope.adapters.policy.cel import Expressions, compiled
from penelope.adapters.scanners.scan import ThoroughScanner
from penelope.domain.gate import Ruling
from penelope.domain.incident import IncidentState
from penelope.flow.commands import Answer
from penelope.rooms.gate.policy import PolicyRule
from penelope.rooms.gate.scanner import ScannerRule

Databases = tuple[str, str]
SCANNER = ScannerRule(scanner=ThoroughScanner(5.0), ask_on_warning=True)


def policy(expression: str, ruling: Ruling) -> PolicyRule:
    return PolicyRule(
        name="policy", policies=Expressions([compiled("night", ruling, "not at night", expression)])
    )


@pytest.mark.parametrize(
    ("expression", "ruling", "told"),
    [
        ("service.name == 'shop'", Ruling.REFUSE, "policy: night: not at night"),
        ("incident.labels.team == 'x'", Ruling.ASK, "could not be judged"),
    ],
)
def test_what_a_policy_denies_goes_to_people(
    expression: str, ruling: Ruling, told: str, databases: Databases
) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        units = {item.kind: item for item in await stage.reader.units(incident)}
        assert told in units["outcome"].attributes["reason"]
        assert stage.adapter.effects == {}
        assert await stage.flaws() == []

    play(databases, scene, gate=(policy(expression, ruling), *GATE))


def test_what_a_policy_asks_is_asked_once(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        await stage.commands.answer_approval(Answer(incident=incident, actor="ada", approve=True))
        await stage.heard_of(incident, "InterventionBegun")
        stage.metrics.script("shop", GOOD)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        assert (await stage.events(incident)).count("ApprovalRequested") == 1

    play(databases, scene, gate=(policy("service.tier <= 2", Ruling.ASK), APPROVAL))


def test_a_plan_with_a_destructive_command_is_never_done(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert stage.adapter.effects == {}
        gate = next(item for item in await stage.reader.units(incident) if item.kind == "gate")
        assert "destroys-files" in str(gate.attributes)

    bad = replace(step("first"), params={"value": "r''m -rf /"})
    play(databases, scene, gate=(*GATE, SCANNER), playbooks=(playbook(steps=(bad,)),))


def test_a_warning_of_a_scanner_that_passes_stands_on_the_timeline(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        await stage.heard_of(incident, "InterventionBegun")
        entries = await stage.reader.entries(incident=incident, after=0, limit=1000)
        [passed] = [entry.reason for entry in entries if entry.event == "GatePassed"]
        assert passed.startswith("all rules pass; scanner: warning removes-folder at ")

    odd = replace(step("first"), params={"value": "rm -rf build/cache"})
    scanner = replace(SCANNER, ask_on_warning=False)
    play(databases, scene, gate=(*GATE, scanner), playbooks=(playbook(steps=(odd,)),))
