"""Makes definitions of what the graph has names for."""

from collections.abc import Iterable, Iterator, Mapping

from penelope.domain.concept import Definition, DefinitionKind
from penelope.kit.canonical import Json
from penelope.rooms.context.assets import row_asset

MOST_NAMES = 20_000
"""Names that are read of a graph; those beyond, by the order of their ids, are found by asking the graph alone."""

_KINDS = {
    "Service": DefinitionKind.SERVICE,
    "Team": DefinitionKind.TEAM,
    "Dataset": DefinitionKind.DATASET,
    "Dashboard": DefinitionKind.DASHBOARD,
    "Runbook": DefinitionKind.RUNBOOK,
}


def names_of(rows: Iterable[Mapping[str, Json]]) -> tuple[Definition, ...]:
    """The definitions of rows of the query `catalogue`, in their order.

    Only things whose id begins with their kind, as ``service:checkout``, are taken: documents, tables and playbooks that
    are in the graph too are known from where they came from, and would be found twice.
    """
    return tuple(_definitions(rows))


def _definitions(rows: Iterable[Mapping[str, Json]]) -> Iterator[Definition]:
    for row in rows:
        kind = _KINDS.get(str(row.get("kind")))
        asset = row_asset(row)
        prefix, _, bare = asset.name.partition(":")
        if kind is None or prefix != kind.value or not bare:
            continue
        yield Definition(
            name=asset.name,
            kind=kind,
            title=str(row.get("name") or bare),
            # Of a service and a team of one name the service is more likely meant.
            certified=kind is DefinitionKind.SERVICE,
            classification=asset.classification,
            source="graph",
        )
