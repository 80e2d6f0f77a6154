"""A DuckDB that can read one file, or one folder of Parquet files, and do nothing else."""

import threading
from pathlib import Path

import duckdb

from penelope.errors import Unavailable

_CLOSED = (
    "SET GLOBAL TimeZone = 'UTC'",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)
Stamp = tuple[int, int, int]


class Database:
    """Opened when it is first asked for, and anew when the file was replaced. Made for many threads.

    `memory_bytes` bounds all queries together; nothing is ever spilled to a disk.
    """

    def __init__(self, path: Path, *, memory_bytes: int, threads: int) -> None:
        self._path = path
        self._config = {
            "memory_limit": f"{memory_bytes // 1_000_000}MB",
            "threads": str(threads),
            "temp_directory": "",
        }
        self._lock = threading.Lock()
        self._open: duckdb.DuckDBPyConnection | None = None
        self._stamp: Stamp | None = None
        self._schema = "memory"

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of one's own to what lies there now. Raises Unavailable."""
        with self._lock:
            try:
                stamp = self._seen()
                if self._open is None or stamp != self._stamp:
                    # What was open is not closed: cursors that are at work keep it until they are done.
                    self._open, self._stamp = self._opened(), stamp
                cursor = self._open.cursor()
                # A cursor is a connection of its own, which begins in the empty database.
                cursor.execute(f"USE {self._schema}")
            except (OSError, duckdb.Error) as error:
                raise Unavailable(
                    f"the warehouse {self._path.name} cannot be opened",
                    hint="Check semantic.database.",
                ) from error
            return cursor

    def close(self) -> None:
        """Once no cursor is at work any more."""
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _seen(self) -> Stamp:
        files = sorted(self._path.glob("*.parquet")) if self._path.is_dir() else [self._path]
        states = [file.stat() for file in files]
        if not states:
            raise FileNotFoundError(self._path)
        return (
            hash(tuple((state.st_ino, state.st_dev) for state in states)),
            max(state.st_mtime_ns for state in states),
            sum(state.st_size for state in states),
        )

    def _opened(self) -> duckdb.DuckDBPyConnection:
        # Attached, not opened: one process can open a file only with one configuration, and others may look at it too.
        connection = duckdb.connect(":memory:", config=dict(self._config))
        if self._path.is_dir():
            self._show_parquet(connection)
            self._schema = "memory"
        else:
            connection.execute(f"ATTACH {_text(str(self._path))} AS warehouse (READ_ONLY)")
            self._schema = "warehouse"
        for statement in _CLOSED:
            connection.execute(statement)
        return connection

    def _show_parquet(self, connection: duckdb.DuckDBPyConnection) -> None:
        """A view for every file, under its name. The folder stays readable when everything else is shut."""
        folder = str(self._path.resolve())
        connection.execute(f"SET allowed_directories = [{_text(folder)}]")
        for file in sorted(self._path.glob("*.parquet")):
            name = file.stem.replace('"', '""')
            source = _text(str(file.resolve()))
            connection.execute(f'CREATE VIEW "{name}" AS SELECT * FROM read_parquet({source})')  # noqa: S608 - the name is quoted


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
