import datetime as dt
import enum
import hashlib
import math
import uuid
from dataclasses import dataclass
from decimal import Decimal

import pytest

from penelope.kit.canonical import canonical, content_hash


class Colour(enum.Enum):
    RED = "red"


class Word(enum.StrEnum):
    ONE = "one"


class Figure(enum.IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class Share(float):
    def __repr__(self) -> str:
        return "another float"


@dataclass
class Thing:
    name: str = "x"


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"b": 1, "a": [True, None, "x"]}, b'{"a":[true,null,"x"],"b":1}'),
        ({"\u20ac": 1, "a": 2}, '{"a":2,"\u20ac":1}'.encode()),
        # The sorting example of RFC 8785, 3.2.3: UTF-16 order puts U+1F600 before U+FB33.
        ({"\ufb33": 1, "\U0001f600": 2}, '{"\U0001f600":2,"\ufb33":1}'.encode()),
        # Numbers of RFC 8785, appendix B.
        ([333333333.33333329, 1e30, 4.50, 2e-3, 1e-27], b"[333333333.3333333,1e+30,4.5,0.002,1e-27]"),
        ([1.0, -0.0, 2**53 - 1], b"[1,0,9007199254740991]"),
        ('\u20ac$\u000f\n"\\', '"\u20ac$\\u000f\\n\\"\\\\"'.encode()),
    ],
)
def test_bytes_are_those_of_rfc_8785(value, expected):
    assert canonical(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, b"1"),
        (-0.0, b"0"),
        ({"a": 1.0, "b": [0.0, -3.0], "c": 100.0}, b'{"a":1,"b":[0,-3],"c":100}'),
        ([10.0, 1.05, 1.50, 0.5, 20.01], b"[10,1.05,1.5,0.5,20.01]"),
        # Texts that hold what a whole float looks like, alone and beside one.
        (["1.0,", "[2.0]", "3.0}"], b'["1.0,","[2.0]","3.0}"]'),
        ([1.0, "1.0,", "[2.0]", "3.0}"], b'[1,"1.0,","[2.0]","3.0}"]'),
        ({"1.0,": 1.0}, b'{"1.0,":1}'),
        ([-0.0, "1.0,"], b'[0,"1.0,"]'),
        ([999999999999999.0, 1e15, 1e16], b"[999999999999999,1000000000000000,10000000000000000]"),
        ([1e20, 1e21], b"[100000000000000000000,1e+21]"),
        ({"a": ("x", (1.0, [2.5, ()])), "b": (1e20,)}, b'{"a":["x",[1,[2.5,[]]]],"b":[100000000000000000000]}'),
        ([1e-4, 1e-5, 9.5e-6, 1e-6, 1e-7, -9.5e-6], b"[0.0001,0.00001,0.0000095,0.000001,1e-7,-0.0000095]"),
    ],
)  # fmt: skip
def test_floats_are_written_as_ecmascript_writes_them(value, expected):
    assert canonical(value) == expected


def test_a_large_whole_float_that_was_read_back_as_an_integer_is_that_float():
    assert canonical({"a": [10**20]}) == b'{"a":[100000000000000000000]}'
    with pytest.raises(ValueError, match="exceeds safe integer"):
        canonical({"a": [10**20 + 1]})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": Word.ONE, Word.ONE: Figure.ONE}, b'{"a":"one","one":1}'),
        ([Text("text"), Share(0.5), (1, 2.0)], b'["text",0.5,[1,2]]'),
        (type("Dict", (dict,), {})(a=type("List", (list,), {})([1.0])), b'{"a":[1]}'),
    ],
)
def test_subclasses_of_json_types_are_written_by_their_value(value, expected):
    assert canonical(value) == expected


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 2**53 + 1, -(2**53) - 1, 10**5000, [{"a": math.nan}], "\ud800", {"\ud800": 1},
     {"\U0001f600": "\udfff"}, nested(5_000)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_json_cannot_say_exactly_is_refused(value):
    with pytest.raises(ValueError):  # noqa: PT011 - two libraries word it
        canonical(value)


@pytest.mark.parametrize(
    "value",
    [{1: "a"}, {"a": object()}, b"bytes", {"a": {1, 2}}, {None: 1}, Colour.RED, {Colour.RED: 1}, uuid.UUID(int=1),
     dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.date(2026, 1, 1), dt.time(1), Thing(), Decimal("1.5"), 1j, [Thing]],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_no_json_is_refused(value):
    with pytest.raises(TypeError):
        canonical(value)
    with pytest.raises(TypeError):
        canonical({"\U0001f600": [1e-6, value]})


def test_nesting_beyond_what_orjson_takes_is_written():
    assert canonical(nested(300)) == b"[" * 301 + b"]" * 301


def test_a_value_that_holds_itself_is_refused():
    loop: list[object] = []
    loop.append({"again": loop})
    with pytest.raises(ValueError, match="nested too deeply"):
        canonical(loop)


def test_a_content_hash_is_sha_256_over_the_canonical_bytes():
    assert content_hash({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
