import hashlib
import math

import pytest

from penelope.kit.canonical import canonical, content_hash


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


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53 + 1, -(2**53) - 1, [{"a": math.nan}], "\ud800"])
def test_what_json_cannot_say_exactly_is_refused(value):
    with pytest.raises(ValueError):  # noqa: PT011 - two libraries word it
        canonical(value)


@pytest.mark.parametrize("value", [{1: "a"}, {"a": object()}, b"bytes", {"a": {1, 2}}])
def test_what_is_no_json_is_refused(value):
    with pytest.raises((TypeError, ValueError)):
        canonical(value)


def test_a_content_hash_is_sha_256_over_the_canonical_bytes():
    assert content_hash({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()
