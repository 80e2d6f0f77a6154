"""Leases of targets: taken, shown to be alive and given back in a transaction of the story."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache

from penelope.domain.lease import Lease
from penelope.kit.clock import timestamp
from penelope.store.session import Session

LEASE_COLUMNS = ("target", "holder", "incident", "fence", "since", "beat_at")
"""What `lease_from` reads, in its order."""


@dataclass(frozen=True, slots=True)
class _Statements:
    take: str
    """target, action, incident, moment, moment -> fence; nothing where another action holds the target"""
    holder: str
    """target -> target, action, incident, fence, since, beat"""
    beat: str
    """moment, target, action, fence -> target; nothing where the lease has passed on"""
    give_back: str
    """target, action"""
    give_back_all: str
    """incident"""


@cache
def _statements(dialect: str) -> _Statements:
    place = "?" if dialect == "sqlite" else "%s"
    columns = ", ".join(LEASE_COLUMNS)
    texts = {
        "take": (
            "INSERT INTO leases (target, holder, incident, fence, since, beat_at) VALUES (?, ?, ?, 1, ?, ?) "
            "ON CONFLICT (target) DO UPDATE SET holder = excluded.holder, incident = excluded.incident, "
            "fence = leases.fence + 1, since = excluded.since, beat_at = excluded.beat_at "
            "WHERE leases.holder IS NULL OR leases.holder = excluded.holder RETURNING fence"
        ),
        "holder": f"SELECT {columns} FROM leases WHERE target = ? AND holder IS NOT NULL",  # noqa: S608 - our own names
        "beat": "UPDATE leases SET beat_at = ? WHERE target = ? AND holder = ? AND fence = ? RETURNING target",
        "give_back": "UPDATE leases SET holder = NULL WHERE target = ? AND holder = ?",
        "give_back_all": "UPDATE leases SET holder = NULL WHERE incident = ? AND holder IS NOT NULL",
    }
    return _Statements(**{name: text.replace("?", place) for name, text in texts.items()})


class SqlLeases:
    """Fulfils flow's Leases."""

    def __init__(self, session: Session, dialect: str, now: datetime) -> None:
        self._session = session
        self._sql = _statements(dialect)
        self._now = now

    async def take(self, target: str, holder: str, incident: str) -> int | None:
        now = timestamp(self._now)
        found = await self._session.rows(self._sql.take, target, holder, incident, now, now)
        return int(found[0][0]) if found else None

    async def of(self, target: str) -> Lease | None:
        found = await self._session.rows(self._sql.holder, target)
        return lease_from(found[0]) if found else None

    async def beat(self, target: str, holder: str, fence: int) -> bool:
        found = await self._session.rows(self._sql.beat, timestamp(self._now), target, holder, fence)
        return bool(found)

    async def give_back(self, target: str, holder: str) -> None:
        await self._session.rows(self._sql.give_back, target, holder)

    async def give_back_all(self, incident: str) -> None:
        await self._session.rows(self._sql.give_back_all, incident)


def lease_from(row: tuple[object, ...]) -> Lease:
    target, holder, incident, fence, since, beat = map(str, row)
    return Lease(
        target=target,
        holder=holder,
        incident=incident,
        fence=int(fence),
        since=datetime.fromisoformat(since),
        beat_at=datetime.fromisoformat(beat),
    )
