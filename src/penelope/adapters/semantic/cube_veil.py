"""Which members of Cube's models are made from masked ones, by the SQL that Cube tells of them.

A text is not parsed but looked through: SQL here may be of any database, and what looks as if it might name a masked column
counts as naming it. Too much is masked where in doubt, never too little.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penelope.domain.access import Masking
from penelope.domain.semantics import Member, MemberKind

_FOLDS_MANY: Final = frozenset({"count", "count_distinct", "count_distinct_approx", "sum", "avg"})
"""Measures that show no single value. The others may: the largest e-mail address is an e-mail address."""

_PIECE = re.compile(
    r"(?P<text>'(?:[^']|'')*')"
    r"|\$?\{\s*(?P<path>[^{}]*?)\s*\}(?:\.\"?(?P<column>\w+)\"?)?"
    r'|"(?P<quoted>[^"]+)"'
    r"|(?P<plain>[^\W\d]\w*)(?!\w*\s*\()",
)
_WORDS: Final = frozenset(
    [
        "all",
        "and",
        "any",
        "as",
        "asc",
        "at",
        "between",
        "by",
        "case",
        "cast",
        "collate",
        "date",
        "day",
        "desc",
        "distinct",
        "double",
        "else",
        "end",
        "escape",
        "exists",
        "extract",
        "false",
        "filter",
        "float",
        "from",
        "hour",
        "ilike",
        "in",
        "integer",
        "int",
        "bigint",
        "interval",
        "is",
        "isnull",
        "like",
        "decimal",
        "minute",
        "month",
        "not",
        "null",
        "numeric",
        "or",
        "order",
        "over",
        "partition",
        "precision",
        "quarter",
        "second",
        "separator",
        "similar",
        "some",
        "text",
        "then",
        "time",
        "timestamp",
        "timestamptz",
        "to",
        "true",
        "using",
        "uuid",
        "varchar",
        "when",
        "where",
        "with",
        "within",
        "year",
        "zone",
        "boolean",
        "char",
        "character",
    ]
)
_CURRENT = "CUBE"
_WHOLE_ROW = "*"

Column = tuple[str, str]
"""``(cube, column)``; the column is ``*`` where a whole row is named."""


@dataclass(frozen=True, slots=True)
class _Named:
    """What a member's SQL names: columns, and members by their full names."""

    columns: frozenset[Column]
    members: frozenset[str]


class CubeVeil:
    """The masks of one question. `texts` are the SQL of each cube's members by their full names."""

    def __init__(
        self,
        members: Mapping[str, Member],
        texts: Mapping[str, tuple[str, ...]],
        masks: Mapping[str, Masking],
    ) -> None:
        self._members = members
        self._texts = texts
        self._masks = masks
        self._cubes = {name.partition(".")[0] for name in members}
        self._read: dict[str, _Named] = {}
        columns: set[Column] = set()
        for name in masks:
            columns |= self._columns_of(name, set())
        self._columns = frozenset(columns)
        self._veiled = frozenset(cube for cube, _ in columns)

    def of(self, name: str) -> Masking | None:
        """How a cube's member is masked: as the policy says, and not shown at all where it is made from a masked one, for
        a part or a hash of another value than the policy thought of could say too much.
        """
        if name in self._masks:
            return self._masks[name]
        return Masking.NULL if self._masks and self._made_from_masked(name, set()) else None

    def _made_from_masked(self, name: str, seen: set[str]) -> bool:
        if name in self._masks:
            return True
        if name in seen:
            return False
        seen.add(name)
        member = self._members.get(name)
        if member is None:
            # A member that Cube does not tell of; what it is made from cannot be known.
            return name.partition(".")[0] in self._veiled
        if member.kind is MemberKind.MEASURE and member.type in _FOLDS_MANY:
            return False
        named = self._named(name)
        return any(self._is_masked(each) for each in named.columns) or any(
            self._made_from_masked(each, seen) for each in named.members
        )

    def _is_masked(self, column: Column) -> bool:
        cube, name = column
        if name == _WHOLE_ROW:
            return cube in self._veiled
        return column in self._columns or (cube, _WHOLE_ROW) in self._columns

    def _columns_of(self, name: str, seen: set[str]) -> set[Column]:
        if name in seen:
            return set()
        seen.add(name)
        if name not in self._members:
            return {(name.partition(".")[0], _WHOLE_ROW)}
        named = self._named(name)
        found = set(named.columns)
        for each in named.members:
            member = self._members.get(each)
            if member is None or member.kind is not MemberKind.MEASURE:
                found |= self._columns_of(each, seen)
        return found

    def _named(self, name: str) -> _Named:
        if name not in self._read:
            columns: set[Column] = set()
            members: set[str] = set()
            home = name.partition(".")[0]
            for text in self._texts.get(name, ()):
                self._look_through(text, home, columns, members)
            members.discard(name)
            self._read[name] = _Named(frozenset(columns), frozenset(members))
        return self._read[name]

    def _look_through(self, text: str, home: str, columns: set[Column], members: set[str]) -> None:
        for piece in _PIECE.finditer(text):
            if piece["text"] is not None:
                continue
            if (path := piece["path"]) is not None:
                self._reference(path.split("."), piece["column"], home, (columns, members))
            elif (word := piece["plain"]) is None or word.lower() not in _WORDS:
                columns.add((home, (word or piece["quoted"] or _WHOLE_ROW).lower()))

    def _reference(
        self, path: list[str], column: str | None, home: str, found: tuple[set[Column], set[str]]
    ) -> None:
        columns, members = found
        cube = home
        if path[0] == _CURRENT:
            path = path[1:]
        # The last cube on the way counts: ``orders.customers.email``.
        while path and path[0] in self._cubes and f"{cube}.{path[0]}" not in self._members:
            cube, path = path[0], path[1:]
        if path:
            members.add(f"{cube}.{path[0]}")
        else:
            columns.add((cube, (column or _WHOLE_ROW).lower()))
