"""Where the names come from that a concept may be meant by."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from penelope.domain.access import Classification
from penelope.domain.concept import Definition
from penelope.domain.semantics import Model
from penelope.errors import DependencyError, InvalidQuery
from penelope.kit.canonical import Json
from penelope.rooms.context.names_of import MOST_NAMES, names_of
from penelope.rooms.context.ports import Graph
from penelope.rooms.context.registry import Registry

_Rows = Sequence[Mapping[str, Json]]


class RegistryOf(Protocol):
    """Makes the definitions of a model, and of whatever else defines something; `more` are those of the graph."""

    def __call__(self, model: Model, /, *, more: Iterable[Definition]) -> Registry: ...


async def read_names(
    guarded: Callable[[Callable[[], Awaitable[_Rows]]], Awaitable[_Rows]],
    graph: Graph,
    last: tuple[Definition, ...],
) -> tuple[Definition, ...]:
    """All that the graph has names for, before any policy; the `last` ones where nothing has changed, or where it cannot be
    asked.
    """
    parameters: Mapping[str, Json] = {"allowed": [each.value for each in Classification], "limit": MOST_NAMES}
    try:
        rows = await guarded(lambda: graph.ask("catalogue", parameters))
    except (DependencyError, InvalidQuery):
        return last
    found = names_of(rows)
    return last if found == last else found
