import copy
import json
from pathlib import Path

import pytest

from penelope.kit.canonical import canonical
from penelope.ledger.patch import apply, changed_paths, diff

CORPUS = Path(__file__).parents[2] / "corpus" / "json_patch"
CASES = [
    pytest.param(case, id=f"{path.stem}-{number}")
    for path in sorted(CORPUS.glob("*.json"))
    for number, case in enumerate(json.loads(path.read_bytes()))
    if "patch" in case and not case.get("disabled")
]


def test_the_corpus_is_whole():
    assert len(CASES) == 91


@pytest.mark.parametrize("case", CASES)
def test_the_public_conformance_suite(case):
    before = copy.deepcopy(case["doc"])
    if "error" in case:
        with pytest.raises(ValueError, match=r"operation \d+ of the patch"):
            apply(case["doc"], case["patch"])
    else:
        after = apply(case["doc"], case["patch"])
        assert canonical(after) == canonical(case.get("expected", after))
    assert case["doc"] == before


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"b": 1, "a": 1}, {"b": 2, "a": 2, "0": 0}, [
            {"op": "add", "path": "/0", "value": 0},
            {"op": "replace", "path": "/a", "value": 2},
            {"op": "replace", "path": "/b", "value": 2},
        ]),
        ({"a": None}, {}, [{"op": "remove", "path": "/a"}]),
        ({}, {"a": None}, [{"op": "add", "path": "/a", "value": None}]),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 1, "d": 3}}}, [
            {"op": "replace", "path": "/a/b/d", "value": 3},
        ]),
        ({"a/b": 1, "c~d": 1, "": 1}, {"a/b": 2, "c~d": 2, "": 2}, [
            {"op": "replace", "path": "/", "value": 2},
            {"op": "replace", "path": "/a~1b", "value": 2},
            {"op": "replace", "path": "/c~0d", "value": 2},
        ]),
        ([1, 2, 3, 4], [1, 4], [{"op": "remove", "path": "/2"}, {"op": "remove", "path": "/1"}]),
        ([1, 4], [1, 2, 3, 4], [
            {"op": "add", "path": "/1", "value": 2}, {"op": "add", "path": "/2", "value": 3},
        ]),
        ([1, {"a": 1}, 3], [1, {"a": 2}, 3], [{"op": "replace", "path": "/1/a", "value": 2}]),
        ([1, 2, 2], [1, 2], [{"op": "remove", "path": "/2"}]),
        ([0, 5, 0, 6, 0], [0, 7, 0, 8, 0], [
            {"op": "replace", "path": "/1", "value": 7}, {"op": "replace", "path": "/3", "value": 8},
        ]),
        ({"a": 1}, [1], [{"op": "replace", "path": "", "value": [1]}]),
        (1, 1.0, []),
        ("a", "b", [{"op": "replace", "path": "", "value": "b"}]),
    ],
)  # fmt: skip
def test_a_diff_is_small_and_in_order(before, after, patch):
    assert diff(before, after) == patch
    assert changed_paths(before, after) == [operation["path"] for operation in patch]
    assert canonical(apply(before, patch)) == canonical(after)


@pytest.mark.parametrize(
    "wrap", [lambda it: it, lambda it: {"a": it}, lambda it: [it], lambda it: {"a": {"b": [0, {"c": it}]}}]
)
def test_numbers_are_compared_as_json_compares_them(wrap):
    for number in (1, 1.0, 0, -0.0):
        for truth in (True, False):
            (operation,) = diff(wrap(number), wrap(truth))
            assert operation["value"] is truth
            (operation,) = diff(wrap(truth), wrap(number))
            assert operation["value"] is number
    assert diff(wrap(1), wrap(1.0)) == diff(wrap(0.0), wrap(-0.0)) == []
    assert diff(wrap([10**20, 1]), wrap([1e20, 1.0])) == []  # of a size that orjson does not write
    assert len(diff(wrap([10**20, 1]), wrap([10**20, True]))) == 1


@pytest.mark.parametrize(
    ("document", "operation", "problem"),
    [
        ({}, {"op": "add", "path": "a", "value": 1}, "'a' is no JSON pointer"),
        ({}, {"op": "add", "path": "/~2", "value": 1}, "'/~2' is no JSON pointer"),
        ({}, {"op": "add", "path": "/~", "value": 1}, "'/~' is no JSON pointer"),
        ({}, {"op": "add", "path": "/a/b", "value": 1}, "there is no 'a'"),
        ([], {"op": "add", "path": "/1", "value": 1}, "there is no '1'"),
        ([1], {"op": "add", "path": "/00", "value": 1}, "there is no '00'"),
        ([1], {"op": "add", "path": "/\u0660", "value": 1}, "there is no"),
        ([1], {"op": "remove", "path": "/-"}, "there is no '-'"),
        ([1], {"op": "remove", "path": "/" + "9" * 5000}, "there is no '9"),
        ({"a": "text"}, {"op": "add", "path": "/a/-", "value": 1}, "there is no '-'"),
        ({"a": 4}, {"op": "add", "path": "/a/4", "value": 1}, "there is no '4'"),
        ({"a": 1}, {"op": "remove", "path": ""}, "the whole document cannot be removed"),
        ({"a": 1}, {"op": "move", "from": "", "path": "/a"}, "cannot be moved into itself"),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a", "path": "/a/b"}, "cannot be moved into itself"),
        ({"a": 1}, {"op": "move", "from": "/b", "path": "/b"}, "there is no 'b'"),
        ({"a": 1}, {"op": "test", "path": "/a", "value": True}, "another value is there"),
        ({"a": 1}, {"op": "replace", "path": "/a"}, "lacks a member"),
        ({"a": 1}, {"op": ["add"], "path": "/a", "value": 1}, "no operation of RFC 6902"),
        ({"a": 1}, {"op": "remove", "path": ["a"]}, "no operation of RFC 6902"),
        ({"a": 1}, "remove", "no operation of RFC 6902"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_number_and_path(document, operation, problem):
    before = copy.deepcopy(document)
    path = operation["path"] if isinstance(operation, dict) else None
    with pytest.raises(ValueError, match="operation 1 of the patch") as refused:
        apply(document, [{"op": "test", "path": "", "value": before}, operation])
    assert f"path {path!r}: " in str(refused.value)
    assert problem in str(refused.value)
    assert document == before


def test_a_test_of_something_bottomless_is_refused():
    one: list[object] = []
    other: list[object] = []
    one.append(one)
    other.append(other)
    with pytest.raises(ValueError, match="operation 0 of the patch, path ''"):
        apply(one, [{"op": "test", "path": "", "value": other}])


def test_neither_document_nor_patch_change_when_a_patch_is_applied():
    document = {"a": {"b": [1, {"c": 2}]}, "d": {"e": 1}}
    patch = [
        {"op": "add", "path": "/x", "value": {"y": []}},
        {"op": "add", "path": "/x/y/-", "value": 1},
        {"op": "copy", "from": "/a", "path": "/z"},
        {"op": "replace", "path": "/z/b/1/c", "value": 3},
        {"op": "move", "from": "/a/b/0", "path": "/a/b/-"},
        {"op": "move", "from": "/d", "path": "/d"},
        {"op": "test", "path": "/a/b/0/c", "value": 2.0},
    ]
    before = copy.deepcopy((document, patch))
    after = apply(document, patch)
    assert after == {
        "a": {"b": [{"c": 2}, 1]},
        "d": {"e": 1},
        "x": {"y": [1]},
        "z": {"b": [1, {"c": 3}]},
    }
    assert (document, patch) == before
    assert after["d"] is document["d"]
    assert after["a"] is not document["a"]
