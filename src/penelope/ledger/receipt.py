"""Receipts: the whole story of one incident in one document, which proves itself to whoever knows the log's key."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

import msgspec

from penelope.domain.incident import IncidentState
from penelope.domain.work import Entry
from penelope.errors import ChainBroken, InvalidRequest, ProofInvalid, SignatureInvalid
from penelope.kit.canonical import Json, content_hash
from penelope.ledger import merkle
from penelope.ledger.chain import GENESIS, LARGEST_ENTRY, altered, leaf_hash, payload
from penelope.ledger.notes import Checkpoint, Note, decode64, open_checkpoint, verify
from penelope.ledger.patch import apply
from penelope.ledger.ports import Verifier

FORMAT: Final = "penelope.dev/receipt/v1"

LARGEST_BYTES = 64 * 1024 * 1024
"""A longer document is not read."""

MOST_ENTRIES = 100_000
_LONGEST_PROOF = 63

_HINT = "Trust nothing in this receipt; keep it as evidence, and ask for the entries themselves."
_NOT_ONE = "This is no receipt, or a damaged one: get it anew with `penelope ledger prove`."

_Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)]


class Proven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry: its place in the log, its canonical texts, and the proof (base64, RFC 9162) that it is there.

    `salt` and `payload` are null where the payload was erased.
    """

    index: Annotated[int, msgspec.Meta(ge=0)]
    header: Annotated[str, msgspec.Meta(max_length=LARGEST_ENTRY)]
    salt: _Digest | None
    payload: str | None
    proof: Annotated[list[str], msgspec.Meta(max_length=_LONGEST_PROOF)]


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the log holds about one incident, in log order, all of it bound to the tree of one checkpoint.

    `checkpoint` is a signed note, with the cosignatures that there were.
    """

    format: Literal["penelope.dev/receipt/v1"]
    incident: str
    checkpoint: str
    entries: Annotated[list[Proven], msgspec.Meta(min_length=1, max_length=MOST_ENTRIES)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a receipt proves. `signers` and `witnesses` are names with key ids; `remarks` say what it does not prove."""

    incident: str
    checkpoint: Checkpoint
    entries: tuple[Entry, ...]
    signers: tuple[str, ...]
    witnesses: tuple[str, ...]
    remarks: tuple[str, ...]


def make(incident: str, note: bytes, entries: Iterable[tuple[int, Entry, Sequence[bytes]]]) -> Receipt:
    """The receipt over entries with their places in the log and the proofs under the checkpoint in `note`."""
    proven = [
        Proven(
            index=index,
            header=entry.body.decode(),
            salt=None if entry.erased else entry.salt,
            payload=None if entry.erased else payload(entry).decode(),
            proof=[base64.b64encode(each).decode() for each in proof],
        )
        for index, entry, proof in entries
    ]
    return Receipt(format=FORMAT, incident=incident, checkpoint=note.decode(), entries=proven)


def encode(receipt: Receipt) -> bytes:
    """The receipt as JSON."""
    return msgspec.json.encode(receipt)


def parse(text: bytes) -> Receipt:
    """The receipt in a JSON document, of which nothing is known until `check`. Raises InvalidRequest."""
    if len(text) > LARGEST_BYTES:
        raise InvalidRequest(f"the receipt is longer than {LARGEST_BYTES} bytes", hint=_NOT_ONE)
    return _read(text, Receipt, "the receipt")


def check(receipt: Receipt, verifiers: Sequence[Verifier], witnesses: Sequence[Verifier] = ()) -> Story:
    """What the receipt proves under the log's keys, and those of witnesses, each of which must have cosigned.

    Raises SignatureInvalid for the checkpoint, ProofInvalid for an entry that is not in its tree, ChainBroken for
    entries that do not fit together or to what they promise, and InvalidRequest for what is no entry.
    """
    note = Note.parse(receipt.checkpoint.encode())
    checkpoint = open_checkpoint(note.encode(), verifiers)
    cosigners = [_cosigner(note, witness) for witness in witnesses]
    last, entries = -1, []
    for item in receipt.entries:
        if item.index <= last:
            _refuse(item.index, "stands in the wrong order")
        last = item.index
        _check_inclusion(item, checkpoint)
        entries.append(_entry(item, receipt.incident))
    _check_chains(receipt, entries)
    return Story(
        incident=receipt.incident,
        checkpoint=checkpoint,
        entries=tuple(entries),
        signers=tuple(f"{each.name} ({each.key_id})" for each in verify(note, verifiers)),
        witnesses=tuple(cosigners),
        remarks=tuple(_remarks(checkpoint, entries, cosigned=bool(cosigners))),
    )


def _cosigner(note: Note, witness: Verifier) -> str:
    try:
        (signature,) = verify(note, [witness])
    except SignatureInvalid as error:
        message = f"witness {witness.name} ({witness.key_id}) did not cosign the checkpoint"
        raise SignatureInvalid(message) from error
    return f"{signature.name} ({signature.key_id})"


def _check_inclusion(item: Proven, checkpoint: Checkpoint) -> None:
    proof = [decode64(text) for text in item.proof]
    hashes = [each for each in proof if each is not None]
    if len(hashes) < len(proof):
        raise ProofInvalid(f"the proof of entry {item.index} is not written in base64")
    leaf = merkle.leaf_hash(item.header.encode())
    merkle.check_inclusion(leaf, item.index, checkpoint.size, hashes, checkpoint.root)


# --- entries ----------------------------------------------------------------------------------------------


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    """The header of an entry, of schema 1."""

    schema: Literal[1]
    unit: str
    version: int
    kind: str
    incident: str
    event: str
    actor: str
    status_before: str | None
    status_after: str
    state_before: _Digest | None
    state_hash: _Digest
    interaction_before: str | None
    interaction_after: str
    recorded_at: Annotated[datetime, msgspec.Meta(tz=True)]
    previous_hash: _Digest
    payload_hash: _Digest


class _Payload(msgspec.Struct, forbid_unknown_fields=True):
    actor: str
    reason: str
    details: dict[str, Any]
    patch: list[dict[str, Any]]


def _entry(item: Proven, incident: str) -> Entry:
    """The entry, held against its own hashes."""
    body = item.header.encode()
    given = msgspec.structs.asdict(_read(body, _Header, f"the header of entry {item.index}"))
    del given["schema"]
    if (item.salt is None) != (item.payload is None):
        raise InvalidRequest(f"entry {item.index} has a salt or a payload, but not both", hint=_NOT_ONE)
    secret = {}
    if item.payload is not None:
        found = _read(item.payload.encode(), _Payload, f"the payload of entry {item.index}")
        secret = {**msgspec.structs.asdict(found), "salt": item.salt}
    actor = given.pop("actor")
    entry = Entry(**given, **secret, actor_id=actor, body=body, hash=leaf_hash(body))
    for problem in _problems(entry, item, incident):
        _refuse(item.index, problem)
    return entry


def _problems(entry: Entry, item: Proven, incident: str) -> Iterable[str]:
    if entry.incident != incident:
        yield f"is about {entry.incident[:80]}, and not about this incident"
    try:
        yield from altered(entry)
        if item.payload is not None and item.payload.encode() != payload(entry):
            yield "has a payload that is not in canonical form"
    except (ValueError, TypeError, OverflowError) as error:
        yield f"cannot be what was recorded: {error}"


Kind = TypeVar("Kind")


def _read(text: bytes, kind: type[Kind], what: str) -> Kind:
    try:
        return msgspec.json.decode(text, type=kind)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{what} cannot be read: {error}", hint=_NOT_ONE) from error


# --- chains -----------------------------------------------------------------------------------------------


def _check_chains(receipt: Receipt, entries: Sequence[Entry]) -> None:
    """Raises ChainBroken unless the entries of each unit are a chain from its first one."""
    chains: dict[str, list[tuple[Entry, int]]] = {}
    for item, entry in zip(receipt.entries, entries, strict=True):
        chains.setdefault(entry.unit, []).append((entry, item.index))
    for chain in chains.values():
        # In the log a transaction that began earlier may stand before one that it waited for.
        chain.sort(key=lambda pair: pair[0].version)
        _check_chain(chain)


def _check_chain(chain: Iterable[tuple[Entry, int]]) -> None:
    last: Entry | None = None
    whole, attributes = True, None
    for number, (entry, index) in enumerate(chain, start=1):
        if entry.version != number:
            _refuse(index, f"is version {entry.version} of its unit, but version {number} is not there")
        if (problem := _misfit(entry, last)) is not None:
            _refuse(index, problem)
        whole = whole and not entry.erased
        if whole:
            attributes = _replayed(attributes, entry, index)
        last = entry


def _misfit(entry: Entry, last: Entry | None) -> str | None:
    if entry.previous_hash != (GENESIS if last is None else last.hash):
        return "does not follow the entry before it"
    if last is not None and entry.kind != last.kind:
        return "says another kind of its unit than the entry before it"
    left = (None, None) if last is None else (last.status_after, last.state_hash)
    if (entry.status_before, entry.state_before) != left:
        return "starts from another state than was left"
    return None


def _replayed(attributes: Json, entry: Entry, index: int) -> Json:
    """The attributes after an entry's patch."""
    # Patches of ours copy nothing. One that did could grow a document without bound.
    if any(operation.get("op") not in ("add", "remove", "replace") for operation in entry.patch):
        _refuse(index, "has a patch that Penelope does not make")
    try:
        after = apply(attributes, entry.patch)
        found = content_hash(after)
    except (ValueError, TypeError) as error:
        _refuse(index, f"has a patch that does not fit: {error}")
    if found != entry.state_hash:
        _refuse(index, "has a patch that leads to another state than it says")
    return after


def _refuse(index: int, problem: str) -> NoReturn:
    raise ChainBroken(f"entry {index} {problem}", hint=_HINT)


# --- remarks ----------------------------------------------------------------------------------------------

_ENDED = frozenset(state.value for state in IncidentState if state.ended)


def _remarks(checkpoint: Checkpoint, entries: Sequence[Entry], *, cosigned: bool) -> Iterable[str]:
    erased = sum(entry.erased for entry in entries)
    if erased:
        yield (
            f"{erased} of {len(entries)} payloads were erased: for these it is proven what happened and when, "
            "but not shown who did it, why, and what changed."
        )
    # By version: on PostgreSQL the log may have taken in the later one of two that were saved at once first.
    last = max(
        (entry for entry in entries if entry.kind == "incident"), key=attrgetter("version"), default=None
    )
    if last is not None and last.status_after not in _ENDED:
        yield f"The incident had not ended: it was in the state {last.status_after}."
    if not cosigned:
        yield (
            "No witness was asked for: whoever holds the log's key could show somebody else another log, "
            "or have made this one up later."
        )
    yield (
        f"What is here is in the log of {checkpoint.size} entries. That nothing was left out, and that nothing "
        "came later, only the whole log can show."
    )
