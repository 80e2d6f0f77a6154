"""What the references of an expression point at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penelope.adapters.semantic.expression import CURRENT, Expression, Reference
from penelope.adapters.semantic.shape import Cube, Definition
from penelope.adapters.yaml_model import suggestion
from penelope.domain.semantics import Granularity, MemberKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A cube, or a member of it; `route` are the cubes that lead to it, none where it is in the cube itself."""

    cube: str
    member: Definition | None = None
    granularity: Granularity | None = None
    route: tuple[str, ...] = ()


def target(cubes: Mapping[str, Cube], home: str, reference: Reference) -> Target:
    """What a reference in cube `home` means. Raises ValueError where nothing is called that."""
    first, *rest = reference.path
    if first in {CURRENT, home}:
        current, route = home, []
    elif first in cubes:
        if not rest and first in cubes[home].members:
            raise ValueError(f"{reference} is both a cube and a member of {home}; write {{{home}.{first}}}")
        current, route = first, [first]
    else:
        current, route, rest = home, [], [first, *rest]
    while rest and rest[0] in cubes and rest[0] not in cubes[current].members:
        current = rest.pop(0)
        route.append(current)
    if not rest:
        return Target(cube=current, route=tuple(route))
    member = cubes[current].members.get(rest[0])
    if member is None:
        known = [*cubes[current].members, *cubes]
        raise ValueError(f"{reference} points at nothing{suggestion(rest[0], known)}")
    return Target(
        cube=current, member=member, granularity=_granularity(reference, member, rest[1:]), route=tuple(route)
    )


def _granularity(reference: Reference, member: Definition, rest: list[str]) -> Granularity | None:
    if not rest:
        return None
    is_time = member.kind is MemberKind.DIMENSION and member.type == "time"
    if len(rest) > 1 or not is_time or rest[0] not in set(Granularity):
        raise ValueError(f"{reference} points at nothing behind {member.full_name}")
    return Granularity(rest[0])


def targets(cubes: Mapping[str, Cube], home: str, sql: Expression) -> Iterator[Target]:
    """Those of all references of an expression, in its order."""
    for reference in sql.references:
        yield target(cubes, home, reference)


def refers_to_measures(cubes: Mapping[str, Cube], definition: Definition) -> bool:
    """Whether a calculated measure is made of other measures alone, so that it can be reckoned from what they gave."""
    if definition.sql is None or definition.sql.columns:
        return False
    found = list(targets(cubes, definition.cube, definition.sql))
    return bool(found) and all(
        item.member is not None and item.member.kind is MemberKind.MEASURE for item in found
    )
