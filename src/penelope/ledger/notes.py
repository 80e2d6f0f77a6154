"""Signed notes, the checkpoints that are written as such, and the rule by which one may follow another.

The formats are those of C2SP: signed-note (also Go's sumdb/note), tlog-checkpoint and tlog-cosignature.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from penelope.errors import BadSettings, ChainBroken, ProofInvalid, SignatureInvalid
from penelope.ledger.merkle import check_consistency
from penelope.ledger.ports import Signer, Verifier

LARGEST_NOTE_BYTES = 128 * 1024
"""Sixteen signatures of 5 kB must be accepted (signed-note, Format)."""

MOST_SIGNATURES = 100
LARGEST_TREE = 2**63 - 1
ROOT_BYTES = 32

ED25519 = 1
COSIGNATURE = 4
"""Signature types: the first byte of the public key in a verifier key."""

_DASH = "\u2014 "
_KEY_ID_BYTES = 4
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")


# --- names and keys ---------------------------------------------------------------------------------------


def is_name(text: str) -> bool:
    """Whether a key may be called so: not empty, in UTF-8, without spaces, plus signs and control characters."""
    return bool(text) and not any(
        each.isspace() or each < " " or each == "+" or "\ud800" <= each <= "\udfff" for each in text
    )


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key in the form in which it is published: ``name+key id+base64(type, public key)``."""

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> str:
        """The first four bytes of SHA-256(name, newline, type, public key), in hexadecimal."""
        return hashlib.sha256(self.name.encode() + b"\n" + self._material).hexdigest()[: 2 * _KEY_ID_BYTES]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.key_id}+{encode64(self._material)}"

    @property
    def _material(self) -> bytes:
        return bytes([self.kind]) + self.public

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises BadSettings for what is no verifier key, or whose id is not that of the key."""
        name, _, rest = text.partition("+")
        key_id, _, material = rest.partition("+")
        raw = decode64(material)
        if not is_name(name) or raw is None or len(raw) < 2:
            raise BadSettings(
                "this is no verifier key", hint="It looks like example.com/log+530d903a+Aekye...: one line."
            )
        key = cls(name, raw[0], raw[1:])
        if key_id != key.key_id:
            raise BadSettings(f"the verifier key of {name} is damaged: its id is {key.key_id}")
        return key


def encode64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def decode64(text: str) -> bytes | None:
    """The bytes of standard base64 with padding; None unless it is written in its one canonical way."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if encode64(data) == text else None


# --- signed notes -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature line: who is said to have signed with which key, and what came of it."""

    name: str
    key_id: str
    data: bytes

    @property
    def line(self) -> str:
        """The line as it stands in a note, without its newline."""
        return f"{_DASH}{self.name} {encode64(bytes.fromhex(self.key_id) + self.data)}"

    @classmethod
    def parse(cls, line: str) -> Self:
        """Raises SignatureInvalid for a line that is malformed."""
        name, _, text = line.removeprefix(_DASH).partition(" ")
        raw = decode64(text)
        if not line.startswith(_DASH) or not is_name(name) or raw is None or len(raw) <= _KEY_ID_BYTES:
            raise SignatureInvalid("a signature line of the note is malformed")
        return cls(name, raw[:_KEY_ID_BYTES].hex(), raw[_KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and its signatures, of which nothing is known until `verify`."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        return "".join([self.text, "\n", *(f"{each.line}\n" for each in self.signatures)]).encode()

    def joined(self, signatures: Iterable[Signature]) -> "Note":
        """With these signatures too; one by the same key takes the place of an earlier one."""
        added = {(each.name, each.key_id): each for each in signatures}
        kept = [each for each in self.signatures if (each.name, each.key_id) not in added]
        return Note(self.text, (*kept, *added.values()))

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Raises SignatureInvalid for what is no signed note, or one beyond the bounds of this module."""
        if len(raw) > LARGEST_NOTE_BYTES:
            raise SignatureInvalid(f"the note is longer than {LARGEST_NOTE_BYTES} bytes")
        try:
            decoded = raw.decode()
        except UnicodeDecodeError:
            raise SignatureInvalid("the note is no UTF-8") from None
        if any(each < " " and each != "\n" for each in decoded):
            raise SignatureInvalid("the note has control characters")
        text, blank, lines = decoded.rpartition("\n\n")
        if not blank or not lines.endswith("\n"):
            raise SignatureInvalid("the note does not end in a blank line and signatures")
        if lines.count("\n") > MOST_SIGNATURES:
            raise SignatureInvalid(f"the note has more than {MOST_SIGNATURES} signatures")
        return cls(f"{text}\n", tuple(map(Signature.parse, lines[:-1].split("\n"))))


def verify(note: Note, verifiers: Iterable[Verifier]) -> list[Signature]:
    """The signatures by known keys, all of which fit; at least one.

    A key is known by name and id together, wherever its signature stands; signatures of other keys say
    nothing and are ignored, as is a second one by the same key. Raises SignatureInvalid when no known key
    signed, or when a known key's signature does not fit.
    """
    known = _by_name_and_id(verifiers)
    message = note.text.encode()
    verified: dict[tuple[str, str], Signature] = {}
    for signature in note.signatures:
        key = signature.name, signature.key_id
        if key not in known or key in verified:
            continue
        if not known[key].verify(message, signature.data):
            raise SignatureInvalid(f"the signature of {signature.name} ({signature.key_id}) does not fit")
        verified[key] = signature
    if not verified:
        raise SignatureInvalid("no trusted key signed the note")
    return list(verified.values())


def _by_name_and_id(verifiers: Iterable[Verifier]) -> dict[tuple[str, str], Verifier]:
    known: dict[tuple[str, str], Verifier] = {}
    for each in verifiers:
        other = known.setdefault((each.name, each.key_id), each)
        if other.vkey != each.vkey:
            raise SignatureInvalid(f"two different keys are called {each.name} with the id {each.key_id}")
    return known


async def sign(text: str, signers: Iterable[Signer]) -> Note:
    """The text as a note with a signature by each signer.

    Raises SignatureInvalid for a text that no signed note can hold, and what a signer raises.
    """
    message = text.encode()
    signatures = [Signature(each.name, each.key_id, await each.sign(message)) for each in signers]
    note = Note(text, tuple(signatures))
    if Note.parse(note.encode()) != note:
        raise SignatureInvalid("the text cannot be written as a note so that it reads the same")
    return note


# --- checkpoints ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The log at one moment: whose it is, how many leaves it has, and the root (32 bytes) over them."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        lines = (self.origin, str(self.size), encode64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The checkpoint in a note's text. Raises SignatureInvalid for a text that is none."""
        lines = text.split("\n")
        if len(lines) < 4 or lines.pop() or not all(lines):
            raise SignatureInvalid("a checkpoint has three lines or more, none of them empty")
        origin, size, root, *extensions = lines
        if not _DECIMAL.fullmatch(size) or int(size) > LARGEST_TREE:
            raise SignatureInvalid("the tree size of the checkpoint is malformed")
        raw = decode64(root)
        if raw is None or len(raw) != ROOT_BYTES:
            raise SignatureInvalid("the root of the checkpoint is malformed")
        return cls(origin, int(size), raw, tuple(extensions))


def open_checkpoint(raw: bytes, verifiers: Iterable[Verifier]) -> Checkpoint:
    """The checkpoint in a signed note, vouched for by the log itself.

    `verifiers` are the log's keys, and those of witnesses if they shall be looked at too: the log's are the
    ones that are named as the origin line, and one of them must have signed. Raises SignatureInvalid.
    """
    note = Note.parse(raw)
    checkpoint = Checkpoint.parse(note.text)
    if all(each.name != checkpoint.origin for each in verify(note, verifiers)):
        raise SignatureInvalid(f"the checkpoint is of {checkpoint.origin}, but no key of that name signed it")
    return checkpoint


async def sign_checkpoint(checkpoint: Checkpoint, signers: Sequence[Signer]) -> bytes:
    """The signed note; see `succeed` for whether it may be signed.

    Raises SignatureInvalid unless all signers are named as the origin line and the text is a checkpoint's.
    """
    if not signers or any(each.name != checkpoint.origin for each in signers):
        raise SignatureInvalid(f"only keys of that name may sign a checkpoint of {checkpoint.origin}")
    if Checkpoint.parse(checkpoint.text) != checkpoint:
        raise SignatureInvalid("the checkpoint cannot be written so that it reads the same")
    return (await sign(checkpoint.text, signers)).encode()


def succeed(before: Checkpoint, after: Checkpoint, proof: Sequence[bytes]) -> None:
    """Lets `after` follow what was signed before; `proof` (RFC 9162, 2.1.4) leads from one size to the other.

    Raises ChainBroken when the tree would shrink, or is not an extension of the one before.
    """
    if after.origin != before.origin:
        raise ChainBroken(f"a checkpoint of {after.origin} cannot follow one of {before.origin}")
    if after.size < before.size:
        raise ChainBroken(f"the log had {before.size} entries when it was last signed, and now {after.size}")
    try:
        check_consistency(before.size, after.size, before.root, after.root, list(proof))
    except ProofInvalid as error:
        message = f"the log of {after.size} entries does not extend that of {before.size}: {error.message}"
        raise ChainBroken(message) from error


# --- cosignatures -----------------------------------------------------------------------------------------


def cosigned_message(time: int, text: bytes) -> bytes:
    """What a witness signs: a checkpoint's text with the time (POSIX seconds) at which it was the latest."""
    return b"cosignature/v1\ntime %d\n" % time + text


def add_signatures(raw: bytes, lines: Iterable[str]) -> bytes:
    """The signed note with more signature lines, as a witness returns them. Raises SignatureInvalid."""
    return Note.parse(raw).joined(map(Signature.parse, lines)).encode()
