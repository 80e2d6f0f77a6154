import time

import pytest

from penelope.kit.pattern import LONGEST_PATTERN, LONGEST_TEXT, BadPattern, pattern


def test_a_pattern_matches_a_whole_text():
    assert pattern(r"v\d+").matches("v12")
    assert not pattern(r"v\d+").matches("v12\n")
    assert not pattern("a").matches("ba")
    assert pattern("ü.").matches("ü€")


@pytest.mark.parametrize("source", ["(a+)+b", "(a|a)*b", "(.*)*b", "(a?){500}a{500}b"])
def test_no_pattern_is_slow(source):
    began = time.perf_counter()
    assert not pattern(source).matches("a" * LONGEST_TEXT)
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "source",
    ["(", "(?=a)", r"(a)\1", "a{1001}", "((a{1000}){1000}){1000}", "\ud800", "a" * (LONGEST_PATTERN + 1)],
)
def test_what_cannot_be_matched_in_linear_time_and_little_memory_is_refused(source):
    with pytest.raises(BadPattern) as refused:
        pattern(source)
    assert str(refused.value)


def test_texts_that_are_too_long_or_none_never_match():
    assert not pattern(".*").matches("a" * (LONGEST_TEXT + 1))
    assert not pattern(".*").matches("\ud800")
