"""Data models: what is read, and what writers of them are told, with the place."""

import time
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.adapters.example import MODELS
from penelope.adapters.semantic.expression import Reference, expression, query
from penelope.adapters.semantic.load import load_models, model_files, read_models
from penelope.errors import BadSettings

CUBE = """\
cubes:
  - name: orders
    sql_table: orders
    dimensions:
      - name: id
        sql: id
        type: number
        primary_key: true
      - name: status
        sql: status
        type: string
    measures:
      - name: count
        type: count
"""


def told(folder: Path, text: str) -> list[str]:
    file = folder / "model.yaml"
    file.write_text(text)
    _, problems = read_models([file])
    return [str(problem).removeprefix(f"{file}:") for problem in problems]


def test_the_example_has_no_mistakes() -> None:
    shape, problems = read_models(model_files([MODELS]))
    assert problems == []
    assert len(shape.cubes) >= 5
    assert len(shape.routes) >= 2


def test_a_model_without_mistakes(tmp_path: Path) -> None:
    assert told(tmp_path, CUBE) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("type: count\n", "type: total\n", "14:15: must be"),
        ("sql: status", "sql: status +", "10:14: is no SQL"),
        ("sql: status", 'sql: "{statos}"', "10:14: {statos} points at nothing; did you mean 'status'?"),
        ("sql: status", 'sql: "{{ status }}"', "10:14: must not be a Jinja template"),
        ("sql: status", 'sql: "{FILTER_PARAMS.orders.id}"', "10:14: {FILTER_PARAMS.orders.id} is not supported"),
        ("sql: status", 'sql: "status -- what"', "10:14: may hold no comments"),
        ("sql: status", 'sql: "status; DROP TABLE orders"', "10:14: must be one expression"),
        ("sql: status", 'sql: "status;"', "10:14: is no SQL of one value"),
        ("sql: status", 'sql: "SELECT 1"', "10:14: must be an expression in SQL, not a statement"),
        ("sql: status", 'sql: "status = $1"', "10:14: may hold no parameters"),
        ("sql: status", 'sql: "{status}"', "members refer to each other in a circle: orders.status -> orders.status"),
        ("sql: status", 'sql: "{count}"', "must not refer to the measure orders.count"),
        ("sql_table: orders", "sql_table: orders; DROP TABLE orders", "must be the name of a table"),
        ("sql_table: orders", "sql: DELETE FROM orders", "must be one SELECT"),
        ("sql_table: orders", "sql: SELECT 1; SELECT 2", "must be one expression in SQL"),
        ("sql_table: orders", "sql: SELECT * FROM {other}", "may hold no reference such as {other}"),
        ("name: status", "name: id", "9:15: there are two members 'id'"),
        ("name: status", "name: sta tus", "must be a name of letters"),
        ("primary_key: true", "primary: true", "unknown key 'primary'"),
        ("    measures:", "    meta: {as_of: status}\n    measures:", "as_of names a measure of the cube"),
        ("    measures:", "    joins:\n      - {name: x, relationship: one_to_one, sql: '{CUBE}.a = {x}.b'}\n    measures:",
         "there is no cube 'x' to join"),
        ("    measures:", "    extends: base\n    measures:", "unknown key 'extends'"),
        ("type: count\n", "type: sum\n", "the key 'sql' is missing"),
        ("type: count\n", "type: number\n        sql: '1'\n        filters: [{sql: 'true'}]\n", "filter the measures that it is calculated from"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_places(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CUBE
    found = told(tmp_path, CUBE.replace(old, new, 1))
    assert any(message in problem for problem in found), found


JOINED = (
    CUBE
    + """\
  - name: items
    sql_table: items
    joins:
      - {name: orders, relationship: many_to_one, sql: "{CUBE}.order_id = {orders.id}"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
    measures:
      - {name: quantity, sql: quantity, type: sum}
views:
  - name: shop
    cubes:
      - join_path: items.orders
        includes: [status]
"""
)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{orders.id}", "{CUBE}.id", "does not say how 'orders' is joined"),
        ("{orders.id}", "{orders.count}", "must not refer to a measure"),
        ("sql: id, type: number, primary_key: true", "sql: id, type: number", "'items' needs a dimension with primary_key"),
        ("items.orders\n", "orders.items\n", "'orders' has no join to 'items'"),
        ("items.orders\n", "items.customers\n", "there is no cube 'customers'"),
        ("[status]", "[statos]", "'orders' has no member 'statos'; did you mean 'status'?"),
        ("[status]", "[status, {name: id, alias: status}]", "'shop.status' is there already"),
        ("name: shop", "name: items", "there are two cubes or views 'items'"),
        ("sql: quantity, type: sum", "sql: 'sum({CUBE}.quantity) / {orders.count}', type: number", "mixes columns with measures of another cube"),
    ],
)  # fmt: skip
def test_mistakes_between_cubes(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert told(tmp_path, JOINED) == []
    assert old in JOINED
    found = told(tmp_path, JOINED.replace(old, new, 1))
    assert any(message in problem for problem in found), found


def test_all_mistakes_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(CUBE.replace("type: count\n", "type: total\n"))
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "b.yaml").write_text("not: a model")
    with pytest.raises(BadSettings, match=r"a\.yaml:14:15"):
        load_models([tmp_path])


def test_keys_that_change_no_answer_are_read_over(tmp_path: Path) -> None:
    text = CUBE.replace(
        "    measures:", "    pre_aggregations: [{name: x}]\n    refresh_key: {every: 1 hour}\n    measures:"
    )
    assert told(tmp_path, text) == []


def test_members_that_grow_without_end_are_refused_at_once(tmp_path: Path) -> None:
    """Forty lines that would be 2^40 members when they are written out."""
    began = time.process_time()
    made = "\n".join(
        f'      - {{name: d{at}, sql: "{{d{at - 1}}} + {{d{at - 1}}}", type: number}}' for at in range(1, 41)
    )
    text = (
        "cubes:\n  - name: c\n    sql_table: c\n    dimensions:\n"
        "      - {name: id, sql: id, type: number, primary_key: true}\n"
        f"      - {{name: d0, sql: x, type: number}}\n{made}\n"
    )
    assert any("more than 2000 members when it is written out" in problem for problem in told(tmp_path, text))
    assert time.process_time() - began < 5


def test_members_stand_for_each_other_only_so_deep(tmp_path: Path) -> None:
    chain = "".join(f"      - {{name: d{at}, sql: '{{d{at - 1}}}', type: string}}\n" for at in range(1, 80))
    text = CUBE.replace(
        "    measures:", f"      - {{name: d0, sql: status, type: string}}\n{chain}    measures:"
    )
    assert any("more than 60 deep" in problem for problem in told(tmp_path, text))


def test_references_are_told_from_braces_of_sql() -> None:
    assert expression("{CUBE}.a + {orders.b}").references == (
        Reference(("CUBE",)),
        Reference(("orders", "b")),
    )
    assert expression("${CUBE}.a").references == (Reference(("CUBE",)),)
    assert expression(r"struct_extract(\{'a': 1\}, 'a')").references == ()
    assert query("SELECT 1 AS a") == "SELECT 1 AS a"


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = expression(text)
    except ValueError:
        return
    joined = "".join(
        piece if isinstance(piece, str) else f"reference_{at}" for at, piece in enumerate(found.pieces)
    )
    assert len(duckdb.extract_statements(f"SELECT ({joined}\n)")) == 1


@given(st.binary(max_size=300))
def test_any_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.mktemp("any") / "model.yaml"
    file.write_bytes(content)
    shape, problems = read_models([file])
    assert problems or not shape.cubes
