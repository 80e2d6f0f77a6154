"""However a log grows: its tiles are those of growth at once, and every earlier tree is continued by every later."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penelope.errors import InvalidRequest, ProofInvalid
from penelope.ledger import tiles
from penelope.ledger.merkle import Tree, check_consistency, check_inclusion, leaf_hash

LEAVES = [leaf_hash(str(number).encode()) for number in range(70_000)]
TREE = Tree(LEAVES)

sizes = st.integers(1, len(LEAVES)) | st.integers(1, 40)


class Growth(RuleBasedStateMachine):
    """A log of leaves, kept as a tree and as tiles; now and then it stops, or begins again from its edge."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = Tree()
        self.stored: dict[tuple[int, int], bytes] = {}
        self.roots = {0: self.tree.root()}

    @rule(count=st.integers(0, 3) | st.integers(250, 260) | st.integers(0, 700))
    def grow(self, count: int) -> None:
        size = self.tree.size
        leaves = LEAVES[size : size + count]
        held = {(tile.level, tile.index): self.stored[tile.level, tile.index] for tile in tiles.edge(size)}
        self.stored |= tiles.grow(size, held, leaves)
        self.tree.extend(leaves)
        self.roots[self.tree.size] = self.tree.root()

    @rule(count=st.integers(1, 300))
    def die_after_the_tiles_were_written(self, count: int) -> None:
        size = self.tree.size
        self.stored |= tiles.grow(size, self.stored, LEAVES[size : size + count])
        # What was acknowledged before goes on: tiles ahead of the checkpoint are written again, the same.
        self.grow(count)

    @precondition(lambda self: self.tree.size > 0)
    @rule(data=st.data())
    def a_leaf_is_proven(self, data: st.DataObject) -> None:
        size = data.draw(st.sampled_from([size for size in self.roots if size]), label="size")
        index = data.draw(st.integers(0, size - 1), label="index")
        proof = tiles.inclusion(self.stored, index, size)
        assert proof == self.tree.inclusion(index, size)
        check_inclusion(LEAVES[index], index, size, proof, self.roots[size])

    @invariant()
    def every_earlier_root_is_consistent_with_the_last(self) -> None:
        size = self.tree.size
        assert tiles.root(self.stored, size) == self.roots[size]
        for old, root in self.roots.items():
            proof = tiles.consistency(self.stored, old, size)
            assert proof == self.tree.consistency(old, size)
            check_consistency(old, size, root, self.roots[size], proof)

    @invariant()
    def the_tiles_are_those_of_growth_at_once(self) -> None:
        assert self.stored == tiles.grow(0, {}, LEAVES[: self.tree.size])


TestGrowth = Growth.TestCase
TestGrowth.settings = settings(max_examples=20, stateful_step_count=12)


@given(size=sizes, data=st.data())
def test_any_leaf_is_proven_and_no_other(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1), label="index")
    other = data.draw(st.integers(0, size - 1), label="other")
    proof, root = TREE.inclusion(index, size), TREE.root(size)
    check_inclusion(LEAVES[index], index, size, proof, root)
    assume(other != index)
    for leaf, place in ((LEAVES[other], index), (LEAVES[other], other)):
        with pytest.raises(ProofInvalid):
            check_inclusion(leaf, place, size, proof, root)


@given(size=sizes, data=st.data())
def test_any_earlier_tree_is_continued_and_no_other(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size), label="old")
    other = data.draw(st.integers(1, len(LEAVES)), label="other")
    proof, root = TREE.consistency(old, size), TREE.root(size)
    check_consistency(old, size, TREE.root(old), root, proof)
    assume(other != old)
    with pytest.raises(ProofInvalid):
        check_consistency(old, size, TREE.root(other), root, proof)


hashes = st.binary(min_size=32, max_size=32) | st.sampled_from(LEAVES[:4]) | st.binary(max_size=33)


@given(old=st.integers(-1, 2**70), size=st.integers(-1, 2**70), proof=st.lists(hashes, max_size=80))
def test_nonsense_is_refused_and_nothing_worse(old: int, size: int, proof: list[bytes]) -> None:
    with pytest.raises(ProofInvalid):
        check_inclusion(LEAVES[0], old, size, proof, TREE.root())
    with pytest.raises(ProofInvalid):
        check_consistency(old, size, LEAVES[0], TREE.root(), proof)


@given(
    level=st.integers(0, 5),
    index=st.integers(0, 2**15 - 1),
    width=st.integers(1, 256),
)
def test_paths_come_back(level: int, index: int, width: int) -> None:
    tile = tiles.Tile(level, index, width)
    assert tiles.parse_path(tile.path) == tile
    assert tiles.parse_bundle_path(tiles.bundle_path(index, width)) == (index, width)


@given(text=st.text("tile/entriesx.p0159", max_size=30).map("tile/".__add__) | st.text())
def test_a_text_is_the_path_of_one_tile_or_of_none(text: str) -> None:
    for parse, path in ((tiles.parse_path, lambda tile: tile.path), (tiles.parse_bundle_path, joined)):
        try:
            found: Any = parse(text)
        except InvalidRequest:
            continue
        assert path(found) == text


def joined(bundle: tuple[int, int]) -> str:
    return tiles.bundle_path(*bundle)


@given(entries=st.lists(st.binary(max_size=300), max_size=256), cut=st.integers(1, 300))
def test_bundles_come_back_whole_or_not_at_all(entries: list[bytes], cut: int) -> None:
    data = tiles.bundle(entries)
    assert tiles.entries_of(data) == entries
    try:
        found = tiles.entries_of(data[:-cut])
    except InvalidRequest:
        return
    assert found == entries[: len(found)]
    assert len(found) < len(entries) or not entries
