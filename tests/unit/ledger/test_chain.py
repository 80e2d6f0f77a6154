"""A chain shows every change of what was recorded."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.errors import AppendConflict, EntryTooLarge
from penelope.kit.canonical import canonical, content_hash
from penelope.ledger.chain import (
    GENESIS,
    LARGEST_ENTRY,
    Seal,
    advance,
    check,
    commit,
    drifted_paths,
    header,
    leaf_hash,
    payload,
)

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
SALT = "5a" * 32
OTHER_SALT = "a5" * 32

HASH_DIFFERS = "was altered: its hash differs"
COLUMNS_DIFFER = "was altered: its columns say something else than its recorded text"
PAYLOAD_DIFFERS = "was altered: its actor, reason, details or patch are not those that were recorded"


def change(status: str = "open", **changes: Any) -> Change:
    made = Change(
        unit="u",
        kind="decision",
        incident="inc_1",
        status=status,
        attributes={"status": status},
        event="Opened",
        actor="key:ada",
        reason="because",
        details={"figure": 0.25},
    )
    return replace(made, **changes)


def save(before: UnitOfWork | None, made: Change, now: datetime = NOW) -> tuple[UnitOfWork, Entry]:
    """The unit and its entry; there is one."""
    advanced = advance(before, made, Seal(now, "act_1", SALT))
    assert advanced.entry is not None
    assert advanced.payload == payload(advanced.entry)
    assert advanced.attributes == canonical(advanced.unit.attributes)
    return advanced.unit, advanced.entry


def history(length: int = 4) -> tuple[UnitOfWork, list[Entry]]:
    unit, entries = None, []
    for number in range(length):
        unit, entry = save(unit, change(f"status-{number}"), NOW + timedelta(seconds=number))
        entries.append(replace(entry, seq=number + 1))
    assert unit is not None
    return unit, entries


def erased(entry: Entry) -> Entry:
    """As it is once retention has deleted its payload."""
    return replace(entry, actor="", reason="", details={}, patch=(), salt="")


def resealed(entry: Entry) -> Entry:
    """An entry by a forger who knows how it is made: payload, text and hash fit each other."""
    entry = replace(entry, payload_hash=commit(entry.salt, payload(entry)))
    body = canonical(header(entry))
    return replace(entry, body=body, hash=leaf_hash(body))


def problems(unit: UnitOfWork | None, entries: list[Entry]) -> list[tuple[int, str]]:
    return [(flaw.version, flaw.problem) for flaw in check(unit, entries)]


class TestAdvance:
    def test_a_first_change_makes_the_unit(self) -> None:
        unit, entry = save(None, change())
        assert entry.previous_hash == GENESIS
        assert (entry.version, entry.status_before, entry.status_after) == (1, None, "open")
        assert entry.state_hash == unit.content_hash == content_hash({"status": "open"})
        assert entry.hash == unit.head == leaf_hash(entry.body)
        assert (unit.id, unit.version, unit.status, unit.updated_at) == ("u", 1, "open", NOW)
        assert (unit.kind, unit.incident, unit.attributes) == ("decision", "inc_1", {"status": "open"})
        assert (entry.state_before, entry.interaction_before, entry.interaction_after) == (None, None, "done")
        assert entry.patch == [{"op": "add", "path": "", "value": {"status": "open"}}]

    def test_the_next_one_follows_it(self) -> None:
        first, before = save(None, change())
        second, after = save(first, change("done", event="Closed", actor="ada"))
        assert after.previous_hash == before.hash
        assert (after.version, after.status_before, after.status_after) == (2, "open", "done")
        assert (second.version, second.head, second.status) == (2, after.hash, "done")
        assert (after.state_before, after.state_hash) == (before.state_hash, second.content_hash)
        assert after.patch == [{"op": "replace", "path": "/status", "value": "done"}]
        assert problems(second, [before, after]) == []

    def test_where_it_rests_is_told_before_and_after(self) -> None:
        first, asked = save(None, change("pending", kind="approval"))
        second, given = save(first, change("approved", kind="approval"))
        assert (asked.interaction_before, asked.interaction_after) == (None, "approve")
        assert (given.interaction_before, given.interaction_after) == ("approve", "done")
        assert problems(second, [asked, given]) == []

    @pytest.mark.parametrize(
        "same",
        [
            {},
            {"attributes": {"status": "open"}},
            {"event": "Again", "actor": "eve", "reason": "another", "details": {}},
            {"version": 1},
        ],
    )
    def test_where_neither_status_nor_content_changes_there_is_no_entry(self, same: dict[str, Any]) -> None:
        unit, _ = save(None, change())
        advanced = advance(unit, change(**same), Seal(NOW + timedelta(days=1), "act_2", OTHER_SALT))
        assert advanced.entry is None
        assert advanced.unit is unit
        assert (advanced.attributes, advanced.payload) == (canonical(unit.attributes), b"")

    def test_numbers_that_are_the_same_in_canonical_form_are_no_change(self) -> None:
        unit, _ = save(None, change(attributes={"a": 1, "b": [True]}))
        same = change(attributes={"b": [True], "a": 1.0})
        assert advance(unit, same, Seal(NOW, "act_1", SALT)).entry is None
        assert save(unit, change(attributes={"a": 1, "b": [1]}))[0].version == 2

    @pytest.mark.parametrize(
        ("made", "patch"),
        [
            (change("done", attributes={"status": "open"}), []),
            (change(attributes={}), [{"op": "remove", "path": "/status"}]),
        ],
    )
    def test_a_change_of_either_makes_one(self, made: Change, patch: list[Any]) -> None:
        unit, entry = save(None, change())
        after, second = save(unit, made)
        assert second.version == after.version == 2
        assert second.patch == patch
        assert problems(after, [entry, second]) == []

    @pytest.mark.parametrize("version", [0, 2, 99])
    def test_a_writer_that_saw_another_version_is_refused(self, version: int) -> None:
        unit, _ = save(None, change(version=0))
        for made in (change(version=version), change("done", version=version)):
            with pytest.raises(AppendConflict, match=f"u is at version 1, not {version}"):
                save(unit, made)
        assert save(unit, change("done", version=1))[0].version == 2

    def test_a_unit_that_should_be_there_is_missed(self) -> None:
        with pytest.raises(AppendConflict, match="u is at version 0, not 1"):
            save(None, change(version=1))


class TestHeader:
    def test_it_is_canonical_json_with_a_schema_and_nothing_personal(self) -> None:
        _, entry = save(None, change())
        assert entry.body == canonical(json.loads(entry.body)) == canonical(header(entry))
        assert json.loads(entry.body) == {
            "schema": 1,
            "unit": "u",
            "version": 1,
            "kind": "decision",
            "incident": "inc_1",
            "event": "Opened",
            "actor": "act_1",
            "status_before": None,
            "status_after": "open",
            "state_before": None,
            "state_hash": content_hash({"status": "open"}),
            "interaction_before": None,
            "interaction_after": "done",
            "recorded_at": "2026-11-21T07:00:00.000000Z",
            "previous_hash": "0" * 64,
            "payload_hash": entry.payload_hash,
        }
        assert b"ada" not in entry.body
        assert b"because" not in entry.body

    def test_its_hash_is_that_of_a_leaf(self) -> None:
        _, entry = save(None, change())
        assert entry.hash == hashlib.sha256(b"\x00" + entry.body).hexdigest()
        # The hash of an empty leaf, as RFC 6962's known answers have it.
        assert leaf_hash(b"") == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"

    def test_what_is_committed_to_shows_only_to_who_has_the_salt(self) -> None:
        _, entry = save(None, change())
        secret = b'{"actor":"key:ada","details":{"figure":0.25},"patch":[{"op":"add","path":"","value":{"status":"open"}}],"reason":"because"}'
        assert payload(entry) == secret
        assert entry.payload_hash == hmac.new(bytes.fromhex(SALT), secret, hashlib.sha256).hexdigest()
        other = advance(None, change(), Seal(NOW, "act_1", OTHER_SALT)).entry
        assert other is not None
        assert other.payload_hash != entry.payload_hash

    def test_it_can_be_as_long_as_a_line_of_the_log_and_no_longer(self) -> None:
        room = LARGEST_ENTRY - len(save(None, change(event=""))[1].body)
        assert len(save(None, change(event="e" * room))[1].body) == LARGEST_ENTRY
        with pytest.raises(EntryTooLarge, match=r"an entry about u has 65536 bytes; at most 65535 can"):
            save(None, change(event="e" * (room + 1)))

    def test_payload_and_attributes_may_be_longer(self) -> None:
        long = "x" * 100_000
        unit, entry = save(None, change(reason=long, details={"x": long}, attributes={"x": long}))
        assert len(entry.body) < 1000
        assert problems(unit, [entry]) == []


class TestCheck:
    def test_what_was_recorded_fits_together(self) -> None:
        assert problems(*history()) == []
        assert problems(None, []) == []

    def test_the_place_in_the_log_is_no_part_of_the_hash(self) -> None:
        unit, entries = history(1)
        assert problems(unit, [replace(entries[0], seq=77)]) == []

    def test_a_flaw_names_that_place(self) -> None:
        unit, entries = history()
        forged = [*entries[:2], replace(entries[2], reason="no reason", seq=31), entries[3]]
        assert [(flaw.unit, flaw.version, flaw.seq) for flaw in check(unit, forged)] == [("u", 3, 31)]
        assert [(flaw.version, flaw.seq) for flaw in check(unit, [entries[0], *entries[2:]])] == [(2, 3)]
        assert [flaw.seq for flaw in check(unit, [])] == [0]

    @pytest.mark.parametrize(
        ("name", "value", "problem"),
        [
            ("unit", "v", COLUMNS_DIFFER),
            ("kind", "approval", COLUMNS_DIFFER),
            ("incident", "inc_2", COLUMNS_DIFFER),
            ("event", "Closed", COLUMNS_DIFFER),
            ("actor_id", "act_2", COLUMNS_DIFFER),
            ("status_before", "elsewhere", COLUMNS_DIFFER),
            ("status_after", "elsewhere", COLUMNS_DIFFER),
            ("state_before", "f" * 64, COLUMNS_DIFFER),
            ("state_hash", "f" * 64, COLUMNS_DIFFER),
            ("interaction_before", "elsewhere", COLUMNS_DIFFER),
            ("interaction_after", "elsewhere", COLUMNS_DIFFER),
            ("recorded_at", NOW + timedelta(microseconds=1), COLUMNS_DIFFER),
            ("previous_hash", "f" * 64, COLUMNS_DIFFER),
            ("payload_hash", "f" * 64, COLUMNS_DIFFER),
            ("payload_hash", "f" * 64, PAYLOAD_DIFFERS),
            ("body", b"{}", COLUMNS_DIFFER),
            ("body", b"{}", HASH_DIFFERS),
            ("hash", "f" * 64, HASH_DIFFERS),
            ("actor", "eve", PAYLOAD_DIFFERS),
            ("reason", "no reason", PAYLOAD_DIFFERS),
            ("details", {"figure": 0.26}, PAYLOAD_DIFFERS),
            ("patch", [{"op": "add", "path": "", "value": {"status": "better"}}], PAYLOAD_DIFFERS),
            ("salt", OTHER_SALT, PAYLOAD_DIFFERS),
            ("salt", "", PAYLOAD_DIFFERS),
        ],
    )
    @pytest.mark.parametrize("index", range(4))
    def test_an_altered_entry_shows(self, index: int, name: str, value: Any, problem: str) -> None:
        unit, entries = history()
        entries[index] = replace(entries[index], **{name: value})
        assert (index + 1, problem) in problems(unit, entries)

    @pytest.mark.parametrize(
        "told",
        [
            {"actor": "eve"},
            {"reason": "no reason"},
            {"details": {"figure": 1}},
            {"patch": [{"op": "remove"}]},
        ],
    )
    def test_nothing_can_be_told_in_the_place_of_an_erased_payload(self, told: Mapping[str, Any]) -> None:
        unit, entries = history()
        entries[2] = replace(erased(entries[2]), **told)
        assert problems(unit, entries) == [(3, PAYLOAD_DIFFERS)]

    def test_what_was_erased_verifies_as_before(self) -> None:
        unit, entries = history()
        without = [erased(entry) for entry in entries]
        assert all(entry.erased for entry in without)
        assert not any(entry.erased for entry in entries)
        assert problems(unit, without) == problems(unit, [*without[:2], *entries[2:]]) == []
        assert [entry.hash for entry in without] == [entry.hash for entry in entries]
        without[1] = replace(without[1], event="Closed")
        assert problems(unit, without) == [(2, COLUMNS_DIFFER)]

    def test_every_way_in_which_an_entry_was_altered_is_told(self) -> None:
        unit, entries = history()
        entries[3] = replace(entries[3], event="Closed", hash="f" * 64, actor="eve")
        found = problems(unit, entries)
        assert found[:3] == [(4, HASH_DIFFERS), (4, COLUMNS_DIFFER), (4, PAYLOAD_DIFFERS)]

    @pytest.mark.parametrize(
        ("name", "value", "problem"),
        [
            ("attributes", {"status": "better"}, "its attributes were altered"),
            ("content_hash", "f" * 64, "its attributes were altered"),
            ("status", "better", "its status was altered"),
            ("version", 5, "its state is not that of its last entry"),
            ("head", "f" * 64, "its state is not that of its last entry"),
            ("kind", "approval", "its kind, incident or time was altered"),
            ("incident", "inc_2", "its kind, incident or time was altered"),
            ("updated_at", NOW, "its kind, incident or time was altered"),
        ],
    )
    def test_an_altered_state_shows(self, name: str, value: Any, problem: str) -> None:
        unit, entries = history()
        altered = replace(unit, **{name: value})
        assert problems(altered, entries) == [(altered.version, problem)]

    def test_attributes_with_a_hash_to_match_show_as_well(self) -> None:
        unit, entries = history()
        better = {"status": "better"}
        forged = replace(unit, attributes=better, content_hash=content_hash(better))
        assert problems(forged, entries) == [(4, "its attributes were altered")]

    def test_an_entry_rewritten_with_its_own_hash_breaks_the_next_one(self) -> None:
        unit, entries = history()
        entries[1] = resealed(replace(entries[1], actor="eve"))
        assert problems(unit, entries) == [(3, "does not follow the entry before it")]

    def test_a_last_entry_rewritten_with_its_own_hash_is_not_the_head(self) -> None:
        unit, entries = history()
        entries[3] = resealed(replace(entries[3], actor="eve"))
        assert problems(unit, entries) == [(4, "its state is not that of its last entry")]

    @pytest.mark.parametrize(
        "forgery", [{"status_before": "elsewhere"}, {"state_before": "f" * 64}, {"state_before": None}]
    )
    def test_a_state_that_nobody_left_behind_shows(self, forgery: Mapping[str, Any]) -> None:
        unit, entries = history(2)
        forged = resealed(replace(entries[1], **forgery))
        found = problems(replace(unit, head=forged.hash), [entries[0], forged])
        assert found == [(2, "starts from another state than was left")]

    @pytest.mark.parametrize("forgery", [{"status_before": "elsewhere"}, {"state_before": "f" * 64}])
    def test_a_first_entry_starts_from_nothing(self, forgery: Mapping[str, Any]) -> None:
        unit, entries = history(1)
        forged = resealed(replace(entries[0], **forgery))
        found = problems(replace(unit, head=forged.hash), [forged])
        assert found == [(1, "starts from another state than was left")]

    @pytest.mark.parametrize("index", [0, 1, 2])
    def test_a_dropped_entry_shows(self, index: int) -> None:
        unit, entries = history()
        del entries[index]
        assert problems(unit, entries) == [(index + 1, f"is missing: the next one is {index + 2}")]

    def test_a_dropped_last_entry_shows(self) -> None:
        unit, entries = history()
        assert (4, "its state is not that of its last entry") in problems(unit, entries[:-1])

    def test_reordered_entries_show(self) -> None:
        unit, entries = history()
        entries[1], entries[2] = entries[2], entries[1]
        assert problems(unit, entries) == [(2, "is missing: the next one is 3")]
        renumbered = [replace(entry, version=number) for number, entry in enumerate(entries, start=1)]
        assert {version for version, _ in problems(unit, renumbered)} >= {2, 3}

    def test_swapped_links_show(self) -> None:
        unit, entries = history()
        one, two = entries[1].previous_hash, entries[2].previous_hash
        entries[1], entries[2] = (
            replace(entries[1], previous_hash=two),
            replace(entries[2], previous_hash=one),
        )
        found = problems(unit, entries)
        assert {problem for version, problem in found if version == 2} == {
            "does not follow the entry before it",
            COLUMNS_DIFFER,
        }
        assert 3 in dict(found)

    def test_an_entry_of_another_unit_does_not_fit(self) -> None:
        unit, entries = history()
        _, stranger = save(None, change("status-1", unit="v"))
        entries[1] = replace(stranger, version=2)
        assert problems(unit, entries) != []

    def test_a_state_without_history(self) -> None:
        unit, _ = history(3)
        assert problems(unit, []) == [(3, "has state but no history")]

    def test_a_history_without_state(self) -> None:
        _, entries = history(3)
        assert problems(None, entries) == [(3, "has history but no state")]


class TestDriftedPaths:
    def test_state_that_history_leads_to_has_none(self) -> None:
        assert drifted_paths(*history()) == []

    def test_each_attribute_that_differs_is_named(self) -> None:
        before = {"kept": 1, "list": [1, {"a/b": 2}], "gone": None, "~": "x"}
        unit, first = save(None, change(attributes=before))
        unit, second = save(unit, change(attributes={**before, "list": [1, {"a/b": 3}]}))
        drifted = replace(unit, attributes={"kept": 1, "list": [1, {"a/b": 4}], "~": "y", "new": True})
        entries = [first, second]
        assert drifted_paths(drifted, entries) == ["/gone", "/list/1/a~1b", "/new", "/~0"]
        assert drifted_paths(unit, entries) == []
        # An entry too few leads to what was there before it.
        assert drifted_paths(unit, [first]) == ["/list/1/a~1b"]

    def test_without_history_everything_differs(self) -> None:
        unit, _ = history()
        assert drifted_paths(unit, []) == [""]

    @pytest.mark.parametrize("index", range(4))
    def test_it_is_not_known_once_a_payload_was_erased(self, index: int) -> None:
        unit, entries = history()
        entries[index] = erased(entries[index])
        assert drifted_paths(unit, entries) is None

    def test_it_is_not_known_where_a_patch_leads_nowhere(self) -> None:
        unit, entries = history()
        entries[2] = replace(entries[2], patch=[{"op": "replace", "path": "/nowhere", "value": 1}])
        assert drifted_paths(unit, entries) is None
