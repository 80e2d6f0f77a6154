"""The table in which a database itself remembers which actions are in effect in it."""

from dataclasses import dataclass

from penelope.adapters.actions.sql_session import Refused, Session, quoted

_SHAPES = {
    "postgresql": "(key text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),"
    " undone boolean NOT NULL DEFAULT false, effect text NOT NULL DEFAULT '')",
    "sqlite": "(key TEXT PRIMARY KEY, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,"
    " undone INTEGER NOT NULL DEFAULT FALSE, effect TEXT NOT NULL DEFAULT '')",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """`effect` is a hash of what the action left."""

    undone: bool
    effect: str


class Record:
    """Entries by the keys of actions. All but `make` belongs into the transaction of the change itself."""

    def __init__(self, session: Session, table: str) -> None:
        self._session = session
        self._table = table
        self._sql = f"{'public' if session.kind == 'postgresql' else 'main'}.{quoted(table)}"

    def make(self) -> None:
        """Makes the table where it is missing; two that do so at once both succeed."""
        if self._session.has_table(self._table):
            return
        try:
            self._session.run(f"CREATE TABLE IF NOT EXISTS {self._sql} {_SHAPES[self._session.kind]}")
        except Refused:
            if not self._session.has_table(self._table):
                raise

    def look(self, key: str, *, lock: bool = False) -> Entry | None:
        if not self._session.has_table(self._table):
            return None
        sql = f"SELECT undone, effect FROM {self._sql} WHERE key = {self._session.mark}"  # noqa: S608 - a quoted name
        found = self._session.query(sql + (self._session.locking if lock else ""), [key])
        return Entry(bool(found[0][0]), found[0][1]) if found else None

    def claim(self, key: str) -> bool:
        """Writes that the action is in effect; False where that was written already. Waits for another that is about
        to write it.
        """
        sql = (
            f"INSERT INTO {self._sql} AS was (key) VALUES ({self._session.mark})"  # noqa: S608 - a quoted name
            " ON CONFLICT (key) DO UPDATE SET undone = FALSE, effect = '' WHERE was.undone"
        )
        return self._session.run(sql, [key]) == 1

    def left(self, key: str, effect: str) -> None:
        mark = self._session.mark
        self._session.run(f"UPDATE {self._sql} SET effect = {mark} WHERE key = {mark}", [effect, key])  # noqa: S608 - a quoted name

    def undone(self, key: str) -> None:
        mark = self._session.mark
        self._session.run(f"UPDATE {self._sql} SET undone = TRUE WHERE key = {mark}", [key])  # noqa: S608 - a quoted name


def record_of(session: Session, table: str | None) -> Record | None:
    return None if table is None else Record(session, table)
