"""How fast the sequencer takes entries into the log and telemetry reaches the database, beside hashing and bulk loading."""

import asyncio
import hashlib
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _ground import change, nobody, postgresql
from ledger_saves import rate

from penelope.domain.log import LogLine, LogRecord, LogType, line
from penelope.flow.sequencing import BATCH
from penelope.kit.clock import SystemClock
from penelope.store.bulk import LOG_COLUMNS
from penelope.store.database import migrate, open_connection, open_engine, parse_url
from penelope.store.group import GroupCommit
from penelope.store.log import SqlLog
from penelope.store.logs import SqlLogs
from penelope.store.transaction import SqlTransaction

ENTRIES = 50_000
LOG_ROWS = 50_000
LOG_BATCH = 1000
ROUNDS = 3
PAUSE_SECONDS = 0.25
"""Between two rounds of a sequencer that keeps up; the server's own setting is 1 s."""


def node_hash_rate() -> float:
    """Hashes of two nodes into one, a second."""
    sha256, node, number = hashlib.sha256, b"\x01" + bytes(64), 300_000
    begun = time.perf_counter()
    for _ in range(number):
        sha256(node).digest()
    return number / (time.perf_counter() - begun)


async def fill(url: str) -> None:
    engine = open_engine(parse_url(url))
    await migrate(engine)
    for start in range(0, ENTRIES, 1000):
        async with engine.begin() as connection:
            transaction = SqlTransaction(connection, datetime.now(UTC))
            await transaction.save(*(change(start + number) for number in range(1000)))
    await engine.dispose()


async def sequence(url: str) -> float:
    """Leaves a second."""
    engine = open_engine(parse_url(url))
    log, begun, count = SqlLog(engine, engine, "bench.example/log"), time.perf_counter(), 0
    while (done := await log.integrate(BATCH)) is not None and done.added:
        count += done.added
    spent = time.perf_counter() - begun
    await engine.dispose()
    return count / spent


async def writers(url: str) -> tuple[float, float, int]:
    """Saves a second of 16 callers alone, and while a sequencer keeps up with them; and how far that came."""
    engine = open_engine(parse_url(url))
    group, log = GroupCommit(engine, SystemClock(), nobody()), SqlLog(engine, engine, "bench.example/log")
    await rate(group, 16, 0.5)
    alone, beside = [], []
    taken = 0

    async def keep_up() -> None:
        nonlocal taken
        while True:
            done = await log.integrate(BATCH)
            taken += 0 if done is None else done.added
            await asyncio.sleep(0 if done is not None and done.added == BATCH else PAUSE_SECONDS)

    for _ in range(ROUNDS):
        alone.append((await rate(group, 16, 1.0))[0])
        while (done := await log.integrate(BATCH)) is not None and done.added:
            pass  # what was written while it slept is not what it has to keep up with
        task = asyncio.create_task(keep_up())
        beside.append((await rate(group, 16, 1.0))[0])
        task.cancel()
        await asyncio.wait([task])
    await group.close()
    await engine.dispose()
    return statistics.median(alone), statistics.median(beside), taken


async def telemetry(url: str) -> tuple[float, float]:
    """Rows a second through the sink of the buffer, and through the driver's fastest bulk path, into like tables."""
    records = [
        LogRecord(LogType.TELEMETRY, "Looked", {"weight": number % 100, "step": "hold"}, f"inc-{number}")
        for number in range(LOG_ROWS)
    ]
    lines = [line(record) for record in records]
    batches = [lines[start : start + LOG_BATCH] for start in range(0, LOG_ROWS, LOG_BATCH)]
    engine = open_engine(parse_url(url))
    sink = SqlLogs(engine, SystemClock())
    ours, raw = [], []
    for number in range(ROUNDS):
        begun = time.perf_counter()
        for place, batch in enumerate(batches):
            await sink.write(f"bench-{number}-{place}-{time.time_ns()}", batch)
        ours.append(LOG_ROWS / (time.perf_counter() - begun))
        begun = time.perf_counter()
        await bulk(engine, batches)
        raw.append(LOG_ROWS / (time.perf_counter() - begun))
    await engine.dispose()
    return statistics.median(ours), statistics.median(raw)


async def bulk(engine: Any, batches: Sequence[Sequence[LogLine]]) -> None:
    """Ready rows into a table of the same columns and indexes, a transaction a batch."""
    rows = [[("2026-11-21T07:00:00.000000Z", *each[1:]) for each in batch] for batch in batches]
    names = ", ".join(LOG_COLUMNS)
    if engine.dialect.name == "sqlite":
        connection = open_connection(engine.url)
        _make_like_table(connection)
        marks = ", ".join("?" * len(LOG_COLUMNS))
        for batch in rows:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT INTO raw_logs ({names}) VALUES ({marks})", batch)
            connection.execute("COMMIT")
        connection.close()
        return
    async with engine.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        await raw.execute(
            "CREATE TABLE IF NOT EXISTS raw_logs (LIKE interaction_logs INCLUDING INDEXES INCLUDING IDENTITY)"
        )
        await raw.commit()
        for batch in rows:
            async with raw.cursor() as cursor, cursor.copy(f"COPY raw_logs ({names}) FROM STDIN") as copy:
                for row in batch:
                    await copy.write_row(row)
            await raw.commit()


def _make_like_table(connection: sqlite3.Connection) -> None:
    (text,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'interaction_logs'").fetchone()
    connection.execute(text.replace("interaction_logs", "raw_logs").replace("TABLE", "TABLE IF NOT EXISTS"))
    for name in ("log_type", "instance"):
        connection.execute(f"CREATE INDEX IF NOT EXISTS raw_{name} ON raw_logs ({name}, seq)")


def measure(url: str) -> None:
    asyncio.run(fill(url))
    raw = node_hash_rate()
    leaves = asyncio.run(sequence(url))
    print(f"  sequencer  {leaves:>9,.0f} leaves/s   raw node hash {raw:>10,.0f}/s   ratio {leaves / raw:.3f}")
    alone, beside, taken = asyncio.run(writers(url))
    print(
        f"  writers    {beside:>9,.0f} saves/s    alone {alone:>10,.0f}/s   ratio {beside / alone:.2f}   ({taken:,} leaves)"
    )
    ours, bulk_rate = asyncio.run(telemetry(url))
    print(
        f"  telemetry  {ours:>9,.0f} rows/s     bulk path {bulk_rate:>10,.0f}/s   ratio {ours / bulk_rate:.2f}"
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="penelope-bench-") as name:
        print("SQLite")
        measure(f"sqlite:///{Path(name)}/penelope.db")
    print("PostgreSQL")
    with postgresql() as url:
        measure(url)


if __name__ == "__main__":
    sys.exit(main())
