"""Whatever someone changes in the stored ledger by hand, the walk through it finds."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity
from penelope.domain.work import Change
from penelope.flow.records import of_incident
from penelope.ledger.erasures import Erased

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
    "place where it rests": f"UPDATE units_of_work SET interaction = 'approve' WHERE {THE_DECISION}",
    "attributes written otherwise": (
        f"UPDATE units_of_work SET attributes = '{{ \"number\": 3 }}' WHERE {THE_DECISION}"
    ),
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
    "text of an entry": (
        "UPDATE history_payloads SET body = replace(body, 'because', 'no reason') "
        f"WHERE {A_DECISION} AND version = 2"
    ),
    "actor of an entry": (
        "UPDATE history_payloads SET body = replace(body, 'penelope', 'eve') "
        f"WHERE {A_DECISION} AND version = 3"
    ),
    "pseudonym of an entry": f"UPDATE units_of_work_history SET actor_id = 'act_eve' WHERE {A_DECISION} AND version = 3",
    "event of an entry": f"UPDATE units_of_work_history SET event = 'Nothing' WHERE {A_DECISION} AND version = 1",
    "time of an entry": (
        f"UPDATE units_of_work_history SET recorded_at = '2026-11-21T06:00:00.000000Z' WHERE {A_DECISION} AND version = 1"
    ),
    "details of an entry": (
        "UPDATE history_payloads SET body = replace(body, '{\"number\":2}', '{}') "
        f"WHERE {A_DECISION} AND version = 2"
    ),
    "payload that is no JSON": f"UPDATE history_payloads SET body = 'x' WHERE {A_DECISION} AND version = 2",
    "payload that is no object": f"UPDATE history_payloads SET body = '[]' WHERE {A_DECISION} AND version = 2",
    "payload with another member": (
        f"UPDATE history_payloads SET body = '{{\"seq\":1}}' WHERE {A_DECISION} AND version = 2"
    ),
    "payload with less in it": f"UPDATE history_payloads SET body = '{{}}' WHERE {A_DECISION} AND version = 2",
    "salt of an entry": f"UPDATE history_payloads SET salt = '{'00' * 32}' WHERE {A_DECISION} AND version = 2",
    "salt that is none": f"UPDATE history_payloads SET salt = 'salty' WHERE {A_DECISION} AND version = 2",
    "payload in the place of one erased": f"UPDATE history_payloads SET salt = '' WHERE {A_DECISION} AND version = 2",
    "state hash of an entry": f"UPDATE units_of_work_history SET state_hash = '00' WHERE {A_DECISION} AND version = 3",
    "state before an entry": f"UPDATE units_of_work_history SET state_before = '00' WHERE {A_DECISION} AND version = 3",
    "commitment of an entry": f"UPDATE units_of_work_history SET payload_hash = '00' WHERE {A_DECISION} AND version = 3",
    "place before an entry": (
        f"UPDATE units_of_work_history SET interaction_before = 'act' WHERE {A_DECISION} AND version = 3"
    ),
    "place after an entry": f"UPDATE units_of_work_history SET interaction_after = 'act' WHERE {A_DECISION} AND version = 1",
    "recorded text of an entry": f"UPDATE units_of_work_history SET body = body || ' ' WHERE {A_DECISION} AND version = 2",
    "status before an entry": f"UPDATE units_of_work_history SET status_before = 'x' WHERE {A_DECISION} AND version = 2",
    "status before the first": f"UPDATE units_of_work_history SET status_before = 'x' WHERE {A_DECISION} AND version = 1",
    "kind of an entry": f"UPDATE units_of_work_history SET kind = 'gate' WHERE {A_DECISION} AND version = 2",
    "incident of an entry": f"UPDATE units_of_work_history SET incident = 'inc_2' WHERE {A_DECISION} AND version = 2",
    "hash of an entry": f"UPDATE units_of_work_history SET hash = '00' WHERE {A_DECISION} AND version = 2",
    "first entry": f"DELETE FROM units_of_work_history WHERE {A_DECISION} AND version = 1",
    "middle entry": f"DELETE FROM units_of_work_history WHERE {A_DECISION} AND version = 2",
    "last entry": f"DELETE FROM units_of_work_history WHERE {A_DECISION} AND version = 3",
    "all entries": f"DELETE FROM units_of_work_history WHERE {A_DECISION}",
    "state": f"DELETE FROM units_of_work WHERE {THE_DECISION}",
    "unit of an entry": f"UPDATE units_of_work_history SET unit = 'inc_9' WHERE {A_DECISION} AND version = 3",
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
        assert await store.flaws() == []
        assert await store.tamper(TAMPERING[what]) > 0
        flaws = await store.flaws()
        assert flaws
        assert {flaw.unit for flaw in flaws} <= {"inc_1", "inc_1:decision", "inc_9"}

    on_stores(scene)


def test_swapped_entries_are_found(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await lay_down_history(store)
        for old, new in ((1, -1), (2, 1), (-1, 2)):
            await store.tamper(
                f"UPDATE units_of_work_history SET version = {new} WHERE {A_DECISION} AND version = {old}"
            )
        flaws = await store.flaws()
        assert {flaw.unit for flaw in flaws} == {"inc_1:decision"}

    on_stores(scene)


def test_swapped_links_are_found(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await lay_down_history(store)
        entries = await store.reader.entries(incident=None, after=0, limit=99)
        link = {entry.version: entry.previous_hash for entry in entries if entry.kind == "decision"}
        for version, other in ((2, 3), (3, 2)):
            await store.tamper(
                f"UPDATE units_of_work_history SET previous_hash = '{link[other]}' WHERE {A_DECISION} AND version = {version}"
            )
        flaws = await store.flaws()
        assert {flaw.version for flaw in flaws} == {2, 3}

    on_stores(scene)


def test_every_flaw_is_told_and_no_other(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await lay_down_history(store)
        await store.tamper("UPDATE units_of_work SET attributes = 'x' WHERE id = 'inc_1'")
        await store.tamper(TAMPERING["text of an entry"])
        await store.tamper(TAMPERING["status"])
        assert {(flaw.unit, flaw.version) for flaw in await store.flaws()} == {
            ("inc_1", 4),
            ("inc_1:decision", 2),
            ("inc_1:decision", 3),
        }

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
        assert await store.flaws() == []
        await store.tamper(
            "UPDATE units_of_work SET status = 'x' WHERE id IN ('unit-0', 'unit-777', 'unit-999')"
        )
        await store.tamper("DELETE FROM units_of_work WHERE id = 'unit-500'")
        found = sorted({flaw.unit for flaw in await store.flaws()})
        assert found == ["unit-0", "unit-500", "unit-777", "unit-999"]

    on_stores(scene)


def test_an_erased_payload_is_no_flaw_where_the_ledger_says_so(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await lay_down_history(store)
        # What retention may do: the guards are in force.
        assert await store.sql(f"DELETE FROM history_payloads WHERE {A_DECISION} AND version <> 2") == 2
        entries = await store.reader.entries(incident=None, after=0, limit=99)
        assert [(flaw.unit, flaw.version) for flaw in await store.flaws()] == [
            ("inc_1:decision", 1),
            ("inc_1:decision", 3),
        ]
        gone = [entry.seq for entry in entries if entry.erased]
        erased = Erased(subject="act_1", count=2, reason="asked for", seqs=tuple((seq, seq) for seq in gone))
        async with store.transaction() as transaction:
            await transaction.save(erased.change("1"))
        assert await store.flaws() == []
        told = {entry.version: (entry.erased, entry.reason) for entry in entries if entry.kind == "decision"}
        assert told == {1: (True, ""), 2: (False, "because"), 3: (True, "")}

    on_stores(scene)


def test_swapped_payloads_are_found(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await lay_down_history(store)
        for old, new in ((1, -1), (2, 1), (-1, 2)):
            await store.tamper(
                f"UPDATE history_payloads SET version = {new} WHERE {A_DECISION} AND version = {old}"
            )
        problem = "was altered: its actor, reason, details or patch are not those that were recorded"
        found = [(flaw.version, flaw.problem) for flaw in await store.flaws()]
        assert found == [(1, problem), (2, problem)]

    on_stores(scene)
