"""Patterns say what Python's own say, and take no longer for a hostile text."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.kit.pattern import LONGEST, pattern

parts = st.recursive(
    st.sampled_from(["a", "b", "-", ".", "[ab]", "[^a]", r"\d", r"\w", r"\.", "[a-c1]"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: f"({'|'.join(options)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{1,}", "{0,1}"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=5,
)


@given(parts, st.text("ab1-.c\n", max_size=7))
def test_it_agrees_with_the_standard_library(source, text):
    assert pattern(source).matches(text) == (re.fullmatch(source, text, re.ASCII) is not None)


@pytest.mark.parametrize(
    ("source", "good", "bad"),
    [
        (r"[a-z0-9]+(-[a-z0-9]+)*", ["a", "web-1", "a-b-c"], ["", "-a", "a-", "A", "a\n", "--help"]),
        (r"\d+\.\d+\.\d+", ["1.2.3"], ["1.2", "1.2.3 ", "\u0661.2.3"]),
        (r"(?:eu|us)-\w{2,4}", ["eu-west"], ["eu-westt", "asia-x"]),
        (r"", [""], ["a"]),
        (r"a|", ["a", ""], ["b"]),
        (r"[]a]\[\{x", ["][{x", "a[{x"], ["[[{x"]),
        (r"[\]\[-]+", ["][-"], ["\\"]),
    ],
)
def test_what_follows_a_pattern(source, good, bad):
    assert [text for text in good if not pattern(source).matches(text)] == []
    assert [text for text in bad if pattern(source).matches(text)] == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("^a", "needs no ^: the whole text must follow it"),
        ("a$", "needs no $"),
        ("(?=a)", "may not look around"),
        ("(?P<n>a)", "may not look around, name a group"),
        (r"(a)\1", r"has \1, which is not admitted, at character 4"),
        (r"\b", r"has \b, which is not admitted"),
        ("a\\", "which is not admitted"),
        ("*a", "repeats nothing, at character 1"),
        ("a**", "repeats a repeat, at character 3"),
        ("a{2}{3}", "repeats a repeat"),
        ("a{x}", "has a brace that is no count, at character 2"),
        ("a{3,2}", "counts from 3 to 2"),
        ("(a", "does not close the parenthesis at character 1"),
        ("a)", "has a closing parenthesis too many, at character 2"),
        ("[a", "does not close the bracket at character 1"),
        ("[z-a]", "has a class that cannot be read"),
        ("[[a]", "has a bracket in a bracket"),
        ("a]", "closes nothing"),
        ("((a{999}){999}){999}", "is too large once its repeats are written out"),
        ("(" * 240 + ")" * 240, "has more than 50 groups"),
        ("a" * (LONGEST + 1), "is longer than 500 characters"),
    ],
)
def test_what_is_not_admitted_is_said(source, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        pattern(source)


@pytest.mark.parametrize("source", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "a*a*a*a*a*b", "(a?){50}a{50}b"])
def test_no_text_brings_it_to_a_stand(source):
    began = time.thread_time()

    assert not pattern(source).matches("a" * 2000)
    assert time.thread_time() - began < 5
