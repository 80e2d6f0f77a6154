"""A decision and its place in the audit are one: what cannot be audited is not decided, and nothing acts on it."""

from typing import Any

import pytest
from stage import BAD, GOOD, Stage, begin, play, playbook, signal

from penelope.domain.incident import IncidentState
from penelope.domain.plan import Match
from penelope.flow.audit import DecisionFilter
from penelope.flow.replaying import Replaying
from penelope.store.audit import SqlAudit

Databases = tuple[str, str]


def test_what_is_decided_is_in_the_audit(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incidents = []
        for number in range(2):
            incidents.append(await begin(stage, signal(number, name=f"Odd{number}" if number else "Broken")))
            await stage.until(incidents[-1])
        decided = [
            entry.incident
            for incident in reversed(incidents)
            for entry in await stage.reader.entries(incident=incident, after=0, limit=1000)
            if entry.event == "DecisionMade"
        ]
        rows = await SqlAudit(stage.database).decisions(DecisionFilter(), before=None, limit=500)
        assert [row.incident for row in rows] == decided
        assert {row.service for row in rows} == {"shop"}

    play(databases, scene)


def test_without_the_audit_nothing_acts_and_reads_go_on(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        async with stage.database.begin() as connection:
            await connection.exec_driver_sql("ALTER TABLE decisions RENAME TO out_of_reach")
        incident = await begin(stage)
        found = await stage.until(incident)
        # Nobody is left waiting: people take over what Penelope may not decide.
        assert found.state is IncidentState.ESCALATED
        units = await stage.reader.units(incident)
        assert {unit.kind for unit in units} == {
            "incident",
            "preview",
            "outcome",
        }  # a preview changes nothing
        (outcome,) = (unit for unit in units if unit.kind == "outcome")
        assert "decisions" in outcome.attributes["reason"]
        assert (stage.adapter.world, stage.adapter.effects) == ({}, {})

    play(databases, scene)


def test_an_ended_story_is_remembered_and_its_decisions_replay(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        healed = await begin(stage, signal(1))
        assert (await stage.until(healed)).state is IncidentState.HEALED
        odd = await begin(stage, signal(2, name="Odd"))
        assert (await stage.until(odd)).state is IncidentState.ESCALATED
        async with stage.database.connect() as connection:
            query = "SELECT * FROM past_cases ORDER BY ended_at"
            first, second = (await connection.exec_driver_sql(query)).all()
            counted = (await connection.exec_driver_sql("SELECT service, successes FROM tallies")).all()
        decision = next(item for item in await stage.reader.units(healed) if item.kind == "decision")
        assert (first.incident, first.playbook, bool(first.verified)) == (healed, "fix", True)
        assert (first.stratum, first.confidence) == ("confirmed", decision.attributes["confidence"]["value"])
        incident = await stage.reader.incident(healed)
        alone = (incident.intervened_at - incident.opened_at).total_seconds()
        assert first.alone_seconds == pytest.approx(alone)
        assert alone < (incident.ended_at - incident.opened_at).total_seconds()
        assert (second.incident, second.playbook, second.verified, second.confidence) == (
            odd,
            None,
            None,
            None,
        )
        assert (second.kind, bool(second.healed_itself)) == ("escalated", False)
        assert sorted(map(tuple, counted)) == [("", 1), ("", 1), ("", 1), ("shop", 1)]
        replaying = Replaying(SqlAudit(stage.database), stage.reader, as_they_are)
        for about in (healed, odd):
            versions = (await replaying.recorded(about)).row.version
            for version in range(1, versions + 1):
                assert (await replaying.replay(about, version)).differences == []

    play(databases, scene, playbooks=[playbook(match=Match(names=("Broken",)))])


async def as_they_are(entries: Any) -> Any:
    return entries
