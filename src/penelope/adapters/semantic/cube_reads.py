"""Which dimensions Cube's measures and segments are made from, by the SQL that Cube tells of them."""

from collections.abc import Mapping
from typing import Final

from penelope.adapters.semantic.columns import ByColumn, Column
from penelope.adapters.semantic.cube_sql import CubeSql
from penelope.domain.semantics import MemberKind

MOST_MEMBERS: Final = 200
"""A formula made from more members counts as one of which Cube does not tell: nobody writes it, but a server may send it."""

_MOST_NAMES = 1_000_000
"""Beyond so many names in all, the formulas that are left read everything."""


def reads(sql: CubeSql, views: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    """By the name of each measure and segment: the names of the dimensions that share a column with its formula.

    `views` are the cubes' members behind those of views. Where Cube does not tell of something in a formula, as of a member
    that is not public, the formula reads every dimension that there is.
    """
    everything = frozenset(
        name for name, member in sql.members.items() if member.kind is MemberKind.DIMENSION
    )
    columns_of = {name: _columns(sql, views.get(name, name)) for name in everything}
    unknown = {name for name, columns in columns_of.items() if columns is None}
    dimensions = ByColumn({name: columns or () for name, columns in columns_of.items()})
    found: dict[str, frozenset[str]] = {}
    names = 0
    for name, member in sql.members.items():
        if member.kind is not MemberKind.DIMENSION:
            columns = None if names > _MOST_NAMES else _columns(sql, views.get(name, name))
            if columns is None:
                found[name] = everything
                continue
            shared = dimensions.sharing(columns)
            found[name] = shared | unknown if columns else shared
            names += len(found[name])
    return found


def _columns(sql: CubeSql, name: str) -> frozenset[Column] | None:
    """None where Cube does not tell of all that it is made from."""
    made = sql.behind([name], measures=True, most=MOST_MEMBERS)
    known = len(made.members) <= MOST_MEMBERS
    return made.columns if known and all(sql.tells(each) for each in made.members) else None
