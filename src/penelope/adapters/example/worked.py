"""Ten questions to the example, each with what it must come to, worked out without anything of the context platform:
in plain SQL on the tables of the warehouse, or by reading the file of the graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from penelope.adapters.example import GRAPH
from penelope.adapters.yaml_source import read
from penelope.domain.access import Subject
from penelope.domain.answer import Outcome

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""When the questions are asked: on the last day of which the warehouse knows."""

_APAC = "c.country IN ('JP', 'AU', 'IN', 'SG', 'KR')"
_EMEA = "c.country NOT IN ('JP', 'AU', 'IN', 'SG', 'KR', 'US', 'CA', 'BR', 'MX')"
_SOLD = "FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.status = 'completed'"
_THIRD_QUARTER = "o.created_at >= '2026-07-01' AND o.created_at < '2026-10-01'"
_YEAR_BEFORE = "o.created_at >= '2025-07-01' AND o.created_at < '2025-10-01'"
_APAC_REVENUE = f"SELECT sum(o.amount - o.discount) {_SOLD} AND {_APAC} AND {_THIRD_QUARTER}"

ANALYST = Subject(actor="ann", role="analyst")
BOUND = Subject(actor="ben", role="analyst", region="EMEA")
INTERN = Subject(actor="ivo", role="intern", region="APAC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """A question, who asks it, and how it must end. `sql` gives the rows of its value and `compared` those of the period
    that it is held against; of a denied one it gives what must not be told, of one without an answer that there are no
    rows. `edge` and `thing` are followed in the graph's file, `back` against its direction. `told` are names that must be
    in the answer: of choices, or the title of the document that is found first. Just the columns in `masked` are masked.
    """

    concept: str
    subject: Subject
    point: str
    outcome: Outcome = Outcome.RESOLVED
    definition: str = ""
    sql: str = ""
    compared: str = ""
    edge: str = ""
    thing: str = ""
    back: bool = False
    told: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()


WORKED = (
    Worked(
        concept="APAC revenue last quarter",
        subject=ANALYST,
        point="a governed figure",
        definition="orders.revenue",
        sql=_APAC_REVENUE,
    ),
    Worked(
        concept="top 5 e-mail addresses by APAC revenue last quarter",
        subject=ANALYST,
        point="the first five, with people masked",
        definition="orders.revenue",
        sql=f"SELECT c.email, sum(o.amount - o.discount) AS revenue {_SOLD} AND {_APAC} AND {_THIRD_QUARTER} "
        "GROUP BY c.email ORDER BY revenue DESC LIMIT 5",
        masked=("customers.email",),
    ),
    Worked(
        concept="revenue last quarter by region",
        subject=BOUND,
        point="who works for a region sees its rows",
        definition="orders.revenue",
        sql=f"SELECT 'EMEA', sum(o.amount - o.discount) {_SOLD} AND {_EMEA} AND {_THIRD_QUARTER}",
    ),
    Worked(
        concept="APAC revenue last quarter",
        subject=INTERN,
        point="denied, with the reason",
        outcome=Outcome.DENIED,
        sql=_APAC_REVENUE,
    ),
    Worked(
        concept="revenue last quarter vs last year",
        subject=ANALYST,
        point="held against another period",
        definition="orders.revenue",
        sql=f"SELECT sum(o.amount - o.discount) {_SOLD} AND {_THIRD_QUARTER}",
        compared=f"SELECT sum(o.amount - o.discount) {_SOLD} AND {_YEAR_BEFORE}",
    ),
    Worked(
        concept="gross sales or net sales last month",
        subject=ANALYST,
        point="several may be meant",
        outcome=Outcome.AMBIGUOUS,
        told=("orders.gross_amount", "orders.revenue"),
    ),
    Worked(
        concept="revenue in Atlantis",
        subject=ANALYST,
        point="no answer rather than a wrong one",
        outcome=Outcome.UNRESOLVED,
        sql="SELECT * FROM customers WHERE columns(*)::VARCHAR ILIKE '%atlantis%'",
    ),
    Worked(
        concept="who owns checkout?",
        subject=ANALYST,
        point="ownership",
        definition="service:checkout",
        edge="OWNED_BY",
        thing="service:checkout",
    ),
    Worked(
        concept="what depends on payments?",
        subject=ANALYST,
        point="dependencies",
        definition="service:payments",
        edge="DEPENDS_ON",
        thing="service:payments",
        back=True,
    ),
    Worked(
        concept="runbook for when the payment provider does not answer",
        subject=ANALYST,
        point="a runbook, with an excerpt",
        told=("The payment provider does not answer",),
    ),
)


def plain_rows(warehouse: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a statement, asked of the file itself."""
    with duckdb.connect(":memory:") as connection:
        name = str(warehouse).replace("'", "''")
        connection.execute(f"ATTACH '{name}' AS plain (READ_ONLY)")
        connection.execute("USE plain")
        return connection.execute(sql).fetchall()


def followed(worked: Worked) -> set[str]:
    """The ids that the question's edges lead to, as the file of the graph has them."""
    content: Any = read(GRAPH).data
    edges: Mapping[str, Sequence[str]] = content["edges"][worked.edge]
    pairs = [(start, end) for start, ends in edges.items() for end in ends]
    pairs = [(end, start) for start, end in pairs] if worked.back else pairs
    found: set[str] = set()
    waiting = {worked.thing}
    while waiting:
        waiting = {end for start, end in pairs if start in waiting} - found
        found |= waiting
    return found
