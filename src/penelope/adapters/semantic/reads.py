"""Which dimensions a measure or a segment is made from: for policies, which mask columns and not what is counted of them."""

from collections.abc import Mapping

from penelope.adapters.semantic.columns import ByColumn, Column
from penelope.adapters.semantic.shape import Definition, Shape
from penelope.adapters.semantic.targets import target, targets
from penelope.domain.semantics import MemberKind


def reads(shape: Shape) -> Mapping[str, frozenset[str]]:
    """By the name of each measure and segment: the names of the dimensions that share a column with its formula."""
    columns = {name: _columns(shape, item.definition) for name, item in shape.exposed.items()}
    kinds = {name: item.definition.kind for name, item in shape.exposed.items()}
    dimensions = ByColumn({name: columns[name] for name in columns if kinds[name] is MemberKind.DIMENSION})
    return {
        name: dimensions.sharing(columns[name]) for name in columns if kinds[name] is not MemberKind.DIMENSION
    }


def _columns(shape: Shape, definition: Definition) -> frozenset[Column]:
    found: set[Column] = set()
    for sql in definition.expressions:
        for before, column in sql.columns:
            cube = definition.cube if before is None else target(shape.cubes, definition.cube, before).cube
            found.add((cube, column))
        for item in targets(shape.cubes, definition.cube, sql):
            if item.member is not None:
                found |= _columns(shape, item.member)
    return frozenset(found)
