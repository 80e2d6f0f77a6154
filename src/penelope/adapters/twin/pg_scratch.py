"""A PostgreSQL of a rehearsal's own: it lives in a sandbox, in memory, and is gone with it."""

import asyncio
import json
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from penelope.adapters.twin import layout
from penelope.adapters.twin.copies import CannotCopy
from penelope.adapters.twin.limits import Limits
from penelope.adapters.twin.pg_programs import Programs
from penelope.adapters.twin.pg_source import DUMP, Dumped, plain
from penelope.adapters.twin.sandbox import Ended, Job, Sandbox, new_identity
from penelope.adapters.twin.workshop import workshop
from penelope.domain.service import Target
from penelope.errors import PenelopeError, Unavailable
from penelope.kit.canonical import Json

_RESTORE = "/restore"
_SOCKET = ".s.PGSQL.5432"
_BASE, _CHANGED = "base", "twin"
_ADMIN = "penelope_admin"
_STATEMENT_SECONDS = 30
_LATE_SECONDS = 0.5
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8MB",
    "min_wal_size": "2MB",
    "max_connections": "20",
    "max_worker_processes": "0",
    "max_parallel_workers": "0",
    "max_locks_per_transaction": "512",
    "shared_buffers": "8MB",
    "restart_after_crash": "off",
    "client_connection_check_interval": "500ms",
    "log_min_messages": "panic",
}


@dataclass(slots=True)
class Scratch:
    """One such server. What is restored stays as it is in one database; what a plan changes is a copy of that one."""

    folder: Path
    """Holds nothing but the socket."""
    notes: tuple[str, ...]
    _entry: int
    _running: "asyncio.Task[Ended]"

    USER = "penelope_twin"

    def options(self, target: Target) -> dict[str, Json]:
        """The options of the real target, led to the copy: without what lets anybody into the real one."""
        left = {
            name: value for name, value in target.options.items() if name not in {"url", "password", "twin"}
        }
        return {**left, "url": self._url(_CHANGED)}

    async def fresh(self) -> None:
        """The database that plans change, as it was restored."""
        await self._statements(_BASE_OF[_CHANGED])

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[str]:
        """The name of a copy of the database as it is now, for one command, which may change it."""
        name = f"check_{secrets.token_hex(4)}"
        await self._statements([_copy(name, _CHANGED)])
        try:
            yield name
        finally:
            if not self._running.done():
                with suppress(PenelopeError):  # whoever made it unusable has only harmed itself
                    await self._statements([f"DROP DATABASE {name} WITH (FORCE)"])

    async def trouble(self) -> str:
        """Why the server is gone; nothing while it runs. What loses its connection knows sooner than the sandbox's end."""
        await asyncio.wait({self._running}, timeout=_LATE_SECONDS)
        if not self._running.done() or self._running.cancelled():
            return ""
        error = self._running.exception()
        return str(error) if error else _said(self._running.result())

    def _url(self, database: str) -> str:
        # By the open folder, whose path may be too long for a socket. Nothing of the surroundings is to let us in.
        way = {
            "host": f"/proc/self/fd/{self._entry}",
            # Given, though empty: otherwise a variable, or a service file, might lead to a real server.
            "hostaddr": "",
            "port": "5432",
            "user": self.USER,
            "password": "none",
            "passfile": "/dev/null",
            "sslmode": "disable",
            "gssencmode": "disable",
        }
        return f"postgresql:///{database}?" + "&".join(
            f"{name}={quote(value)}" for name, value in way.items()
        )

    async def _statements(self, statements: Sequence[str]) -> None:
        """Raises Unavailable."""
        import psycopg  # noqa: PLC0415 - only an installation with the extra has it

        try:
            async with await psycopg.AsyncConnection.connect(
                self._url("postgres"), autocommit=True, connect_timeout=10, prepare_threshold=None
            ) as connection:
                await connection.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'")
                for statement in statements:
                    await connection.execute(statement.encode())
        except psycopg.Error as error:
            why = await self.trouble() or f"{type(error).__name__} {error.sqlstate or ''}".strip()
            raise Unavailable(f"the copy of the database does not answer: {why}") from None


def _copy(name: str, template: str) -> str:
    return f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"


_BASE_OF = {_CHANGED: (f"DROP DATABASE IF EXISTS {_CHANGED} WITH (FORCE)", _copy(_CHANGED, _BASE))}


Fill = Callable[[Path], Awaitable[Dumped]]


@asynccontextmanager
async def scratch(programs: Programs, fill: Fill, place: Path, limits: Limits) -> AsyncIterator[Scratch]:
    """A server that was made from what `fill` puts into a folder. `place` is a folder for it, that must not be there yet.
    Raises CannotCopy where it cannot be restored, and what `fill` raises.
    """
    dump, folder = place / "dump", place / "socket"
    for each in (place, dump, folder):
        each.mkdir()
    folder.chmod(0o755)
    told = await fill(dump)
    _write_order(dump, programs, told)
    identity = new_identity()
    (place / "passwd").write_text(f"twin:x:{identity}:{identity}:twin:/tmp:/bin/sh\n", encoding="ascii")
    (place / "passwd").chmod(0o644)
    entry = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX)
    heard, said = os.pipe()
    try:
        listener.bind(f"/proc/self/fd/{entry}/{_SOCKET}")
        # Commands in a sandbox of theirs connect as users of their own; the folder above lets nobody else in.
        os.chmod(f"/proc/self/fd/{entry}/{_SOCKET}", 0o777)  # noqa: S103, PTH101 - see above
        listener.listen()
        job = _job(programs, dump, place / "passwd", identity, (listener.fileno(), said))
        running = asyncio.ensure_future(Sandbox(limits).run(job))
        try:
            await _ready(running, heard)
            # Now it is the sandbox's alone: when that ends, nobody is kept waiting.
            listener.close()
            yield Scratch(folder, told.notes, entry, running)
        finally:
            running.cancel()
            await asyncio.wait({running})
    finally:
        listener.close()
        for descriptor in (heard, said, entry):
            os.close(descriptor)


async def tried(programs: Programs, limits: Limits) -> str:
    """Why there can be no such server here; nothing where an empty one was started and asked."""

    async def nothing(_: Path) -> Dumped:
        return Dumped(roles=(), sequences=(), rows=(), notes=())

    try:
        async with workshop() as folder, scratch(programs, nothing, folder / "server", limits) as server:
            await server.fresh()
    except CannotCopy as error:
        return str(error)
    except PenelopeError as error:
        return error.message
    except OSError as error:
        return f"a copy cannot be made: {error.strerror}"
    return ""


def _job(programs: Programs, dump: Path, passwd: Path, identity: int, handed: tuple[int, int]) -> Job:
    return Job(
        argv=(
            *(layout.interpreter(), "-I", "-S", "-B", f"{layout.INSIDE}/serving.py"),
            f"{_RESTORE}/order.json",
            *map(str, handed),
        ),
        copies={_RESTORE: dump},
        also=() if programs.folder.is_relative_to("/usr") else programs.needed,
        seen={"/etc/passwd": passwd},
        handed=handed,
        identity=identity,
        tiny_shared_memory=True,
    )


def _write_order(dump: Path, programs: Programs, told: Dumped) -> None:
    order: dict[str, Any] = {
        "programs": str(programs.folder),
        "data": f"{_RESTORE}/data",
        "dump": f"{_RESTORE}/{DUMP}" if (dump / DUMP).exists() else "",
        # From 18 on there would be processes that read for others.
        "settings": {**_SETTINGS, **({"io_method": "sync"} if programs.major >= 18 else {})},
        "roles": [name for name in told.roles if name not in {_ADMIN, Scratch.USER}],
        "rows": [{**row, "file": f"{_RESTORE}/{row['file']}"} for row in told.rows],
        "sequences": [list(each) for each in told.sequences],
    }
    (dump / "order.json").write_text(json.dumps(order), encoding="utf-8")


async def _ready(running: "asyncio.Task[Ended]", heard: int) -> None:
    """Raises CannotCopy where there will be no server."""
    reader = asyncio.StreamReader()
    with os.fdopen(os.dup(heard), "rb") as pipe:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        line = asyncio.ensure_future(reader.readline())
        try:
            await asyncio.wait({line, running}, return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                # What was said last may still be on its way.
                await asyncio.wait({line}, timeout=0.1)
            word = line.result().decode("utf-8", "replace").strip() if line.done() else ""
        except ValueError:
            word = "it says too much"
        finally:
            line.cancel()
            transport.close()
    if word == "ready":
        return
    why = plain(word) if word else _said(running.result())
    raise CannotCopy(f"the copy of the database cannot be made: {why}")


def _said(ended: Ended) -> str:
    return f"stopped by {ended.stopped}" if ended.stopped else f"it ended with {ended.code}"
