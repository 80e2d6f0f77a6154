import hmac
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.access import Masking
from penelope.domain.masking import mask

KEY = b"a key of the test"
TEXTS = st.text(min_size=1)
ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(0, 9))


def test_a_hash_is_the_keyed_digest_that_others_can_compute_too() -> None:
    expected = hmac.new(KEY, "jané@example.org".encode(), sha256).hexdigest()[:16]
    assert mask("jané@example.org", Masking.HASH, KEY) == expected


@pytest.mark.parametrize(
    "same", [(7, 7.0, "7"), (True, "true"), (0.1, "0.1"), (2**60, str(2**60)), (-0.0, 0, "0")]
)
def test_a_value_hashes_alike_however_a_driver_hands_it_over(same: tuple[object, ...]) -> None:
    assert len({mask(value, Masking.HASH, KEY) for value in same}) == 1


def test_another_key_gives_another_hash() -> None:
    assert mask("jane", Masking.HASH, KEY) != mask("jane", Masking.HASH, b"another")


def test_a_hash_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="without a key"):
        mask("jane", Masking.HASH, b"")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("4111111111111111", "***1111"),
        ("jane@ex.org", "***rg"),
        ("jan", "***"),
        ("", "***"),
        (4111111111111111, "***1111"),
    ],
)
def test_a_part_is_the_end_but_at_most_a_quarter(value: object, shown: str) -> None:
    assert mask(value, Masking.PARTIAL, KEY) == shown


@pytest.mark.parametrize("masking", list(Masking))
def test_what_is_not_there_stays_not_there(masking: Masking) -> None:
    assert mask(None, masking, KEY) is None


@given(value=ANYTHING)
def test_nothing_at_all_is_left_of_a_value_masked_to_null(value: object) -> None:
    assert mask(value, Masking.NULL, KEY) is None


@given(value=ANYTHING.filter(lambda value: value is not None), masking=st.sampled_from([*Masking][:2]))
def test_what_is_shown_is_short_whatever_the_value(value: object, masking: Masking) -> None:
    masked = mask(value, masking, KEY)
    assert isinstance(masked, str)
    assert len(masked) <= 16


@given(one=TEXTS, other=TEXTS)
def test_equal_hashes_mean_equal_texts(one: str, other: str) -> None:
    assert (mask(one, Masking.HASH, KEY) == mask(other, Masking.HASH, KEY)) == (one == other)
