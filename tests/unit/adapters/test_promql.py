"""Whatever is in a value, it stays a value in a query."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.adapters.metrics.promql import LONGEST, one_of, quoted, rendered, selector
from penelope.errors import InvalidCatalogue


def read_string(text: str) -> tuple[str, str]:
    """A double-quoted string as Go reads it (the escapes that are written here), and what comes after it."""
    assert text[0] == '"'
    value, at = "", 1
    while text[at] != '"':
        if text[at] == "\\":
            value += {"n": "\n", "r": "\r"}.get(text[at + 1], text[at + 1])
            at += 2
        else:
            assert text[at] != "\n"
            value += text[at]
            at += 1
    return value, text[at + 1 :]


@given(st.text())
def test_a_quoted_text_is_that_text(value: str) -> None:
    assert read_string(quoted(value)) == (value, "")


@given(
    st.lists(st.text('ab.*|()\\"$^ {}+-\n', max_size=6), min_size=1, max_size=3),
    st.text('ab.*|()"$^ {}+-\n', max_size=6),
)
def test_a_list_of_texts_matches_these_alone(values: list[str], other: str) -> None:
    pattern, rest = read_string(one_of(values))
    assert rest == ""
    assert all(re.fullmatch(pattern, value) for value in values)
    assert bool(re.fullmatch(pattern, other)) == (other in values)


@given(st.text())
def test_a_placeholder_cannot_be_left_by_its_value(value: str) -> None:
    found = rendered('sum(rate(x{arm="{{ arm }}"}[{{ window }}]))', {"arm": value}, 60)
    assert found.startswith('sum(rate(x{arm="')
    assert read_string(found[len("sum(rate(x{arm=") :]) == (value, "}[60s]))")


@given(st.text('ab.*|()\\"$^ {}+-', max_size=6), st.text('ab.*|()"$^ {}+-', max_size=6))
def test_in_a_regular_expression_it_stands_for_itself(value: str, other: str) -> None:
    found = rendered('x{arm =~ "{{ arm }}"}', {"arm": value}, 60)
    pattern, rest = read_string(found[len("x{arm =~ ") :])
    assert rest == "}"
    assert bool(re.fullmatch(pattern, other)) == (other == value)


def test_single_quotes_are_escaped_as_such() -> None:
    assert rendered("x{a='{{ arm }}'}", {"arm": 'it\'s "so"'}, 60) == "x{a='it\\'s \"so\"'}"


def test_comments_are_left_out_and_other_braces_stay() -> None:
    assert rendered('x{a="#"} # {{ nothing }}\n+ y{b="{c}"}', {}, 60) == 'x{a="#"} \n+ y{b="{c}"}'


@pytest.mark.parametrize(
    "template",
    [
        "x{a={{ arm }}}",
        "{{ arm }}",
        "x{a=`{{ arm }}`}",
        'x{a="{{ window }}"}',
        'x{a="{{ nothing }}"}',
        'x{a="',
        'x{a="\\"}',
        "x" * (LONGEST + 1),
    ],
)
def test_a_template_that_could_be_left_is_refused(template: str) -> None:
    with pytest.raises(InvalidCatalogue):
        rendered(template, {"arm": "blue"}, 60)


def test_a_selector_asks_for_both_arms_at_once() -> None:
    found = selector(["a_total", "b_bucket"], {"env": 'p"'}, "version", ["1.0", "2"])
    assert found == '{__name__=~"a_total|b_bucket",version=~"1\\\\.0|2",env="p\\""}'
