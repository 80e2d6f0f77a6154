"""What a data model offers to those who ask."""

from penelope.adapters.semantic.reads import reads
from penelope.adapters.semantic.shape import Shape
from penelope.domain.semantics import Member, Model


def catalogue(shape: Shape) -> Model:
    """All cubes and views with their members."""
    return Model(
        members=tuple(
            Member(
                name=name,
                kind=item.definition.kind,
                type=item.definition.type,
                title=item.title,
                description=item.description,
                public=item.public,
                meta=item.meta,
            )
            for name, item in shape.exposed.items()
        ),
        views=frozenset(shape.routes),
        behind={
            name: item.definition.full_name
            for name, item in shape.exposed.items()
            if name != item.definition.full_name
        },
        joins={
            name: tuple(join.target for join in cube.joins)
            for name, cube in shape.cubes.items()
            if cube.joins
        },
        reads=reads(shape),
    )
