import copy
import json

import jsonpatch
from hypothesis import given
from hypothesis import strategies as st

from penelope.kit.canonical import canonical
from penelope.ledger.patch import apply, changed_paths, diff

# Few names and few values, so that documents have much in common; 1, 1.0 and True, which Python finds equal.
names = st.sampled_from(["a", "b", "c", "", "/", "~", "~1", "0", "-"])
scalars = st.sampled_from([None, True, False, 0, 1, 1.0, -0.0, 2.5, "", "a", "1"])
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=5),
    max_leaves=15,
)


@given(documents, documents)
def test_a_patch_makes_the_one_document_of_the_other(before, after):
    kept = copy.deepcopy(before)
    patch = diff(before, after)
    assert canonical(apply(before, patch)) == canonical(after)
    assert canonical(before) == canonical(kept)
    assert (patch == []) == (canonical(before) == canonical(after))


@given(documents, documents)
def test_a_patch_is_the_same_whatever_the_order_of_keys(before, after):
    def turned(value):
        if isinstance(value, dict):
            return {key: turned(item) for key, item in reversed(value.items())}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert canonical(diff(turned(before), turned(after))) == canonical(diff(before, after))
    assert len(set(changed_paths(before, after))) == len(changed_paths(before, after))


@given(documents, documents)
def test_an_independent_library_applies_our_patches_to_the_same_result(before, after):
    applied = jsonpatch.apply_patch(before, json.loads(canonical(diff(before, after))))
    assert canonical(applied) == canonical(after)


@given(st.dictionaries(names, documents, max_size=5), st.dictionaries(names, documents, max_size=5))
def test_we_apply_the_patches_of_an_independent_library_to_the_same_result(before, after):
    patch = jsonpatch.make_patch(before, after).patch
    assert canonical(apply(before, patch)) == canonical(jsonpatch.apply_patch(before, patch))
