"""Segments of the archive prove themselves; whatever is done to one is found."""

import asyncio
from collections.abc import Callable
from functools import cache

import orjson
import pytest

from penelope.adapters.signers.ed25519 import Ed25519Signer, verifier
from penelope.errors import ChainBroken, SignatureInvalid
from penelope.kit.canonical import canonical
from penelope.ledger.chain import commit
from penelope.ledger.erasures import Erasures, runs
from penelope.ledger.merkle import Tree, leaf_hash
from penelope.ledger.notes import Checkpoint, sign_checkpoint
from penelope.ledger.segment import SEGMENT, Line, Proven, head, read, verify
from penelope.ledger.tiles import grow

SIGNER = Ed25519Signer.generate("example.com/log")
KEYS = [verifier(SIGNER.vkey)]
SALT = "ab" * 32
SIZES = (SEGMENT, SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + 77, 4 * SEGMENT + 1)


def entry(index: int) -> bytes:
    return canonical(
        {"actor": "act_1", "incident": "inc", "n": index, "payload_hash": commit(SALT, payload(index))}
    )


def payload(index: int) -> bytes:
    return canonical({"reason": f"n is {index}"})


@cache
def leaves() -> bytes:
    return b"".join(leaf_hash(entry(index)) for index in range(max(SIZES)))


@cache
def segment(first: int, size: int) -> tuple[bytes, ...]:
    """The segment that begins with a leaf, in a log of so many."""
    log = leaves()[: size * 32]
    root = Tree(log).root()
    note = asyncio.run(sign_checkpoint(Checkpoint(SIGNER.name, size, root), [SIGNER]))
    lines = [
        Line(index=index, header=entry(index).decode(), salt=SALT, payload=payload(index).decode()).encode()
        for index in range(first, first + SEGMENT)
    ]
    return head(first, size, note, grow(0, {}, log)).encode(), *lines


@pytest.mark.parametrize("size", SIZES)
def test_every_whole_segment_of_a_log_proves_itself(size: int) -> None:
    for first in range(0, size - SEGMENT + 1, SEGMENT):
        assert verify(segment(first, size), KEYS) == Proven(first, size, SEGMENT)


def test_erased_payloads_leave_the_proof_as_it_is() -> None:
    found, lines = read(segment(SEGMENT, SIZES[3]))
    kept = [line.without_payload() if line.index % 2 else line for line in lines]
    proven = verify([found.encode(), *(line.encode() for line in kept)], KEYS)
    assert proven == Proven(SEGMENT, SIZES[3], SEGMENT // 2)


def test_a_segment_is_written_in_one_way() -> None:
    whole = segment(0, SIZES[1])
    found, lines = read(whole)
    assert (found.encode(), *(line.encode() for line in lines)) == whole


def changed(number: int, **fields: object) -> Callable[[list[bytes]], list[bytes]]:
    """Another value in one line."""

    def change(lines: list[bytes]) -> list[bytes]:
        value = orjson.loads(lines[number])
        return [*lines[:number], canonical({**value, **fields}) + b"\n", *lines[number + 1 :]]

    return change


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda _: [], "head is damaged"),
        (lambda lines: [b"\xff\n", *lines[1:]], "head is damaged"),
        (lambda lines: [b"[" * 5000, *lines[1:]], "head is damaged"),
        (changed(0, more=1), "head is damaged"),
        (changed(0, format="penelope-segment/2"), "no segment"),
        (changed(0, first=-SEGMENT), "no segment"),
        (changed(0, first=1), "no segment"),
        (changed(0, first=SEGMENT), "line for entry 4096 is another one"),
        (changed(0, path=[]), "not those of the log"),
        (changed(0, path=["zz"]), "not those of the log"),
        (changed(0, path=["ab" * 32] * 2), "not those of the log"),
        (lambda lines: lines[:-1], "line for entry 4095 is damaged"),
        (lambda lines: [*lines, lines[-1]], "goes on after its last entry"),
        (lambda lines: [*lines[:5], *lines[6:]], "line for entry 4 is another one"),
        (lambda lines: [*lines[:5], lines[6], lines[5], *lines[7:]], "line for entry 4 is another one"),
        (lambda lines: [*lines[:5], b'{"index":4}\n', *lines[6:]], "line for entry 4 is damaged"),
        (changed(5, index=True), "line for entry 4 is damaged"),
        (changed(5, salt=None), "line for entry 4 is another one"),
        (changed(5, payload="{}"), "payload of entry 4 is not the one"),
        (changed(5, salt="no salt"), "payload of entry 4 is not the one"),
        (changed(5, header="{}"), "line for entry 4 is damaged"),
        (changed(5, header=entry(9).decode(), salt=None, payload=None), "not those of the log"),
        (changed(1, header=entry(0).decode() + " ", salt=None, payload=None), "not those of the log"),
    ],
)
def test_whatever_is_changed_is_found(tamper: Callable[[list[bytes]], list[bytes]], message: str) -> None:
    with pytest.raises(ChainBroken, match=message):
        verify(tamper(list(segment(0, SIZES[1]))), KEYS)


def test_only_the_logs_own_key_counts() -> None:
    other = verifier(Ed25519Signer.generate(SIGNER.name).vkey)
    with pytest.raises(SignatureInvalid):
        verify(segment(0, SIZES[0]), [other])
    with pytest.raises(SignatureInvalid):
        verify(changed(0, checkpoint="nothing")(list(segment(0, SIZES[0]))), KEYS)


def test_a_part_of_a_segment_is_none() -> None:
    tiles = grow(0, {}, leaves()[: SIZES[1] * 32])
    with pytest.raises(ChainBroken, match="missing, or too short"):
        head(0, SIZES[2], b"", tiles)


# --- erasures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], ()),
        ([5], ((5, 5),)),
        ([3, 1, 2], ((1, 3),)),
        ([1, 1, 2], ((1, 2),)),
        ([9, 1, 2, 4, 5, 6], ((1, 2), (4, 6), (9, 9))),
    ],
)
def test_runs_are_what_follows_on(numbers: list[int], expected: tuple[tuple[int, int], ...]) -> None:
    assert runs(numbers) == expected


def test_without_records_nothing_may_be_missing() -> None:
    assert 1 not in Erasures([])
