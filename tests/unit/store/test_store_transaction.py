"""One transaction: state and history together, whole batches at once, and no version passed by."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from penelope.domain.approval import Approval, ApprovalStatus, Brief
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.outcome import Outcome, OutcomeKind, PlaybookRecord
from penelope.domain.signal import Severity, Signal, SignalStatus
from penelope.domain.work import Change
from penelope.errors import AppendConflict, ChainBroken
from penelope.flow.records import of_approval, of_incident
from penelope.kit.canonical import content_hash

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def change(unit: str = "u", **changes: Any) -> Change:
    made = Change(
        unit=unit,
        kind="decision",
        incident="inc_1",
        status="made",
        attributes={"n": 1},
        event="DecisionMade",
        actor="penelope",
        reason="because",
    )
    return replace(made, **changes)


def incident(identifier: str = "inc_1", **changes: Any) -> Incident:
    made = Incident(
        id=identifier,
        service="shop",
        fingerprint="problem",
        name="Broken",
        severity=Severity.ERROR,
        state=IncidentState.RECEIVED,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
    )
    return replace(made, **changes)


def saved(what: Incident) -> Change:
    return of_incident(what, "Saved", "a test says so")


def signal(number: int, status: SignalStatus = SignalStatus.FIRING, instance: str = "a") -> Signal:
    return Signal(
        source="test",
        id=f"signal-{number}",
        service="shop",
        name="Broken",
        severity=Severity.ERROR,
        status=status,
        starts_at=NOW,
        received_at=NOW,
        fingerprint="problem",
        labels={"instance": instance},
    )


class TestSave:
    def test_a_unit_changed_twice_at_once_has_two_entries(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(change(), change(status="again", attributes={"n": 2}))
                await transaction.save(change(status="third"))
                assert (await transaction.unit("u")).status == "third"
                assert [entry.version for entry in transaction.entries] == [1, 2, 3]
            async with store.transaction() as transaction:
                unit = await transaction.unit("u")
                assert (unit.version, unit.status, unit.attributes) == (3, "third", {"n": 1})
                assert await transaction.unit("v") is None
            assert await store.flaws() == []

        on_stores(scene)

    def test_many_at_once(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(*(change(f"u{number}") for number in range(1201)))
            async with store.transaction() as transaction:
                await transaction.save(*(change(f"u{number}", status="new") for number in range(1300)))
            async with store.transaction() as transaction:
                units = await transaction.units("inc_1", "decision")
                assert {unit.status for unit in units} == {"new"}
                assert sum(unit.version for unit in units) == 1201 + 1300
            assert await store.flaws() == []

        on_stores(scene)

    def test_a_version_that_has_passed_is_refused_and_nothing_is_kept(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(change(version=0))
            with pytest.raises(AppendConflict):
                async with store.transaction() as transaction:
                    await transaction.save(change("v"), change(version=0))
            async with store.transaction() as transaction:
                assert await transaction.unit("v") is None
                await transaction.save(change(version=1, status="again"))
            assert len(await store.reader.entries(incident=None, after=0, limit=9)) == 2

        on_stores(scene)

    @pytest.mark.parametrize(
        "edit",
        [
            "status = 'forged'",
            "kind = 'gate'",
            "incident = 'inc_9'",
            "head = 'ff'",
            "version = 7",
            f"attributes = '{{}}', content_hash = '{content_hash({})}'",
        ],
    )
    def test_nothing_builds_on_what_somebody_else_put_there(self, on_stores: OnStores, edit: str) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(change())
            assert await store.sql(f"UPDATE units_of_work SET {edit} WHERE id = 'u'") == 1
            with pytest.raises(ChainBroken, match="not what its history ends with") as met:
                async with store.transaction() as transaction:
                    await transaction.save(change(status="again"))
            assert "penelope ledger state u" in met.value.advice

        on_stores(scene)

    def test_whoever_was_erased_is_somebody_else_after_that(self, on_stores: OnStores) -> None:
        """Also on a connection that has seen the old name."""

        async def scene(store: Any) -> None:
            ids = []
            for number in range(2):
                async with store.transaction() as transaction:
                    await transaction.save(change(f"u-{number}", actor="key:ada"), change(f"v-{number}"))
                    ids.append({entry.actor: entry.actor_id for entry in transaction.entries})
                if not number:
                    await store.sql("UPDATE local_actors SET name = 'key:erased' WHERE name = 'key:ada'")
            assert ids[0]["key:ada"] != ids[1]["key:ada"]
            assert ids[0]["penelope"] == ids[1]["penelope"]

        on_stores(scene)

    @pytest.mark.parametrize("lost", ["version = 7", "content_hash = 'ff'"])
    def test_a_row_that_changed_behind_its_back_is_noticed(self, on_stores: OnStores, lost: str) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(change(), change("v"))

            async def lose() -> None:
                async with store.transaction() as transaction:
                    await transaction.unit("u")
                    await transaction._session.rows(f"UPDATE units_of_work SET {lost} WHERE id = 'u'")
                    await transaction.save(change("v", status="again"), change(status="again"))

            with pytest.raises(AppendConflict, match="a unit of work changed while it was being saved"):
                await lose()
            assert len(await store.reader.entries(incident=None, after=0, limit=9)) == 2
            assert await store.flaws() == []

        on_stores(scene)

    def test_an_unchanged_save_makes_no_entry_and_keeps_the_version(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(change(), saved(incident()))
                before = await transaction.unit("u")
            async with store.transaction(at(60)) as transaction:
                await transaction.save(change(event="Again", actor="key:ada", reason="no reason"))
                await transaction.save(saved(incident()), change("v"), change(version=1))
                assert [entry.unit for entry in transaction.entries] == ["v"]
                assert await transaction.unit("u") == before
            async with store.transaction() as transaction:
                assert await transaction.unit("u") == before
            entries = await store.reader.entries(incident=None, after=0, limit=9)
            assert [(entry.unit, entry.version) for entry in entries] == [("u", 1), ("inc_1", 1), ("v", 1)]
            assert await store.flaws() == []

        on_stores(scene)

    def test_a_failure_takes_everything_back(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async def fail() -> None:
                async with store.transaction() as transaction:
                    await transaction.save(saved(incident()), change())
                    await transaction.add_signals([(signal(1), "inc_1")])
                    await transaction.claim("action", "inc_1", "shop")
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await fail()
            async with store.transaction() as transaction:
                assert await transaction.unit("inc_1") is None
                assert await transaction.known_signals([("test", "signal-1")]) == set()
                assert await transaction.claim("action", "inc_1", "shop") == 1
            assert await store.reader.entries(incident=None, after=0, limit=9) == []

        on_stores(scene)

    def test_two_open_incidents_about_one_problem_are_impossible(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(saved(incident()))
            with pytest.raises(AppendConflict, match="another writer was first"):
                async with store.transaction() as transaction:
                    await transaction.save(saved(incident("inc_2")))
            lapsed = incident(state=IncidentState.ESCALATED, lapsed=True)
            async with store.transaction() as transaction:
                # In one go the problem passes from one to the next.
                await transaction.save(saved(incident("inc_2")), saved(lapsed))
            async with store.transaction() as transaction:
                about = await transaction.latest_incidents([("shop", "problem"), ("shop", "other")])
                assert list(about) == [("shop", "problem")]

        on_stores(scene)

    def test_writers_of_one_unit_are_one_after_the_other(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async def count() -> None:
                while True:
                    try:
                        async with store.transaction() as transaction:
                            unit = await transaction.unit("u")
                            number = 0 if unit is None else unit.attributes["n"]
                            await transaction.save(change(attributes={"n": number + 1}))
                    except (AppendConflict, DBAPIError):  # PostgreSQL: another one was first
                        continue
                    return

            await asyncio.gather(*(count() for _ in range(12)))
            async with store.transaction() as transaction:
                assert (await transaction.unit("u")).attributes == {"n": 12}
            assert await store.flaws() == []

        on_stores(scene)


class TestIncidents:
    def test_the_newest_about_a_problem_is_found_ended_or_not(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            old = incident(state=IncidentState.HEALED)
            new = incident("inc_0", opened_at=at(1), state=IncidentState.ESCALATED)
            other = incident("inc_2", fingerprint="other")
            async with store.transaction() as transaction:
                await transaction.save(saved(old), saved(new), saved(other))
            async with store.transaction() as transaction:
                about = await transaction.latest_incidents([("shop", "problem"), ("shop", "other")])
                assert about == {("shop", "problem"): new, ("shop", "other"): other}
                assert await transaction.latest_incidents([("bakery", "problem")]) == {}
                assert await transaction.latest_incidents([]) == {}

        on_stores(scene)

    @pytest.mark.parametrize("state", IncidentState)
    def test_who_changes_a_service_now_is_known(self, on_stores: OnStores, state: IncidentState) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.save(saved(incident(state=state)))
            async with store.transaction() as transaction:
                found = await transaction.intervening("shop")
                assert found == ("inc_1" if state.intervening else None)
                assert await transaction.intervening("bakery") is None

        on_stores(scene)

    def test_what_is_open_and_older_is_found_by_service(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            ended = incident("inc_2", fingerprint="b", state=IncidentState.HEALED)
            handed = incident("inc_3", fingerprint="c", state=IncidentState.ESCALATED, opened_at=at(1))
            lapsed = replace(handed, id="inc_4", fingerprint="d", lapsed=True)
            later = incident("inc_5", fingerprint="e", opened_at=at(9))
            async with store.transaction() as transaction:
                await transaction.save(*map(saved, (incident(), ended, handed, lapsed, later)))
            async with store.transaction() as transaction:
                found = await transaction.open_incidents(["bakery", "shop"], at(9))
                assert found == [("inc_1", "shop", incident().opened_at), ("inc_3", "shop", at(1))]
                assert await transaction.open_incidents(["bakery"], at(9)) == []

        on_stores(scene)


class TestSignals:
    def test_what_was_kept_is_known(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            async with store.transaction() as transaction:
                await transaction.add_signals([(signal(number), "inc_1") for number in range(1100)])
                await transaction.add_signals([(signal(9999), None)])
            asked = {("test", f"signal-{number}") for number in range(1050, 1150)}
            async with store.transaction() as transaction:
                known = await transaction.known_signals(
                    [*asked, ("other", "signal-1060"), ("test", "signal-9999")]
                )
                assert known == {("test", f"signal-{number}") for number in range(1050, 1100)} | {
                    ("test", "signal-9999")
                }
                assert await transaction.known_signals([]) == set()

        on_stores(scene)

    def test_the_last_word_on_each_subject_counts(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            on, off = SignalStatus.FIRING, SignalStatus.RESOLVED
            a, b, c = (signal(0, on, name).subject for name in "abc")
            async with store.transaction() as transaction:
                words = [signal(1, on, "a"), signal(2, on, "b"), signal(3, off, "b"), signal(4, on, "c")]
                await transaction.add_signals([(word, "inc_1") for word in words])
                assert await transaction.firing(["inc_1", "inc_2"]) == {"inc_1": {a, c}, "inc_2": set()}
            async with store.transaction() as transaction:
                words = [signal(5, on, "a"), signal(6, off, "c"), signal(7, on, "b"), signal(8, off, "x")]
                await transaction.add_signals([(word, "inc_1") for word in words])
                await transaction.add_signals([(signal(9, on, "a"), None), (signal(10, on, "a"), "inc_2")])
            async with store.transaction() as transaction:
                assert await transaction.firing(["inc_1", "inc_2"]) == {"inc_1": {a, b}, "inc_2": {a}}
                assert await transaction.firing([]) == {}

        on_stores(scene)


class TestLessons:
    def test_attempts_count_up_by_action(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            for attempt in (1, 2, 3):
                async with store.transaction() as transaction:
                    assert await transaction.claim("action", "inc_1", "shop") == attempt
                    assert await transaction.claim(f"other-{attempt}", "inc_1", "shop") == 1

        on_stores(scene)

    def test_a_record_holds_what_the_playbook_came_to(self, on_stores: OnStores) -> None:
        async def scene(store: Any) -> None:
            ended = [
                ("inc_1", "fix", "shop", True, at(1)),
                ("inc_2", "fix", "shop", False, at(2)),
                ("inc_3", "other", "shop", False, at(3)),
                ("inc_4", "fix", "bakery", False, at(4)),
                ("inc_5", "fix", "shop", True, at(5)),
            ]
            for name, playbook, service, verified, moment in ended:
                outcome = Outcome(
                    incident=name,
                    service=service,
                    kind=OutcomeKind.HEALED if verified else OutcomeKind.ESCALATED,
                    reason="",
                    acted=True,
                    ended_at=moment,
                    total_seconds=1,
                    playbook=playbook,
                    verified=verified,
                )
                async with store.transaction(moment) as transaction:
                    await transaction.add_outcome(outcome)
                    # The same incident twice counts once, whatever is said of it.
                    await transaction.add_outcome(replace(outcome, verified=not verified))
                    await transaction.claim(f"action of {name}", name, service)
            async with store.transaction() as transaction:
                assert await transaction.record("fix", "shop") == PlaybookRecord(
                    playbook="fix",
                    service="shop",
                    successes=2,
                    failures=1,
                    changed_at=at(5),
                    healed_at=at(5),
                )
                other = await transaction.record("other", "bakery")
                assert (other.failures, other.changed_at, other.healed_at) == (0, at(4), None)
                empty = await transaction.record("none", "nowhere")
                assert empty == PlaybookRecord(playbook="none", service="nowhere")

        on_stores(scene)


def rejected(identifier: str, of: str, **changes: Any) -> Change:
    brief = Brief(
        service="shop",
        playbook=changes.pop("playbook", "fix"),
        rationale="",
        tier=1,
        risk=0.1,
        confidence=0.9,
        steps=(),
        risks=(),
        evidence=(),
        silence="",
    )
    made = Approval(
        id=identifier,
        incident=of,
        plan_digest="",
        reasons=(),
        status=ApprovalStatus.REJECTED,
        requested_at=NOW,
        expires_at=NOW,
        brief=brief,
    )
    return of_approval(replace(made, **changes), "ApprovalRefused", "no")


def test_refusals_are_found_by_problem_playbook_and_time(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        other = incident("inc_2", fingerprint="other")
        async with store.transaction() as transaction:
            await transaction.save(
                saved(incident()),
                saved(other),
                rejected("a", "inc_1"),
                rejected("b", "inc_2"),
                rejected("c", "inc_1", playbook="fix more"),
                rejected("d", "inc_1", status=ApprovalStatus.EXPIRED),
                rejected("e", "inc_1", brief=None),
            )
        async with store.transaction() as transaction:
            now = transaction.now()
            found = await transaction.refusals("shop", "problem", "fix", now - timedelta(days=1))
            assert [item.id for item in found] == ["a"]
            assert await transaction.refusals("bakery", "problem", "fix", now - timedelta(days=1)) == []
            assert await transaction.refusals("shop", "problem", "fix", now + timedelta(days=1)) == []
            await transaction.save(*(rejected(f"more-{number}", "inc_1") for number in range(12)))
            assert len(await transaction.refusals("shop", "problem", "fix", now)) == 10

    on_stores(scene)
