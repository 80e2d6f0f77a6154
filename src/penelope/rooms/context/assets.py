"""What a policy is told of the things that can be found."""

from collections import defaultdict
from collections.abc import Mapping

from penelope.domain.access import Asset, Classification
from penelope.domain.concept import Definition
from penelope.domain.passage import Document
from penelope.domain.semantics import Member, Model
from penelope.kit.canonical import Json

_HARM = (
    Classification.PUBLIC,
    Classification.INTERNAL,
    Classification.CONFIDENTIAL,
    Classification.PII,
    Classification.RESTRICTED,
)


def classification_of(told: Json) -> Classification:
    """Of a model's ``meta.classification``: CONFIDENTIAL where it says nothing, RESTRICTED where it says nonsense."""
    if told is None:
        return Classification.CONFIDENTIAL
    try:
        return Classification(told)
    except (ValueError, TypeError):
        return Classification.RESTRICTED


def cube_asset(model: Model, cube: str) -> Asset:
    """A cube or view with its members as columns. It is as harmful as the least harmful of them: the others are masked."""
    unknown = Asset(name=cube, kind="cube", classification=Classification.CONFIDENTIAL)
    return cube_assets(model).get(cube, unknown)


def cube_assets(model: Model) -> dict[str, Asset]:
    """`cube_asset` of all that have members, by name."""
    members: defaultdict[str, list[Member]] = defaultdict(list)
    for member in model.members:
        members[member.name.partition(".")[0]].append(member)
    return {
        cube: _cube(cube, its, "view" if cube in model.views else "cube") for cube, its in members.items()
    }


def _cube(name: str, members: list[Member], kind: str) -> Asset:
    columns = {member.name: classification_of(member.meta.get("classification")) for member in members}
    least = min(columns.values(), key=_HARM.index)
    return Asset(name=name, kind=kind, classification=least, owner=_owner(members), columns=columns)


def _owner(members: list[Member]) -> str:
    """Who owns all of them; nobody where they differ."""
    owners = {str(member.meta.get("owner") or "") for member in members}
    return owners.pop() if len(owners) == 1 else ""


def document_asset(document: Document) -> Asset:
    return Asset(
        name=document.id, kind="document", classification=document.classification, owner=document.owner
    )


def definition_asset(definition: Definition) -> Asset:
    return Asset(
        name=definition.name,
        kind=definition.kind.value,
        classification=definition.classification,
        owner=definition.owner,
    )


def row_assets(row: Mapping[str, Json]) -> list[Asset]:
    """All that a graph's row tells of: the node that it is about, or each thing on the way that it shows."""
    things = row.get("things")
    if not isinstance(things, list) or not things:
        return [row_asset(row)]
    return [row_asset(each if isinstance(each, dict) else {}) for each in things]


def row_asset(row: Mapping[str, Json]) -> Asset:
    """Of a graph's row about a node; one that does not say how harmful it is counts as restricted."""
    told = row.get("classification")
    return Asset(
        name=str(row.get("id", "")),
        kind="node",
        classification=Classification.RESTRICTED if told is None else classification_of(told),
    )
