"""The public test data of RFC 8785: files and numbers."""

import hashlib
import itertools
import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from penelope.kit.canonical import canonical

CORPUS = Path(__file__).parents[2] / "corpus" / "jcs"
NAMES = sorted(path.name for path in (CORPUS / "input").glob("*.json"))


def test_the_corpus_is_whole():
    names = ("arrays", "french", "structures", "unicode", "values", "weird")
    assert [f"{name}.json" for name in names] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_files_come_out_byte_for_byte(name):
    value = json.loads((CORPUS / "input" / name).read_bytes())
    assert canonical(value) == (CORPUS / "output" / name).read_bytes()


def es6_numbers() -> Iterator[bytes]:
    """The doubles of the reference's number sequence, big-endian: edge cases, the smallest normals, a chain of hashes."""
    for line in (CORPUS / "es6_numbers.txt").read_text(encoding="ascii").splitlines():
        yield bytes.fromhex(line)
    for step in range(2000):
        yield struct.pack(">Q", 0x0010000000000000 + step)
    block = bytes(32)
    while True:
        block = hashlib.sha256(block).digest()
        for little in struct.iter_unpack("<d", block):
            if little[0] and math.isfinite(little[0]):
                yield struct.pack(">d", *little)


@pytest.mark.parametrize(
    ("lines", "checksum"),
    [
        (1_000, "be18b62b6f69cdab33a7e0dae0d9cfa869fda80ddc712221570f9f40a5878687"),
        (100_000, "22776e6d4b49fa294a0d0f349268e5c28808fe7e0cb2bcbe28f63894e494d4c7"),
    ],
)
def test_the_es6_number_sequence_has_the_published_checksum(lines, checksum):
    digest = hashlib.sha256()
    for double in itertools.islice(es6_numbers(), lines):
        (number,) = struct.unpack(">d", double)
        digest.update(b"%x,%s\n" % (int.from_bytes(double), canonical(number)))
    assert digest.hexdigest() == checksum


def test_numbers_are_written_the_same_inside_a_document():
    """The same 100,000, in a list: whole floats are cut there, and not written by the reference."""
    numbers = [struct.unpack(">d", double)[0] for double in itertools.islice(es6_numbers(), 100_000)]
    plain = [number for number in numbers if 1e-4 <= abs(number) < 1e15]
    whole = [float(math.trunc(number)) or 1.0 for number in plain]
    assert len(plain) > 2_000
    expected = b",".join(canonical(number) for pair in zip(plain, whole, strict=True) for number in pair)
    assert (
        canonical([number for pair in zip(plain, whole, strict=True) for number in pair])
        == b"[%s]" % expected
    )
