"""Where the names come from that a concept may be meant by."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from penelope.domain.access import Classification
from penelope.domain.concept import Definition
from penelope.errors import DependencyError, InvalidQuery
from penelope.kit.canonical import Json
from penelope.rooms.context.names_of import MOST_NAMES, names_of
from penelope.rooms.context.ports import Graph

_Rows = Sequence[Mapping[str, Json]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the graph has names for, before any policy, and the rows that it was made of."""

    rows: _Rows = ()
    definitions: tuple[Definition, ...] = ()


async def read_names(
    guarded: Callable[[Callable[[], Awaitable[_Rows]]], Awaitable[_Rows]], graph: Graph, last: Names
) -> Names:
    """All names of the graph; the `last` ones, the same object, where nothing has changed or where it cannot be asked.

    Rows are compared and not what is made of them: 10,000 take 70 ms to make.
    """
    parameters: Mapping[str, Json] = {"allowed": [each.value for each in Classification], "limit": MOST_NAMES}
    try:
        rows = await guarded(lambda: graph.ask("catalogue", parameters))
    except (DependencyError, InvalidQuery):
        return last
    if rows == last.rows:
        return last
    return Names(rows=rows, definitions=await asyncio.to_thread(names_of, rows))
