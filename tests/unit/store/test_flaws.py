"""Whatever someone changes in the stored ledger by hand, the walk through it finds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity
from penelope.domain.work import Change
from penelope.flow.records import of_incident

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)

A_DECISION = "unit = 'inc_1:decision'"
THE_DECISION = "id = 'inc_1:decision'"
THE_INCIDENT = "id = 'inc_1'"


async def lay_down_history(store: Any) -> None:
    """An incident with four entries and its decision with three."""
    for number, state in enumerate((IncidentState.RECEIVED, IncidentState.OBSERVING) * 2):
        incident = Incident(
            id="inc_1",
            service="shop",
            fingerprint="problem",
            name="Broken",
            severity=Severity.ERROR,
            state=state,
            opened_at=NOW,
            updated_at=NOW,
            signal_count=number + 1,
        )
        decision = Change(
            unit="inc_1:decision",
            kind="decision",
            incident="inc_1",
            status=f"made-{number}",
            attributes={"number": number},
            event="DecisionMade",
            actor="penelope",
            reason="because",
            details={"number": number},
        )
        async with store.transaction(NOW + timedelta(seconds=number)) as transaction:
            await transaction.save(of_incident(incident, "Moved", "a test says so"))
            if number:
                await transaction.save(decision)


TAMPERING = {
    "attributes": f"UPDATE units_of_work SET attributes = '{{\"number\":9}}' WHERE {THE_DECISION}",
    "attributes that are no JSON": f"UPDATE units_of_work SET attributes = '{{' WHERE {THE_DECISION}",
    "attributes that are no incident": f"UPDATE units_of_work SET attributes = '{{}}' WHERE {THE_INCIDENT}",
    "attributes beyond all numbers": (
        f"UPDATE units_of_work SET attributes = '{{\"number\":99999999999999999}}' WHERE {THE_DECISION}"
    ),
    "status": f"UPDATE units_of_work SET status = 'better' WHERE {THE_DECISION}",
    "kind": f"UPDATE units_of_work SET kind = 'gate' WHERE {THE_DECISION}",
    "kind of the incident": f"UPDATE units_of_work SET kind = 'gate' WHERE {THE_INCIDENT}",
    "incident": f"UPDATE units_of_work SET incident = 'inc_2' WHERE {THE_DECISION}",
    "content hash": f"UPDATE units_of_work SET content_hash = '00' WHERE {THE_DECISION}",
    "version": f"UPDATE units_of_work SET version = 2 WHERE {THE_DECISION}",
    "head": f"UPDATE units_of_work SET head = '00' WHERE {THE_DECISION}",
    "time of the state": (
        f"UPDATE units_of_work SET updated_at = '2026-11-21T07:00:09.000000Z' WHERE {THE_DECISION}"
    ),
    "time that is none": f"UPDATE units_of_work SET updated_at = 'yesterday' WHERE {THE_DECISION}",
    "text of an entry": f"UPDATE ledger_entries SET reason = 'no reason' WHERE {A_DECISION} AND version = 2",
    "actor of an entry": f"UPDATE ledger_entries SET actor = 'eve' WHERE {A_DECISION} AND version = 3",
    "event of an entry": f"UPDATE ledger_entries SET event = 'Nothing' WHERE {A_DECISION} AND version = 1",
    "time of an entry": (
        f"UPDATE ledger_entries SET recorded_at = '2026-11-21T06:00:00.000000Z' WHERE {A_DECISION} AND version = 1"
    ),
    "details of an entry": f"UPDATE ledger_entries SET details = '{{}}' WHERE {A_DECISION} AND version = 2",
    "details that are no JSON": f"UPDATE ledger_entries SET details = 'x' WHERE {A_DECISION} AND version = 2",
    "state hash of an entry": f"UPDATE ledger_entries SET state_hash = '00' WHERE {A_DECISION} AND version = 3",
    "status before an entry": f"UPDATE ledger_entries SET status_before = 'x' WHERE {A_DECISION} AND version = 2",
    "status before the first": f"UPDATE ledger_entries SET status_before = 'x' WHERE {A_DECISION} AND version = 1",
    "kind of an entry": f"UPDATE ledger_entries SET kind = 'gate' WHERE {A_DECISION} AND version = 2",
    "incident of an entry": f"UPDATE ledger_entries SET incident = 'inc_2' WHERE {A_DECISION} AND version = 2",
    "hash of an entry": f"UPDATE ledger_entries SET hash = '00' WHERE {A_DECISION} AND version = 2",
    "first entry": f"DELETE FROM ledger_entries WHERE {A_DECISION} AND version = 1",
    "middle entry": f"DELETE FROM ledger_entries WHERE {A_DECISION} AND version = 2",
    "last entry": f"DELETE FROM ledger_entries WHERE {A_DECISION} AND version = 3",
    "all entries": f"DELETE FROM ledger_entries WHERE {A_DECISION}",
    "state": f"DELETE FROM units_of_work WHERE {THE_DECISION}",
    "unit of an entry": f"UPDATE ledger_entries SET unit = 'inc_9' WHERE {A_DECISION} AND version = 3",
    "service it is filed under": f"UPDATE incidents SET service = 'bakery' WHERE {THE_INCIDENT}",
    "state it is filed under": f"UPDATE incidents SET state = 'healed' WHERE {THE_INCIDENT}",
    "problem it is filed under": f"UPDATE incidents SET fingerprint = 'other' WHERE {THE_INCIDENT}",
    "opening it is filed under": f"UPDATE incidents SET opened_at = '2026' WHERE {THE_INCIDENT}",
    "key of the open one": f"UPDATE incidents SET open_key = NULL WHERE {THE_INCIDENT}",
    "file of the incident": f"DELETE FROM incidents WHERE {THE_INCIDENT}",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_one_row_changed_is_found(on_stores: OnStores, what: str) -> None:
    async def scene(store: Any) -> None:
        await lay_down_history(store)
        assert [flaw async for flaw in store.reader.flaws()] == []
        assert await store.sql(TAMPERING[what]) > 0
        flaws = [flaw async for flaw in store.reader.flaws()]
        assert flaws
        assert {flaw.unit for flaw in flaws} <= {"inc_1", "inc_1:decision", "inc_9"}

    on_stores(scene)


def test_swapped_entries_are_found(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await lay_down_history(store)
        for old, new in ((1, -1), (2, 1), (-1, 2)):
            await store.sql(
                f"UPDATE ledger_entries SET version = {new} WHERE {A_DECISION} AND version = {old}"
            )
        flaws = [flaw async for flaw in store.reader.flaws()]
        assert {flaw.unit for flaw in flaws} == {"inc_1:decision"}

    on_stores(scene)


def test_swapped_links_are_found(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await lay_down_history(store)
        entries = await store.reader.entries(incident=None, after=0, limit=99)
        link = {entry.version: entry.previous_hash for entry in entries if entry.kind == "decision"}
        for version, other in ((2, 3), (3, 2)):
            await store.sql(
                f"UPDATE ledger_entries SET previous_hash = '{link[other]}' WHERE {A_DECISION} AND version = {version}"
            )
        flaws = [flaw async for flaw in store.reader.flaws()]
        assert {flaw.version for flaw in flaws} == {2, 3}

    on_stores(scene)


def test_every_flaw_is_told_and_no_other(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await lay_down_history(store)
        await store.sql("UPDATE units_of_work SET attributes = 'x' WHERE id = 'inc_1'")
        await store.sql(TAMPERING["text of an entry"])
        await store.sql(TAMPERING["status"])
        found = {(flaw.unit, flaw.version, flaw.problem) async for flaw in store.reader.flaws()}
        assert {(unit, version) for unit, version, _ in found} == {
            ("inc_1", 0),
            ("inc_1:decision", 2),
            ("inc_1:decision", 3),
        }
        assert any("cannot be read any more" in problem for _, _, problem in found)

    on_stores(scene)


def test_the_walk_goes_over_more_units_than_fit_in_memory_at_once(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        changes = [
            Change(
                unit=f"unit-{number}",
                kind="decision",
                incident="inc_1",
                status="made",
                attributes={},
                event="DecisionMade",
                actor="penelope",
                reason="",
            )
            for number in range(1203)
        ]
        async with store.transaction() as transaction:
            await transaction.save(*changes)
        assert [flaw async for flaw in store.reader.flaws()] == []
        await store.sql(
            "UPDATE units_of_work SET status = 'x' WHERE id IN ('unit-0', 'unit-777', 'unit-999')"
        )
        await store.sql("DELETE FROM units_of_work WHERE id = 'unit-500'")
        found = sorted([flaw.unit async for flaw in store.reader.flaws()])
        assert found == ["unit-0", "unit-500", "unit-777", "unit-999"]

    on_stores(scene)
