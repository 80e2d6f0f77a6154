"""History as it is handed out, on both databases."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest
from stores import NOW, Store

from penelope.domain.work import Change, Entry
from penelope.errors import InvalidRequest
from penelope.flow.export import Condition, Logged, Recalled, Wanted, line
from penelope.store.export import SqlHistory
from penelope.store.log import SqlLog

OnStores = Callable[[Callable[[Store], Any]], None]


def change(unit: str, status: str = "open", **changes: Any) -> Change:
    given = {
        "unit": unit,
        "kind": "decision",
        "incident": "inc_1",
        "status": status,
        "attributes": {"status": status},
        "event": "Opened",
        "actor": "penelope",
        "reason": "because",
        "details": {"figure": 0.5},
        **changes,
    }
    return Change(**given)


async def fill(store: Store) -> None:
    """Nine entries, one a second; every third by ada, of another incident and with another event."""
    for number in range(9):
        other: dict[str, Any] = {}
        if number % 3 == 2:
            other = {"incident": "inc_2", "actor": "key:ada", "event": "Closed", "kind": "plan"}
        async with store.transaction(NOW + timedelta(seconds=number)) as transaction:
            await transaction.save(change(f"unit-{number}", f"status-{number}", **other))


async def exported(store: Store, wanted: Wanted, page: int = 500) -> list[Logged]:
    return [each async for pages in SqlHistory(store.reading, page).export(wanted) for each in pages]


def units(found: Sequence[Logged]) -> list[int]:
    return [int(each.entry.unit.removeprefix("unit-")) for each in found]


def test_everything_comes_in_order_of_time_whatever_a_page_holds(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        await fill(store)
        for page in (1, 2, 3, 9, 10):
            assert units(await exported(store, Wanted(), page)) == list(range(9))

    on_stores(scene)


def test_one_page_is_in_memory_at_once(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        await fill(store)
        pages = [len(page) async for page in SqlHistory(store.reading, 4).export(Wanted())]
        assert pages == [4, 4, 1]

    on_stores(scene)


def test_entries_of_one_moment_are_neither_lost_nor_repeated(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        async with store.transaction() as transaction:
            await transaction.save(*(change(f"unit-{number}") for number in range(7)))
        found = await exported(store, Wanted(since=NOW, until=NOW + timedelta(microseconds=1)), 3)
        assert sorted(units(found)) == list(range(7))
        assert await exported(store, Wanted(until=NOW)) == []

    on_stores(scene)


def test_since_is_included_and_until_is_not(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        await fill(store)
        since, until = NOW + timedelta(seconds=2), NOW + timedelta(seconds=5)
        assert units(await exported(store, Wanted(since=since))) == list(range(2, 9))
        assert units(await exported(store, Wanted(until=until))) == list(range(5))
        assert units(await exported(store, Wanted(since=since, until=until), 2)) == [2, 3, 4]

    on_stores(scene)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (["event=Closed"], [2, 5, 8]),
        (["event!=Closed"], [0, 1, 3, 4, 6, 7]),
        (["kind=plan"], [2, 5, 8]),
        (["actor=key:ada"], [2, 5, 8]),
        (["actor!=key:ada"], [0, 1, 3, 4, 6, 7]),
        (["actor=nobody"], []),
        (["incident=inc_2", "unit!=unit-5"], [2, 8]),
        (["status_after=status-4"], [4]),
        (["unit=' OR 1=1 --"], []),
        (["unit!=' OR 1=1 --", "event=Closed"], [2, 5, 8]),
    ],
)
def test_all_conditions_must_hold(on_stores: OnStores, where: list[str], expected: list[int]) -> None:
    async def scene(store: Store) -> None:
        await fill(store)
        conditions = [Condition.parse(text) for text in where]
        assert units(await exported(store, Wanted(where=conditions), 2)) == expected

    on_stores(scene)


def test_an_actor_can_be_named_by_pseudonym(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        await fill(store)
        pseudonym = (await exported(store, Wanted()))[2].entry.actor_id
        wanted = Wanted(where=[Condition("actor", pseudonym)])
        assert units(await exported(store, wanted)) == [2, 5, 8]

    on_stores(scene)


def test_an_entry_has_its_place_in_the_log_once_it_is_there(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        await fill(store)
        await SqlLog(store.writer, store.reading, "log").integrate(4)
        assert [each.place for each in await exported(store, Wanted())] == [0, 1, 2, 3, *[None] * 5]
        story = await SqlHistory(store.reading).story("inc_1")
        assert [each.place for each in story] == [0, 1, 3, None, None, None]
        assert units(story) == [0, 1, 3, 4, 6, 7]
        assert await SqlHistory(store.reading).story("inc_9") == []

    on_stores(scene)


def test_a_line_holds_what_was_recorded_and_null_for_what_was_erased(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        await fill(store)
        assert await store.tamper("DELETE FROM history_payloads WHERE unit = 'unit-8'") == 1
        found = await exported(store, Wanted(where=[Condition("event", "Closed")]))
        kept, _, erased = (orjson.loads(line(each)) for each in found)
        assert {name: kept[name] for name in ("actor", "reason", "details", "recorded_at", "index")} == {
            "actor": "key:ada",
            "reason": "because",
            "details": {"figure": 0.5},
            "recorded_at": "2026-11-21T07:00:02.000000Z",
            "index": None,
        }
        assert kept["patch"] == [{"op": "add", "path": "", "value": {"status": "status-2"}}]
        assert len(kept["salt"]) == 64
        assert {erased[name] for name in ("actor", "reason", "salt")} == {None}
        assert (erased["details"], erased["patch"]) == (None, None)
        assert erased["hash"] == found[2].entry.hash
        assert line(found[0]).endswith(b"}\n")

    on_stores(scene)


def test_what_lies_in_the_archive_is_told_too(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        await fill(store)
        whole = await exported(store, Wanted())
        await store.tamper("DELETE FROM history_payloads WHERE unit IN ('unit-2', 'unit-5')")
        archived = {each.entry.seq: each.entry for each in whole[:3]}

        async def fill_again(entries: Sequence[Entry]) -> list[Entry]:
            return [archived.get(entry.seq, entry) for entry in entries]

        history = Recalled(SqlHistory(store.reading, 4), fill_again)
        found = [each async for page in history.export(Wanted()) for each in page]
        assert [each.entry.erased for each in found] == [number == 5 for number in range(9)]
        assert [each.entry.erased for each in await history.story("inc_2")] == [False, True, False]
        assert (await history.figures()).payloads == 7

    on_stores(scene)


def test_everything_is_counted(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        history = SqlHistory(store.reading)
        empty = await history.figures()
        assert (empty.entries, empty.events, empty.payloads, empty.oldest) == (0, {}, 0, None)
        await fill(store)
        await store.tamper("DELETE FROM history_payloads WHERE unit = 'unit-8'")
        figures = await history.figures()
        assert figures.events == {"Closed": 3, "Opened": 6}
        assert (figures.entries, figures.payloads, figures.oldest) == (9, 8, NOW)

    on_stores(scene)


@pytest.mark.parametrize(
    "text",
    ["", "event", "=x", "reason=x", "event>x", "event =x", "event=a\0", f"unit={'x' * 201}", "Event=x"],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no condition") as raised:
        Condition.parse(text)
    assert "status_after" in raised.value.advice


def test_a_condition_takes_any_value() -> None:
    assert Condition.parse("unit!=a=b\n!") == Condition("unit", "a=b\n!", negated=True)
    assert Condition.parse("unit=!=") == Condition("unit", "!=")
