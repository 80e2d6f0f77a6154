"""A data model as the compiler sees it: checked, with views resolved to the members of cubes that they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from penelope.adapters.semantic.expression import Expression
from penelope.domain.semantics import MemberKind
from penelope.kit.canonical import Json

Path = tuple[str, str]
"""``(cube, member)``."""


class Relationship(StrEnum):
    """Of the cube that joins to the one that it joins."""

    ONE_TO_ONE = "one_to_one"
    ONE_TO_MANY = "one_to_many"
    MANY_TO_ONE = "many_to_one"


AGGREGATES = frozenset({"count", "count_distinct", "count_distinct_approx", "sum", "avg", "min", "max"})
"""Types of measures that fold rows by themselves; the others calculate with what was folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a case gives: a text, or an expression."""

    text: str = ""
    sql: Expression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    when: tuple[tuple[Expression, Label], ...]
    otherwise: Label | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Definition:
    """A member of a cube."""

    cube: str
    name: str
    kind: MemberKind
    type: str
    sql: Expression | None = None
    case: Case | None = None
    filters: tuple[Expression, ...] = ()
    primary_key: bool = False
    sub_query: bool = False
    title: str = ""
    description: str = ""
    public: bool = True
    meta: Mapping[str, Json] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return (self.cube, self.name)

    @property
    def full_name(self) -> str:
        return f"{self.cube}.{self.name}"

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """All SQL that it is made of."""
        found = [self.sql, *self.filters]
        if self.case is not None:
            found += [part for sql, label in self.case.when for part in (sql, label.sql)]
            found.append(self.case.otherwise.sql if self.case.otherwise else None)
        return tuple(item for item in found if item is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    source: str
    target: str
    relationship: Relationship
    sql: Expression


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cube:
    """`table` is what stands behind FROM: a name, or a query in parentheses."""

    name: str
    table: str
    members: Mapping[str, Definition]
    joins: tuple[Join, ...] = ()
    keys: tuple[str, ...] = ()
    title: str = ""
    description: str = ""
    public: bool = True
    meta: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposed:
    """What a query may name: a member of a cube, or of a view; `route` are the cubes that a view goes through to it."""

    name: str
    definition: Definition
    route: tuple[str, ...]
    title: str
    description: str
    public: bool
    meta: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """`routes` are those of each view's cubes, in its order."""

    cubes: Mapping[str, Cube]
    exposed: Mapping[str, Exposed]
    routes: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    def definition(self, path: Path) -> Definition:
        return self.cubes[path[0]].members[path[1]]
