"""Which dimensions a measure or a segment is made from: for policies, which mask columns and not what is counted of them."""

from collections.abc import Mapping

from penelope.adapters.semantic.expression import WHOLE_ROW
from penelope.adapters.semantic.shape import Definition, Shape
from penelope.adapters.semantic.targets import target, targets
from penelope.domain.semantics import MemberKind

Column = tuple[str, str]


def reads(shape: Shape) -> Mapping[str, frozenset[str]]:
    """By the name of each measure and segment: the names of the dimensions that share a column with its formula."""
    columns = {name: _columns(shape, item.definition) for name, item in shape.exposed.items()}
    dimensions = {
        name: columns[name]
        for name, item in shape.exposed.items()
        if item.definition.kind is MemberKind.DIMENSION
    }
    return {
        name: frozenset(dimension for dimension, its in dimensions.items() if _share(columns[name], its))
        for name in columns.keys() - dimensions.keys()
    }


def _share(one: frozenset[Column], other: frozenset[Column]) -> bool:
    """A whole row has every column of its cube."""
    whole = {cube for cube, column in one | other if column == WHOLE_ROW}
    return bool(one & other) or bool(whole & {cube for cube, _ in one} & {cube for cube, _ in other})


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
