"""Worlds of a real PostgreSQL: a runaway query, a missing index, a pool of connections that leaks."""

import asyncio
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from penelope.domain.service import Service, Target
from penelope.errors import Unavailable
from penelope.kit.canonical import Json
from penelope.testing.servers import PostgresServer
from penelope.testing.worlds import World

if TYPE_CHECKING:
    import psycopg

_APP, _MEDIC = "shop_app", "penelope_medic"
_ROLES = f"""
CREATE ROLE {_APP} LOGIN;
CREATE ROLE {_MEDIC} LOGIN IN ROLE pg_signal_backend, pg_read_all_stats;
GRANT CREATE, USAGE ON SCHEMA public TO {_MEDIC};
"""
_SHOW_SECONDS = 10.0


class PostgresWorld(World):
    """A database with an application's role, and one of Penelope's that may do no more than the playbook needs."""

    thing = "a real PostgreSQL from a wheel"
    real = True
    tables: ClassVar[str]
    """Makes the tables; the role of Penelope is there already."""
    options: ClassVar[Mapping[str, Json]] = {}

    def __init__(self) -> None:
        self._server = PostgresServer()

    async def open(self, folder: Path) -> None:  # noqa: ARG002 - as root it runs as another user, who may not go there
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        try:
            import psycopg  # noqa: F401, PLC0415 - only who tries this world needs it
        except ImportError as error:
            raise Unavailable("psycopg is not installed: pip install 'penelope-ops[postgres]'") from error
        self._server.start()
        with self.connected() as server:
            server.execute(_ROLES.encode())
            server.execute(self.tables.encode())
        self.mend()

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._server.url:
            with suppress(Exception):
                self.leave()
        self._server.stop()

    async def reset(self) -> None:
        await asyncio.to_thread(self._reset)

    def _reset(self) -> None:
        self.leave()
        with self.connected() as server:
            # What a killed Penelope had begun goes on in the server until somebody ends it.
            _end(server, _MEDIC)
        self.mend()

    async def break_it(self) -> None:
        await asyncio.to_thread(self.spoil)

    def mend(self) -> None:
        """Makes it as it was when it was opened."""

    def spoil(self) -> None:
        """Makes the fault, and returns once it shows."""
        raise NotImplementedError

    def leave(self) -> None:
        """Ends the application's connections."""
        with self.connected() as server:
            _end(server, _APP)

    def connected(self, user: str = "postgres", **settings: Any) -> "psycopg.Connection[tuple[Any, ...]]":
        import psycopg  # noqa: PLC0415 - as above

        return psycopg.connect(self._server.url, user=user, autocommit=True, connect_timeout=5, **settings)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connected() as server:
            return list(server.execute(sql.encode()).fetchall())

    def service(self) -> Service:
        url = self._server.url.replace("postgres:@", f"{_MEDIC}@").replace("postgres@", f"{_MEDIC}@")
        target = Target(name="database", service="shop", adapter="sql", options={"url": url, **self.options})
        return Service(name="shop", owner="team-shop", tier=2, targets={"database": target})


class RunawayQueryWorld(PostgresWorld):
    """A report holds locks on the orders while it runs for ever; the shop's customers cannot order meanwhile."""

    playbook = "kill-runaway-query"
    signal_name = "PostgresLongRunningQuery"
    labels: ClassVar[Mapping[str, str]] = {"application": "monthly-report", "older_than_seconds": "0.3"}
    tables = f"""
    CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL);
    INSERT INTO orders SELECT n, n * 10 FROM generate_series(1, 5) AS n;
    GRANT SELECT, UPDATE ON orders TO {_APP};
    """  # noqa: S608 - constants

    def __init__(self) -> None:
        super().__init__()
        self._ended = 0
        self._runners: list[threading.Thread] = []

    def mend(self) -> None:
        self._ended = 0

    def spoil(self) -> None:
        connection = self.connected(_APP, application_name="monthly-report")
        runner = threading.Thread(target=self._run, args=[connection], daemon=True)
        self._runners.append(runner)
        runner.start()
        seen = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'monthly-report'"
        self._until(f"{seen} AND state = 'active' AND clock_timestamp() - query_start > interval '0.4 s'")

    def leave(self) -> None:
        super().leave()
        for runner in self._runners:
            runner.join(5)
        self._runners.clear()

    def _run(self, connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
        import psycopg  # noqa: PLC0415 - as above

        hog = "WITH touched AS (UPDATE orders SET total = 0 RETURNING id) SELECT pg_sleep(600) FROM touched"
        try:
            connection.execute(hog.encode())
        except psycopg.Error:
            self._ended += 1
        finally:
            connection.close()

    def _until(self, sql: str) -> None:
        deadline = time.monotonic() + _SHOW_SECONDS
        while not self.ask(sql):
            if time.monotonic() > deadline:
                raise Unavailable("the fault does not show")
            time.sleep(0.05)

    async def healthy(self) -> bool:
        return await asyncio.to_thread(self._served)

    def _served(self) -> bool:
        """Whether a customer's order gets through."""
        import psycopg  # noqa: PLC0415 - as above

        with self.connected(_APP, application_name="shop", options="-c lock_timeout=150ms") as customer:
            try:
                customer.execute("UPDATE orders SET total = total")
            except psycopg.errors.LockNotAvailable:
                return False
        return True

    async def state(self) -> Json:
        """The orders: a query that was ended cannot be put back, and what it wrote was rolled back."""
        rows = await asyncio.to_thread(self.ask, "SELECT id, total FROM orders ORDER BY id")
        return {"orders": [list(row) for row in rows]}

    async def effects(self) -> Mapping[str, int]:
        """Queries that did not come to their own end."""
        return {"ended": self._ended}


class MissingIndexWorld(PostgresWorld):
    """The orders of a customer are looked up without an index, through the whole table."""

    playbook = "add-missing-index"
    signal_name = "PostgresSlowQueries"
    labels: ClassVar[Mapping[str, str]] = {"table": "orders", "column": "customer_id"}
    tables = f"""
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, note text NOT NULL);
    INSERT INTO orders SELECT n, n % 2000, repeat('x', 60) FROM generate_series(1, 30000) AS n;
    ANALYZE orders;
    GRANT SELECT ON orders TO {_APP};
    ALTER TABLE orders OWNER TO {_MEDIC};
    """  # noqa: S608 - constants
    _indexes = """
    SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = 'orders'::regclass AND NOT i.indisprimary ORDER BY c.relname
    """

    def mend(self) -> None:
        self.spoil()
        with self.connected() as server:
            server.execute("CREATE INDEX orders_by_customer ON orders (customer_id)")

    def spoil(self) -> None:
        with self.connected() as server:
            for name, _, _ in server.execute(self._indexes.encode()).fetchall():
                server.execute(f'DROP INDEX "{name}"'.encode())

    async def healthy(self) -> bool:
        return await asyncio.to_thread(self._looked_up)

    def _looked_up(self) -> bool:
        """Whether the plan of the shop's own query goes by an index."""
        with self.connected(_APP) as shop:
            plan = shop.execute("EXPLAIN SELECT id, note FROM orders WHERE customer_id = 42").fetchall()
        return "Seq Scan" not in str(plan)

    async def state(self) -> Json:
        return {"indexes": [list(row) for row in await asyncio.to_thread(self.ask, self._indexes)]}


class ConnectionPoolWorld(PostgresWorld):
    """An importer opens connections and forgets them, until the shop gets none any more."""

    playbook = "recycle-connection-pool"
    signal_name = "PostgresConnectionsExhausted"
    labels: ClassVar[Mapping[str, str]] = {"application": "importer", "idle_seconds": "0.3"}
    most: ClassVar[int] = 12
    tables = f"""
    CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL);
    INSERT INTO orders VALUES (1, 10);
    GRANT SELECT, INSERT ON orders TO {_APP};
    ALTER ROLE {_APP} CONNECTION LIMIT {most};
    """  # noqa: S608 - constants

    def __init__(self) -> None:
        super().__init__()
        self._leaked: list[tuple[int, psycopg.Connection[tuple[Any, ...]]]] = []

    def spoil(self) -> None:
        for number in range(self.most):
            connection = self.connected(_APP, application_name="importer")
            if number % 3 == 0:
                # Forgotten in the middle of a transaction, whose row is never committed.
                connection.autocommit = False
                connection.execute("INSERT INTO orders VALUES (%s, 0)", [100 + number])
            self._leaked.append((connection.info.backend_pid, connection))
        time.sleep(0.35)

    def leave(self) -> None:
        super().leave()
        for _, connection in self._leaked:
            connection.close()
        self._leaked.clear()

    async def healthy(self) -> bool:
        return await asyncio.to_thread(self._let_in)

    def _let_in(self) -> bool:
        """Whether the shop gets a connection."""
        import psycopg  # noqa: PLC0415 - as above

        try:
            with self.connected(_APP, application_name="shop") as shop:
                return shop.execute("SELECT count(*) FROM orders").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    async def state(self) -> Json:
        """The orders: a connection that was ended cannot be put back, and what it had not committed never was."""
        rows = await asyncio.to_thread(self.ask, "SELECT id, total FROM orders ORDER BY id")
        return {"orders": [list(row) for row in rows]}

    async def effects(self) -> Mapping[str, int]:
        """Forgotten connections that were ended."""
        there = {pid for (pid,) in await asyncio.to_thread(self.ask, "SELECT pid FROM pg_stat_activity")}
        return {"ended": sum(pid not in there for pid, _ in self._leaked)}


def _end(server: "psycopg.Connection[tuple[Any, ...]]", role: str) -> None:
    """Ends all connections of a role, and waits until they are gone."""
    deadline = time.monotonic() + _SHOW_SECONDS
    told = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
    while server.execute(told, [role]).fetchall():
        if time.monotonic() > deadline:
            raise Unavailable("connections of the world do not end")
        time.sleep(0.02)
