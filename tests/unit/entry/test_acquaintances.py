import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.entry.api import access
from penelope.entry.api.access import REMEMBERED, Acquaintances
from penelope.errors import Unauthenticated
from penelope.flow.keys import Caller, Key, KeyRing, Order, Scope
from penelope.testing.clock import FakeClock

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


class Shelf:
    """Keys in memory; counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.asked = 0

    async def add(self, key: Key) -> None:
        self.keys[key.id] = key

    async def find(self, identifier: str) -> Key | None:
        self.asked += 1
        return self.keys.get(identifier)

    async def all(self) -> Sequence[Key]:
        return list(self.keys.values())

    async def revoke(self, identifier: str, at: datetime) -> bool:
        self.keys[identifier] = replace(self.keys[identifier], revoked_at=at)
        return True


class Scene:
    def __init__(self) -> None:
        self.shelf = Shelf()
        self.clock = FakeClock(NOW)
        self.ring = KeyRing(self.shelf, b"pepper")
        self.acquaintances = Acquaintances(self.ring, self.clock)

    def make(self, expires_at: datetime | None = None) -> tuple[Key, str]:
        order = Order(name="anna", scopes=frozenset({Scope.READ}), expires_at=expires_at)
        return asyncio.run(self.ring.create(order, NOW))

    def recognise(self, text: str) -> Caller:
        return asyncio.run(self.acquaintances.recognise(text))


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_key_is_looked_up_once_in_a_while(scene: Scene) -> None:
    key, text = scene.make()
    assert [scene.recognise(text) for _ in range(3)] == [key.caller] * 3
    assert scene.shelf.asked == 1
    scene.clock.advance(REMEMBERED.total_seconds())
    assert scene.recognise(text) == key.caller
    assert scene.shelf.asked == 2


def test_a_revocation_shows_within_five_seconds(scene: Scene) -> None:
    key, text = scene.make()
    scene.recognise(text)
    asyncio.run(scene.ring.revoke(key.id, NOW))
    assert timedelta(seconds=5) >= REMEMBERED
    scene.clock.advance(REMEMBERED.total_seconds())
    with pytest.raises(Unauthenticated, match="revoked"):
        scene.recognise(text)


def test_an_expiry_shows_at_its_moment(scene: Scene) -> None:
    key, text = scene.make(expires_at=NOW + timedelta(seconds=1))
    assert scene.recognise(text) == key.caller
    scene.clock.advance(1)
    with pytest.raises(Unauthenticated, match="expired"):
        scene.recognise(text)


def test_a_refusal_is_not_remembered(scene: Scene) -> None:
    _, text = scene.make()
    altered = text[:-1] + ("0" if text[-1] != "0" else "1")
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            scene.recognise(altered)
    assert scene.recognise(text)


def test_the_text_of_a_key_does_not_stay_in_memory(scene: Scene) -> None:
    _, text = scene.make()
    scene.recognise(text)
    assert text not in repr(vars(scene.acquaintances))


def test_memory_is_bounded(scene: Scene) -> None:
    texts = [scene.make()[1] for _ in range(access._MOST_REMEMBERED + 1)]

    async def all_of_them() -> None:
        for text in texts:
            await scene.acquaintances.recognise(text)

    asyncio.run(all_of_them())
    assert len(scene.acquaintances._known) == 1


def test_those_who_come_with_one_key_at_once_ask_once(scene: Scene) -> None:
    """As they do after each few seconds: else a busy server would stand in its own way for the readers' connections."""
    key, text = scene.make()

    async def crowd() -> list[Caller]:
        return await asyncio.gather(*(scene.acquaintances.recognise(text) for _ in range(100)))

    assert asyncio.run(crowd()) == [key.caller] * 100
    assert scene.shelf.asked == 1


def test_whoever_hangs_up_leaves_the_others_waiting_for_the_answer(scene: Scene) -> None:
    key, text = scene.make()

    async def crowd() -> tuple[Caller, object]:
        first = asyncio.create_task(scene.acquaintances.recognise(text))
        second = asyncio.create_task(scene.acquaintances.recognise(text))
        await asyncio.sleep(0)
        first.cancel()
        return await second, (await asyncio.gather(first, return_exceptions=True))[0]

    found, hung_up = asyncio.run(crowd())
    assert found == key.caller
    assert isinstance(hung_up, asyncio.CancelledError)


def test_a_refusal_is_told_to_all_who_asked_together(scene: Scene) -> None:
    async def crowd() -> list[object]:
        asked = (scene.acquaintances.recognise("pen_nobody_knows") for _ in range(3))
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(each) for each in asyncio.run(crowd())] == [Unauthenticated] * 3
