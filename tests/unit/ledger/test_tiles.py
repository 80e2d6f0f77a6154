"""Tiles: their paths, their growth, and that roots and proofs from them are those of the tree itself."""

from collections.abc import Iterable
from itertools import product
from random import Random

import pytest
from rfc9162 import mth, path, subproof

from penelope.errors import ChainBroken, InvalidRequest
from penelope.ledger.merkle import Tree, check_consistency, check_inclusion, leaf_hash
from penelope.ledger.tiles import (
    Tile,
    bundle,
    bundle_path,
    consistency,
    edge,
    entries_of,
    grow,
    inclusion,
    parse_bundle_path,
    parse_path,
    root,
    tiles_of_consistency,
    tiles_of_inclusion,
    tiles_of_root,
)

LEAVES = [leaf_hash(str(number).encode()) for number in range(66_000)]
TREE = Tree(LEAVES)
ALL = grow(0, {}, LEAVES)

BOUNDARIES = [1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 66_000]
PLACES = [0, 1, 254, 255, 256, 257, 510, 511, 512, 40_000, 65_534, 65_535, 65_536, 65_999]


def fetched(tiles: Iterable[Tile]) -> dict[tuple[int, int], bytes]:
    """What a client holds that fetched these tiles, and nothing else."""
    return {(tile.level, tile.index): ALL[tile.level, tile.index][: tile.width * 32] for tile in tiles}


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 999), "tile/0/999"),
        (Tile(0, 1000, 5), "tile/0/x001/000.p/5"),
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(3, 1234, 255), "tile/3/x001/234.p/255"),
        (Tile(10, 0, 1), "tile/10/000.p/1"),
        (Tile(63, 0), "tile/63/000"),
        (Tile(0, 2**55 - 1), "tile/0/x036/x028/x797/x018/x963/967"),
    ],
)
def test_paths_of_tiles(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_path(path) == tile


def test_paths_of_bundles() -> None:
    assert bundle_path(0) == "tile/entries/000"
    assert bundle_path(1_234_067, 7) == "tile/entries/x001/x234/067.p/7"
    assert parse_bundle_path("tile/entries/000") == (0, 256)
    assert parse_bundle_path("tile/entries/x001/x234/067.p/7") == (1_234_067, 7)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/1",
        "tile/00/000",
        "tile/01/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/100/000",
        "tile/0/x000/001",
        "tile/0/x000/x001/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/X001/000",
        "tile/0/x001/x000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/1000",
        "tile/0/000.p/-1",
        "tile/0/000.p/+1",
        "tile/0/000.p/1/2",
        "tile/0/\u0660\u0660\u0660",
        "tile/\u0660/000",
        "tile/0/../000",
        "tile/0//000",
        "tile/data/000",
        "tile/entries/0",
        "tile/entries/x000/001",
        "tile/0/x036/x028/x797/x018/x963/968",
        "tile/entries/x036/x028/x797/x018/x963/968",
        "tile/1/x036/x028/x797/x018/x963/967",
        "tile/63/001",
        "tile/0/" + "x999/" * 6 + "999",
        "tile/0/" + "x001/" * 3000 + "000",
    ],
)
def test_any_other_path_is_refused(path: str) -> None:
    for parse in (parse_path, parse_bundle_path):
        with pytest.raises(InvalidRequest):
            parse(path)


def test_a_tile_is_no_bundle_and_a_bundle_no_tile() -> None:
    with pytest.raises(InvalidRequest, match="of entries"):
        parse_path("tile/entries/000")
    with pytest.raises(InvalidRequest, match="of a tile"):
        parse_bundle_path("tile/0/000")


def test_the_example_of_the_specification() -> None:
    """A tree of 70,000: 273 full tiles and one of 112; one full and one of 17; one of 1."""
    assert edge(70_000) == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert edge(256) == [Tile(1, 0, 1)]
    assert edge(0) == []
    tiles = grow(0, {}, b"\x00" * 32 * 70_000)
    widths = {key: len(data) // 32 for key, data in tiles.items()}
    assert widths == {
        **{(0, index): 256 for index in range(273)},
        (0, 273): 112,
        (1, 0): 256,
        (1, 1): 17,
        (2, 0): 1,
    }


def test_every_hash_of_a_tile_is_the_root_of_the_leaves_beneath() -> None:
    """MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])."""
    assert b"".join(ALL[0, index] for index in range(258)) == b"".join(LEAVES)
    draw = Random(8)
    for place in [0, 255, 256, *draw.sample(range(257), 10)]:
        beneath = LEAVES[place * 256 : (place + 1) * 256]
        index, offset = divmod(place, 256)
        assert ALL[1, index][offset * 32 : offset * 32 + 32] == Tree(beneath).root()
    assert ALL[2, 0] == Tree(LEAVES[:65_536]).root()
    assert max(ALL) == (2, 0)


@pytest.mark.parametrize("portions", [[66_000], [1, 65_535, 464], [255, 1, 1, 65_278, 1, 1], [65_536, 464]])
def test_it_grows_in_any_portions_from_its_edge_alone(portions: list[int]) -> None:
    stored: dict[tuple[int, int], bytes] = {}
    size = 0
    for portion in portions:
        held = {(tile.level, tile.index): stored[tile.level, tile.index] for tile in edge(size)}
        assert [len(data) // 32 for data in held.values()] == [tile.width for tile in edge(size)]
        changed = grow(size, held, LEAVES[size : size + portion])
        size += portion
        assert all(len(stored.get(key, b"")) < len(data) for key, data in changed.items())
        stored |= changed
    assert stored == grow(0, {}, LEAVES[:size])


def test_a_longer_edge_does_not_matter() -> None:
    """After a crash a tile may be ahead of the checkpoint that growth goes on from."""
    assert grow(300, ALL, LEAVES[300:1_000]) == grow(300, fetched(edge(300)), LEAVES[300:1_000])


def test_nothing_grows_from_nothing() -> None:
    assert grow(300, {}, []) == {}
    with pytest.raises(ValueError, match="32 bytes"):
        grow(0, {}, [b"short"])


@pytest.mark.parametrize("held", [{}, {(0, 1): LEAVES[256]}, {(0, 1): b"".join(LEAVES[256:300])[:-1]}])
def test_a_broken_edge_is_noticed(held: dict[tuple[int, int], bytes]) -> None:
    with pytest.raises(ChainBroken, match=r"tile/0/001\.p/44 is missing, or too short"):
        grow(300, held, LEAVES[300:301])


@pytest.mark.parametrize("size", [0, *BOUNDARIES])
def test_roots_from_the_tiles_that_are_named(size: int) -> None:
    named = tiles_of_root(size)
    assert root(fetched(named), size) == mth(0, size) == root(ALL, size)
    assert named == set(edge(size))


@pytest.mark.parametrize(
    ("index", "size"), [pair for pair in product(PLACES, BOUNDARIES) if pair[0] < pair[1]]
)
def test_inclusion_from_the_tiles_that_are_named(index: int, size: int) -> None:
    proof = inclusion(fetched(tiles_of_inclusion(index, size)), index, size)
    assert (*proof,) == path(index, 0, size)
    assert proof == TREE.inclusion(index, size) == inclusion(ALL, index, size)
    check_inclusion(LEAVES[index], index, size, proof, TREE.root(size))


@pytest.mark.parametrize(
    ("old", "size"), [pair for pair in product(BOUNDARIES, repeat=2) if pair[0] <= pair[1]]
)
def test_consistency_from_the_tiles_that_are_named(old: int, size: int) -> None:
    proof = consistency(fetched(tiles_of_consistency(old, size)), old, size)
    assert (*proof,) == subproof(old, 0, size, whole=True)
    assert proof == TREE.consistency(old, size) == consistency(ALL, old, size)
    check_consistency(old, size, TREE.root(old), TREE.root(size), proof)


def test_proofs_of_a_sample_of_all_pairs() -> None:
    draw = Random(256)
    for size in draw.sample(range(1, 1_101), 150):
        number = draw.randrange(size)
        held = fetched(tiles_of_inclusion(number, size))
        assert inclusion(held, number, size) == TREE.inclusion(number, size)
        held = fetched(tiles_of_consistency(number, size))
        assert consistency(held, number, size) == TREE.consistency(number, size)


def test_every_named_tile_is_needed_and_exists_at_that_size() -> None:
    for index, size in ((0, 65_537), (65_536, 66_000), (300, 513), (65_999, 66_000)):
        named = tiles_of_inclusion(index, size)
        partial = {(tile.level, tile.index): tile.width for tile in edge(size)}
        for tile in named:
            assert tile.width == partial.get((tile.level, tile.index), 256)
            held = fetched(named - {tile})
            with pytest.raises(ChainBroken, match="is missing, or too short"):
                inclusion(held, index, size)


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0)])
def test_only_what_is_in_the_tree_has_tiles(index: int, size: int) -> None:
    for ask in (lambda: tiles_of_inclusion(index, size), lambda: inclusion(ALL, index, size)):
        with pytest.raises(ValueError, match="is not within"):
            ask()


@pytest.mark.parametrize(("old", "size"), [(-1, 5), (6, 5)])
def test_only_what_came_before_has_tiles(old: int, size: int) -> None:
    for ask in (lambda: tiles_of_consistency(old, size), lambda: consistency(ALL, old, size)):
        with pytest.raises(ValueError, match="is not within"):
            ask()


@pytest.mark.parametrize("entries", [[], [b""], [b"", b"a", b""], [b"{}"] * 256, [b"x" * 65_535, b"y"]])
def test_bundles_come_back(entries: list[bytes]) -> None:
    assert entries_of(bundle(iter(entries))) == entries


def test_a_bundle_by_hand() -> None:
    assert bundle([b"", b"abc", b"x" * 258]) == b"\x00\x00\x00\x03abc\x01\x02" + b"x" * 258


@pytest.mark.parametrize("entries", [[b"x" * 65_536], [b"{}"] * 257])
def test_what_is_too_large_is_not_bundled(entries: list[bytes]) -> None:
    with pytest.raises(ValueError, match="up to 256 entries of up to 65535 bytes"):
        bundle(entries)


@pytest.mark.parametrize("data", [b"\x00", b"\x05", b"\x00\x02a", b"\x00\x01a\x00", b"\x00\x00" * 257])
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not a bundle"):
        entries_of(data)
