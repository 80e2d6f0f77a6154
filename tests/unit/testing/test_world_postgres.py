import asyncio
from pathlib import Path

from carrying import tried

from penelope.testing.world_postgres import ConnectionPoolWorld, MissingIndexWorld, RunawayQueryWorld


def test_a_runaway_query_holds_customers_up_until_it_is_ended(tmp_path: Path) -> None:
    world = RunawayQueryWorld()
    params = {"older_than_seconds": 0.3, "application": "monthly-report", "at_most": 1}
    asyncio.run(tried(world, [("database", "terminate_query", params)], tmp_path))


def test_a_lookup_is_slow_until_its_index_is_made(tmp_path: Path) -> None:
    params = {"table": "orders", "columns": ["customer_id"], "name": "penelope_orders_customer_id"}
    asyncio.run(tried(MissingIndexWorld(), [("database", "create_index", params)], tmp_path))


def test_leaked_connections_keep_the_shop_out_until_they_are_ended(tmp_path: Path) -> None:
    params = {"application": "importer", "idle_seconds": 0.3}
    asyncio.run(tried(ConnectionPoolWorld(), [("database", "recycle_connections", params)], tmp_path))
