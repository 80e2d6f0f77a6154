"""The queries of the conformance suite, and the warehouse and the plain SQL that they are held against."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from ruamel.yaml import YAML

from penelope.adapters.example.warehouse import VERSION, warehouse
from penelope.adapters.semantic.question import question_of
from penelope.adapters.semantic.rows import cell
from penelope.domain.semantics import SemanticQuery
from penelope.kit.canonical import Json

QUERIES = Path(__file__).with_name("semantic_queries.yaml")
_REGION = """
CREATE TEMP MACRO region(country) AS CASE
  WHEN country IN ('JP', 'AU', 'IN', 'SG', 'KR') THEN 'APAC'
  WHEN country IN ('US', 'CA', 'BR', 'MX') THEN 'AMER' ELSE 'EMEA' END
"""

Row = tuple[Json, ...]


@dataclass(frozen=True)
class Case:
    """`cube_differs` says why a real Cube, as it can be had in tests, gives another table."""

    name: str
    data: Mapping[str, Any]
    sql: str = ""
    ordered: bool = False
    refused: bool = False
    cube_differs: str = ""

    @property
    def query(self) -> SemanticQuery:
        return question_of(self.data)


def cases() -> list[Case]:
    entries = YAML(typ="safe", pure=True).load(QUERIES.read_text(encoding="utf-8"))
    return [
        Case(
            name=entry["name"],
            data=entry["query"],
            sql=entry.get("sql", ""),
            ordered=entry.get("ordered", False),
            refused=entry.get("refused", False),
            cube_differs=entry.get("cube_differs", ""),
        )
        for entry in entries
    ]


def shared_warehouse() -> Path:
    """One file for all runs and workers on the machine; whoever comes first writes it."""
    return warehouse(Path(tempfile.gettempdir()) / f"penelope-example-{VERSION}" / "shop.duckdb")


def plain(sql: str) -> list[Row]:
    """The rows of SQL written by hand."""
    with duckdb.connect(str(shared_warehouse()), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(_REGION)
        return [tuple(cell(value) for value in row) for row in connection.execute(sql).fetchall()]


def differences(found: Sequence[Row], expected: Sequence[Row], *, ordered: bool) -> list[str]:
    """Where two tables differ; numbers that differ by rounding alone are equal."""
    if len(found) != len(expected):
        return [f"{len(found)} rows instead of {len(expected)}"]
    if not ordered:
        found, expected = sorted(found, key=_sortable), sorted(expected, key=_sortable)
    return [
        f"{ours} instead of {theirs}"
        for ours, theirs in zip(found, expected, strict=True)
        if len(ours) != len(theirs) or not all(map(_same, ours, theirs))
    ][:5]


def _same(ours: Json, theirs: Json) -> bool:
    if isinstance(ours, bool) or isinstance(theirs, bool) or not isinstance(ours, int | float):
        return type(ours) is type(theirs) and ours == theirs
    return isinstance(theirs, int | float) and math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9)


def _sortable(row: Row) -> list[tuple[str, Any]]:
    """Texts first: they group, and figures that differ by rounding must not change who is held against whom."""
    texts = [(type(value).__name__, value) for value in row if isinstance(value, str | bool)]
    figures = [("", round(value, 6)) for value in row if isinstance(value, int | float)]
    nulls = [("None", at) for at, value in enumerate(row) if value is None]
    return [*texts, *nulls, *figures]
