from pathlib import Path

import pytest

from penelope.adapters.yaml_source import MAX_BYTES, read

HOSTILE = Path(__file__).parents[2] / "corpus" / "hostile_yaml"

REFUSED = {
    "aliases": "1:4: not YAML: anchors and aliases are refused; write the value out",
    "big_float": "1:4: the number is too large; quote it if it is a text",
    "big_integer": "1:4: the number is too large; quote it if it is a text",
    "control_character": "1:1: unacceptable character #x0001: special characters are not allowed",
    "deep": "1:41: not YAML: nested more than 40 deep",
    "duplicate_key": "4:3: the key 'b' stands here twice",
    "five_thousand_digits": "1:4: the number is too large; quote it if it is a text",
    "infinity": "1:4: infinity and NaN are not numbers that can be used here",
    "key_is_a_list": "1:3: a key must be a plain text",
    "lone_surrogate": "1:4: the text holds a character that no text may hold (NUL or a lone surrogate)",
    "merge_key": "3:3: merge keys are refused; write the values out",
    "nan": "2:4: infinity and NaN are not numbers that can be used here",
    "not_utf8": "1:1: not UTF-8: byte 8 is not part of a character",
    "nul": "1:4: the text holds a character that no text may hold (NUL or a lone surrogate)",
    "nul_in_key": "1:1: a key must be a plain text",
    "tab": "2:1: not YAML: found character '\\t' that cannot start any token",
    "tag": "2:4: not YAML: tags are refused; quote a text instead",
    "two_documents": "2:1: not YAML: but found another document",
    "unclosed": "2:2: not YAML: expected ',' or ']', but got ':'",
}


def test_every_hostile_file_has_its_answer():
    assert {path.stem for path in HOSTILE.iterdir()} == set(REFUSED)


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_yaml_is_refused_where_it_stands(name):
    path = HOSTILE / f"{name}.yaml"

    problems = read(path).problems

    assert [str(problem) for problem in problems] == [f"{path}:{REFUSED[name]}"]


def test_a_file_may_not_be_large(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))

    assert [problem.message for problem in read(path).problems] == ["the file is larger than 256 KiB"]
    path.write_bytes(b"#" * MAX_BYTES)
    assert read(path).problems == []


def test_a_file_must_be_there_and_be_a_file(tmp_path):
    assert str(read(tmp_path / "no.yaml").problems[0]) == f"{tmp_path / 'no.yaml'}:1:1: no such file"
    assert read(tmp_path).problems[0].message == "no such file"


def test_a_file_that_the_system_refuses(tmp_path):
    path = tmp_path / ("x" * 300)

    assert read(path).problems[0].message.startswith(("no such file", "cannot be read"))


def test_every_mistake_is_named_not_only_the_first(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text("a: .nan\na: 1\nb: [.inf]\n")

    problems = read(path).problems

    assert [(problem.line, problem.column) for problem in problems] == [(1, 4), (2, 1), (3, 5)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None),
        ("", None),
        ("true", True),
        ("yes", "yes"),
        ("off", "off"),
        ("012", 12),
        ("0o14", 12),
        ("0xff", 255),
        ("-7", -7),
        ("1_000", "1_000"),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("2026-11-21", "2026-11-21"),
        ("'7'", "7"),
        ('"\\u00e9"', "é"),
        ("|\n  a\n  b\n", "a\nb\n"),
        ("[1, {b: c}]", [1, {"b": "c"}]),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(tmp_path, text, value):
    path = tmp_path / "value.yaml"
    path.write_text(f"\ufeffkey: {text}", encoding="utf-8")

    document = read(path)

    assert document.problems == []
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


def test_positions_of_values_keys_and_of_what_does_not_exist(tmp_path):
    path = tmp_path / "places.yaml"
    path.write_text("a:\n  - b: 1\n    c: 2\n")
    document = read(path)

    def at(*where, at_key=False):
        problem = document.problem(where, "x", at_key=at_key)
        return problem.line, problem.column

    assert at("a", 0, "c") == (3, 8)
    assert at("a", 0, "c", at_key=True) == (3, 5)
    assert at("a", 0, "missing") == (2, 5)
    assert at("a", 7) == (2, 3)
    assert at("nothing", "here") == (1, 1)


def test_an_empty_file_holds_nothing(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    document = read(path)

    assert document.data is None
    assert document.problems == []
    assert str(document.problem(("a",), "why")) == f"{path}:1:1: why"
