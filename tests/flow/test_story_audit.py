"""A decision and its place in the audit are one: what cannot be audited is not decided, and nothing acts on it."""

from stage import Stage, begin, play, signal

from penelope.domain.incident import IncidentState
from penelope.flow.audit import DecisionFilter
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
        assert {unit.kind for unit in units} == {"incident", "outcome"}
        (outcome,) = (unit for unit in units if unit.kind == "outcome")
        assert "decisions" in outcome.attributes["reason"]
        assert (stage.adapter.world, stage.adapter.effects) == ({}, {})

    play(databases, scene)
