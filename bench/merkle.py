"""The Merkle tree at 1,000,000 leaves, beside the bare hashing that it cannot do without."""

import hashlib
import os
import random
import sys
import time
from collections.abc import Callable
from statistics import median

from penelope.ledger import tiles
from penelope.ledger.merkle import HASH_SIZE, Tree

LEAVES = 1_000_000
ROUNDS = 5
PROOFS = 20_000
BATCH = 1_000


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def raw(count: int) -> None:
    """As many node hashes as a tree has, all of the same 65 bytes: no cheaper loop was found."""
    node, sha256 = b"\x01" + os.urandom(2 * HASH_SIZE), hashlib.sha256
    for _ in range(count):
        sha256(node).digest()


def grown(leaves: bytes, batch: int) -> dict[tuple[int, int], bytes]:
    """The tiles of these leaves, appended batch by batch as a sequencer does."""
    stored: dict[tuple[int, int], bytes] = {}
    for size in range(0, LEAVES, batch):
        stored |= tiles.grow(size, stored, leaves[size * HASH_SIZE : (size + batch) * HASH_SIZE])
    return stored


def microseconds(prove: Callable[[int], object], count: int) -> float:
    """The median over random numbers below LEAVES."""
    numbers = random.Random(9162).choices(range(LEAVES), k=count)
    return median(seconds(lambda: prove(number)) for number in numbers) * 1e6  # noqa: B023 - called at once


def main() -> int:
    leaves = os.urandom(LEAVES * HASH_SIZE)
    tree, stored = Tree(leaves), grown(leaves, BATCH)
    assert tree.root() == tiles.root(stored, LEAVES)
    single = [leaves[at : at + HASH_SIZE] for at in range(0, len(leaves), HASH_SIZE)]
    # In turns, so that whatever else the machine does meets all of them.
    times = [
        (
            seconds(lambda: raw(LEAVES - 1)),
            seconds(lambda: Tree(leaves)),
            seconds(lambda: Tree(single)),
            seconds(lambda: grown(leaves, BATCH)),
        )
        for _ in range(ROUNDS)
    ]
    bulk, listed, tiled = (median(row[0] / row[number] for row in times) for number in (1, 2, 3))
    bare = median(row[0] for row in times)
    inclusion, consistency = microseconds(tree.inclusion, PROOFS), microseconds(tree.consistency, PROOFS)
    served = microseconds(lambda index: tiles.inclusion(stored, index, LEAVES), PROOFS // 20)

    print(f"raw node hash             {bare / LEAVES * 1e9:.0f} ns ({LEAVES / bare / 1e6:.2f}M/s)")
    print(f"bulk append / raw         {bulk:.2f}, leaves in one piece; {listed:.2f}, as {LEAVES} objects")
    print(f"tiles grown / raw         {tiled:.2f}, {BATCH} at a time ({tiled * LEAVES / bare:.0f} leaves/s)")
    print(f"inclusion proof, µs       {inclusion:.1f}, the median")
    print(f"consistency proof, µs     {consistency:.1f}")
    print(f"inclusion from tiles, µs  {served:.0f}")
    good = bulk >= 0.7 and inclusion < 25
    print("goal bulk >= 0.7 of raw, proof < 25 µs: " + ("kept" if good else "MISSED"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
