"""What every witness promises, held against the fake that ships, and against the HTTP client before it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from penelope.adapters.signers.ed25519 import Ed25519Signer, verifier
from penelope.adapters.witnesses.http import HttpWitness
from penelope.errors import WitnessRefused
from penelope.ledger.merkle import Tree, leaf_hash
from penelope.ledger.notes import Checkpoint, Note, add_signatures, open_checkpoint, sign_checkpoint, verify
from penelope.ledger.ports import Verifier, Witness
from penelope.testing.clock import FakeClock
from penelope.testing.witness import FakeWitness, served

ORIGIN = "log.example/penelope"
LOG = Ed25519Signer.generate(ORIGIN)
NEXT = Ed25519Signer.generate(ORIGIN)
STRANGER = Ed25519Signer.generate(ORIGIN)
ELSEWHERE = Ed25519Signer.generate("log.example/elsewhere")
TREE = Tree(leaf_hash(b"%d" % index) for index in range(300))
FORK = Tree(leaf_hash(b"fork %d" % index) for index in range(300))
CLOCK = FakeClock()


class Stage:
    """A witness that knows one log, under two keys."""

    def __init__(self, fake: FakeWitness, witness: Witness) -> None:
        self.fake = fake
        self.witness = witness
        self.key: Verifier = verifier(fake.vkey, clock=CLOCK)

    def add(
        self, old: int, size: int, tree: Tree = TREE, signers: Sequence[Ed25519Signer] = (LOG,)
    ) -> list[str]:
        return self.send(
            old, TREE.consistency(old, size) if old <= size else [], signed(tree, size, *signers)
        )

    def send(self, old: int, proof: Sequence[bytes], note: bytes) -> list[str]:
        return asyncio.run(self.witness.add_checkpoint(old, proof, note))

    def refused(self, ask: Callable[[], object]) -> WitnessRefused:
        before = dict(self.fake.seen)
        with pytest.raises(WitnessRefused) as refusal:
            ask()
        assert self.fake.seen == before
        return refusal.value


def signed(tree: Tree, size: int, *signers: Ed25519Signer) -> bytes:
    return asyncio.run(sign_checkpoint(Checkpoint(signers[0].name, size, tree.root(size)), signers))


@pytest.fixture(params=["fake", "http"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    fake = FakeWitness("witness.example/w1", {ORIGIN: [LOG.vkey, NEXT.vkey]}, CLOCK)
    if request.param == "fake":
        yield Stage(fake, fake)
        return
    with served(fake) as url:
        yield Stage(fake, HttpWitness(f"{url}/", [verifier(fake.vkey, clock=CLOCK)]))


def test_a_log_that_grows_is_cosigned_each_time(stage: Stage) -> None:
    assert stage.witness.name == "witness.example/w1"
    old = 0
    for size in (0, 1, 2, 2, 3, 8, 255, 256, 300):
        (line,) = stage.add(old, size)
        raw = add_signatures(signed(TREE, size, LOG), [line])
        keys = [stage.key, verifier(LOG.vkey)]
        assert open_checkpoint(raw, keys).size == stage.fake.seen[ORIGIN].size == size
        assert [each.name for each in verify(Note.parse(raw), keys)] == [ORIGIN, "witness.example/w1"]
        old = size


def test_any_of_the_log_s_keys_will_do(stage: Stage) -> None:
    assert stage.add(0, 5, signers=[NEXT])
    assert stage.add(5, 6, signers=[STRANGER, NEXT, LOG])


def test_another_size_than_was_seen_is_told(stage: Stage) -> None:
    assert stage.refused(lambda: stage.add(5, 9)).size == 0
    stage.add(0, 7)
    assert stage.refused(lambda: stage.add(0, 9)).size == 7
    assert stage.refused(lambda: stage.add(5, 7)).size == 7
    # From there it goes on.
    assert stage.add(7, 9)


def test_an_unknown_log_is_refused(stage: Stage) -> None:
    refusal = stage.refused(lambda: stage.add(0, 5, signers=[ELSEWHERE]))
    assert (refusal.size, "does not know this log" in refusal.message) == (None, True)


def test_a_signature_by_none_of_the_log_s_keys_is_refused(stage: Stage) -> None:
    refusal = stage.refused(lambda: stage.add(0, 5, signers=[STRANGER]))
    assert (refusal.size, "trusts none of the keys" in refusal.message) == (None, True)
    note = Note.parse(signed(TREE, 5, LOG, NEXT))
    spoilt = Note(note.text, (note.signatures[0], replace(note.signatures[1], data=bytes(64))))
    assert "trusts none" in stage.refused(lambda: stage.send(0, [], spoilt.encode())).message


def test_a_fork_is_refused(stage: Stage) -> None:
    stage.add(0, 7)
    for ask in (
        lambda: stage.add(7, 7, FORK),
        lambda: stage.add(7, 20, FORK),
        lambda: stage.send(7, [], signed(TREE, 20, LOG)),
        lambda: stage.send(7, TREE.consistency(7, 20)[::-1], signed(TREE, 20, LOG)),
    ):
        refusal = stage.refused(ask)
        assert (refusal.size, "does not follow" in refusal.message) == (None, True)


def test_a_first_checkpoint_needs_no_proof_and_bears_none(stage: Stage) -> None:
    refusal = stage.refused(lambda: stage.send(0, TREE.consistency(3, 5), signed(TREE, 5, LOG)))
    assert "does not follow" in refusal.message
    empty = asyncio.run(sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), [LOG]))
    assert "does not follow" in stage.refused(lambda: stage.send(0, [], empty)).message


def test_a_request_that_cannot_be_is_refused(stage: Stage) -> None:
    stage.add(0, 7)
    for ask in (
        lambda: stage.add(8, 7),
        lambda: stage.send(7, [bytes(31)], signed(TREE, 8, LOG)),
        lambda: stage.send(7, [bytes(32)] * 64, signed(TREE, 8, LOG)),
        lambda: stage.send(-1, [], signed(TREE, 8, LOG)),
    ):
        refusal = stage.refused(ask)
        assert (refusal.size, "does not understand" in refusal.message) == (None, True)
