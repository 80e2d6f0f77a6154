"""Whatever happened, its receipt proves it; and whatever is changed in a receipt, it proves nothing else."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.adapters.signers.ed25519 import Ed25519Signer, verifier
from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.errors import PenelopeError
from penelope.ledger import receipt
from penelope.ledger.chain import Seal, advance
from penelope.ledger.merkle import Tree
from penelope.ledger.notes import Checkpoint, sign_checkpoint

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
SIGNER = Ed25519Signer.generate("example.com/log")
VERIFIERS = [verifier(SIGNER.vkey)]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)
saves = st.tuples(
    st.sampled_from(["a", "b"]),  # the incident
    st.integers(0, 2),  # which of its units
    st.sampled_from(["one", "two", "three"]),
    st.dictionaries(st.sampled_from(["x", "y", "/"]), values, max_size=3),
)


def log_of(story: list[Any]) -> list[Entry]:
    units: dict[str, UnitOfWork] = {}
    entries: list[Entry] = []
    for incident, number, status, attributes in story:
        change = Change(
            unit=f"{incident}:{number}",
            kind="decision",
            incident=incident,
            status=status,
            attributes=attributes,
            event="Happened",
            actor="key:ada",
            reason=status,
        )
        advanced = advance(units.get(change.unit), change, Seal(NOW, "act_1", f"{len(entries):064x}"))
        units[change.unit] = advanced.unit
        if advanced.entry is not None:
            entries.append(advanced.entry)
    return entries


def receipt_of(entries: list[Entry], incident: str) -> bytes:
    tree = Tree([bytes.fromhex(entry.hash) for entry in entries])
    note = asyncio.run(sign_checkpoint(Checkpoint(SIGNER.name, tree.size, tree.root()), [SIGNER]))
    wanted = [(place, entry) for place, entry in enumerate(entries) if entry.incident == incident]
    proven = [(place, entry, tree.inclusion(place)) for place, entry in wanted]
    return receipt.encode(receipt.make(incident, note, proven))


@given(st.lists(saves, min_size=1, max_size=20))
def test_every_story_proves_itself(story: list[Any]) -> None:
    entries = log_of(story)
    for incident in {entry.incident for entry in entries}:
        told = receipt.check(receipt.parse(receipt_of(entries, incident)), VERIFIERS)
        assert list(told.entries) == [entry for entry in entries if entry.incident == incident]


ENTRIES = log_of(
    [("a", number % 3, status, {"x": number}) for number, status in enumerate(["one", "two"] * 4)]
)
WHOLE = receipt_of(ENTRIES, "a")


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 7))
def test_no_flipped_bit_changes_what_is_proven(place: int, bit: int) -> None:
    flipped = bytearray(WHOLE)
    flipped[place] ^= 1 << bit
    try:
        told = receipt.check(receipt.parse(bytes(flipped)), VERIFIERS)
    except PenelopeError:
        return
    # Where it is still good, it was in how JSON is written, or in the name of an unknown key.
    assert list(told.entries) == ENTRIES


@given(st.data())
def test_no_choice_and_order_of_entries_tells_another_story(data: st.DataObject) -> None:
    document = json.loads(WHOLE)
    document["entries"] = data.draw(st.lists(st.sampled_from(document["entries"]), min_size=1, max_size=9))
    try:
        told = receipt.check(receipt.parse(json.dumps(document).encode()), VERIFIERS)
    except PenelopeError:
        return
    # What is left of each unit is its beginning.
    for unit in {entry.unit for entry in told.entries}:
        kept = [entry for entry in told.entries if entry.unit == unit]
        assert kept == [entry for entry in ENTRIES if entry.unit == unit][: len(kept)]


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_receipt_fails_in_one_way(text: bytes) -> None:
    with pytest.raises(PenelopeError):
        receipt.check(receipt.parse(text), VERIFIERS)


TEXTS = st.text(st.characters(), max_size=10) | st.sampled_from(["\ud800", "\x00", "{}", "null", "1e999"])


@given(
    st.sampled_from(["incident", "checkpoint", "header", "salt", "payload", "index", "proof"]),
    TEXTS | st.integers() | st.none() | st.lists(TEXTS, max_size=2),
)
def test_any_other_value_fails_in_one_way(name: str, value: Any) -> None:
    document = json.loads(WHOLE)
    place = document if name in document else document["entries"][0]
    if place[name] == value:
        return
    place[name] = value
    with pytest.raises(PenelopeError):
        receipt.check(receipt.parse(json.dumps(document).encode()), VERIFIERS)
