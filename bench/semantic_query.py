"""What the embedded semantic layer costs: compiling a query, and answering it beside the same SQL by hand."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from _ground import percentile

from penelope.adapters.example import MODELS
from penelope.adapters.example.warehouse import VERSION, warehouse
from penelope.adapters.semantic.duck import DuckLayer
from penelope.adapters.semantic.load import load_models
from penelope.adapters.semantic.question import question_of

ROUNDS = 15
GOAL_COMPILE_MS = 1.0

QUESTIONS = (
    (
        "orders by status",
        {"measures": ["orders.count"], "dimensions": ["orders.status"]},
        "SELECT status, count(*) FROM orders GROUP BY 1 ORDER BY 2 DESC",
    ),
    (
        "APAC revenue last quarter",
        {
            "measures": ["orders.revenue"],
            "timeDimensions": [{"dimension": "orders.created_at", "dateRange": ["2026-07-01", "2026-09-30"]}],
            "filters": [{"member": "customers.region", "operator": "equals", "values": ["APAC"]}],
        },
        (
            "SELECT sum(amount - discount) FROM orders o JOIN customers c ON c.id = o.customer_id WHERE status = 'completed'"
            " AND country IN ('JP', 'AU', 'IN', 'SG', 'KR') AND created_at >= '2026-07-01' AND created_at < '2026-10-01'"
        ),
    ),
    (
        "refund rate by channel",
        {"measures": ["orders.refund_rate"], "dimensions": ["orders.channel"]},
        (
            "SELECT channel, sum(r.amount) / sum(o.amount) FROM orders o LEFT JOIN (SELECT order_id, sum(amount) AS amount"
            " FROM refunds GROUP BY 1) r ON r.order_id = o.id GROUP BY 1 ORDER BY 2 DESC"
        ),
    ),
)


def timed(work: Callable[[], object]) -> list[float]:
    """Milliseconds of the clock: DuckDB works on threads of its own."""
    found = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        found.append((time.perf_counter() - began) * 1000)
    return found


def main() -> int:
    file = warehouse(Path(tempfile.gettempdir()) / f"penelope-example-{VERSION}" / "shop.duckdb")
    began = time.perf_counter()
    shape = load_models([MODELS])
    print(f"reading {len(shape.exposed)} members  {(time.perf_counter() - began) * 1000:.0f} ms")
    kept = True
    with (
        DuckLayer(shape, file, timeout_seconds=60) as layer,
        duckdb.connect() as bare,
        asyncio.Runner() as runner,
    ):
        bare.execute(f"ATTACH '{file}' AS shop (READ_ONLY)")
        bare.execute("USE shop")
        bare.execute("SET threads = 2")
        for name, data, sql in QUESTIONS:
            query = question_of(data)
            compiling = timed(lambda query=query: layer.compile(query))
            total = timed(lambda query=query: runner.run(layer.run(query, {})))
            by_hand = timed(lambda sql=sql: bare.execute(sql).fetchall())
            ratio = percentile(total, 0.5) / percentile(by_hand, 0.5)
            kept = kept and percentile(compiling, 0.5) <= GOAL_COMPILE_MS
            print(
                f"{name:26} compile p50 {percentile(compiling, 0.5):.2f} ms  total p50 {percentile(total, 0.5):.1f} ms"
                f"  by hand p50 {percentile(by_hand, 0.5):.1f} ms  ratio {ratio:.2f}"
            )
    print(f"goal: compile p50 <= {GOAL_COMPILE_MS:g} ms: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
