"""Cube (https://cube.dev) as the semantic layer, over its REST API: the same models and queries as on one machine."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from penelope.adapters.semantic.cube_answer import Offered, in_order, rows_of
from penelope.adapters.semantic.cube_client import CubeClient, CubeOptions
from penelope.adapters.semantic.cube_query import columns, filtered, member_of, order_of, to_cube
from penelope.adapters.semantic.cube_veil import CubeVeil
from penelope.domain.access import Masking
from penelope.domain.masking import mask
from penelope.domain.semantics import Model, SemanticQuery, Table
from penelope.errors import BadSettings, InvalidQuery, Timeout, Unavailable
from penelope.kit.canonical import Json, canonical
from penelope.kit.clock import Clock, SystemClock

_SHORTEST_KEY_BYTES = 16
_STRICTEST = (Masking.NULL, Masking.PARTIAL, Masking.HASH)
_MODEL_SECONDS = 30.0
_BESIDE_SECONDS = 1.0
"""How long an answer waits for what is told beside its rows."""


class CubeLayer:
    """A SemanticLayer. `mask_key` is what masks hash with. Reads only: whatever is cut off can be asked again.

    Cube takes no masks with a query, so a masked member's values are masked as they arrive, before anything else sees them.
    They group as they do unmasked. Where a view shows a masked member of a cube, or one is made from it, that is masked too.
    """

    def __init__(self, options: CubeOptions, mask_key: bytes, clock: Clock | None = None) -> None:
        """Raises BadSettings."""
        if len(mask_key) < _SHORTEST_KEY_BYTES:
            raise BadSettings(f"the key of masks must have at least {_SHORTEST_KEY_BYTES} bytes")
        self._client = CubeClient(options, clock or SystemClock())
        self._mask_key = mask_key
        self._known: tuple[float, Offered] | None = None

    async def model(self) -> Model:
        """As Cube tells it now: members that are not public are not in it."""
        async with self._client.in_time():
            return (await self._fetched()).model

    async def run(self, query: SemanticQuery, masks: Mapping[str, Masking]) -> Table:
        """The table of a query; the docstring of the port says the rest."""
        async with self._client.in_time():
            offer = await self._offered(query)
            masked = _of_query(query, masks, offer)
            body = to_cube(query, offer.members, masked)
            statement = asyncio.create_task(self._statement(body))
            as_of = asyncio.create_task(self._as_of(query, masks, offer))
            try:
                loaded = await self._client.load(body)
                await asyncio.wait({statement, as_of}, timeout=_BESIDE_SECONDS)
                return Table(
                    columns=columns(query),
                    rows=self._masked(
                        rows_of(loaded, columns(query), query.limit, offer.members), query, masked
                    ),
                    query=statement.result() if statement.done() else _as_text(body),
                    as_of=as_of.result() if as_of.done() else None,
                )
            finally:
                statement.cancel()
                as_of.cancel()

    async def statement(self, query: SemanticQuery) -> str:
        """The SQL that Cube makes of a query. Raises InvalidQuery; Unavailable, Timeout."""
        async with self._client.in_time():
            offer = await self._offered(query)
            return await self._client.statement(to_cube(query, offer.members, {}))

    def close(self) -> None:
        """Nothing stays open between two questions."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _offered(self, query: SemanticQuery) -> Offered:
        """Asked for anew where it is old, or where the query names what was not there."""
        known = self._known
        if known is not None and time.monotonic() - known[0] < _MODEL_SECONDS:
            offer = known[1]
            if _named(query) <= offer.members.keys():
                return offer
        return await self._fetched()

    async def _fetched(self) -> Offered:
        found = await self._client.offered()
        if self._known is not None and self._known[1].model == found.model:
            # The same object, so that whoever made something of it need not make it anew.
            found = replace(found, model=self._known[1].model)
        self._known = (time.monotonic(), found)
        return found

    async def _statement(self, body: Mapping[str, Json]) -> str:
        """What Cube runs; its own query where it does not say, for an answer does not depend on it."""
        try:
            return await self._client.statement(body)
        except (InvalidQuery, Unavailable, Timeout):
            return _as_text(body)

    async def _as_of(
        self, query: SemanticQuery, masks: Mapping[str, Masking], offer: Offered
    ) -> datetime | None:
        """When the stalest of the cubes that say so was last renewed; None where none does, or none can be asked."""
        cubes = {offer.behind.get(name, name).partition(".")[0] for name in _named(query)}
        measures = sorted({offer.renewed[cube] for cube in cubes & offer.renewed.keys()} - masks.keys())
        try:
            found = [await self._moment(name, offer) for name in measures]
        except (InvalidQuery, Unavailable, Timeout):
            return None
        return min((each for each in found if each is not None), default=None)

    async def _moment(self, measure: str, offer: Offered) -> datetime | None:
        query = SemanticQuery(measures=(measure,), limit=1)
        loaded = await self._client.load(to_cube(query, offer.members, {}))
        rows = rows_of(loaded, columns(query), query.limit, offer.members)
        if not rows or rows[0][0] is None:
            return None
        return datetime.fromisoformat(rows[0][0]).replace(tzinfo=UTC)

    def _masked(
        self, rows: Sequence[tuple[Json, ...]], query: SemanticQuery, masked: Mapping[str, Masking]
    ) -> tuple[tuple[Json, ...], ...]:
        wanted = columns(query)
        how = [masked.get(member_of(each)) for each in wanted]
        if not any(how):
            return tuple(rows)
        key = self._mask_key
        made = [
            tuple(mask(cell, by, key) if by else cell for cell, by in zip(row, how, strict=True))
            for row in rows
        ]
        # The order of what was there would tell of it.
        return tuple(in_order(made, order_of(query)))


def _as_text(body: Mapping[str, Json]) -> str:
    return canonical(body).decode()


def _named(query: SemanticQuery) -> set[str]:
    times = (each.dimension for each in query.time_dimensions)
    filters = (each.member for each in filtered(query.filters))
    return {*query.measures, *query.dimensions, *query.segments, *times, *filters}


def _of_query(query: SemanticQuery, masks: Mapping[str, Masking], offer: Offered) -> dict[str, Masking]:
    """The masks of the query's members: those of a cube's member hold for views that show it, and the other way around.

    Raises InvalidQuery for a mask of an unknown member: it might be a slip of the policy.
    """
    if not offer.members.keys() >= masks.keys():
        raise InvalidQuery("a mask is for a member that the data model does not have")
    by_path: dict[str, Masking] = {}
    for name, masking in masks.items():
        path = offer.behind.get(name, name)
        by_path[path] = min(masking, by_path.get(path, masking), key=_STRICTEST.index)
    veil = CubeVeil(offer.sql, by_path)
    found = {name: veil.of(offer.behind.get(name, name)) for name in _named(query)}
    return {name: masking for name, masking in found.items() if masking is not None}
