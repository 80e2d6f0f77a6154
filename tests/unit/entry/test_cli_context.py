"""`penelope context`: what can be asked for, and answers on the terminal."""

import json
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner, Result

from penelope.entry.cli.main import app

MODEL = """\
cubes:
  - name: orders
    sql_table: orders
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: status, sql: status, type: string, meta: {classification: internal}}
    measures:
      - {name: revenue, type: sum, sql: amount, title: Revenue, meta: {synonyms: [turnover], unit: USD}}
"""


@pytest.fixture
def given(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "model.yaml").write_text(MODEL)
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE orders AS SELECT 1 AS id, 'new' AS status, 5 AS amount")
    models = json.dumps([str(tmp_path / "model.yaml")])
    return ("--set", f"semantic.models={models}", "--set", f"semantic.database={tmp_path}/shop.duckdb")


def run(given: tuple[str, ...], *words: str, text: str = "") -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*given, "context", *words], input=text)


def test_the_model_is_shown(given: tuple[str, ...]) -> None:
    done = run(given, "model")
    assert done.exit_code == 0, done.output
    assert "orders.revenue" in done.output
    assert "turnover" in done.output
    assert "orders.id" not in done.output
    assert "orders.id" in run(given, "model", "--all").output
    assert "orders.status" not in run(given, "model", "turnover").output


def test_a_query_is_answered(given: tuple[str, ...], tmp_path: Path) -> None:
    query = json.dumps({"measures": ["orders.revenue"], "dimensions": ["orders.status"]})
    done = run(given, "query", "-", text=query)
    assert done.exit_code == 0, done.output
    assert "new" in done.output
    file = tmp_path / "query.json"
    file.write_text(query)
    done = run(given, "query", str(file), "--json")
    assert json.loads(done.output) == {"orders.status": "new", "orders.revenue": 5}
    assert "GROUP BY 1" in run(given, "query", str(file), "--sql").output


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ('{"measures": ["orders.count"]}', "there is no member orders.count"),
        ("{", "not a query"),
        ('{"measure": []}', "not a query"),
    ],
)
def test_what_cannot_be_asked_is_told(given: tuple[str, ...], query: str, said: str) -> None:
    done = run(given, "query", "-", text=query)
    assert done.exit_code == 1
    assert said in done.output


def test_mistakes_of_models_are_told(given: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(MODEL.replace("sql: amount", "sql: 'amount +'"))
    done = run(given, "model")
    assert done.exit_code == 1
    assert "model.yaml:8:" in done.output


def test_a_file_that_is_not_there(given: tuple[str, ...]) -> None:
    done = run(given, "query", "/nowhere/query.json")
    assert done.exit_code == 1
    assert "cannot be read" in done.output
