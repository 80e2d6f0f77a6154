import asyncio
import re
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.errors import Unauthenticated
from penelope.flow.keys import Key, KeyRing, Order, Scope

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


class Drawer:
    """A KeyStore in memory."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.looked = 0

    async def add(self, key: Key) -> None:
        self.keys[key.id] = key

    async def find(self, identifier: str) -> Key | None:
        self.looked += 1
        return self.keys.get(identifier)

    async def all(self) -> Sequence[Key]:
        return list(self.keys.values())

    async def revoke(self, identifier: str, at: datetime) -> bool:
        key = self.keys.get(identifier)
        if key is None or key.revoked_at is not None:
            return False
        self.keys[identifier] = replace(key, revoked_at=at)
        return True


@pytest.fixture
def drawer() -> Drawer:
    return Drawer()


@pytest.fixture
def ring(drawer: Drawer) -> KeyRing:
    return KeyRing(drawer, b"pepper")


def make(ring: KeyRing, **order: object) -> tuple[Key, str]:
    wanted = Order(**{"name": "anna", "scopes": frozenset({Scope.READ}), **order})
    return asyncio.run(ring.create(wanted, NOW))


def recognise(ring: KeyRing, text: str, now: datetime = NOW) -> Key:
    return asyncio.run(ring.recognise(text, now))


def test_a_key_is_recognised_by_its_text(ring: KeyRing) -> None:
    key, text = make(ring)
    assert recognise(ring, text) == key
    assert (key.name, key.scopes, key.created_at) == ("anna", {Scope.READ}, NOW)


def test_the_text_begins_with_what_scanners_look_for_and_names_the_key(ring: KeyRing) -> None:
    key, text = make(ring)
    assert re.fullmatch(r"pnl_[0-9A-Za-z]{10}_[0-9A-Za-z]{43}[0-9a-f]{8}", text)
    assert text.startswith(f"pnl_{key.id}_")


def test_what_is_kept_does_not_give_the_text_away(ring: KeyRing, drawer: Drawer) -> None:
    key, text = make(ring)
    secret = text.rpartition("_")[2]
    assert secret not in repr(drawer.keys)
    assert re.fullmatch(r"[0-9a-f]{64}", key.digest)


def test_two_keys_differ(ring: KeyRing) -> None:
    assert make(ring)[1] != make(ring)[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pnl_",
        "Bearer x",
        "pnl_0123456789_" + "a" * 43 + "00000000",
        "ключ",
        "pnl_0123456789_" + "a" * 10_000,
    ],
)
def test_what_has_not_the_form_is_refused_without_a_look_into_the_store(
    ring: KeyRing, drawer: Drawer, text: str
) -> None:
    with pytest.raises(Unauthenticated, match="not an API key"):
        recognise(ring, text)
    assert drawer.looked == 0


def test_a_well_formed_stranger_is_refused(ring: KeyRing) -> None:
    body = "pnl_0123456789_" + "a" * 43
    with pytest.raises(Unauthenticated, match="not known"):
        recognise(ring, f"{body}{zlib.crc32(body.encode()):08x}")


def test_the_id_of_another_key_does_not_help(ring: KeyRing) -> None:
    key, _ = make(ring)
    body = f"pnl_{key.id}_" + "a" * 43
    with pytest.raises(Unauthenticated, match="not known"):
        recognise(ring, f"{body}{zlib.crc32(body.encode()):08x}")


def test_another_pepper_revokes_all_keys(ring: KeyRing, drawer: Drawer) -> None:
    _, text = make(ring)
    with pytest.raises(Unauthenticated, match="not known"):
        recognise(KeyRing(drawer, b"salt"), text)


def test_a_key_expires_at_its_moment_and_not_before(ring: KeyRing) -> None:
    end = NOW + timedelta(days=1)
    key, text = make(ring, expires_at=end)
    assert recognise(ring, text, end - timedelta(microseconds=1)) == key
    with pytest.raises(Unauthenticated, match=f"API key {key.id} expired at 2026-11-22 07:00:00 UTC"):
        recognise(ring, text, end)


def test_a_revoked_key_is_refused_and_revoked_once(ring: KeyRing) -> None:
    key, text = make(ring)
    assert asyncio.run(ring.revoke(key.id, NOW))
    assert not asyncio.run(ring.revoke(key.id, NOW))
    with pytest.raises(Unauthenticated, match=f"API key {key.id} was revoked"):
        recognise(ring, text)


def test_all_keys_are_listed(ring: KeyRing) -> None:
    made = [make(ring)[0], make(ring, name="ben")[0]]
    assert asyncio.run(ring.all()) == made


@pytest.mark.parametrize("scope", Scope)
def test_a_key_allows_its_own_scopes_and_admin_allows_all(ring: KeyRing, scope: Scope) -> None:
    narrow, _ = make(ring, scopes=frozenset({Scope.READ, Scope.APPROVE}))
    wide, _ = make(ring, scopes=frozenset({Scope.ADMIN}))
    assert narrow.allows(scope) == (scope in {Scope.READ, Scope.APPROVE})
    assert wide.allows(scope)
