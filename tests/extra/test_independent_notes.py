"""Notes, proofs and tiles against Go's sumdb, and the witness protocol against a witness that others wrote."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from penelope.adapters.signers.ed25519 import Ed25519Signer, verifier
from penelope.adapters.witnesses.http import HttpWitness
from penelope.errors import SignatureInvalid, WitnessRefused
from penelope.ledger import tiles
from penelope.ledger.merkle import Tree, leaf_hash
from penelope.ledger.notes import (
    Checkpoint,
    Note,
    add_signatures,
    encode64,
    open_checkpoint,
    sign,
    sign_checkpoint,
    verify,
)
from shop.ports import free_ports

GO_NOTE = os.environ.get("GO_NOTE", "")
WITNESS = os.environ.get("INDEPENDENT_WITNESS", "")

with_go = pytest.mark.skipif(
    not GO_NOTE, reason="GO_NOTE names no program; .ci/extra builds one from go_note/"
)
with_witness = pytest.mark.skipif(
    not WITNESS, reason="INDEPENDENT_WITNESS names no folder with aics-witness; .ci/extra installs it"
)

ORIGIN = "log.example/penelope"
OLD, NEW = Ed25519Signer.generate(ORIGIN), Ed25519Signer.generate(ORIGIN)
SIZES = (1, 2, 3, 7, 8, 255, 256, 257, 511, 70_000)
TREE = Tree(leaf_hash(b"%d" % index) for index in range(SIZES[-1]))


def checkpoint(size: int, tree: Tree = TREE) -> Checkpoint:
    return Checkpoint(ORIGIN, size, tree.root(size))


def signed(size: int, signers: Sequence[Ed25519Signer] = (OLD,), tree: Tree = TREE) -> bytes:
    return asyncio.run(sign_checkpoint(checkpoint(size, tree), signers))


# --- Go ---------------------------------------------------------------------------------------------------


def go(*arguments: str, given: bytes = b"", works: bool = True) -> bytes:
    run = subprocess.run([GO_NOTE, *arguments], input=given, capture_output=True, timeout=60, check=False)
    assert (run.returncode == 0) == works, run.stderr.decode()
    return run.stdout if works else run.stderr


@with_go
@pytest.mark.parametrize("keys", [(OLD,), (NEW,), (OLD, NEW)])
def test_a_checkpoint_signed_here_verifies_there(keys: tuple[Ed25519Signer, ...]) -> None:
    raw = signed(257, [OLD, NEW])
    assert go("open", *(key.vkey for key in keys), given=raw).decode() == checkpoint(257).text
    altered = raw.replace(b"\n257\n", b"\n258\n")
    assert b"invalid signature" in go("open", *(key.vkey for key in keys), given=altered, works=False)


@with_go
def test_a_checkpoint_signed_there_verifies_here() -> None:
    raw = go("sign", OLD.secret, NEW.secret, given=checkpoint(257).text.encode())
    for key in (OLD, NEW):
        assert open_checkpoint(raw, [verifier(key.vkey)]) == checkpoint(257)
    with pytest.raises(SignatureInvalid):
        open_checkpoint(raw.replace(b"\n257\n", b"\n258\n"), [verifier(OLD.vkey)])
    # Ed25519 leaves nothing to chance, so both write the same bytes.
    assert raw == signed(257, [OLD, NEW])


@with_go
def test_both_refuse_and_accept_the_same_notes() -> None:
    good = asyncio.run(sign("text\n\nmore \u2028 text\n", [OLD])).encode()
    text, _, line = good.rpartition(b"\n\n")
    stranger = "\u2014 stranger AAAAAAA=\n".encode()
    notes = {
        good: True,
        text + b"\n\n" + stranger + line: True,
        good + line: True,
        good + stranger * 99: True,
        good + stranger * 100: False,
        good[:-1]: False,
        good + b"\n": False,
        good.replace(b" \xe2\x80\xa8", b"\t"): False,
        good.replace(b"text", b"te\xff"): False,
        good.replace(b"\xe2\x80\x94", b"-"): False,
        text + b"\n" + line: False,
        text + b"\n\n" + stranger: False,
        good + "\u2014 na+me AAAAAAA=\n".encode(): False,
        good + "\u2014 na\u00a0me AAAAAAA=\n".encode(): False,
        good + "\u2014 name AAAAAA==\n".encode(): False,
    }
    for raw, accepted in notes.items():
        go("open", OLD.vkey, given=raw, works=accepted)
        try:
            verify(Note.parse(raw), [verifier(OLD.vkey)])
        except SignatureInvalid:
            assert not accepted, raw
        else:
            assert accepted, raw


@with_go
def test_the_proofs_that_are_made_here_are_accepted_there() -> None:
    def listed(hashes: Sequence[bytes]) -> list[str]:
        return [encode64(each) for each in hashes]

    inclusion = [
        {
            "Index": index,
            "Size": size,
            "Leaf": encode64(leaf_hash(b"%d" % index)),
            "Root": encode64(TREE.root(size)),
            "Proof": listed(TREE.inclusion(index, size)),
        }
        for size in SIZES
        for index in {0, size // 2, size - 1}
    ]
    consistency = [
        {
            "Old": old,
            "Size": size,
            "OldRoot": encode64(TREE.root(old)),
            "Root": encode64(TREE.root(size)),
            "Proof": listed(TREE.consistency(old, size)),
        }
        for size in SIZES
        for old in SIZES
        if old <= size
    ]
    proofs: dict[str, list[dict[str, Any]]] = {"Inclusion": inclusion, "Consistency": consistency}
    assert int(go("proofs", given=json.dumps(proofs).encode())) == len(inclusion) + len(consistency)
    for kind, key in (("Inclusion", "Leaf"), ("Consistency", "OldRoot")):
        spoilt = {**proofs, kind: [*proofs[kind][:-1], {**proofs[kind][-1], key: encode64(bytes(32))}]}
        assert b"invalid" in go("proofs", given=json.dumps(spoilt).encode(), works=False)


@with_go
def test_the_proofs_that_are_made_there_are_made_alike_here() -> None:
    made = json.loads(go("tree", *map(str, SIZES[:-1])))
    for each in made["Inclusion"]:
        assert [encode64(one) for one in TREE.inclusion(each["Index"], each["Size"])] == each["Proof"]
        assert base64.b64decode(each["Root"]) == TREE.root(each["Size"])
    for each in made["Consistency"]:
        assert [encode64(one) for one in TREE.consistency(each["Old"], each["Size"])] == each["Proof"]


@with_go
@pytest.mark.parametrize("size", [1, 255, 256, 257, 65_536, 66_000])
def test_the_tiles_are_good_for_another_client(tmp_path: Path, size: int) -> None:
    leaves = [leaf_hash(b"%d" % index) for index in range(size)]
    # Grown in two steps, as a log grows.
    grown = tiles.grow(0, {}, leaves[: size // 3])
    grown |= tiles.grow(size // 3, grown, leaves[size // 3 :])
    files = {
        tmp_path / tiles.Tile(level, index, len(data) // 32).path: data
        for (level, index), data in grown.items()
    }
    for file, data in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    text = checkpoint(size).text.encode()
    assert int(go("tiles", str(tmp_path), given=text)) == size
    for broken in {min(files), max(files), *list(files)[-2:]}:
        broken.write_bytes(files[broken][:-1] + bytes([files[broken][-1] ^ 1]))
        go("tiles", str(tmp_path), given=text, works=False)
        broken.write_bytes(files[broken])


# --- a witness --------------------------------------------------------------------------------------------


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[HttpWitness]:
    """A witness, as a process of its own, that knows the log by both of its keys."""
    environment = {**os.environ, "PYTHONPATH": WITNESS, "AICS_WITNESS_CONFIG": str(tmp_path / "witness.json")}
    command = [sys.executable, "-m", "aics_witness"]

    def run(*arguments: str) -> str:
        return subprocess.run(
            [*command, *arguments], env=environment, check=True, timeout=60, capture_output=True, text=True
        ).stdout

    vkey = run("init", "--name", "witness.example/w1").split()[-1]
    for key in (OLD, NEW):
        run("add-log", "--origin", ORIGIN, "--vkey", key.vkey)
    port = free_ports(1)[0]
    with (tmp_path / "witness.log").open("wb") as log:
        serving = [*command, "serve", "--listen", f"127.0.0.1:{port}"]
        process = subprocess.Popen(serving, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/healthz")
        yield HttpWitness(url, [verifier(vkey)])
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the witness did not start")


def add(witness: HttpWitness, old: int, raw: bytes, proof: Sequence[bytes] = ()) -> list[str]:
    return asyncio.run(witness.add_checkpoint(old, proof, raw))


def refusal(
    witness: HttpWitness, old: int, raw: bytes, proof: Sequence[bytes] = ()
) -> tuple[int | None, str]:
    with pytest.raises(WitnessRefused) as refused:
        add(witness, old, raw, proof)
    return refused.value.size, refused.value.message[-4:-1]


@with_witness
def test_another_s_witness_cosigns_a_log_that_grows(witness: HttpWitness) -> None:
    old = 0
    for number, size in enumerate((0, *SIZES)):
        raw = signed(size, [OLD, NEW] if number % 2 else [NEW])
        lines = add(witness, old, raw, TREE.consistency(old, size))
        keys = [verifier(NEW.vkey), *witness._verifiers]
        cosigned = add_signatures(raw, lines)
        assert open_checkpoint(cosigned, keys) == checkpoint(size)
        assert [each.name for each in verify(Note.parse(cosigned), keys)] == [ORIGIN, "witness.example/w1"]
        old = size


@with_witness
def test_another_s_witness_refuses_in_the_words_that_are_understood_here(witness: HttpWitness) -> None:
    fork = Tree(leaf_hash(b"fork %d" % index) for index in range(20))
    stranger = Ed25519Signer.generate(ORIGIN)
    elsewhere = Ed25519Signer.generate("log.example/elsewhere")
    unknown = asyncio.run(sign_checkpoint(replace(checkpoint(5), origin=elsewhere.name), [elsewhere]))
    assert refusal(witness, 3, signed(5)) == (0, "409")
    assert refusal(witness, 0, signed(5), [bytes(32)]) == (None, "422")
    assert add(witness, 0, signed(7))
    assert refusal(witness, 5, signed(9)) == (7, "409")
    assert refusal(witness, 7, signed(20, tree=fork), fork.consistency(7, 20)) == (None, "422")
    assert refusal(witness, 7, signed(7, tree=fork)) == (None, "422")
    assert refusal(witness, 7, signed(20)) == (None, "422")
    assert refusal(witness, 7, signed(20, [stranger]), TREE.consistency(7, 20)) == (None, "403")
    assert refusal(witness, 7, unknown) == (None, "404")
    assert refusal(witness, 9, signed(7)) == (None, "400")
    assert add(witness, 7, signed(20, [stranger, NEW]), TREE.consistency(7, 20))
