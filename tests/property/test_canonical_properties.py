import json

import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from penelope.kit.canonical import canonical, content_hash

SAFE = 2**53 - 1
# Texts with what a whole float ends in, and keys whose order differs between UTF-8 and UTF-16.
text = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from(".0,]}1\ufb33\U0001f600"))
floats = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**16), 10**16).map(float)
scalars = st.none() | st.booleans() | st.integers(-SAFE, SAFE) | floats | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(values)
@example([1.0, -0.0, "1.0,"])
def test_the_fast_path_and_the_reference_agree(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(values)
def test_canonical_bytes_are_json_of_the_same_value(value):
    assert json.loads(canonical(value), parse_int=float) == value
    assert canonical(json.loads(canonical(value))) == canonical(value)


@given(st.dictionaries(text, scalars, max_size=6))
def test_the_order_of_keys_does_not_matter(value):
    turned = dict(reversed(value.items()))
    assert canonical(turned) == canonical(value)
    assert content_hash(turned) == content_hash(value)
