"""What waits to be said, and the proofs of words that were taken, in their tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import orjson
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.notice import Notice, NoticeKind, NoticeState
from penelope.kit.clock import timestamp
from penelope.store.session import Session
from penelope.store.tables import notices

_COLUMNS = ("id", "kind", "about", "incident", "due_at", "channels", "attempts", "state")
_WAITING = f"state = '{NoticeState.WAITING.value}'"


@dataclass(frozen=True, slots=True)
class _Statements:
    add: str
    """the columns of a notice"""
    claim: str
    """until, now, limit -> columns of notices"""
    settle: str
    """due, channels, attempts, state, id"""
    spend: str
    """token, expiry -> the token, if it was not there"""
    forget: str
    """a moment: tokens that had expired before it"""


@cache
def _statements(dialect: str) -> _Statements:
    lock, place = ("", "?") if dialect == "sqlite" else ("FOR UPDATE SKIP LOCKED", "%s")
    columns = ", ".join(_COLUMNS)
    marks = ", ".join("?" for _ in _COLUMNS)
    texts = {
        "add": f"INSERT INTO notices ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING",  # noqa: S608 - our own names
        "claim": (
            f"UPDATE notices SET due_at = ? WHERE id IN (SELECT id FROM notices WHERE {_WAITING} "  # noqa: S608 - our own names
            f"AND due_at <= ? ORDER BY due_at LIMIT ? {lock}) RETURNING {columns}"
        ),
        "settle": f"UPDATE notices SET due_at = ?, channels = ?, attempts = ?, state = ? WHERE id = ? AND {_WAITING}",  # noqa: S608 - our own names
        "spend": "INSERT INTO spent_tokens (id, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING id",
        "forget": "DELETE FROM spent_tokens WHERE expires_at < ?",
    }
    return _Statements(**{name: text.replace("?", place) for name, text in texts.items()})


class SqlOutbox:
    """Fulfils flow's Outbox in the transaction that a session is in."""

    def __init__(self, session: Session, dialect: str, now: datetime) -> None:
        self._session = session
        self._sql = _statements(dialect)
        self._now = now

    async def add(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            await self._session.rows(self._sql.add, *_row(notice))

    async def claim(self, until: datetime, limit: int) -> Sequence[Notice]:
        found = await self._session.rows(self._sql.claim, timestamp(until), timestamp(self._now), limit)
        return [_notice(row) for row in found]

    async def settle(self, notice: Notice) -> None:
        kept = (timestamp(notice.due_at), _as_text(notice.channels), notice.attempts, notice.state.value)
        await self._session.rows(self._sql.settle, *kept, notice.id)

    async def spend(self, token: str, expires_at: datetime) -> bool:
        # What has expired is refused for that, so that nothing needs to be remembered of it.
        await self._session.rows(self._sql.forget, timestamp(self._now))
        return bool(await self._session.rows(self._sql.spend, token, timestamp(expires_at)))


class SqlDue:
    """Fulfils flow's DueReader."""

    def __init__(self, reader: AsyncEngine) -> None:
        self._reader = reader

    async def any_due(self, now: datetime) -> bool:
        due = select(func.count()).select_from(
            select(notices.c.id)
            .where(notices.c.state == NoticeState.WAITING.value, notices.c.due_at <= timestamp(now))
            .limit(1)
            .subquery()
        )
        async with self._reader.connect() as connection:
            return bool(await connection.scalar(due))


def _row(notice: Notice) -> tuple[Any, ...]:
    return (
        notice.id,
        notice.kind.value,
        notice.about,
        notice.incident,
        timestamp(notice.due_at),
        _as_text(notice.channels),
        notice.attempts,
        notice.state.value,
    )


def _notice(row: Sequence[Any]) -> Notice:
    identifier, kind, about, incident, due_at, channels, attempts, state = row
    return Notice(
        id=identifier,
        kind=NoticeKind(kind),
        about=about,
        incident=incident,
        due_at=datetime.fromisoformat(due_at),
        channels=tuple(orjson.loads(channels)),
        attempts=attempts,
        state=NoticeState(state),
    )


def _as_text(channels: Sequence[str]) -> str:
    return orjson.dumps(list(channels)).decode()
