"""Runs inside a sandbox: makes a PostgreSQL from a dump, then leads whoever connects from outside to it.

A script of its own, run by the bare interpreter. It is called with the path of its order, a JSON object (see
`pg_scratch.py`), the number of a socket that listens outside, and that of a pipe, on which it says `ready`, or why not.
What comes from outside comes by that socket alone; the server itself listens where only the sandbox reaches it.
"""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import Any

_SOCKETS = "/tmp"  # noqa: S108 - the sandbox's own
_ADMIN, _USER, _BASE = "penelope_admin", "penelope_twin", "base"
_START_SECONDS = 60.0
_MOST_SAID = 300
_CHUNK = 65536
_ENTRY = re.compile(rb"\d+; \d+ \d+ (SCHEMA|EXTENSION) - ")


class Trouble(Exception):
    """Why there is no server."""


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as stream:  # noqa: PTH123 - no pathlib: it starts slowly
        order: dict[str, Any] = json.load(stream)
    outside = socket.socket(fileno=int(sys.argv[2]))
    try:
        server = started(order)
        restored(order)
        shut(order, server)
        word = "ready"
    except (Trouble, OSError, subprocess.SubprocessError) as error:
        server, word = None, str(error)
    plain = "".join(character if character.isprintable() else " " for character in word)
    os.write(int(sys.argv[3]), f"{plain[:_MOST_SAID]}\n".encode("utf-8", "replace"))
    if server is None:
        sys.exit(1)
    asyncio.run(led(outside, server))
    sys.exit(server.returncode)


def run(order: dict[str, Any], program: str, *argv: str, feed: str = os.devnull, shows: bool = True) -> bytes:
    with open(feed, "rb") as stream:  # noqa: PTH123 - no pathlib: it starts slowly
        ran = subprocess.run(  # noqa: S603 - this is what the sandbox is for
            [f"{order['programs']}/{program}", *argv], stdin=stream, capture_output=True, check=False
        )
    if ran.returncode:
        lines = ran.stderr.decode("utf-8", "replace").splitlines()
        said = next((line for line in lines if "rror: " in line or "ERROR" in line or "FATAL" in line), "")
        raise Trouble(f"{program} ends with {ran.returncode}" + (f": {said}" if shows else ""))
    return ran.stdout


def ask(order: dict[str, Any], sql: str, *, user: str = _ADMIN, database: str = "postgres") -> bytes:
    return run(order, "psql", *_where(user, database), "-XAtqc", sql)


def _where(user: str, database: str) -> tuple[str, ...]:
    return ("-h", _SOCKETS, "-U", user, "-w", "-d", database)


def started(order: dict[str, Any]) -> "subprocess.Popen[bytes]":
    data = order["data"]
    run(
        order, "initdb", "-D", data, "-U", _ADMIN, "-A", "trust", "--encoding=UTF8", "--locale=C", "--no-sync",
        "--no-instructions", "--wal-segsize=1",
    )  # fmt: skip
    settings = [part for name, value in order["settings"].items() for part in ("-c", f"{name}={value}")]
    server = subprocess.Popen(  # noqa: S603 - this is what the sandbox is for
        [f"{order['programs']}/postgres", "-D", data, "-k", _SOCKETS, *settings],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            ask(order, "SELECT 1")
        except Trouble:
            time.sleep(0.05)
        else:
            return server
    raise Trouble("the server does not start")


def restored(order: dict[str, Any]) -> None:
    """All of it as an ordinary role, but for extensions, which not every role may make."""
    for batch in batches([f"CREATE ROLE {quoted(name)} NOLOGIN" for name in order["roles"]]):
        ask(order, batch)
    ask(order, f"CREATE ROLE {_USER} LOGIN CREATEDB")
    ask(order, f"GRANT SET ON PARAMETER session_replication_role TO {_USER}")
    ask(order, f"CREATE DATABASE {_BASE} OWNER {_USER} TEMPLATE template0")
    listed = run(order, "pg_restore", "--list", order["dump"]).splitlines() if order["dump"] else []
    parts: dict[str, list[bytes]] = {"SCHEMA": [], "EXTENSION": [], "": []}
    for line in listed:
        if line[:1].isdigit():
            kind = _ENTRY.match(line)
            parts[kind[1].decode() if kind else ""].append(line)
    for part, user in (("SCHEMA", _USER), ("EXTENSION", _ADMIN), ("", _USER)):
        if parts[part]:
            listing = f"{order['data']}.{part or 'rest'}"
            with open(listing, "wb") as stream:  # noqa: PTH123 - no pathlib: it starts slowly
                stream.write(b"\n".join([*parts[part], b""]))
            run(
                order, "pg_restore", *_where(user, _BASE), "--no-owner", "--no-privileges", "--single-transaction",
                "--exit-on-error", f"--use-list={listing}", order["dump"],
            )  # fmt: skip
    for rows in order["rows"]:
        # Sampled rows may refer to rows that were not: their triggers, and so the foreign keys, are not asked.
        commands = ("SET session_replication_role = replica", rows["sql"])
        told = [part for command in commands for part in ("-c", command)]
        place = _where(_USER, _BASE)
        try:
            run(order, "psql", *place, "-Xq", "-v", "ON_ERROR_STOP=1", *told, feed=rows["file"], shows=False)
        except Trouble as error:
            # What is wrong with a row cannot be said without showing it.
            raise Trouble(f"the sample of {rows['table']} cannot be loaded: {error}") from error
    counted = [
        f"SELECT setval({literal(name)}::regclass, {int(value)})" for name, value in order["sequences"]
    ]
    for batch in batches(counted):
        ask(order, batch, user=_USER, database=_BASE)


def shut(order: dict[str, Any], server: "subprocess.Popen[bytes]") -> None:
    """From here on nobody is let in but the ordinary role."""
    with open(f"{order['data']}/pg_hba.conf", "w", encoding="ascii") as stream:  # noqa: PTH123 - as above
        stream.write(f"local all {_USER} trust\n")
    server.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            ask(order, "SELECT 1")
        except Trouble:
            return
        time.sleep(0.05)
    raise Trouble("the server does not read its rules again")


def batches(statements: list[str]) -> list[str]:
    """An argument may be so long only."""
    return ["; ".join(statements[start : start + 200]) for start in range(0, len(statements), 200)]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def led(outside: socket.socket, server: "subprocess.Popen[bytes]") -> None:
    """Until the server ends. Without a thread for each: whoever comes in a crowd is not to use up what others need."""
    async with await asyncio.start_unix_server(lead, sock=outside):
        while server.poll() is None:  # noqa: ASYNC110 - nothing tells when it ends
            await asyncio.sleep(0.1)


async def lead(there: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    try:
        here, forth = await asyncio.open_unix_connection(f"{_SOCKETS}/.s.PGSQL.5432")
    except OSError:
        back.close()
        return
    await asyncio.gather(pumped(there, forth), pumped(here, back))


async def pumped(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(_CHUNK):
            sink.write(chunk)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


if __name__ == "__main__":
    main()
