"""The form of a segment of the archive: old entries with their payloads, which prove themselves offline.

A segment is canonical JSON, one value a line. The first line is the head: which leaves follow, a signed checkpoint
over them, and the audit path (RFC 9162, section 2.1.3) from the root of these leaves to the checkpoint's. Then comes a
line for each leaf: its index, its entry's text, and the salt and text of the payload, both null once it was erased.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import msgspec
import orjson

from penelope.errors import ChainBroken, ProofInvalid
from penelope.kit.canonical import canonical
from penelope.ledger.chain import commit
from penelope.ledger.merkle import Tree, check_inclusion, leaf_hash
from penelope.ledger.notes import open_checkpoint
from penelope.ledger.ports import Verifier
from penelope.ledger.tiles import Tiles, inclusion

HEIGHT = 12
SEGMENT = 1 << HEIGHT
"""Leaves of a segment: a power of two, so that an aligned one is a node of every later tree."""

FORMAT = "penelope-segment/1"

LARGEST_LINE = 64 * 1024 * 1024
"""Bytes of a line; the longest request that can become a payload is a quarter of it."""


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first line. `checkpoint` is the signed note, `path` the audit path in hexadecimal."""

    format: str
    first: int
    checkpoint: str
    path: list[str]

    def encode(self) -> bytes:
        return canonical(msgspec.to_builtins(self)) + b"\n"


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One leaf. `header` is the entry's canonical text; `salt` and `payload` are None once the payload was erased."""

    index: int
    header: str
    salt: str | None
    payload: str | None

    def encode(self) -> bytes:
        return canonical(msgspec.to_builtins(self)) + b"\n"

    def without_payload(self) -> "Line":
        return Line(index=self.index, header=self.header, salt=None, payload=None)


class Owner(msgspec.Struct, frozen=True):
    """What of an entry's text tells whose it is."""

    actor: str
    incident: str

    @classmethod
    def of(cls, line: Line) -> "Owner":
        """Raises ChainBroken where the entry cannot be read."""
        return _decoded(cls, line.header.encode(), line.index)


class Secret(NamedTuple):
    """A payload's salt (hexadecimal) and its canonical text."""

    salt: str
    payload: str


@dataclass(frozen=True, slots=True)
class Proven:
    """What a verified segment holds: its first leaf, the checkpoint's size, and how many payloads there are."""

    first: int
    checkpoint: int
    payloads: int


def head(first: int, size: int, note: bytes, tiles: Tiles) -> Head:
    """The head of the segment that begins with leaf `first`, under the signed checkpoint of `size` leaves.

    `tiles` must hold those of `tiles_of_inclusion(first, size)`. Raises as `inclusion` does.
    """
    # A leaf's path within the segment can be told from the segment's own leaves.
    path = inclusion(tiles, first, size)[HEIGHT:]
    return Head(format=FORMAT, first=first, checkpoint=note.decode(), path=[each.hex() for each in path])


def read(lines: Iterable[bytes]) -> tuple[Head, Iterator[Line]]:
    """Head and leaves of a segment; the leaves are read as they are asked for.

    Raises ChainBroken at the line that is malformed, missing or one too many.
    """
    rest = iter(lines)
    found = _decoded(Head, next(rest, b""), None)
    if found.format != FORMAT or found.first < 0 or found.first % SEGMENT:
        raise ChainBroken("this is no segment of the archive")
    return found, _leaves(found.first, rest)


def _leaves(first: int, lines: Iterator[bytes]) -> Iterator[Line]:
    for index in range(first, first + SEGMENT):
        line = _decoded(Line, next(lines, b""), index)
        if line.index != index or (line.salt is None) != (line.payload is None):
            raise ChainBroken(f"the segment's line for entry {index} is another one")
        yield line
    if next(lines, None) is not None:
        raise ChainBroken("the segment goes on after its last entry")


def verify(lines: Iterable[bytes], verifiers: Sequence[Verifier]) -> Proven:
    """Proves that every entry is in the log that signed the checkpoint, and every payload the one it commits to.

    Raises SignatureInvalid for the checkpoint, and ChainBroken for everything else.
    """
    found, leaves = read(lines)
    checkpoint = open_checkpoint(found.checkpoint.encode(), verifiers)
    hashes, payloads = bytearray(), 0
    for line in leaves:
        hashes += leaf_hash(line.header.encode())
        payloads += _has_payload(line)
    try:
        path = [bytes.fromhex(each) for each in found.path]
        proof = Tree(bytes(hashes)).inclusion(0) + path
        check_inclusion(bytes(hashes[:32]), found.first, checkpoint.size, proof, checkpoint.root)
    except (ProofInvalid, ValueError) as error:
        raise ChainBroken(f"the segment's entries are not those of the log: {error}") from error
    return Proven(found.first, checkpoint.size, payloads)


def is_committed(secret: Secret, payload_hash: str) -> bool:
    """Whether a payload is the one that an entry's `payload_hash` commits to."""
    try:
        if bytes.fromhex(secret.salt).hex() != secret.salt:  # other spellings are no salt that was stored
            return False
        return commit(secret.salt, secret.payload.encode()) == payload_hash
    except ValueError:  # the salt is no hexadecimal text
        return False


class _Commitment(msgspec.Struct):
    payload_hash: str


def _has_payload(line: Line) -> bool:
    if line.salt is None or line.payload is None:
        return False
    due = _decoded(_Commitment, line.header.encode(), line.index).payload_hash
    if not is_committed(Secret(line.salt, line.payload), due):
        raise ChainBroken(f"the payload of entry {line.index} is not the one that was recorded")
    return True


Kind = TypeVar("Kind")


def _decoded(kind: type[Kind], text: bytes, index: int | None) -> Kind:
    try:
        return msgspec.convert(orjson.loads(text), kind)
    except (ValueError, msgspec.ValidationError) as error:
        place = "the segment's head" if index is None else f"the segment's line for entry {index}"
        raise ChainBroken(f"{place} is damaged: {error}") from error
