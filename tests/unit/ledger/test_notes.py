"""Signed notes, checkpoints and cosignatures: what others made is read, what was altered is refused."""

import asyncio
import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from penelope.adapters.signers.ed25519 import Ed25519Signer, Ed25519Verifier, verifier
from penelope.errors import BadSettings, ChainBroken, SignatureInvalid
from penelope.ledger.merkle import Tree, check_consistency, check_inclusion, leaf_hash
from penelope.ledger.notes import (
    COSIGNATURE,
    LARGEST_NOTE_BYTES,
    MOST_SIGNATURES,
    Checkpoint,
    Note,
    Signature,
    VerifierKey,
    add_signatures,
    cosigned_message,
    decode64,
    encode64,
    open_checkpoint,
    sign,
    sign_checkpoint,
    succeed,
    verify,
)
from penelope.ledger.ports import Signer, Verifier
from penelope.testing.clock import FakeClock

CORPUS = Path(__file__).parents[2] / "corpus" / "notes"
PUBLISHED: dict[str, Any] = json.loads((CORPUS / "published.json").read_text(encoding="utf-8"))
KEYS: dict[str, Any] = json.loads((CORPUS / "keys.json").read_text(encoding="utf-8"))
ORIGIN = "log.example/penelope"
OLD, NEW = (Ed25519Signer.parse(secret) for secret in KEYS["log_secrets"])
CHECKPOINT = Checkpoint(ORIGIN, 5, bytes(range(32)))
LATER = FakeClock(datetime(2030, 1, 1, tzinfo=UTC))


def signed(*signers: Signer, checkpoint: Checkpoint = CHECKPOINT) -> bytes:
    return asyncio.run(sign_checkpoint(checkpoint, signers))


def of(*signers: Signer) -> list[Verifier]:
    return [verifier(each.vkey) for each in signers]


def lines(note: bytes) -> list[str]:
    return note.decode().split("\n")


# --- what others made -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PUBLISHED["notes"], ids=lambda case: case["source"])
def test_a_published_note_verifies_and_is_written_alike(case: dict[str, str]) -> None:
    note = Note.parse(case["note"].encode())
    (signature,) = verify(note, [verifier(case["vkey"])])
    assert f"{signature.name}+{signature.key_id}+" in case["vkey"]
    assert note.encode() == case["note"].encode()
    if "secret" in case:
        signer = Ed25519Signer.parse(case["secret"])
        assert (signer.vkey, signer.secret) == (case["vkey"], case["secret"])
        assert asyncio.run(sign(note.text, [signer])) == note


def test_the_published_checkpoint_is_read() -> None:
    published = PUBLISHED["checkpoint"]
    note = Note.parse(published["note"].encode())
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size) == (published["origin"], published["size"])
    assert checkpoint.text == note.text
    log, witness = note.signatures
    assert (log.name, len(log.data)) == (checkpoint.origin, 64)
    assert (witness.name, len(witness.data)) == ("witness.example.com/w1", 72)
    assert int.from_bytes(witness.data[:8], "big") == published["time"]


def test_go_signs_the_same_bytes() -> None:
    made_there = (CORPUS / "go_checkpoint.note").read_bytes()
    checkpoint = open_checkpoint(made_there, of(OLD, NEW))
    assert signed(OLD, NEW, checkpoint=checkpoint) == made_there


def test_the_cosignature_of_another_implementation_verifies() -> None:
    raw = (CORPUS / "cosigned_checkpoint.note").read_bytes()
    keys = [*of(OLD), verifier(KEYS["witness"], clock=LATER)]
    assert open_checkpoint(raw, keys).size == 1000
    assert [each.name for each in verify(Note.parse(raw), keys)] == [ORIGIN, "witness.example/w1"]


def test_the_proofs_of_go_are_accepted_and_made_alike() -> None:
    made: dict[str, Any] = json.loads((CORPUS / "go_tree.json").read_text(encoding="utf-8"))
    tree = Tree(leaf_hash(b"%d" % index) for index in range(1000))

    def raw(hashes: Iterable[str]) -> list[bytes]:
        return [base64.b64decode(each) for each in hashes]

    for each in made["Inclusion"]:
        leaf, root = raw([each["Leaf"], each["Root"]])
        proof = raw(each["Proof"])
        check_inclusion(leaf, each["Index"], each["Size"], proof, root)
        assert (tree.root(each["Size"]), tree.inclusion(each["Index"], each["Size"])) == (root, proof)
    for each in made["Consistency"]:
        old_root, root = raw([each["OldRoot"], each["Root"]])
        proof = raw(each["Proof"])
        check_consistency(each["Old"], each["Size"], old_root, root, proof)
        assert tree.consistency(each["Old"], each["Size"]) == proof
    assert (len(made["Inclusion"]), len(made["Consistency"])) == (30, 55)


# --- signatures -------------------------------------------------------------------------------------------


def test_no_altered_byte_is_accepted() -> None:
    note = signed(OLD)
    for place, byte in enumerate(note):
        for other in {byte ^ 1, byte ^ 0x20, byte ^ 0x80, ord("\n"), ord("A")} - {byte}:
            with pytest.raises(SignatureInvalid):
                open_checkpoint(note[:place] + bytes([other]) + note[place + 1 :], of(OLD))
    for place in range(len(note)):
        with pytest.raises(SignatureInvalid):
            open_checkpoint(note[:place], of(OLD))
        with pytest.raises(SignatureInvalid):
            open_checkpoint(note[:place] + note[place + 1 :], of(OLD))


def test_the_order_of_signatures_says_nothing() -> None:
    text, _, signatures = signed(OLD, NEW).decode().rpartition("\n\n")
    first, second = signatures.splitlines()
    turned = f"{text}\n\n{second}\n{first}\n".encode()
    for keys in (of(OLD), of(NEW), of(OLD, NEW), of(NEW, OLD)):
        assert open_checkpoint(turned, keys) == CHECKPOINT
    assert [each.key_id for each in verify(Note.parse(turned), of(OLD, NEW))] == [NEW.key_id, OLD.key_id]


def test_a_key_of_the_same_name_with_another_id_is_another_key() -> None:
    with pytest.raises(SignatureInvalid, match="no trusted key"):
        open_checkpoint(signed(NEW), of(OLD))
    stranger = Signature(ORIGIN, "00000000", b"whatever")
    assert open_checkpoint(add_signatures(signed(OLD), [stranger.line]), of(OLD)) == CHECKPOINT


def test_a_key_of_the_same_id_with_another_name_is_another_key() -> None:
    note = Note.parse(signed(OLD))
    renamed = Note(note.text, (replace(note.signatures[0], name="log.example/other"),))
    with pytest.raises(SignatureInvalid, match="no trusted key"):
        verify(renamed, of(OLD))


def test_one_bad_signature_by_a_known_key_spoils_the_note() -> None:
    bad = Signature(ORIGIN, NEW.key_id, bytes(64))
    raw = add_signatures(signed(OLD), [bad.line])
    assert open_checkpoint(raw, of(OLD)) == CHECKPOINT
    with pytest.raises(SignatureInvalid, match=f"{ORIGIN} \\({NEW.key_id}\\) does not fit"):
        open_checkpoint(raw, of(OLD, NEW))


def test_the_first_signature_by_a_key_counts() -> None:
    note = Note.parse(signed(OLD))
    bad = replace(note.signatures[0], data=bytes(64))
    assert verify(Note(note.text, (*note.signatures, bad)), of(OLD)) == list(note.signatures)
    with pytest.raises(SignatureInvalid, match="does not fit"):
        verify(Note(note.text, (bad, *note.signatures)), of(OLD))


def test_a_signature_by_a_key_takes_the_place_of_its_earlier_one() -> None:
    raw = signed(OLD, NEW)
    old, new = Note.parse(raw).signatures
    again = replace(old, data=bytes(64))
    assert Note.parse(add_signatures(raw, [again.line])).signatures == (new, again)


def test_after_a_rotation_either_key_verifies() -> None:
    raw = signed(OLD, NEW)
    assert open_checkpoint(raw, of(OLD)) == open_checkpoint(raw, of(NEW)) == CHECKPOINT
    assert lines(raw)[3:] == ["", *(each.line for each in Note.parse(raw).signatures), ""]


def test_two_keys_that_cannot_be_told_apart_are_refused() -> None:
    twin = Ed25519Verifier(VerifierKey.parse(OLD.vkey))
    twin.vkey = "another"
    with pytest.raises(SignatureInvalid, match="two different keys"):
        verify(Note.parse(signed(OLD)), [*of(OLD), twin])
    assert verify(Note.parse(signed(OLD)), [*of(OLD), *of(OLD)])


def test_what_the_log_did_not_sign_is_not_its_checkpoint() -> None:
    other = Ed25519Signer.generate("other.example")
    raw = asyncio.run(sign(CHECKPOINT.text, [other])).encode()
    assert verify(Note.parse(raw), of(other))
    with pytest.raises(SignatureInvalid, match="no key of that name"):
        open_checkpoint(raw, of(other, OLD))
    with pytest.raises(SignatureInvalid, match="only keys of that name"):
        signed(OLD, other)
    with pytest.raises(SignatureInvalid, match="only keys of that name"):
        signed()


# --- formats ----------------------------------------------------------------------------------------------

LINE = Note.parse(signed(OLD)).signatures[0].line


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "blank line"),
        (f"text\n{LINE}\n".encode(), "blank line"),
        (f"text\n\n{LINE}".encode(), "blank line"),
        (b"text\n\n", "blank line"),
        (b"text\r\n\n" + LINE.encode() + b"\n", "control"),
        (b"te\x00xt\n\n" + LINE.encode() + b"\n", "control"),
        (b"te\xffxt\n\n" + LINE.encode() + b"\n", "UTF-8"),
        (b"te\xed\xa0\x80xt\n\n" + LINE.encode() + b"\n", "UTF-8"),
        (f"text\n\n{LINE}\nmore\n".encode(), "malformed"),
        (f"text\n\n{LINE.replace(chr(0x2014), '-')}\n".encode(), "malformed"),
        (f"text\n\n{LINE[2:]}\n".encode(), "malformed"),
        (f"text\n\n{LINE}=\n".encode(), "malformed"),
        (f"text\n\n{LINE} \n".encode(), "malformed"),
        (f"text\n\n{LINE.removesuffix('=')}\n".encode(), "malformed"),
        ("text\n\n\u2014 name\n".encode(), "malformed"),
        ("text\n\n\u2014  AAAAAAA=\n".encode(), "malformed"),
        ("text\n\n\u2014 name AAAAAA==\n".encode(), "malformed"),
        ("text\n\n\u2014 na+me AAAAAAA=\n".encode(), "malformed"),
        ("text\n\n\u2014 na\u00a0me AAAAAAA=\n".encode(), "malformed"),
        (f"text\n\n{LINE}\n".encode() + f"{LINE}\n".encode() * MOST_SIGNATURES, "more than 100"),
        (b"x" * LARGEST_NOTE_BYTES + f"\n\n{LINE}\n".encode(), "longer than"),
    ],
)
def test_what_is_no_signed_note_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(SignatureInvalid, match=why):
        Note.parse(raw)


def test_the_last_blank_line_ends_the_text() -> None:
    text = "first\n\n\n\u2014 not a signature\n\u2028odd\u0085line\x7f\n"
    note = asyncio.run(sign(text, [OLD]))
    assert Note.parse(note.encode()) == note
    assert verify(note, of(OLD))


@pytest.mark.parametrize("text", ["", "no newline", "tab\there\n", f"no newline\n\n{LINE}"])
def test_a_text_that_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(SignatureInvalid):
        asyncio.run(sign(text, [OLD]))


def test_sixteen_large_signatures_of_unknown_keys_are_read() -> None:
    large = [Signature(f"quantum.example/{n}", "0badcafe", bytes(4900)).line for n in range(16)]
    assert open_checkpoint(add_signatures(signed(OLD), large), of(OLD)) == CHECKPOINT


ROOT = encode64(CHECKPOINT.root)


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n5\n",
        f"{ORIGIN}\n5\n{ROOT}",
        f"\n5\n{ROOT}\n",
        f"{ORIGIN}\n05\n{ROOT}\n",
        f"{ORIGIN}\n+5\n{ROOT}\n",
        f"{ORIGIN}\n\u0665\n{ROOT}\n",
        f"{ORIGIN}\n{2**63}\n{ROOT}\n",
        f"{ORIGIN}\n{10**19}\n{ROOT}\n",
        f"{ORIGIN}\n5\n{ROOT[:-4]}\n",
        f"{ORIGIN}\n5\n{ROOT.rstrip('=')}\n",
        f"{ORIGIN}\n5\n{ROOT[:-2]}9=\n",
        f"{ORIGIN}\n5\n{ROOT}\n\nextension\n",
        f"{ORIGIN}\n5\n{ROOT}\n\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(SignatureInvalid):
        Checkpoint.parse(text)


def test_extension_lines_are_kept_and_signed() -> None:
    extended = replace(CHECKPOINT, extensions=("one", "two words"))
    assert open_checkpoint(signed(OLD, checkpoint=extended), of(OLD)) == extended
    for bad in ("", "two\nlines", "tab\t"):
        with pytest.raises(SignatureInvalid):
            signed(OLD, checkpoint=replace(CHECKPOINT, extensions=(bad,)))


@pytest.mark.parametrize("change", [{"size": -1}, {"size": 2**63}, {"root": b"short"}])
def test_an_impossible_checkpoint_is_not_signed(change: dict[str, Any]) -> None:
    with pytest.raises(SignatureInvalid):
        signed(OLD, checkpoint=replace(CHECKPOINT, **change))


@pytest.mark.parametrize("text", [OLD.vkey, KEYS["witness"], *(each["vkey"] for each in PUBLISHED["notes"])])
def test_a_verifier_key_is_written_as_it_was_read(text: str) -> None:
    assert VerifierKey.parse(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+530d903a",
        OLD.vkey.replace("e1cbba1d", "e1cbba1e"),
        OLD.vkey.replace("e1cbba1d", "E1CBBA1D"),
        OLD.vkey.replace(ORIGIN, "log.example/other"),
        OLD.vkey.replace(ORIGIN, ""),
        OLD.vkey.replace(ORIGIN, "log example"),
        OLD.vkey.replace(ORIGIN, "log\udc80"),
        f"{OLD.vkey}=",
        f"{OLD.vkey} ",
        "name+00000000+AQ==",
    ],
)
def test_a_damaged_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(BadSettings):
        VerifierKey.parse(text)


def test_base64_has_one_way_of_writing() -> None:
    assert decode64("AAE=") == b"\x00\x01"
    for other in ("AAF=", "AAE", "AAE==", "AA E=", "AAE=\n", "-_-_", "\u0410AE="):
        assert decode64(other) is None


# --- succession -------------------------------------------------------------------------------------------


def at(tree: Tree, size: int, origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, size, tree.root(size))


TREE = Tree(leaf_hash(b"%d" % index) for index in range(20))
FORK = Tree(leaf_hash(b"%d" % (index % 19)) for index in range(20))


def test_a_log_that_grew_may_be_signed() -> None:
    for before in range(21):
        for after in range(before, 21):
            succeed(at(TREE, before), at(TREE, after), TREE.consistency(before, after))


@pytest.mark.parametrize(
    ("before", "after", "proof", "why"),
    [
        (at(TREE, 9), at(TREE, 8), [], "had 9 entries"),
        (at(TREE, 20), at(FORK, 20), [], "does not extend"),
        (at(TREE, 20), Checkpoint(ORIGIN, 20, bytes(32)), [], "does not extend"),
        (at(TREE, 7), at(TREE, 20), [], "does not extend"),
        (at(TREE, 7), at(FORK, 20), TREE.consistency(7, 20), "does not extend"),
        (at(TREE, 7), at(TREE, 20, "log.example/other"), TREE.consistency(7, 20), "cannot follow"),
    ],
)
def test_a_log_that_did_not_only_grow_is_not_signed(
    before: Checkpoint, after: Checkpoint, proof: list[bytes], why: str
) -> None:
    with pytest.raises(ChainBroken, match=why):
        succeed(before, after, proof)


# --- cosignatures -----------------------------------------------------------------------------------------

WITNESS = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)
WITNESS_KEY = VerifierKey("witness.example/w7", COSIGNATURE, WITNESS.public_key().public_bytes_raw())


def cosignature(time: int, text: str = CHECKPOINT.text) -> bytes:
    return time.to_bytes(8, "big") + WITNESS.sign(cosigned_message(time, text.encode()))


def test_the_cosigned_message_is_that_of_the_specification() -> None:
    text = Note.parse(PUBLISHED["checkpoint"]["note"].encode()).text
    message = (
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )
    assert cosigned_message(1679315147, text.encode()) == message


def test_a_cosignature_is_bound_to_its_time() -> None:
    now = int(LATER.now().timestamp())
    key = verifier(WITNESS_KEY.text, clock=LATER)
    message = CHECKPOINT.text.encode()
    assert key.verify(message, cosignature(now))
    assert key.verify(message, cosignature(now + 300))
    assert key.verify(message, cosignature(1))
    for bad in (cosignature(0), cosignature(now + 301), cosignature(2**64 - 1)):
        assert not key.verify(message, bad)
    good = cosignature(now)
    assert not key.verify(message, (now - 1).to_bytes(8, "big") + good[8:])
    assert not key.verify(message, good[8:])
    assert not key.verify(message, good + b"\0")
    assert not key.verify(replace(CHECKPOINT, size=6).text.encode(), good)


def test_a_cosignature_is_no_signature_of_the_log() -> None:
    line = Signature(WITNESS_KEY.name, WITNESS_KEY.key_id, cosignature(1)).line
    raw = add_signatures(signed(OLD), [line])
    witness = verifier(WITNESS_KEY.text)
    assert [each.line for each in verify(Note.parse(raw), [witness])] == [line]
    with pytest.raises(SignatureInvalid, match="no key of that name"):
        open_checkpoint(raw, [witness])
