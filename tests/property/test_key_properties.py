"""Only the exact text of a key is that key."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.errors import Unauthenticated
from penelope.flow.keys import Key, KeyRing, Order, Scope

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


class OneKey:
    """Keeps the last key, and finds it whatever it is asked for: the worst that a store could do."""

    def __init__(self) -> None:
        self.key: Key | None = None

    async def add(self, key: Key) -> None:
        self.key = key

    async def find(self, identifier: str) -> Key | None:  # noqa: ARG002 - on purpose
        return self.key

    async def all(self) -> list[Key]:
        return []

    async def revoke(self, identifier: str, at: datetime) -> bool:  # noqa: ARG002 - never asked
        return False


RING = KeyRing(OneKey(), b"pepper")
KEY, TEXT = asyncio.run(RING.create(Order(name="anna", scopes=frozenset({Scope.READ})), NOW))


def recognised(text: str) -> bool:
    try:
        return asyncio.run(RING.recognise(text, NOW)) == KEY
    except Unauthenticated:
        return False


def test_the_key_itself_is_recognised() -> None:
    assert recognised(TEXT)


@given(position=st.integers(0, len(TEXT) - 1), character=st.characters(codec="utf-8"))
def test_any_other_character_makes_it_another_text(position: int, character: str) -> None:
    altered = TEXT[:position] + character + TEXT[position + 1 :]
    assert recognised(altered) == (altered == TEXT)


@given(start=st.integers(0, len(TEXT)), end=st.integers(0, len(TEXT)))
def test_no_part_of_it_is_enough(start: int, end: int) -> None:
    part = TEXT[start:end]
    assert recognised(part) == (part == TEXT)


@given(st.text())
def test_no_other_text_is_a_key(text: str) -> None:
    assert not recognised(text)


@pytest.mark.parametrize("around", [" {}", "{} ", "{}\n", "\x00{}"])
def test_nothing_around_it_is_forgiven(around: str) -> None:
    assert not recognised(around.format(TEXT))
