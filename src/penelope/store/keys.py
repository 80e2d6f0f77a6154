"""API keys in their table."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.flow.keys import Key, Scope
from penelope.kit.clock import timestamp
from penelope.store.tables import api_keys


class SqlKeys:
    """Fulfils flow's KeyStore. Reads go to the reading engine, so that no caller waits for a writer."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self._writer = writer
        self._reader = reader

    async def add(self, key: Key) -> None:
        values = {
            "id": key.id,
            "name": key.name,
            "scopes": " ".join(sorted(key.scopes)),
            "digest": key.digest,
            "owner": key.owner,
            "created_at": timestamp(key.created_at),
            "expires_at": None if key.expires_at is None else timestamp(key.expires_at),
        }
        async with self._writer.begin() as connection:
            await connection.execute(insert(api_keys).values(values))

    async def find(self, identifier: str) -> Key | None:
        async with self._reader.connect() as connection:
            found = await connection.execute(select(api_keys).where(api_keys.c.id == identifier))
            row = found.mappings().first()
        return None if row is None else _key(row)

    async def all(self) -> Sequence[Key]:
        async with self._reader.connect() as connection:
            found = await connection.execute(select(api_keys).order_by(api_keys.c.created_at))
            return [_key(row) for row in found.mappings()]

    async def revoke(self, identifier: str, at: datetime) -> bool:
        statement = update(api_keys).where(api_keys.c.id == identifier, api_keys.c.revoked_at.is_(None))
        async with self._writer.begin() as connection:
            result = await connection.execute(statement.values(revoked_at=timestamp(at)))
        return bool(result.rowcount)


def _key(row: Mapping[Any, Any]) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        scopes=frozenset(Scope(text) for text in row["scopes"].split()),
        digest=row["digest"],
        owner=row["owner"],
        created_at=datetime.fromisoformat(row["created_at"]),
        expires_at=_moment(row["expires_at"]),
        revoked_at=_moment(row["revoked_at"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
