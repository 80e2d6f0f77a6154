"""Changes stored history behind Penelope's back, as who owns the file can: the guards give way, and stand again after it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine

from penelope.store import guards


@contextmanager
def unguarded(file: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{file}")
    try:
        with engine.begin() as connection:
            guards.remove(connection)
            yield connection
            guards.install(connection)
    finally:
        engine.dispose()
