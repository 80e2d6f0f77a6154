"""The known ways in which earned trust is abused, or given where nothing was earned."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from doorstep import Doorstep, settings
from sqlalchemy.ext.asyncio import AsyncEngine
from stage import BAD, GOOD, POLICY, Stage, begin, play, playbook, signal

from penelope.bootstrap.autonomy import policy_of
from penelope.domain.action import Action, Effect, Snapshot
from penelope.domain.autonomy import Comparison, Level, Standing
from penelope.domain.incident import IncidentState
from penelope.errors import AlreadyDecided, BadSettings, ChainBroken
from penelope.flow.autonomy import Word, override, standing_of, unit_name
from penelope.flow.autonomy_desk import AutonomyDesk
from penelope.flow.commands import Answer
from penelope.flow.keys import Scope
from penelope.flow.ports import Transaction
from penelope.flow.reporting import Report
from penelope.rooms.learn.autonomy import Policy, beginning, failed, interval, succeeded
from penelope.settings import load
from penelope.settings.autonomy import Autonomy
from penelope.store.standings import SqlStandings
from penelope.testing.actions import FakeAction

Databases = tuple[str, str]

POLICY_START = datetime(2026, 11, 21, 7, tzinfo=UTC)
ANY = replace(playbook(), match=replace(playbook().match, names=()))


def desk(stage: Stage) -> AutonomyDesk:
    return AutonomyDesk(stage.engine, SqlStandings(stage.database), stage.parts)


async def standing(stage: Stage, name: str = "fix") -> Standing:
    async def body(transaction: Transaction) -> Any:
        return await standing_of(transaction, stage.parts.autonomy, name, "shop")

    return await stage.engine.transaction("look", body)


async def incident_of(stage: Stage, number: int) -> str:
    return await begin(stage, signal(number, name=f"Broken-{number}"))


# --- acting on what was not earned ------------------------------------------------------------------------


def test_a_playbook_that_fails_as_soon_as_it_has_risen_is_asked_about_again(databases: Databases) -> None:
    """It behaves until nobody looks any more, and then does harm: one failure, and it asks again."""

    async def scene(stage: Stage) -> None:
        for number in range(6):
            stage.metrics.script("shop", BAD)
            incident = await incident_of(stage, number)
            await stage.until(incident, IncidentState.AWAITING_APPROVAL)
            stage.metrics.script("shop", BAD, GOOD)
            await stage.commands.answer_approval(Answer(incident=incident, actor="key:ada", approve=True))
            await stage.until(incident)
        assert (await standing(stage)).level is Level.SUPERVISED
        stage.metrics.script("shop", BAD)
        incident = await incident_of(stage, 7)
        if (
            await stage.until(incident, IncidentState.AWAITING_APPROVAL, IncidentState.ESCALATED)
        ).state is IncidentState.AWAITING_APPROVAL:
            await stage.commands.answer_approval(Answer(incident=incident, actor="key:ada", approve=True))
            await stage.until(incident, IncidentState.ESCALATED)
        fallen = await standing(stage)
        assert (fallen.level, fallen.successes, fallen.failures) == (Level.SUGGEST, 0, 1)
        done = dict(stage.adapter.effects)
        incident = await incident_of(stage, 8)
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        assert stage.adapter.effects == done

    play(databases, scene, playbooks=[ANY], autonomy=replace(POLICY, start=Level.SUGGEST))


def test_failing_every_so_often_never_leads_to_the_top() -> None:
    """Six successes, a failure, and again: the failure that made it fall stays in the count."""
    policy = Policy()
    pair = beginning(policy, "fix", "shop", POLICY_START)
    for _ in range(50):
        for _ in range(6):
            pair = succeeded(pair, policy)
            assert pair.level < Level.AUTONOMOUS
        pair = failed(pair, policy, POLICY_START, "again")


def test_what_was_noted_as_abort_is_never_acted_upon(databases: Databases) -> None:
    """A person said no; neither a second alert, nor a restart of the story, nor a late yes makes it act."""

    async def scene(stage: Stage) -> None:
        incident = await incident_of(stage, 1)
        await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        await stage.commands.answer_approval(
            Answer(incident=incident, actor="key:bob", approve=False, comment="no")
        )
        with pytest.raises(AlreadyDecided):
            await stage.commands.answer_approval(Answer(incident=incident, actor="key:eve", approve=True))
        await stage.until(incident, IncidentState.ESCALATED)
        await stage.engine.start(incident, "shop")
        again = await incident_of(stage, 2)
        assert (await stage.until(again)).state is IncidentState.ESCALATED
        assert stage.adapter.effects == {}
        assert (await standing(stage)).level is Level.SHADOW

    play(databases, scene, playbooks=[ANY], autonomy=replace(POLICY, start=Level.SUGGEST, floor=Level.SHADOW))


# --- forged counts ----------------------------------------------------------------------------------------


def test_one_incident_is_one_agreement_however_often_it_is_told(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await incident_of(stage, 1)
        await stage.until(incident)
        reports = [
            desk(stage).report(Report(incident=incident, actor=f"key:{name}", did="fix"))
            for name in ("ada", "Ada", "bob", "eve")
        ]
        results = await asyncio.gather(*reports, return_exceptions=True)
        assert sum(not isinstance(item, BaseException) for item in results) == 1
        assert (await standing(stage)).agreements == 1

    play(databases, scene, playbooks=[ANY], autonomy=replace(POLICY, start=Level.SHADOW))


def test_a_playbook_called_other_earns_nothing_by_that(databases: Databases) -> None:
    """`other` is what people did beside all playbooks, whatever a playbook is called."""

    async def scene(stage: Stage) -> None:
        incident = await incident_of(stage, 1)
        await stage.until(incident)
        told = Report(incident=incident, actor="key:ada", did="other")
        assert (await desk(stage).report(told)).comparison is Comparison.DIFFERED
        assert (await standing(stage, "other")).agreements == 0

    book = replace(ANY, name="other")
    play(databases, scene, playbooks=[book], autonomy=replace(POLICY, start=Level.SHADOW))


FORGED = (
    "UPDATE units_of_work SET status = 'autonomous', "
    'attributes = replace(attributes, \'"level":"suggest"\', \'"level":"autonomous"\') '
    "WHERE kind = 'autonomy'"
)
DELETED = "DELETE FROM units_of_work WHERE kind = 'autonomy'"


@pytest.mark.parametrize("tampering", [FORGED, DELETED])
def test_a_standing_that_somebody_wrote_or_deleted_in_the_database_is_not_believed(
    databases: Databases, tampering: str
) -> None:
    """Without its row it would begin anew, and here that is at the top. A person's no still counts."""

    async def scene(stage: Stage) -> None:
        await desk(stage).place("fix", "shop", Level.SUGGEST, Word("key:ada", "not yet"))
        waiting = await incident_of(stage, 1)
        await stage.until(waiting, IncidentState.AWAITING_APPROVAL)
        async with stage.database.begin() as connection:
            await connection.exec_driver_sql(tampering)
        await stage.commands.answer_approval(
            Answer(incident=waiting, actor="key:bob", approve=False, comment="no")
        )
        assert (await stage.until(waiting)).state is IncidentState.ESCALATED
        again = await incident_of(stage, 2)
        assert (await stage.until(again)).state is IncidentState.ESCALATED
        assert "GateRefused" in await stage.events(again)
        assert stage.adapter.effects == {}
        with pytest.raises(ChainBroken):
            await desk(stage).place("fix", "shop", Level.AUTONOMOUS, Word("key:ada", "now"))
        assert await stage.flaws() != []

    play(databases, scene, playbooks=[ANY])


class Forging(FakeAction):
    """Tampers with the database while it acts."""

    database: AsyncEngine
    tampering: str

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        async with self.database.begin() as connection:
            await connection.exec_driver_sql(self.tampering)
        return await super().execute(action, snapshot)


@pytest.mark.parametrize(
    "tampering", [DELETED, "UPDATE units_of_work SET attributes = '{}' WHERE kind = 'decision'"]
)
def test_nothing_forged_keeps_an_incident_from_people(databases: Databases, tampering: str) -> None:
    """What its playbook has earned, or was decided, is forged while a plan acts: the incident ends all the same."""
    adapter = Forging()

    async def scene(stage: Stage) -> None:
        adapter.database, adapter.tampering = stage.database, tampering
        await desk(stage).place("fix", "shop", Level.AUTONOMOUS, Word("key:ada", "known"))
        incident = await incident_of(stage, 1)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert "OutcomeRecorded" in await stage.events(incident)

    play(databases, scene, playbooks=[ANY], adapter=adapter)


def test_a_machine_raises_nobody(tmp_path: Path) -> None:
    """An agent that holds a seat may vote; it gives no playbook, and so itself, leave to act unasked."""
    wanted = {"playbook": "free-the-lock", "service": "shop", "level": "autonomous", "reason": "trust me"}
    with Doorstep(settings(tmp_path)) as door:
        _, key = door.new_key(name="helper", scopes=frozenset({Scope.APPROVE}), owner="agent:helper")
        incident = door.open(id="stuck", type="Stuck", data={"labels": {"stuck": "yes"}})
        report = f"/api/v1/incidents/{incident}/report"
        for path, body in (("/api/v1/autonomy", wanted), (report, {"did": "free-the-lock"})):
            door.problem(
                403, "forbidden", lambda path=path, body=body: door.ask("POST", path, json=body, key=key)
            )
        assert door.get("/api/v1/autonomy")["standings"] == []


def test_nobody_can_send_counts_along(tmp_path: Path) -> None:
    wanted = {"playbook": "free-the-lock", "service": "shop", "level": "suggest", "reason": "trust me"}
    with Doorstep(settings(tmp_path)) as door:
        for field in ("successes", "agreements", "cap", "earned", "since"):
            body = {**wanted, field: 10**6}
            door.problem(
                400, "invalid_request", lambda body=body: door.ask("POST", "/api/v1/autonomy", json=body)
            )


# --- another name, another standing -----------------------------------------------------------------------


def test_no_two_pairs_share_a_standing() -> None:
    tricky = [
        "a",
        "a:b",
        "b",
        ":",
        "a:",
        ":b",
        "",
        "a\x00",
        "a b",
        "A",
        "\u00e1",
        "a\u0301",
        "a" * 81,
        "autonomy:a",
    ]
    pairs = [(playbook_name, service) for playbook_name in tricky for service in tricky]
    units = {unit_name(*pair) for pair in pairs}
    assert len(units) == len(pairs)
    assert all(len(unit) <= 200 for unit in units)


def test_what_one_pair_earned_is_not_anothers(databases: Databases) -> None:
    """`a:b` on `c` and `a` on `b:c` would be one text."""

    async def scene(stage: Stage) -> None:
        async def body(transaction: Transaction) -> None:
            word = Word("key:ada", "no")
            await transaction.save(*await override(transaction, POLICY, ("a:b", "c"), word))

        await stage.engine.transaction("override", body)

        async def look(transaction: Transaction) -> Any:
            pairs = (("a:b", "c"), ("a", "b:c"), ("a", "b"))
            return [(await standing_of(transaction, POLICY, *pair)).level for pair in pairs]

        levels = await stage.engine.transaction("look", look)
        assert levels == [Level.SUPERVISED, Level.AUTONOMOUS, Level.AUTONOMOUS]

    play(databases, scene)


@pytest.mark.parametrize(
    "name", ["free-disk", "Free-disk-space", "free-disk-space ", "free\u2010disk\u2010space"]
)
def test_a_cap_under_a_name_that_nothing_has_stops_the_start(name: str) -> None:
    wanted = Autonomy(playbook_caps={name: "shadow"})
    with pytest.raises(BadSettings, match="no playbook of the library is called"):
        policy_of(wanted, ["shop"], ["free-disk-space"])
    with pytest.raises(BadSettings, match="no service of the catalogue is called"):
        policy_of(Autonomy(service_caps={name: "shadow"}), ["free-disk-space"], [])


@pytest.mark.parametrize(
    "override_text",
    [
        "autonomy.cap=omnipotent",
        "autonomy.start=AUTONOMOUS",
        "autonomy.service_caps={shop: 4}",
        "autonomy.autonomous_bound=1",
        "autonomy.autonomous_bound=0.5",
        "autonomy.fall_levels=0",
        "autonomy.floor=autonomous",
        "autonomy.floor=supervised",
        "constitution.sophia_weight=21",
        "constitution.sophia_weight=-20",
        "constitution.escalate_least=0.9",
    ],
)
def test_settings_that_would_open_a_way_round_are_refused(tmp_path: Path, override_text: str) -> None:
    file = tmp_path / "penelope.yaml"
    file.write_text("")
    with pytest.raises(BadSettings, match=r"autonomy\.|constitution"):
        load(file, {}, [override_text])


# --- races ------------------------------------------------------------------------------------------------


def test_workers_that_race_lose_no_failure(databases: Databases) -> None:
    """Many overrides of a pair that has no past yet, at once and on several connections: each one counts."""

    async def scene(stage: Stage) -> None:
        async def one(name: str, number: int) -> None:
            async def body(transaction: Transaction) -> None:
                word = Word("key:ada", f"no {number}")
                await transaction.save(*await override(transaction, POLICY, (name, "shop"), word))

            await stage.engine.transaction("override", body)

        for name in ("fix-1", "fix-2", "fix-3"):
            await asyncio.gather(*(one(name, number) for number in range(6)))
            entries = await stage.reader.history(unit_name(name, "shop"), 0, 100)
            assert len(entries) == 6
            assert (await standing(stage, name)).level is Level.SUGGEST
        assert await stage.flaws() == []

    play(databases, scene)


def test_a_bound_of_nearly_one_is_reached_after_very_many_only() -> None:
    assert interval(379, 0)[0] < 0.99 < interval(381, 0)[0]
