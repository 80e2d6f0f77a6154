"""What leaves the ledger: entries with their places in the log, and figures about it; the store fulfils the port."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import NamedTuple, Protocol

import orjson

from penelope.domain.work import Entry
from penelope.errors import InvalidRequest
from penelope.kit.clock import timestamp

FIELDS = ("event", "kind", "actor", "unit", "incident", "status_after")
"""What conditions can be about; `actor` is a name, or a pseudonym."""

_CONDITION = re.compile(rf"({'|'.join(FIELDS)})(!?=)(.{{0,200}})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Condition:
    """A field that must be, or must not be, of some value."""

    field: str
    value: str
    negated: bool = False

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """The condition that is written FIELD=VALUE or FIELD!=VALUE. Raises InvalidRequest."""
        found = _CONDITION.fullmatch(text)
        if found is None or "\0" in text:
            raise InvalidRequest(
                f"'{text[:80]}' is no condition",
                hint=f"Write FIELD=VALUE or FIELD!=VALUE, where FIELD is one of {', '.join(FIELDS)}.",
            )
        return cls(found[1], found[3], negated=found[2] == "!=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries: recorded from `since`, before `until`, and of which all conditions hold.

    An entry is recorded at the moment its transaction began: one that is not committed yet may come to lie before
    others that were exported already.
    """

    since: datetime | None = None
    until: datetime | None = None
    where: Sequence[Condition] = ()


class Logged(NamedTuple):
    """An entry, and its index in the log; None while it has none yet."""

    place: int | None
    entry: Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What history holds: entries by event, payloads in the database, and when the oldest entry was recorded."""

    events: Mapping[str, int]
    payloads: int
    oldest: datetime | None

    @property
    def entries(self) -> int:
        return sum(self.events.values())


class HistoryReader(Protocol):
    """History as it is handed out."""

    def export(self, wanted: Wanted) -> AsyncIterator[Sequence[Logged]]:
        """Entries in order of time, page by page, so that memory stays flat however many there are."""

    async def story(self, incident: str) -> Sequence[Logged]:
        """All entries of an incident in log order, and last those that have no place yet."""

    async def figures(self) -> Figures:
        """Counts everything."""


Filler = Callable[[Sequence[Entry]], Awaitable[Sequence[Entry]]]
"""Gives entries back with the payloads that lie in the archive."""


class Recalled:
    """History with archived payloads; fulfils HistoryReader."""

    def __init__(self, history: HistoryReader, fill: Filler) -> None:
        self._history = history
        self._fill = fill

    async def export(self, wanted: Wanted) -> AsyncIterator[Sequence[Logged]]:
        async for page in self._history.export(wanted):
            yield await self._filled(page)

    async def story(self, incident: str) -> Sequence[Logged]:
        return await self._filled(await self._history.story(incident))

    async def figures(self) -> Figures:
        return await self._history.figures()

    async def _filled(self, page: Sequence[Logged]) -> list[Logged]:
        entries = await self._fill([each.entry for each in page])
        return [Logged(each.place, entry) for each, entry in zip(page, entries, strict=True)]


TOLD = frozenset({"answer", "look", "correction"})
"""Kinds of what the context told somebody under the policy, by which others may not be told it."""


def withheld(entry: Entry) -> Entry:
    """The same entry; without its payload, as if that were erased, if it is of what the context told: every proof still holds."""
    if entry.kind not in TOLD:
        return entry
    return replace(entry, actor="", reason="", details={}, patch=(), salt="")


_PAYLOAD = ("actor", "reason", "details", "patch", "salt")
_HEADER = tuple(
    field.name for field in fields(Entry) if field.name not in {*_PAYLOAD, "body", "seq", "recorded_at"}
)


def line(logged: Logged) -> bytes:
    """An entry as one line of JSON: its places, its header, its hash and its payload, which is null once erased."""
    entry = logged.entry
    record = {
        "index": logged.place,
        "seq": entry.seq,
        "recorded_at": timestamp(entry.recorded_at),
        **{name: getattr(entry, name) for name in _HEADER},
        **{name: None if entry.erased else getattr(entry, name) for name in _PAYLOAD},
    }
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
