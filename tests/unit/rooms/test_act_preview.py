"""A preview is bounded, harmless and without secrets, whatever an adapter does."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from penelope.domain.action import Action, Preview, Snapshot
from penelope.domain.service import Target
from penelope.domain.trial import ActionPreview
from penelope.errors import (
    ActionFailed,
    InvalidPatch,
    OutcomeUnknown,
    Timeout,
    Unavailable,
    UnknownService,
)
from penelope.kit.harmless import harmless
from penelope.rooms.act.preview import preview
from penelope.testing.actions import FakeAction
from penelope.testing.gate import planned


class Says(FakeAction):
    """Gives, raises or never gives its preview."""

    def __init__(self, said: Any) -> None:
        super().__init__()
        self.said = said

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:  # noqa: ARG002 - it says what it says
        if isinstance(self.said, Exception):
            raise self.said
        if self.said is None:
            await asyncio.Event().wait()
        found: Preview = self.said
        return found


def asked(
    said: Any, *, foreseeable: bool = True, seconds: float = 5, options: Mapping[str, Any] | None = None
) -> ActionPreview:
    target = Target(name="one", service="shop", adapter="fake", options=options or {})
    action = replace(planned({}).steps[0], target=target)
    return asyncio.run(preview(Says(said), action, seconds=seconds, foreseeable=foreseeable))


@pytest.mark.parametrize(
    ("error", "foreseeable", "refused", "why"),
    [
        (ActionFailed("no"), True, True, "no"),
        (ActionFailed("no"), False, False, "as things are now it would fail: no"),
        (InvalidPatch("no"), False, True, "no"),
        (UnknownService("no"), True, True, "no"),
        (Unavailable("away"), True, False, "away"),
        (Timeout("slow"), True, False, "slow"),
        (OutcomeUnknown("who knows"), True, False, "who knows"),
        (ZeroDivisionError("a bug"), True, False, "its adapter broke: ZeroDivisionError: a bug"),
        (Unavailable(""), True, False, "no reason was given"),
    ],
)
def test_what_cannot_work_is_refused_and_all_else_is_said(
    error: Exception, *, foreseeable: bool, refused: bool, why: str
) -> None:
    found = asked(error, foreseeable=foreseeable)
    assert (found.refused, found.missing) == (refused, why)
    assert (found.summary, found.diff) == ("", "")


def test_one_that_hangs_is_cut_short() -> None:
    found = asked(None, seconds=0.05)
    assert (found.refused, found.missing) == (False, "its dry run has not ended within 0.05 s")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"password": "hunter22"}, "it is hunter22!"),
        ({"auth": {"api_key": ["hunter22"]}}, "it is hunter22!"),
        ({"credentials": {"any": "hunter22"}}, "it is hunter22!"),
        ({"url": "postgresql://penelope:hunter22@db/shop"}, "it is hunter22!"),
        ({"url": "redis://:hunter%322@cache"}, "it is hunter22!"),
    ],
)
def test_secrets_of_the_target_are_taken_out_of_every_text(options: Mapping[str, Any], text: str) -> None:
    found = asked(Preview(summary=text, diff=f"+{text}\n"), options=options)
    assert (found.summary, found.diff) == ("it is [secret]!", "+it is [secret]!\n")
    assert asked(Unavailable(text), options=options).missing == "it is [secret]!"


def test_a_secret_that_is_cut_in_two_is_not_shown_in_half() -> None:
    text = "x" * 395 + "hunter22"
    assert "hunt" not in asked(Preview(summary=text), options={"token": "hunter22"}).summary


@pytest.mark.parametrize("address", ["http://[", "postgresql://nobody@db", "words"])
def test_what_is_no_secret_stays(address: str) -> None:
    found = asked(Preview(summary=f"see {address}"), options={"url": address, "pin_password": "abc"})
    assert found.summary == f"see {address}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ü", "plain ü"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[31m\x00\x9b", "\\x1b[31m\\x00\\x9b"),
        ("\u202e\u2066\u200b", "\\u202e\\u2066\\u200b"),
        ("\udcff", "\\udcff"),
        ("x" * 21, "x" * 19 + "…"),
        ("x" * 20, "x" * 20),
        ("\x00" * 20, "\\x00" * 4 + "\\x0…"),
    ],
)
def test_text_is_made_harmless(text: str, expected: str) -> None:
    assert harmless(text, 20) == expected


def test_lines_may_stand_where_they_are_wanted() -> None:
    assert harmless("a\n\tb\r\n", 20, lines=True) == "a\n\tb\\r\n"
