import json

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from penelope.kit.canonical import canonical, content_hash

SAFE = 2**53 - 1
text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(-SAFE, SAFE) | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_the_fast_path_and_the_reference_agree(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(values)
def test_canonical_bytes_are_json_of_the_same_value(value):
    assert json.loads(canonical(value)) == value
    assert canonical(json.loads(canonical(value))) == canonical(value)


@given(st.dictionaries(text, scalars, max_size=6))
def test_the_order_of_keys_does_not_matter(value):
    turned = dict(reversed(value.items()))
    assert canonical(turned) == canonical(value)
    assert content_hash(turned) == content_hash(value)
