"""A chain shows every change of what was recorded."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.errors import AppendConflict
from penelope.kit.canonical import content_hash
from penelope.ledger.chain import GENESIS, advance, check, hash_entry

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def change(status: str = "open", **changes: Any) -> Change:
    made = Change(
        unit="u",
        kind="decision",
        incident="inc_1",
        status=status,
        attributes={"status": status},
        event="Opened",
        actor="penelope",
        reason="because",
        details={"figure": 0.25},
    )
    return replace(made, **changes)


def history(length: int = 4) -> tuple[UnitOfWork, list[Entry]]:
    unit, entries = None, []
    for number in range(length):
        unit, entry = advance(unit, change(f"status-{number}"), NOW + timedelta(seconds=number))
        entries.append(replace(entry, seq=number + 1))
    assert unit is not None
    return unit, entries


def problems(unit: UnitOfWork | None, entries: list[Entry]) -> list[tuple[int, str]]:
    return [(flaw.version, flaw.problem) for flaw in check(unit, entries)]


class TestAdvance:
    def test_a_first_change_makes_the_unit(self) -> None:
        unit, entry = advance(None, change(), NOW)
        assert entry.previous_hash == GENESIS
        assert (entry.version, entry.status_before, entry.status_after) == (1, None, "open")
        assert entry.state_hash == unit.content_hash == content_hash({"status": "open"})
        assert entry.hash == unit.head == hash_entry(entry)
        assert (unit.id, unit.version, unit.status, unit.updated_at) == ("u", 1, "open", NOW)

    def test_the_next_one_follows_it(self) -> None:
        first, before = advance(None, change(), NOW)
        second, after = advance(first, change("done", event="Closed", actor="ada"), NOW)
        assert after.previous_hash == before.hash
        assert (after.version, after.status_before, after.status_after) == (2, "open", "done")
        assert (second.version, second.head, second.status) == (2, after.hash, "done")
        assert problems(second, [before, after]) == []

    @pytest.mark.parametrize("version", [0, 2, 99])
    def test_a_writer_that_saw_another_version_is_refused(self, version: int) -> None:
        unit, _ = advance(None, change(version=0), NOW)
        with pytest.raises(AppendConflict, match=f"u is at version 1, not {version}"):
            advance(unit, change(version=version), NOW)
        assert advance(unit, change(version=1), NOW)[0].version == 2

    def test_a_unit_that_should_be_there_is_missed(self) -> None:
        with pytest.raises(AppendConflict, match="u is at version 0, not 1"):
            advance(None, change(version=1), NOW)


class TestCheck:
    def test_what_was_recorded_fits_together(self) -> None:
        assert problems(*history()) == []
        assert problems(None, []) == []

    def test_the_place_in_the_log_is_no_part_of_the_hash(self) -> None:
        unit, entries = history(1)
        assert problems(unit, [replace(entries[0], seq=77)]) == []

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("unit", "v"),
            ("kind", "approval"),
            ("incident", "inc_2"),
            ("event", "Closed"),
            ("actor", "eve"),
            ("reason", "no reason"),
            ("status_before", "elsewhere"),
            ("status_after", "elsewhere"),
            ("state_hash", "f" * 64),
            ("details", {"figure": 0.26}),
            ("recorded_at", NOW + timedelta(microseconds=1)),
            ("previous_hash", "f" * 64),
            ("hash", "f" * 64),
        ],
    )
    @pytest.mark.parametrize("index", range(4))
    def test_an_altered_entry_shows(self, index: int, name: str, value: Any) -> None:
        unit, entries = history()
        entries[index] = replace(entries[index], **{name: value})
        assert (index + 1, "was altered: its hash differs") in problems(unit, entries)

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
        forged = replace(entries[1], actor="eve")
        entries[1] = replace(forged, hash=hash_entry(forged))
        assert problems(unit, entries) == [(3, "does not follow the entry before it")]

    def test_a_last_entry_rewritten_with_its_own_hash_is_not_the_head(self) -> None:
        unit, entries = history()
        forged = replace(entries[3], actor="eve")
        entries[3] = replace(forged, hash=hash_entry(forged))
        assert problems(unit, entries) == [(4, "its state is not that of its last entry")]

    def test_a_status_that_nobody_left_behind_shows(self) -> None:
        unit, entries = history(2)
        forged = replace(entries[1], status_before="elsewhere")
        forged = replace(forged, hash=hash_entry(forged))
        found = problems(replace(unit, head=forged.hash), [entries[0], forged])
        assert found == [(2, "starts from another status than was left")]

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
            "was altered: its hash differs",
        }
        assert 3 in dict(found)

    def test_an_entry_of_another_unit_does_not_fit(self) -> None:
        unit, entries = history()
        _, stranger = advance(None, change("status-1", unit="v"), NOW)
        entries[1] = replace(stranger, version=2)
        assert problems(unit, entries) != []

    def test_a_state_without_history(self) -> None:
        unit, _ = history(3)
        assert problems(unit, []) == [(3, "has state but no history")]

    def test_a_history_without_state(self) -> None:
        _, entries = history(3)
        assert problems(None, entries) == [(3, "has history but no state")]
