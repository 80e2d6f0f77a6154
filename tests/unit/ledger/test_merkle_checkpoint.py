"""The root over a list of hashes, against the definition of RFC 9162 and the test vectors that transparency logs share."""

import hashlib

import pytest

from penelope.ledger.merkle import Checkpoint, checkpoint

VECTORS = [
    ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    ("606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
]
"""Leaves, and the root after each of them: those of the certificate transparency project."""


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def root(leaves: list[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word by word."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return sha256(b"\x00", leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01", root(leaves[:split]), root(leaves[split:]))


def hashes(size: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(size)]


def test_the_empty_log() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert checkpoint([]) == Checkpoint(size=0, root=empty)


@pytest.mark.parametrize("size", range(1, 9))
def test_the_shared_vectors(size: int) -> None:
    leaves = [leaf for leaf, _ in VECTORS[:size]]
    assert checkpoint(leaves) == Checkpoint(size=size, root=VECTORS[size - 1][1])


@pytest.mark.parametrize("size", range(71))
def test_the_definition(size: int) -> None:
    expected = root([bytes.fromhex(text) for text in hashes(size)])
    assert checkpoint(iter(hashes(size))) == Checkpoint(size=size, root=expected.hex())


def test_order_and_length_are_part_of_it() -> None:
    log = hashes(20)
    swapped = [*log[:7], log[8], log[7], *log[9:]]
    assert len({checkpoint(each).root for each in (log, swapped, log[:-1], log[1:])}) == 4
