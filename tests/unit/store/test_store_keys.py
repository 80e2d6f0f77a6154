"""API keys in their table: what goes in comes out, and a key is revoked once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from penelope.flow.keys import Key, Scope
from penelope.store.keys import SqlKeys

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def key(identifier: str, **changes: Any) -> Key:
    made = {"name": "ci", "scopes": frozenset({Scope.READ, Scope.APPROVE}), "digest": "d", "created_at": NOW}
    return Key(id=identifier, **{**made, **changes})


def test_what_goes_in_comes_out_oldest_first(on_stores: Callable[[Any], None]) -> None:
    async def scene(store: Any) -> None:
        keys = SqlKeys(store.writer, store.reading)
        assert await keys.find("one") is None
        one = key("one", created_at=NOW + timedelta(microseconds=1), expires_at=NOW + timedelta(days=1))
        two = key("two", scopes=frozenset())
        await keys.add(one)
        await keys.add(two)
        assert (await keys.find("one"), await keys.find("two")) == (one, two)
        assert await keys.all() == [two, one]
        with pytest.raises(IntegrityError):
            await keys.add(key("one", digest="another"))
        assert await keys.find("one") == one

    on_stores(scene)


def test_a_key_is_revoked_once(on_stores: Callable[[Any], None]) -> None:
    async def scene(store: Any) -> None:
        keys = SqlKeys(store.writer, store.reading)
        await keys.add(key("one"))
        await keys.add(key("two"))
        assert await keys.revoke("one", NOW) is True
        assert await keys.revoke("one", NOW + timedelta(seconds=1)) is False
        assert await keys.revoke("none", NOW) is False
        found = {item.id: item.revoked_at for item in await keys.all()}
        assert found == {"one": NOW, "two": None}

    on_stores(scene)
