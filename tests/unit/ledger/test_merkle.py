"""The tree, its proofs and their checks: against RFC 9162 word by word, known answers, and every mutation of a proof."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rfc9162 import mth, path, split, subproof

from penelope.errors import ProofInvalid
from penelope.ledger.merkle import (
    EMPTY_ROOT,
    Tree,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    parents,
)

KNOWN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "corpus/merkle/rfc6962.json").read_text(encoding="utf-8")
)
MOST = 1_100
LEAVES = [leaf_hash(str(number).encode()) for number in range(MOST)]
TREE = Tree(LEAVES)


def known(texts: Sequence[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def test_the_hashes_of_leaves_nodes_and_nothing() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert [leaf_hash(b"").hex()] == KNOWN["roots"][:1]
    both = node_hash(leaf_hash(b""), leaf_hash(b"\x00"))
    assert both.hex() == KNOWN["roots"][1]
    assert parents(leaf_hash(b"") + leaf_hash(b"\x00")) == both
    assert parents(b"") == b""


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size: int) -> None:
    entries = known(KNOWN["entries"])
    expected = known(KNOWN["roots"])[size - 1] if size else EMPTY_ROOT
    assert Tree(map(leaf_hash, entries[:size])).root() == expected
    assert Tree(map(leaf_hash, entries)).root(size) == expected


@pytest.mark.parametrize("case", KNOWN["inclusion"], ids=str)
def test_known_inclusion_proofs(case: dict[str, Any]) -> None:
    tree = Tree(map(leaf_hash, known(KNOWN["entries"])))
    index, size, proof = case["index"], case["size"], known(case["proof"])
    assert tree.inclusion(index, size) == proof
    leaf = leaf_hash(known(KNOWN["entries"])[index])
    check_inclusion(leaf, index, size, proof, known(KNOWN["roots"])[size - 1])


@pytest.mark.parametrize("case", KNOWN["consistency"], ids=str)
def test_known_consistency_proofs(case: dict[str, Any]) -> None:
    tree = Tree(map(leaf_hash, known(KNOWN["entries"])))
    old, size, proof = case["old"], case["size"], known(case["proof"])
    assert tree.consistency(old, size) == proof
    roots = known(KNOWN["roots"])
    check_consistency(old, size, roots[old - 1], roots[size - 1], proof)


def test_every_root() -> None:
    grown = Tree()
    for size in range(MOST + 1):
        assert TREE.root(size) == mth(0, size)
        assert grown.root() == TREE.root(size)
        assert grown.size == size
        if size < MOST:
            grown.append(LEAVES[size])


def test_every_inclusion_proof() -> None:
    for size in range(MOST + 1):
        for index in range(size):
            assert (*TREE.inclusion(index, size),) == path(index, 0, size), (index, size)


def test_every_consistency_proof() -> None:
    for size in range(1, MOST + 1):
        for old in range(1, size + 1):
            assert (*TREE.consistency(old, size),) == subproof(old, 0, size, whole=True), (old, size)


def test_proofs_of_every_small_tree_pass() -> None:
    roots = [TREE.root(size) for size in range(301)]
    for size, root in enumerate(roots):
        for number in range(size):
            check_inclusion(LEAVES[number], number, size, TREE.inclusion(number, size), root)
            check_consistency(number, size, roots[number], root, TREE.consistency(number, size))
        check_consistency(size, size, root, root, [])


def test_proofs_of_large_trees_pass() -> None:
    draw = Random(9162)
    for size in draw.sample(range(301, MOST), 60):
        for number in draw.sample(range(size), 20):
            root = TREE.root(size)
            check_inclusion(LEAVES[number], number, size, TREE.inclusion(number, size), root)
            check_consistency(number, size, TREE.root(number), root, TREE.consistency(number, size))


def mutations(proof: Sequence[bytes], foreign: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Every proof that differs in one bit of one hash, in one hash too few, too many or displaced."""
    hashes = list(proof)
    for at, each in enumerate(hashes):
        for bit in (0, 7, 128, 255):
            yield [
                *hashes[:at],
                (int.from_bytes(each, "big") ^ 1 << bit).to_bytes(32, "big"),
                *hashes[at + 1 :],
            ]
        yield [*hashes[:at], *hashes[at + 1 :]]
        yield [*hashes[:at], each[:-1], *hashes[at + 1 :]]
        yield [*hashes[:at], each + b"\x00", *hashes[at + 1 :]]
        yield [*hashes[:at], b"", *hashes[at:]]
    for at in range(len(hashes) + 1):
        yield from ([*hashes[:at], extra, *hashes[at:]] for extra in (*foreign, *hashes))
    for at, (one, other) in enumerate(pairwise(hashes)):
        if one != other:
            yield [*hashes[:at], other, one, *hashes[at + 2 :]]


SIZES = [*range(1, 18), 31, 32, 33, 100, 255, 256, 257, 1_023, 1_024, 1_025]


@pytest.mark.parametrize("size", SIZES)
def test_every_mutation_of_an_inclusion_proof_is_refused(size: int) -> None:
    root = TREE.root(size)
    for index in sorted({0, 1, size // 3, size // 2, size - 2, size - 1} & set(range(size))):
        leaf, proof = LEAVES[index], TREE.inclusion(index, size)
        for altered in mutations(proof, [root, leaf, EMPTY_ROOT]):
            with pytest.raises(ProofInvalid):
                check_inclusion(leaf, index, size, altered, root)
        for wrong in {index - 1, index + 1, index ^ 2, size, -1, -size} - {index}:
            with pytest.raises(ProofInvalid):
                check_inclusion(leaf, wrong, size, proof, root)
        for other in (LEAVES[index - 1] if size > 1 else EMPTY_ROOT, root + b"\x00", root[:-1], b""):
            with pytest.raises(ProofInvalid):
                check_inclusion(other, index, size, proof, root)
            with pytest.raises(ProofInvalid):
                check_inclusion(leaf, index, size, proof, other)


def test_a_proof_is_bound_to_its_leaf_and_to_the_size_that_its_shape_says() -> None:
    """The same hashes can only pass where index and size lead along the same path: RFC 9162 binds no more."""
    for size in range(1, 18):
        root = TREE.root(size)
        for index in range(size):
            leaf, proof = LEAVES[index], TREE.inclusion(index, size)
            for claimed in range(1, 40):
                for place in range(claimed):
                    if passes(leaf, place, claimed, proof, root):
                        assert turns(place, claimed) == turns(index, size)


def passes(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    try:
        check_inclusion(leaf, index, size, proof, root)
    except ProofInvalid:
        return False
    return True


def turns(index: int, size: int) -> list[bool]:
    """From the root down to a leaf: whether left is taken."""
    low, high, taken = 0, size, []
    while high - low > 1:
        middle = split(low, high)
        taken.append(index < middle)
        low, high = (low, middle) if index < middle else (middle, high)
    return taken


@pytest.mark.parametrize("size", SIZES)
def test_every_mutation_of_a_consistency_proof_is_refused(size: int) -> None:
    root = TREE.root(size)
    for old in sorted({1, 2, size // 3, size // 2, size - 1, size} & set(range(1, size + 1))):
        old_root, proof = TREE.root(old), TREE.consistency(old, size)
        for altered in mutations(proof, [root, old_root, EMPTY_ROOT]):
            with pytest.raises(ProofInvalid):
                check_consistency(old, size, old_root, root, altered)
        for wrong in (EMPTY_ROOT, root + b"\x00", root[:-1], b""):
            with pytest.raises(ProofInvalid):
                check_consistency(old, size, wrong, root, proof)
            with pytest.raises(ProofInvalid):
                check_consistency(old, size, old_root, wrong, proof)
        for claimed in {old - 1, old + 1, 0, -1, size + 1} - {old}:
            with pytest.raises(ProofInvalid):
                check_consistency(claimed, size, old_root, root, proof)
        if old < size:
            with pytest.raises(ProofInvalid):
                check_consistency(old, size * 2, old_root, root, proof)
            with pytest.raises(ProofInvalid):
                check_consistency(old, size, root, old_root, proof)
            with pytest.raises(ProofInvalid):
                check_consistency(size, old, root, old_root, proof)


def test_a_fork_has_no_consistency_proof() -> None:
    fork = Tree([*LEAVES[:40], leaf_hash(b"another"), *LEAVES[41:100]])
    for old in range(1, 101):
        if old <= 40:
            check_consistency(old, 100, TREE.root(old), fork.root(), fork.consistency(old))
            continue
        for proof in (fork.consistency(old), TREE.consistency(old, 100)):
            with pytest.raises(ProofInvalid):
                check_consistency(old, 100, TREE.root(old), fork.root(), proof)


def test_the_empty_tree_is_continued_by_all_and_needs_no_proof() -> None:
    assert TREE.consistency(0) == []
    check_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [])
    check_consistency(0, 7, EMPTY_ROOT, TREE.root(7), [])
    with pytest.raises(ProofInvalid, match="nothing to prove"):
        check_consistency(0, 7, EMPTY_ROOT, TREE.root(7), [TREE.root(7)])
    with pytest.raises(ProofInvalid, match="another root"):
        check_consistency(0, 7, TREE.root(7), TREE.root(7), [])
    with pytest.raises(ProofInvalid, match="another root"):
        check_consistency(0, 0, LEAVES[0], LEAVES[0], [])


def test_a_tree_continues_itself_and_needs_no_proof() -> None:
    assert TREE.consistency(7, 7) == []
    with pytest.raises(ProofInvalid, match="nothing to prove"):
        check_consistency(7, 7, TREE.root(7), TREE.root(7), [TREE.root(7)])
    with pytest.raises(ProofInvalid, match="another root"):
        check_consistency(7, 7, TREE.root(6), TREE.root(7), [])


def test_nothing_is_in_the_empty_tree() -> None:
    with pytest.raises(ProofInvalid, match="cannot be in a tree of 0"):
        check_inclusion(EMPTY_ROOT, 0, 0, [], EMPTY_ROOT)


@pytest.mark.parametrize("chunks", [[], [1], [0, 1, 0], [3, 4, 1], [255, 1, 1, 255], [512, 513], [1_100]])
def test_it_grows_in_any_portions(chunks: list[int]) -> None:
    in_pieces, in_one = Tree(), Tree()
    start = 0
    for chunk in chunks:
        in_pieces.extend(iter(LEAVES[start : start + chunk]))
        in_one.extend(b"".join(LEAVES[start : start + chunk]))
        start += chunk
    assert in_pieces.size == in_one.size == start
    for size in range(start + 1):
        assert in_pieces.root(size) == in_one.root(size) == mth(0, size)


@pytest.mark.parametrize("leaves", [b"\x00" * 33, [LEAVES[0], b"\x00" * 31], [b"\x00" * 16, b"\x00" * 16]])
def test_what_is_no_hash_is_not_appended(leaves: Any) -> None:
    tree = Tree(LEAVES[:3])
    with pytest.raises(ValueError, match="hash"):
        tree.extend(leaves)
    assert (tree.size, tree.root()) == (3, mth(0, 3))


@pytest.mark.parametrize("size", [-1, 4])
def test_it_knows_no_other_sizes(size: int) -> None:
    tree = Tree(LEAVES[:3])
    for ask in (tree.root, lambda size: tree.inclusion(0, size), lambda size: tree.consistency(0, size)):
        with pytest.raises(ValueError, match="not within 0 and 3"):
            ask(size)


def test_it_knows_no_other_leaves() -> None:
    tree = Tree(LEAVES[:3])
    for index, size in ((-1, 3), (3, 3), (2, 2), (0, 0)):
        with pytest.raises(ValueError, match="is not within a tree of"):
            tree.inclusion(index, size)
    for old, size in ((-1, 3), (4, 3), (3, 2)):
        with pytest.raises(ValueError, match="is not within 0 and"):
            tree.consistency(old, size)
