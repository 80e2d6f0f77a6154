"""A receipt shows every change of itself, and says what it does not prove."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penelope.adapters.signers.ed25519 import Ed25519Signer, verifier
from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.errors import ChainBroken, InvalidRequest, PenelopeError, ProofInvalid, SignatureInvalid
from penelope.kit.canonical import canonical
from penelope.kit.clock import SystemClock
from penelope.ledger import receipt
from penelope.ledger.chain import Advance, Seal, advance, commit, leaf_hash
from penelope.ledger.merkle import Tree
from penelope.ledger.notes import Checkpoint, add_signatures, sign_checkpoint
from penelope.testing.witness import FakeWitness

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
INCIDENT = "inc_1"
SIGNER = Ed25519Signer.generate("example.com/log")
LOG = verifier(SIGNER.vkey)


@dataclass
class Log:
    """A log in memory."""

    entries: list[Entry] = field(default_factory=list)
    units: dict[str, UnitOfWork] = field(default_factory=dict)

    def save(self, unit: str, status: str, *, incident: str = INCIDENT, **attributes: Any) -> None:
        kind = "incident" if unit == incident else "decision"
        change = Change(
            unit=unit,
            kind=kind,
            incident=incident,
            status=status,
            attributes={"status": status, **attributes},
            event=f"Became {status}",
            actor="key:ada",
            reason="because",
            details={"figure": 0.25},
        )
        seal = Seal(NOW + timedelta(seconds=len(self.entries)), "act_1", f"{len(self.entries):064x}")
        self.add(advance(self.units.get(unit), change, seal))

    def add(self, advanced: Advance) -> None:
        assert advanced.entry is not None
        self.units[advanced.unit.id] = advanced.unit
        self.entries.append(advanced.entry)

    def erase(self, *places: int) -> None:
        for place in places:
            self.entries[place] = replace(
                self.entries[place], salt="", actor="", reason="", details={}, patch=()
            )

    @property
    def tree(self) -> Tree:
        return Tree([bytes.fromhex(entry.hash) for entry in self.entries])

    def note(self, *signers: Ed25519Signer) -> bytes:
        tree = self.tree
        return asyncio.run(
            sign_checkpoint(Checkpoint(SIGNER.name, tree.size, tree.root()), signers or [SIGNER])
        )

    def receipt(self, note: bytes | None = None) -> dict[str, Any]:
        """The receipt of the incident as JSON values, to be tampered with."""
        tree = self.tree
        wanted = [(place, entry) for place, entry in enumerate(self.entries) if entry.incident == INCIDENT]
        proven = [(place, entry, tree.inclusion(place)) for place, entry in wanted]
        made = receipt.make(INCIDENT, note or self.note(), proven)
        document: dict[str, Any] = json.loads(receipt.encode(made))
        return document


@pytest.fixture
def log() -> Log:
    log = Log()
    log.save(INCIDENT, "received")
    log.save("other", "received", incident="other")
    log.save("inc_1:decision", "intervene", score=1)
    log.save(INCIDENT, "acting", path=["a", "b"])
    log.save("other", "acting", incident="other")
    log.save("inc_1:decision", "escalate", score=2)
    log.save(INCIDENT, "healed", path=["a"])
    return log


def check(document: dict[str, Any], keys: Sequence[Any] = (LOG,), witnesses: Sequence[Any] = ()) -> Any:
    return receipt.check(receipt.parse(json.dumps(document).encode()), keys, witnesses)


def refused(document: dict[str, Any], error: type[PenelopeError], match: str) -> None:
    with pytest.raises(error, match=match):
        check(document)


def test_it_tells_the_story(log: Log) -> None:
    story = check(log.receipt())
    assert list(story.entries) == [entry for entry in log.entries if entry.incident == INCIDENT]
    assert [(entry.event, entry.actor, entry.details) for entry in story.entries][:2] == [
        ("Became received", "key:ada", {"figure": 0.25}),
        ("Became intervene", "key:ada", {"figure": 0.25}),
    ]
    assert (story.checkpoint.origin, story.checkpoint.size) == ("example.com/log", 7)
    assert story.signers == (f"example.com/log ({SIGNER.key_id})",)
    assert story.witnesses == ()
    assert [remark[:11] for remark in story.remarks] == ["No witness ", "What is her"]


def test_it_is_bound_to_the_size_of_its_checkpoint(log: Log) -> None:
    document = log.receipt()
    log.save(INCIDENT, "closed")
    refused({**document, "checkpoint": log.note().decode()}, ProofInvalid, "leaf|too few")


# --- who signed -------------------------------------------------------------------------------------------


def test_a_key_that_did_not_sign_is_not_enough(log: Log) -> None:
    stranger = verifier(Ed25519Signer.generate("example.com/log").vkey)
    with pytest.raises(SignatureInvalid, match="no trusted key"):
        check(log.receipt(), [stranger])
    with pytest.raises(SignatureInvalid, match="no trusted key"):
        check(log.receipt(), [])
    assert check(log.receipt(), [stranger, LOG]).signers == (f"example.com/log ({SIGNER.key_id})",)


def test_a_key_of_another_log_is_not_enough(log: Log) -> None:
    other = Ed25519Signer.generate("example.com/other")
    tree = log.tree
    note = asyncio.run(sign_checkpoint(Checkpoint(other.name, tree.size, tree.root()), [other]))
    with pytest.raises(SignatureInvalid, match="no trusted key"):
        check(log.receipt(note))


def test_both_keys_of_a_rotation_are_named(log: Log) -> None:
    second = Ed25519Signer.generate("example.com/log")
    story = check(log.receipt(log.note(SIGNER, second)), [LOG, verifier(second.vkey)])
    assert [text[-9:-1] for text in story.signers] == [SIGNER.key_id, second.key_id]


def test_a_checkpoint_that_was_altered_is_refused(log: Log) -> None:
    document = log.receipt()
    text = document["checkpoint"].replace("\n7\n", "\n8\n")
    refused({**document, "checkpoint": text}, SignatureInvalid, "does not fit")
    refused({**document, "checkpoint": "nothing"}, SignatureInvalid, "does not end")


def test_a_witness_that_is_named_must_have_cosigned(log: Log) -> None:
    clock = SystemClock()
    witness, absent = (
        FakeWitness(f"example.com/{name}", {SIGNER.name: [SIGNER.vkey]}, clock) for name in ("w", "a")
    )
    note = log.note()
    lines = asyncio.run(witness.add_checkpoint(0, [], note))
    document = log.receipt(add_signatures(note, lines))
    story = check(document, witnesses=[verifier(witness.vkey)])
    assert [text[:13] for text in story.witnesses] == ["example.com/w"]
    assert not any("witness" in remark for remark in story.remarks)
    with pytest.raises(SignatureInvalid, match=r"witness example.com/a .* did not cosign"):
        check(document, witnesses=[verifier(witness.vkey), verifier(absent.vkey)])
    with pytest.raises(SignatureInvalid):
        check(document, [verifier(witness.vkey)])


# --- what was altered -------------------------------------------------------------------------------------

Tampering = Callable[[list[dict[str, Any]]], Any]


def _alter(place: int, name: str, old: str, new: str) -> Tampering:
    def tamper(entries: list[dict[str, Any]]) -> None:
        assert old in entries[place][name]
        entries[place][name] = entries[place][name].replace(old, new)

    return tamper


TAMPERINGS: dict[str, tuple[type[PenelopeError], str, Tampering]] = {
    "header": (ProofInvalid, "leaf 3", _alter(2, "header", "acting", "healed")),
    "a space in a header": (ProofInvalid, "leaf 3", _alter(2, "header", ",", ", ")),
    "reason": (ChainBroken, "entry 3 was altered: its actor", _alter(2, "payload", "because", "for fun")),
    "a space in a payload": (ChainBroken, "entry 3 .* canonical", _alter(2, "payload", ",", ", ")),
    "salt": (ChainBroken, "entry 2 was altered: its actor", _alter(1, "salt", "2", "3")),
    "index": (ProofInvalid, "leaf 1", lambda entries: entries[0].update(index=1)),
    "index beyond": (ProofInvalid, "cannot be", lambda entries: entries[-1].update(index=7)),
    "order": (ChainBroken, "entry 0 stands in the wrong order", lambda entries: entries.insert(0, entries.pop(2))),
    "twice": (ChainBroken, "entry 0 stands in the wrong order", lambda entries: entries.insert(0, entries[0])),
    "first one left out": (ChainBroken, "entry 3 is version 2", lambda entries: entries.pop(0)),
    "middle left out": (ChainBroken, "entry 6 is version 3", lambda entries: entries.pop(2)),
    "proof cut": (ProofInvalid, "too few", lambda entries: entries[1]["proof"].pop()),
    "proof longer": (ProofInvalid, "too many", lambda entries: entries[1]["proof"].append("A" * 43 + "=")),
    "proof of short hashes": (ProofInvalid, "32 bytes", lambda entries: entries[1]["proof"].append("AAAA")),
    "proof no base64": (ProofInvalid, "base64", lambda entries: entries[1]["proof"].append("?")),
    "salt without payload": (InvalidRequest, "not both", lambda entries: entries[1].update(payload=None)),
    "payload no JSON": (InvalidRequest, "payload of entry 2", lambda entries: entries[1].update(payload="{")),
    "payload with a member more": (
        InvalidRequest,
        "payload of entry 2",
        _alter(1, "payload", '"actor"', '"more":1,"actor"'),
    ),
    "payload that nests": (
        InvalidRequest,
        "payload of entry 2",
        lambda entries: entries[1].update(
            payload='{"actor":"","reason":"","patch":[],"details":{"a":' + "[" * 99_999 + "]" * 99_999 + "}}"
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERINGS)
def test_what_was_altered_is_refused(log: Log, name: str) -> None:
    error, match, tamper = TAMPERINGS[name]
    document = log.receipt()
    tamper(document["entries"])
    refused(document, error, match)


# --- what was logged wrongly: whoever holds the key can log anything --------------------------------------


def _forged(entry: Entry, payload: dict[str, Any] | None = None, **header: Any) -> Entry:
    """An entry that hashes to what it says, whatever that is."""
    secret = canonical(payload) if payload is not None else None
    line = json.loads(entry.body) | header
    if secret is not None:
        line["payload_hash"] = commit(entry.salt, secret)
    body = canonical(line)
    changed = {} if payload is None else {name: payload[name] for name in payload}
    return replace(entry, body=body, hash=leaf_hash(body), payload_hash=line["payload_hash"], **changed)


def _payload(patch: list[dict[str, Any]]) -> dict[str, Any]:
    return {"actor": "key:ada", "reason": "because", "details": {"figure": 0.25}, "patch": patch}


FORGERIES: dict[str, tuple[type[PenelopeError], str, int, Callable[[Entry], Entry]]] = {
    "another unit's state": (ChainBroken, "another state than was left", 3, lambda old: _forged(old, status_before="x")),
    "another state": (ChainBroken, "another state than was left", 3, lambda old: _forged(old, state_before="0" * 64)),
    "another kind": (ChainBroken, "another kind", 6, lambda old: _forged(old, kind="plan")),
    "no link": (ChainBroken, "does not follow", 5, lambda old: _forged(old, previous_hash="1" * 64)),
    "a state without a patch": (ChainBroken, "leads to another state", 3, lambda old: _forged(old, state_hash="1" * 64)),
    "another patch": (
        ChainBroken, "leads to another state", 6,
        lambda old: _forged(old, _payload([{"op": "replace", "path": "/status", "value": "sad"}])),
    ),
    "a patch that does not fit": (
        ChainBroken, "does not fit", 6,
        lambda old: _forged(old, _payload([{"op": "remove", "path": "/nowhere"}])),
    ),
    "a patch that copies": (
        ChainBroken, "does not make", 6,
        lambda old: _forged(old, _payload([{"op": "copy", "from": "", "path": "/a"}])),
    ),
    "a patch of something else": (
        ChainBroken, "does not make", 6,
        lambda old: _forged(old, _payload([{"op": [], "path": "/a"}])),
    ),
    "another schema": (InvalidRequest, "header of entry 3", 3, lambda old: _forged(old, schema=2)),
    "a version of a text": (InvalidRequest, "header of entry 3", 3, lambda old: _forged(old, version="2")),
    "a digest in capitals": (InvalidRequest, "header of entry 3", 3, lambda old: _forged(old, state_hash="A" * 64)),
    "a time without a zone": (
        InvalidRequest, "header of entry 3", 3, lambda old: _forged(old, recorded_at="2026-11-21T07:00:00"),
    ),
    "a time in another form": (
        ChainBroken, "entry 3 was altered: its columns", 3,
        lambda old: _forged(old, recorded_at="2026-11-21T07:00:00Z"),
    ),
    "a time beyond the calendar": (
        ChainBroken, "entry 3 cannot be", 3, lambda old: _forged(old, recorded_at="9999-12-31T23:59:59-01:00"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_what_was_logged_wrongly_is_refused(log: Log, name: str) -> None:
    error, match, place, forge = FORGERIES[name]
    log.entries[place] = forge(log.entries[place])
    refused(log.receipt(), error, match)


def test_an_entry_of_another_incident_is_refused(log: Log) -> None:
    document = log.receipt()
    entry, proof = log.entries[1], log.tree.inclusion(1)
    stranger = json.loads(receipt.encode(receipt.make("x", log.note(), [(1, entry, proof)])))["entries"]
    document["entries"][1:1] = stranger
    refused(document, ChainBroken, "entry 1 is about other")
    refused({**log.receipt(), "incident": "inc_2"}, ChainBroken, "entry 0 is about inc_1")


def test_a_chain_that_was_logged_out_of_turn_is_whole(log: Log) -> None:
    entries = log.entries
    entries[3], entries[6] = entries[6], entries[3]
    story = check(log.receipt())
    assert [entry.version for entry in story.entries] == [1, 1, 3, 2, 2]
    assert not any("had not ended" in remark for remark in story.remarks)


# --- what it does not prove -------------------------------------------------------------------------------


def test_what_was_erased_is_said_and_the_rest_still_proven(log: Log) -> None:
    log.erase(2, 6)
    story = check(log.receipt())
    assert story.remarks[0].startswith("2 of 5 payloads were erased")
    assert [entry.erased for entry in story.entries] == [False, True, False, False, True]
    log.entries[5] = _forged(log.entries[5], previous_hash="1" * 64)
    refused(log.receipt(), ChainBroken, "entry 5 does not follow")


def test_a_story_that_goes_on_says_so(log: Log) -> None:
    del log.entries[6]
    assert "The incident had not ended: it was in the state acting." in check(log.receipt()).remarks


# --- what is no receipt -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format": "penelope.dev/receipt/v2"}', b"null"],
    ids=["nothing", "list", "empty", "no text", "deep", "other format", "null"],
)
def test_what_is_no_receipt_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(InvalidRequest, match="the receipt cannot be read") as raised:
        receipt.parse(text)
    assert "ledger prove" in raised.value.advice


@pytest.mark.parametrize(
    "change",
    [
        {"entries": []},
        {"more": 1},
        {"incident": 7},
        {"entries": [{"index": -1, "header": "", "salt": None, "payload": None, "proof": []}]},
        {"entries": [{"index": 0, "header": "", "salt": "a" * 63 + "\n", "payload": "", "proof": []}]},
        {"entries": [{"index": 0, "header": "", "salt": None, "payload": None, "proof": ["x"] * 64}]},
    ],
)
def test_a_receipt_of_another_form_is_refused(log: Log, change: dict[str, Any]) -> None:
    refused({**log.receipt(), **change}, InvalidRequest, "the receipt cannot be read")


def test_an_endless_receipt_is_not_read() -> None:
    with pytest.raises(InvalidRequest, match="longer than"):
        receipt.parse(b" " * (receipt.LARGEST_BYTES + 1))
