"""The tree over all entries (RFC 9162, section 2.1): its nodes, its root, its proofs, and their checks.

A subtree is named by `(height, index)`: it spans the leaves `index << height` up to `(index + 1) << height`, or up
to the tree's end. Every hash that a proof holds is the root of such a subtree, so a proof is first a list of
subtrees, and then their hashes: from a `Tree` in memory, or from tiles (`penelope.ledger.tiles`).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from struct import iter_unpack

from penelope.errors import ProofInvalid

HASH_SIZE = 32
"""Bytes of a SHA-256 hash."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of the tree without leaves."""

_RUN = 16_384

Subtree = tuple[int, int]
"""Height and index."""

Lookup = Callable[[int, int], bytes]
"""The hash of a subtree, by height and index, whose leaves are all there."""


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def parents(nodes: bytes | bytearray) -> bytes:
    """The nodes above these, 32 bytes each: one for every two, whose number must be even."""
    # To copy a state costs less than to make one. In runs, because the short-lived objects of one fit the cache.
    begun = hashlib.sha256(b"\x01").copy
    return b"".join([_run_of_parents(begun, nodes[at : at + _RUN]) for at in range(0, len(nodes), _RUN)])


def _run_of_parents(begun: Callable[[], "hashlib._Hash"], nodes: bytes | bytearray) -> bytes:
    found = []
    for (pair,) in iter_unpack("64s", nodes):
        state = begun()
        state.update(pair)
        found.append(state.digest())
    return b"".join(found)


def joined(leaves: Iterable[bytes] | bytes) -> bytes:
    """Leaf hashes in one piece. Raises ValueError if one has not 32 bytes."""
    if isinstance(leaves, bytes):
        if len(leaves) % HASH_SIZE:
            raise ValueError(f"{len(leaves)} bytes are not a whole number of hashes")
        return leaves
    hashes = list(leaves)
    if not set(map(len, hashes)) <= {HASH_SIZE}:
        raise ValueError(f"a leaf hash has {HASH_SIZE} bytes")
    return b"".join(hashes)


class Tree:
    """An append-only tree in memory, 64 bytes a leaf. Leaves are given as their hashes."""

    def __init__(self, leaves: Iterable[bytes] | bytes = b"") -> None:
        self._levels = [bytearray()]
        self.extend(leaves)

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0]) // HASH_SIZE

    def append(self, leaf: bytes) -> None:
        self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes] | bytes) -> None:
        """Appends leaf hashes: one by one, or many in one piece. Raises ValueError if one has not 32 bytes."""
        new, height = joined(leaves), 0
        while new:
            if height == len(self._levels):
                self._levels.append(bytearray())
            level = self._levels[height]
            paired = _paired(level)
            level += new
            new, height = parents(level[paired : _paired(level)]), height + 1

    def root(self, size: int | None = None) -> bytes:
        """The root when the tree had `size` leaves (now, if none is given); ValueError if it never had."""
        size = self._known(size)
        return hash_of(root_subtree(size), size, self._node)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Proof that leaf `index` is in the tree of `size` leaves (section 2.1.3); ValueError if it is not."""
        size = self._known(size)
        return hashes_of(inclusion_subtrees(index, size), size, self._node)

    def consistency(self, old: int, size: int | None = None) -> list[bytes]:
        """Proof that the tree of `size` leaves continues that of `old` (section 2.1.4); ValueError if `old` > `size`."""
        size = self._known(size)
        return hashes_of(consistency_subtrees(old, size), size, self._node)

    def _known(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise ValueError(f"size {size} is not within 0 and {self.size}")
        return size

    def _node(self, height: int, index: int) -> bytes:
        start = index * HASH_SIZE
        return bytes(self._levels[height][start : start + HASH_SIZE])


def _paired(level: bytearray) -> int:
    """Bytes of the nodes that have both a left and a right one."""
    return len(level) & -2 * HASH_SIZE


def root_subtree(size: int) -> Subtree:
    """The subtree that is the whole tree."""
    return size.bit_length(), 0


def inclusion_subtrees(index: int, size: int) -> list[Subtree]:
    """What PATH(index, D[size]) of section 2.1.3.1 holds, from the leaf up; ValueError unless index < size."""
    if not 0 <= index < size:
        raise ValueError(f"index {index} is not within a tree of {size}")
    return _siblings(0, index, size)


def consistency_subtrees(old: int, size: int) -> list[Subtree]:
    """What PROOF(old, D[size]) of section 2.1.4.1 holds; ValueError unless 0 <= old <= size.

    Nothing, if `old` is 0 or `size`: every tree continues the empty one (C2SP tlog-witness), and itself.
    """
    if not 0 <= old <= size:
        raise ValueError(f"size {old} is not within 0 and {size}")
    if old in {0, size}:
        return []
    # The largest complete subtree that ends where the old tree ended is a node of both trees.
    height = _trailing_zeros(old)
    index = (old >> height) - 1
    # Index 0: it is the old tree itself, whose root the verifier knows.
    shared = [(height, index)] if index else []
    return shared + _siblings(height, index, size)


def _siblings(height: int, index: int, size: int) -> list[Subtree]:
    """The sibling of a subtree, that of its parent, and so on, up to the root."""
    found = []
    last = size - 1 >> height
    while last:
        sibling = index ^ 1
        # A node without a right sibling is its own parent.
        if sibling <= last:
            found.append((height, sibling))
        height, index, last = height + 1, index >> 1, last >> 1
    return found


def complete(subtree: Subtree, size: int) -> list[Subtree]:
    """The complete subtrees, from right to left, that make up one which may be cut off by the tree's end."""
    height, index = subtree
    if index + 1 << height <= size:
        return [subtree]
    return [(low, (size >> low) - 1) for low in range(height) if size >> low & 1]


def hash_of(subtree: Subtree, size: int, lookup: Lookup) -> bytes:
    """MTH of section 2.1.1 over the leaves of one subtree in the tree of `size` leaves."""
    hashes = [lookup(height, index) for height, index in complete(subtree, size)]
    return reduce(lambda right, left: node_hash(left, right), hashes) if hashes else EMPTY_ROOT


def hashes_of(subtrees: Iterable[Subtree], size: int, lookup: Lookup) -> list[bytes]:
    """`hash_of` each subtree."""
    # All but one of a proof are complete, and need no folding.
    return [
        lookup(height, index) if index + 1 << height <= size else hash_of((height, index), size, lookup)
        for height, index in subtrees
    ]


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raises ProofInvalid unless leaf hash `leaf` is number `index` under this root (section 2.1.3.2)."""
    if not 0 <= index < size:
        raise ProofInvalid(f"leaf {index} cannot be in a tree of {size}")
    _check_lengths(leaf, root, *proof)
    node = leaf
    for sibling, is_left in _climb(index, size - 1, proof):
        node = node_hash(sibling, node) if is_left else node_hash(node, sibling)
    if node != root:
        raise ProofInvalid(f"leaf {index} is not in the tree of {size} that has this root")


def check_consistency(old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> None:
    """Raises ProofInvalid unless the tree of `size` continues the tree of `old` leaves (section 2.1.4.2).

    Where `old` is 0 or `size` the proof must be empty, and the roots those of the empty, or of the same tree.
    """
    if not 0 <= old <= size:
        raise ProofInvalid(f"a tree of {size} cannot continue one of {old}")
    _check_lengths(old_root, root, *proof)
    if (old == size and old_root != root) or (old == 0 and old_root != EMPTY_ROOT):
        raise ProofInvalid(f"a tree of {old} has another root")
    if old in {0, size}:
        if proof:
            raise ProofInvalid(f"from {old} to {size} there is nothing to prove, but the proof is not empty")
        return
    _check_growth(old, size, old_root, root, proof)


def _check_growth(old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]) -> None:
    if not proof:
        raise ProofInvalid(f"the proof from {old} to {size} is empty")
    height = _trailing_zeros(old)
    path = [old_root, *proof] if old == 1 << height else proof
    before = after = path[0]
    for sibling, is_left in _climb(old - 1 >> height, size - 1 >> height, path[1:]):
        if is_left:
            before = node_hash(sibling, before)
            after = node_hash(sibling, after)
        else:
            after = node_hash(after, sibling)
    if before != old_root or after != root:
        raise ProofInvalid(
            f"the tree of {size} with this root does not continue that of {old} with that root"
        )


def _climb(index: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each hash of a proof, and whether it stands left, from node `index` of a level that ends with node `last`.

    Raises ProofInvalid when the hashes do not lead exactly to the root.
    """
    for sibling in proof:
        if not last:
            raise ProofInvalid("the proof has too many hashes")
        is_left = bool(index & 1) or index == last
        if is_left:
            # A node without a right sibling is its own parent.
            promoted = _trailing_zeros(index)
            index, last = index >> promoted, last >> promoted
        yield sibling, is_left
        index, last = index >> 1, last >> 1
    if last:
        raise ProofInvalid("the proof has too few hashes")


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1


def _check_lengths(*hashes: bytes) -> None:
    if any(len(each) != HASH_SIZE for each in hashes):
        raise ProofInvalid(f"a hash has {HASH_SIZE} bytes")
