"""A save in detail: its rows, their order, the actors in them, and what it refuses to build upon."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity
from penelope.domain.work import INTERACTIONS, Change
from penelope.errors import AppendConflict, ChainBroken, EntryTooLarge
from penelope.flow.engine import WORKFLOW
from penelope.flow.records import of_incident
from penelope.kit.canonical import canonical, content_hash
from penelope.ledger.chain import drifted_paths
from penelope.store import tables
from penelope.store.bulk import CHANGING, HISTORY_COLUMNS, UNIT_COLUMNS, statements
from penelope.store.draft import Draft

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
ACTORS = {"penelope": "act_1"}


def change(unit: str = "u", status: str = "made", **changes: Any) -> Change:
    made = Change(
        unit=unit,
        kind="approval",
        incident="inc_1",
        status=status,
        attributes={"n": 1},
        event="Saved",
        actor="penelope",
        reason="because",
    )
    return replace(made, **changes)


def saved(state: IncidentState = IncidentState.RECEIVED, identifier: str = "inc_1") -> Change:
    incident = Incident(
        id=identifier,
        service="shop",
        fingerprint=f"problem of {identifier}",
        name="Broken",
        severity=Severity.ERROR,
        state=state,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
    )
    return of_incident(incident, "Saved", "a test says so")


async def content(store: Any, table: Any) -> list[dict[str, Any]]:
    async with store.reading.connect() as connection:
        found = await connection.execute(select(table).order_by(*table.primary_key))
        return [dict(row) for row in found.mappings()]


async def history(store: Any) -> list[Any]:
    return list(await store.reader.entries(incident=None, after=0, limit=99))


class TestDraft:
    def test_rows_are_in_the_order_of_changes_and_units_in_that_of_their_names(self) -> None:
        first = Draft({})
        first.add([change("old-b"), change("old-a")], ACTORS, NOW)
        draft = Draft(first.after)
        batch = [change(name, "again") for name in ("z", "old-b", "a", "old-a", "z", "old-b")]
        batch[4:] = [replace(item, status="third") for item in batch[4:]]
        draft.add(batch, ACTORS, NOW)
        unit, version = HISTORY_COLUMNS.index("unit"), HISTORY_COLUMNS.index("version")
        order = [("z", 1), ("old-b", 2), ("a", 1), ("old-a", 2), ("z", 2), ("old-b", 3)]
        assert [(row[unit], row[version]) for row in draft.history] == order
        assert [(entry.unit, entry.version) for entry in draft.entries] == order
        assert [row[:2] for row in draft.payloads] == order
        assert [row[UNIT_COLUMNS.index("id")] for row in draft.new_units()] == ["a", "z"]
        changed = draft.changed_units()
        assert [row[len(CHANGING) : -1] for row in changed] == [("old-a", 1), ("old-b", 1)]
        assert [row[CHANGING.index("version")] for row in changed] == [2, 3]
        assert {row[-1] for row in changed} == {content_hash({"n": 1})}

    def test_each_payload_has_a_salt_of_its_own(self) -> None:
        draft = Draft({})
        draft.add([change(f"u{number}") for number in range(50)], ACTORS, NOW)
        draft.add([change(f"v{number}") for number in range(50)], ACTORS, NOW)
        salts = [row[2] for row in draft.payloads]
        assert len(set(salts)) == 100
        assert {len(bytes.fromhex(salt)) for salt in salts} == {32}
        assert [entry.salt for entry in draft.entries] == salts

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (change("u", version=7), AppendConflict),
            (change("x" * 70_000), EntryTooLarge),
            (change(attributes={"n": float("nan")}), ValueError),
            (change(details={"n": object()}), TypeError),
        ],
    )
    def test_what_cannot_be_taken_in_leaves_it_as_it_was(self, bad: Change, error: type[Exception]) -> None:
        draft = Draft({})
        draft.add([change("u"), change("v")], ACTORS, NOW)
        with pytest.raises(error):
            draft.add([change("u", "again"), change("w"), bad], ACTORS, NOW)
        assert [entry.unit for entry in draft.entries] == ["u", "v"]
        assert [row[0] for row in draft.history] == [row[0] for row in draft.payloads] == ["u", "v"]
        assert draft.after["u"].version == 1
        assert len(draft.new_units()) == 2
        draft.add([change("u", "again")], ACTORS, NOW)
        assert [entry.version for entry in draft.entries] == [1, 1, 2]

    def test_what_changes_nothing_is_written_nowhere(self) -> None:
        first = Draft({})
        first.add([change()], ACTORS, NOW)
        draft = Draft(first.after)
        draft.add([change(), change()], ACTORS, NOW)
        assert (draft.entries, draft.after, draft.writes(statements("sqlite"))) == ([], {}, [])


class TestBatches:
    def test_new_and_old_units_at_once(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(change("m"), change("c"), saved())
            later = NOW + timedelta(seconds=1)
            names = ["z", "m", "a", "c", "inc_1", "b"]
            async with store.transaction(later) as transaction:
                moved = saved(IncidentState.OBSERVING)
                await transaction.save(
                    *(change(name, "again") if name != "inc_1" else moved for name in names)
                )
            found = await history(store)
            assert [entry.unit for entry in found] == ["m", "c", "inc_1", *names]
            assert [entry.version for entry in found[3:]] == [1, 2, 1, 2, 2, 1]
            async with store.transaction() as transaction:
                for name in names:
                    unit = await transaction.unit(name)
                    assert unit.updated_at == later
                    assert unit.head == [entry.hash for entry in found if entry.unit == name][-1]
            assert await store.flaws() == []

        on_stores(scene)

    def test_one_unit_there_and_back_again(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(change())
            async with store.transaction() as transaction:
                await transaction.save(change(attributes={}), change(attributes={}), change())
                assert [entry.version for entry in transaction.entries] == [2, 3]
            async with store.transaction() as transaction:
                unit = await transaction.unit("u")
            assert (unit.version, unit.attributes) == (3, {"n": 1})
            entries = await history(store)
            assert [entry.patch for entry in entries] == [
                [{"op": "add", "path": "", "value": {"n": 1}}],
                [{"op": "remove", "path": "/n"}],
                [{"op": "add", "path": "/n", "value": 1}],
            ]
            assert [entry.state_before for entry in entries] == [None, *(e.state_hash for e in entries[:2])]
            assert drifted_paths(unit, entries) == []
            assert await store.flaws() == []

        on_stores(scene)

    def test_a_new_unit_twice_in_one_save_with_versions(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(change(version=0), change(status="again", version=1))
                assert (await transaction.unit("u")).version == 2
            with pytest.raises(AppendConflict, match="u is at version 3, not 2"):
                async with store.transaction() as transaction:
                    await transaction.save(change(version=2), change(status="made", version=2))
            assert len(await history(store)) == 2
            assert await store.flaws() == []

        on_stores(scene)

    def test_one_line_that_is_too_long_and_nothing_is_kept(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            with pytest.raises(EntryTooLarge):
                async with store.transaction() as transaction:
                    await transaction.save(change("v"), change(event="e" * 70_000))
            assert await history(store) == []
            assert await content(store, tables.units_of_work) == []

        on_stores(scene)


class TestColumns:
    def test_what_is_stored_are_the_bytes_that_were_hashed(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            attributes = {"ü": [1.0, 1e21, "\u2028\0"], "b": {"z": None, "a": 0.1}}
            async with store.transaction() as transaction:
                await transaction.save(change(attributes=attributes))
                (told,) = transaction.entries
            (unit,) = await content(store, tables.units_of_work)
            assert unit["attributes"].encode() == canonical(attributes)
            assert unit["content_hash"] == content_hash(attributes) == told.state_hash
            (line,) = await content(store, tables.units_of_work_history)
            assert (line["body"].encode(), line["hash"]) == (told.body, told.hash)
            (payload,) = await content(store, tables.history_payloads)
            assert (payload["unit"], payload["version"], payload["salt"]) == ("u", 1, told.salt)
            assert await history(store) == [replace(told, seq=line["seq"])]

        on_stores(scene)

    def test_a_unit_says_where_it_rests_and_since_when(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            later, latest = NOW + timedelta(seconds=1), NOW + timedelta(seconds=2)
            async with store.transaction() as transaction:
                await transaction.save(change(status="pending"), change("v"))
            async with store.transaction(later) as transaction:
                await transaction.save(change(status="approved"), saved())
            async with store.transaction(latest) as transaction:
                await transaction.save(change(status="approved"))
            found = [
                (row["id"], row["interaction"], row["last_heartbeat_at"])
                for row in await content(store, tables.units_of_work)
            ]
            assert found == [
                ("inc_1", "intake", "2026-11-21T07:00:01.000000Z"),
                ("u", "done", "2026-11-21T07:00:01.000000Z"),
                ("v", "done", "2026-11-21T07:00:00.000000Z"),
            ]
            moves = [
                (entry.unit, entry.interaction_before, entry.interaction_after)
                for entry in await history(store)
            ]
            assert moves == [
                ("u", None, "approve"),
                ("v", None, "done"),
                ("u", "approve", "done"),
                ("inc_1", None, "intake"),
            ]

        on_stores(scene)

    def test_the_places_are_those_that_units_can_rest_at(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            found = await content(store, tables.interactions)
            assert {row["id"]: row["meaning"] for row in found} == INTERACTIONS

        on_stores(scene)

    def test_each_incident_is_one_instance(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(saved(), change(), saved(identifier="inc_2"))
            async with store.transaction(NOW + timedelta(days=1)) as transaction:
                await transaction.save(saved(IncidentState.HEALED))
            run = {"workflow": WORKFLOW, "started_at": "2026-11-21T07:00:00.000000Z"}
            assert await content(store, tables.instance_contexts) == [
                {"id": "inc_1", **run},
                {"id": "inc_2", **run},
            ]

        on_stores(scene)


class TestActors:
    def test_each_has_a_pseudonym_that_stands_for_it_in_history(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            names = {
                "penelope": "engine",
                "key:ada": "person",
                "agent:planner": "agent",
                "worker:w-1": "worker",
            }
            async with store.transaction() as transaction:
                await transaction.save(*(change(name, actor=name) for name in names))
            async with store.transaction(NOW + timedelta(seconds=1)) as transaction:
                await transaction.save(*(change(name, "again", actor=name) for name in names))
            rows = await content(store, tables.local_actors)
            assert {row["name"]: row["kind"] for row in rows} == names
            assert {row["last_heartbeat_at"] for row in rows} == {"2026-11-21T07:00:00.000000Z"}
            ids = {row["name"]: row["id"] for row in rows}
            assert len(set(ids.values())) == len(rows) == 4
            entries = await history(store)
            assert len(entries) == 8
            for entry in entries:
                assert entry.actor_id == ids[entry.actor]
                assert entry.actor == entry.unit
            lines = await content(store, tables.units_of_work_history)
            ada = [line for line in lines if line["actor_id"] == ids["key:ada"]]
            assert len(ada) == 2
            assert not any(name in line["body"] for line in lines for name in names if name != line["unit"])

        on_stores(scene)

    def test_an_actor_whose_first_save_is_taken_back_is_not_remembered(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async def fail() -> None:
                async with store.transaction() as transaction:
                    await transaction.save(change("u", actor="key:ada"))
                    await transaction.save(change("v", actor="key:ada"), change("w", actor="key:eve"))
                    assert len({entry.actor_id for entry in transaction.entries}) == 2
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await fail()
            assert await content(store, tables.local_actors) == []
            async with store.transaction() as transaction:
                await transaction.save(change("u", actor="key:ada"))
                await transaction.save(change("v", actor="key:ada"))
            (ada,) = await content(store, tables.local_actors)
            assert {entry.actor_id for entry in await history(store)} == {ada["id"]}

        on_stores(scene)

    def test_concurrent_writers_agree_on_one_pseudonym(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async def write(number: int) -> None:
                while True:
                    try:
                        async with store.transaction() as transaction:
                            await transaction.save(change(f"u{number}", actor="key:ada"))
                            await transaction.save(change(f"v{number}", actor=f"key:{number % 2}"))
                    except (AppendConflict, DBAPIError):  # PostgreSQL: another one was first
                        continue
                    return

            async with asyncio.timeout(30):
                await asyncio.gather(*(write(number) for number in range(12)))
            rows = await content(store, tables.local_actors)
            assert sorted(row["name"] for row in rows) == ["key:0", "key:1", "key:ada"]
            ids = {row["name"]: row["id"] for row in rows}
            entries = await history(store)
            assert len(entries) == 24
            assert {(entry.actor, entry.actor_id) for entry in entries} == set(ids.items())

        on_stores(scene)


FOREIGN = [
    "UPDATE units_of_work SET attributes = replace(attributes, '1', '2') WHERE id = '{}'",
    "UPDATE units_of_work SET attributes = '{{' WHERE id = '{}'",
    "UPDATE units_of_work SET attributes = attributes || ' ' WHERE id = '{}'",
    "UPDATE units_of_work SET content_hash = 'ff' WHERE id = '{}'",
]


@pytest.mark.parametrize("statement", FOREIGN)
class TestForeignEdits:
    def test_nothing_is_built_upon_one(self, on_stores: OnStores, statement: str) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(change("u1"), change("u2"))
            await store.sql(statement.format("u2"))
            for saves in ([change("u2", "again")], [change("new"), change("u1", "x"), change("u2")]):
                with pytest.raises(ChainBroken, match="the attributes of u2 were changed") as caught:
                    async with store.transaction() as transaction:
                        await transaction.save(*saves)
                assert "penelope ledger state u2" in caught.value.advice
            assert len(await history(store)) == 2
            async with store.transaction() as transaction:
                await transaction.save(change("u1", "again"))
            assert "u2" in {flaw.unit for flaw in await store.flaws()}

        on_stores(scene)

    def test_signals_find_no_incident_in_one(self, on_stores: OnStores, statement: str) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(saved())
            await store.sql(statement.format("inc_1"))
            with pytest.raises(ChainBroken, match="the attributes of inc_1 were changed"):
                async with store.transaction() as transaction:
                    await transaction.latest_incidents([("shop", "problem of inc_1")])

        on_stores(scene)
