"""What the durable engine promises: it goes on after a crash or a stop, and never runs what a row says."""

import asyncio
import base64
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import dbos._serialization as serialization
import pytest
from mortal import script as mortal_script
from sqlalchemy import create_engine, text
from stage import GOOD, PATIENCE_SECONDS, Script, Stage, begin, performing, playbook, shop, step

from penelope.domain.action import Action, Effect, Snapshot
from penelope.domain.incident import IncidentState
from penelope.flow.engine import Engine, EngineSettings
from penelope.flow.pickles import PickleRefused, block_pickle
from penelope.flow.sweep import sweep, sweep_forever
from penelope.store.database import parse_url
from penelope.testing.actions import FakeAction

Databases = tuple[str, str]


async def outcome(stage: Stage, incident: str) -> str:
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == "outcome"]
    return str(found.attributes["reason"])


class TestAfterACrash:
    """The first life is a process that ends with os._exit; the second one is this process."""

    @pytest.mark.parametrize(
        ("dies_at", "attempts", "probes"),
        [
            ("execute first", [2, 1], 2),  # sent, and nobody knows whether it arrived: it did not
            ("effect first", [2, 1], 2),  # it arrived, and the answer was lost
            ("observe first", [1, 1], 1),  # done and recorded, not yet verified
            ("probe second", [1, 2], 1),  # the attempt was counted, nothing was sent
        ],
    )
    def test_the_story_goes_on_and_nothing_is_done_twice(
        self, databases: Databases, tmp_path: Path, dies_at: str, attempts: list[int], probes: int
    ) -> None:
        world = tmp_path / "world.json"
        command = [
            sys.executable,
            str(Path(__file__).with_name("mortal.py")),
            *databases,
            str(world),
            dies_at,
        ]
        assert subprocess.run(command, check=False, timeout=60).returncode == 9

        async def second_life() -> None:
            script = mortal_script(world)
            async with performing(databases, script) as stage:
                stage.metrics.script("shop", GOOD)
                (incident,) = await stage.reader.incidents(states=(), before=None, limit=9)
                ended = await stage.until(str(incident["id"]))
                assert (ended.state, ended.signal_count) == (IncidentState.HEALED, 1)
                counts = script.adapter.counts
                assert (counts["effect first"], counts["effect second"]) == (1, 1)
                assert counts["probe first"] == probes
                units = await stage.reader.units(ended.id)
                done = [item.attributes for item in units if item.kind == "action"]
                assert [item["attempt"] for item in done] == attempts
                assert done[0]["effect"]["repeated"] is (dies_at == "effect first")
                events = await stage.events(ended.id)
                assert events.count("IncidentOpened") == events.count("IncidentHealed") == 1
                assert await stage.flaws() == []

        asyncio.run(second_life())


def test_after_a_crash_nobody_says_that_nothing_happened_where_nobody_can_ask(
    databases: Databases, tmp_path: Path
) -> None:
    """The catalogue lost the target between the effect and the next attempt."""
    world = tmp_path / "world.json"
    script_file = str(Path(__file__).with_name("mortal.py"))
    command = [sys.executable, script_file, *databases, str(world), "effect first"]
    assert subprocess.run(command, check=False, timeout=60).returncode == 9

    async def second_life() -> None:
        script = replace(mortal_script(world), services=(replace(shop(), targets={}),))
        async with performing(databases, script) as stage:
            (incident,) = await stage.reader.incidents(states=(), before=None, limit=9)
            ended = await stage.until(str(incident["id"]))
            units = await stage.reader.units(ended.id)
            (action,) = [item for item in units if item.kind == "action"]
            assert action.status == "unknown"
            assert ended.state is IncidentState.ESCALATED

    asyncio.run(second_life())


class Held(FakeAction):
    """Does its first thing, and answers only when it is let go; `cut_off` says that nobody waited for that."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.let_go = asyncio.Event(), asyncio.Event()
        self.cut_off = False

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        effect = await super().execute(action, snapshot)
        if not self.reached.is_set():
            self.reached.set()
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                self.cut_off = True
                raise
        return effect


@pytest.mark.parametrize("ends_in_time", [True, False])
def test_a_stop_in_the_middle_of_an_action_is_no_failure(databases: Databases, *, ends_in_time: bool) -> None:
    async def run() -> None:
        adapter = Held()
        steps = (step("first", timeout_seconds=60), step("second", "two"))
        script = Script(playbooks=[playbook(steps=steps)], adapter=adapter)
        async with performing(databases, script) as stage:
            incident = await begin(stage)
            await asyncio.wait_for(adapter.reached.wait(), PATIENCE_SECONDS)
            if ends_in_time:
                asyncio.get_running_loop().call_later(0.2, adapter.let_go.set)
        # No story runs on beside an engine that has stopped, and the loop has threads again.
        assert adapter.cut_off is not ends_in_time
        assert list(adapter.effects.values()) == [1]
        assert await asyncio.to_thread(lambda: "a thread") == "a thread"
        async with performing(databases, script) as stage:
            stage.metrics.script("shop", GOOD)
            assert (await stage.until(incident)).state is IncidentState.HEALED
            assert list(adapter.effects.values()) == [1, 1]
            # What came to its end in time was recorded; what did not is looked at again.
            assert (await stage.events(incident)).count("ActionStarted") == (2 if ends_in_time else 3)
            assert await stage.flaws() == []

    asyncio.run(run())


def test_an_engine_that_does_not_run_says_so() -> None:
    async def body(_transaction: Any) -> None:
        raise AssertionError

    async def run() -> None:
        settings = EngineSettings(executor_id="test", poll_seconds=1)
        engine = Engine(None, None, None, None, settings)  # type: ignore[arg-type]  # never touched
        with pytest.raises(RuntimeError, match="not running"):
            await engine.start("inc_1", "shop")
        with pytest.raises(RuntimeError, match="not running"):
            await engine.transaction("name", body)

    asyncio.run(run())


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (Path(self._path),)


def evil(path: Path) -> str:
    return base64.b64encode(pickle.dumps(Evil(path))).decode()


def execute(database: str, statement: str, **values: Any) -> int:
    """Runs SQL in a database, on PostgreSQL in the engine's schema; returns the number of rows it changed."""
    url = parse_url(database)
    sqlite = url.get_backend_name() == "sqlite"
    engine = create_engine(url.set(drivername="sqlite") if sqlite else url)
    try:
        with engine.begin() as connection:
            if not sqlite:
                connection.execute(text("SET search_path TO dbos"))
            return int(connection.execute(text(statement), values).rowcount)
    finally:
        engine.dispose()


BROKEN_OFF = "its story broke off, so that nobody knows how far it came"


class TestPickledRows:
    """Whoever can write a row of the engine's tables must not be able to run code here."""

    async def _tamper(self, databases: Databases, plant: Callable[[str], int]) -> tuple[IncidentState, str]:
        """Plants a row while the engine is down and an incident waits; returns how the incident ends."""
        script = Script(playbooks=[playbook(approval=True)])
        async with performing(databases, script) as stage:
            incident = await begin(stage)
            await stage.until(incident, IncidentState.AWAITING_APPROVAL)
            # The state is committed a moment before the story has recorded its steps up to the wait.
            for _ in range(int(PATIENCE_SECONDS * 100)):
                if stage.engine._waiting:
                    break
                await asyncio.sleep(0.01)
        assert await asyncio.to_thread(plant, incident) == 1
        async with performing(databases, script) as stage:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not (await stage.reader.incident(incident)).state.ended:
                    await sweep(stage.engine, stage.reader)
                    await asyncio.sleep(0.1)
            return (await stage.until(incident)).state, await outcome(stage, incident)

    def _refused(self, databases: Databases, tmp_path: Path, plant: Callable[[str], int]) -> None:
        state, reason = asyncio.run(self._tamper(databases, plant))
        assert state is IncidentState.ESCALATED
        # Depending on how far the story had come it can still say why, or it broke off and was found so.
        assert reason == BROKEN_OFF or "PickleRefused" in reason
        assert not (tmp_path / "pwned").exists()

    def test_what_is_planted_would_run(self, tmp_path: Path) -> None:
        pickle.loads(base64.b64decode(evil(tmp_path / "pwned")))
        assert (tmp_path / "pwned").exists()

    def test_the_engines_own_reader_refuses(self, tmp_path: Path) -> None:
        block_pickle()
        with pytest.raises(PickleRefused):
            serialization.deserialize_value(evil(tmp_path / "pwned"), "py_pickle", None)
        assert not (tmp_path / "pwned").exists()

    def test_a_recorded_step(self, databases: Databases, tmp_path: Path) -> None:
        def plant(incident: str) -> int:
            return execute(
                databases[1],
                "UPDATE operation_outputs SET output = :evil, serialization = 'py_pickle' "
                "WHERE workflow_uuid = :incident AND function_name = 'assess'",
                evil=evil(tmp_path / "pwned"),
                incident=incident,
            )

        self._refused(databases, tmp_path, plant)

    def test_a_recorded_transaction(self, databases: Databases, tmp_path: Path) -> None:
        def plant(incident: str) -> int:
            # The engine's own record goes, as if it had died before writing it: the one beside the data is read.
            execute(
                databases[1],
                "DELETE FROM operation_outputs WHERE workflow_uuid = :incident AND function_id >= 2",
                incident=incident,
            )
            return execute(
                databases[0],
                "UPDATE datasource_outputs SET output = :evil, serialization = 'py_pickle' "
                "WHERE workflow_id = :incident AND step_id = 2",
                evil=evil(tmp_path / "pwned"),
                incident=incident,
            )

        self._refused(databases, tmp_path, plant)

    def test_a_message(self, databases: Databases, tmp_path: Path) -> None:
        def plant(incident: str) -> int:
            return execute(
                databases[1],
                "INSERT INTO notifications (destination_uuid, topic, message, message_uuid, serialization, "
                "created_at_epoch_ms) VALUES (:incident, 'inbox', :evil, 'planted', 'py_pickle', 1)",
                evil=evil(tmp_path / "pwned"),
                incident=incident,
            )

        self._refused(databases, tmp_path, plant)

    def test_the_input_of_a_story(self, databases: Databases, tmp_path: Path) -> None:
        def plant(incident: str) -> int:
            return execute(
                databases[1],
                "UPDATE workflow_status SET inputs = :evil, serialization = 'py_pickle' "
                "WHERE workflow_uuid = :incident",
                evil=evil(tmp_path / "pwned"),
                incident=incident,
            )

        self._refused(databases, tmp_path, plant)


def test_an_incident_whose_story_is_lost_goes_to_people(databases: Databases) -> None:
    """Someone deleted the engine's rows, or put an older copy of them back."""

    async def run() -> None:
        script = Script(playbooks=[playbook(approval=True)])
        async with performing(databases, script) as stage:
            incident = await begin(stage)
            await stage.until(incident, IncidentState.AWAITING_APPROVAL)
        for table in ("notifications", "operation_outputs", "workflow_status"):
            execute(databases[1], f"DELETE FROM {table}")
        async with performing(databases, script) as stage:
            await sweep(stage.engine, stage.reader)
            assert (await stage.until(incident)).state is IncidentState.ESCALATED
            assert await outcome(stage, incident) == BROKEN_OFF
            before = await stage.events(incident)
            await sweep(stage.engine, stage.reader)
            assert await stage.events(incident) == before
            assert await stage.flaws() == []

    asyncio.run(run())


def test_a_sweep_that_fails_is_followed_by_the_next_one() -> None:
    class Moody:
        """A reader whose database is away at first."""

        def __init__(self) -> None:
            self.asked = 0
            self.back = asyncio.Event()

        async def incidents(self, **_: Any) -> list[Any]:
            self.asked += 1
            if self.asked == 1:
                raise ConnectionError("the database is away")
            self.back.set()
            return []

    async def run() -> None:
        reader = Moody()
        sweeping = asyncio.create_task(sweep_forever(None, reader, 0.01))  # type: ignore[arg-type]  # no incident
        await asyncio.wait_for(reader.back.wait(), PATIENCE_SECONDS)
        sweeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sweeping

    asyncio.run(run())
