"""What the database holds about a person who acted: to be found, and to be forgotten."""

from collections.abc import AsyncIterator, Collection, Sequence

import orjson
from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.work import UnitOfWork
from penelope.flow.erasing import CaseTexts, Payload
from penelope.kit.clock import Clock, timestamp
from penelope.store import rows, tables
from penelope.store.archive import SAME_ENTRY, clear

_entries, _payloads, _units = tables.units_of_work_history, tables.history_payloads, tables.units_of_work
_actors, _keys, _decisions = tables.local_actors, tables.api_keys, tables.decisions
_cases, _vectors = tables.past_cases, tables.case_vectors

_PAGE = 256
_PERSON = "key:"


class SqlPersons:
    """Fulfils flow's PersonStore."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock

    async def pseudonym(self, actor: str) -> str | None:
        async with self._reader.connect() as connection:
            found: str | None = await connection.scalar(select(_actors.c.id).where(_actors.c.name == actor))
        return found

    async def live_keys(self, actor: str) -> int:
        good = or_(_keys.c.expires_at.is_(None), _keys.c.expires_at > timestamp(self._clock.now()))
        query = (
            select(func.count())
            .select_from(_keys)
            .where(_keys.c.name == _key_of(actor), _keys.c.revoked_at.is_(None), good)
        )
        async with self._reader.connect() as connection:
            return int(await connection.scalar(query) or 0)

    async def payloads(self, actor: str, pseudonym: str) -> AsyncIterator[Sequence[Payload]]:
        """Looks at each payload: nobody asks so often that an index would pay."""
        after = 0
        while True:
            query = (
                select(_entries.c.seq, _entries.c.incident, _entries.c.actor_id, _payloads.c.body)
                .join(_payloads, SAME_ENTRY)
                .where(_entries.c.seq > after)
                .where(
                    or_(
                        _entries.c.incident.in_(_incidents(pseudonym)),
                        _payloads.c.body.contains(_named(actor), autoescape=True),
                    )
                )
                .order_by(_entries.c.seq)
                .limit(_PAGE)
            )
            async with self._reader.connect() as connection:
                page = [Payload(*row) for row in (await connection.execute(query)).all()]
            if not page:
                return
            yield page
            after = page[-1].seq

    async def units(self, actor: str, pseudonym: str) -> AsyncIterator[Sequence[UnitOfWork]]:
        after = ""
        while True:
            named = or_(
                _units.c.incident.in_(_incidents(pseudonym)),
                _units.c.attributes.contains(_named(actor), autoescape=True),
            )
            next_one = select(func.min(_units.c.incident)).where(named, _units.c.incident > after)
            async with self._reader.connect() as connection:
                incident = await connection.scalar(next_one)
                if incident is None:
                    break
                query = select(_units).where(_units.c.incident == incident).order_by(_units.c.id)
                found = (await connection.execute(query)).mappings().all()
            yield [rows.sound_unit_from(dict(row)) for row in found]
            after = incident
        async for page in self._of_no_incident(actor):
            yield page

    async def _of_no_incident(self, actor: str) -> AsyncIterator[Sequence[UnitOfWork]]:
        """Such as answers, which are many: only those that name the person."""
        after = ""
        while True:
            query = (
                select(_units)
                .where(_units.c.incident == "", _units.c.id > after)
                .where(_units.c.attributes.contains(_named(actor), autoescape=True))
                .order_by(_units.c.id)
                .limit(_PAGE)
            )
            async with self._reader.connect() as connection:
                found = (await connection.execute(query)).mappings().all()
            if not found:
                return
            yield [rows.sound_unit_from(dict(row)) for row in found]
            after = found[-1]["id"]

    async def remove(self, seqs: Sequence[int]) -> None:
        await clear(self._writer, select(_entries.c.unit, _entries.c.version).where(_entries.c.seq.in_(seqs)))

    async def cases(self, names: Collection[str]) -> Sequence[CaseTexts]:
        named = [_cases.c.summary.contains(name, autoescape=True) for name in sorted(names)]
        named += [_cases.c.labels.contains(_named(name), autoescape=True) for name in sorted(names)]
        query = select(_cases.c.incident, _cases.c.summary, _cases.c.labels).where(or_(*named))
        async with self._reader.connect() as connection:
            found = (await connection.execute(query)).all()
        return [CaseTexts(incident, summary, orjson.loads(labels)) for incident, summary, labels in found]

    async def rewrite(self, cases: Sequence[CaseTexts]) -> None:
        async with self._writer.begin() as connection:
            for case in cases:
                texts = {"summary": case.summary, "labels": rows.as_text(dict(case.labels))}
                await connection.execute(
                    update(_cases).where(_cases.c.incident == case.incident).values(texts)
                )
                await connection.execute(delete(_vectors).where(_vectors.c.incident == case.incident))

    async def forget(self, actor: str, pseudonym: str) -> None:
        name = f"erased-{pseudonym}"
        columns = (_decisions.c.actor, _decisions.c.overridden_by, _actors.c.name)
        async with self._writer.begin() as connection:
            key = _keys.c.name == _key_of(actor)
            await connection.execute(update(_keys).where(key).values(name=name, owner=None))
            for column in columns:
                await connection.execute(
                    update(column.table).where(column == actor).values({column: _PERSON + name})
                )


def _incidents(pseudonym: str) -> Select[tuple[str]]:
    """The incidents that the person had to do with."""
    return select(_entries.c.incident).where(_entries.c.actor_id == pseudonym)


def _key_of(actor: str) -> str | None:
    """The name of the actor's keys; None, which no key has, for whoever acts by other means."""
    return actor.removeprefix(_PERSON) if actor.startswith(_PERSON) else None


def _named(actor: str) -> str:
    """The name as it stands in canonical JSON."""
    return rows.as_text(actor)[1:-1]
