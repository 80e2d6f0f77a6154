"""What the SQL of Cube's members names, by what Cube tells of it.

A text is not parsed but looked through, for SQL here may be of any database: what looks as if it might name a column counts
as naming it, also inside of literals, whose quotes databases escape in different ways. Too much where in doubt, never too
little.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from penelope.adapters.semantic.columns import WHOLE_ROW, Column
from penelope.domain.semantics import Member, MemberKind

# Possessive, and from word to word: a text of any kind is read in time that grows with its length alone.
_PIECE = re.compile(
    r"\{(?P<path>[^{}]*+)\}(?:\.[\"`\[]?(?P<column>\w++))?|(?P<word>\w++)(?P<called>\s*+\()?",
)
_QUOTED = re.compile(r'"([^"]++)"|`([^`]++)`')
_NUMBER = re.compile(r"\d+(?:[eE]\d+)?", re.ASCII)
_RESERVED = (
    "all and any as asc between by case cast collate desc distinct else end escape exists extract false filter from ilike in"
    " is isnull like not null or order over partition separator similar some then to true using when where with within"
)
_WORDS: Final = frozenset(_RESERVED.split())
_KINDS = (
    "at bigint boolean char character date day decimal double float hour int integer interval minute month numeric precision"
    " quarter text time timestamp timestamptz uuid varchar year zone"
)
_SOFT: Final = frozenset(_KINDS.split())
"""Types and units, which may name a column too: they do where a member is made from nothing else."""
_CURRENT = "CUBE"


@dataclass(frozen=True, slots=True)
class Named:
    """What a member's SQL names: columns, and members by their full names."""

    columns: frozenset[Column]
    members: frozenset[str]


class CubeSql:
    """`texts` are the SQL of each cube's members by their full names, as far as Cube tells it."""

    def __init__(self, members: Mapping[str, Member], texts: Mapping[str, tuple[str, ...]]) -> None:
        self.members = members
        self._texts = texts
        self._cubes = {name.partition(".")[0] for name in members}
        self._found: dict[str, Named] = {}
        self._soft = {
            (name.partition(".")[0], text.strip().lower())
            for name, its in texts.items()
            for text in its
            if text.strip().lower() in _SOFT
        }

    def tells(self, name: str) -> bool:
        """Whether Cube tells what a cube's member is made from; one that only counts rows is made from none."""
        member = self.members.get(name)
        if member is None or name not in self._texts:
            return False
        counts = member.kind is MemberKind.MEASURE and member.type == "count"
        return counts or any(text.strip() for text in self._texts[name])

    def named(self, name: str) -> Named:
        """What its SQL names by itself."""
        if name not in self._found:
            columns: set[Column] = set()
            members: set[str] = set()
            home = name.partition(".")[0]
            for text in self._texts.get(name, ()):
                self._look_through(text, home, columns, members)
            members.discard(name)
            self._found[name] = Named(frozenset(columns), frozenset(members))
        return self._found[name]

    def behind(self, names: Iterable[str], *, measures: bool, most: int | None = None) -> Named:
        """All that these are made from, at any distance, and they themselves; through other measures if it is wanted.

        It ends once more than `most` members were found.
        """
        columns: set[Column] = set()
        seen: set[str] = set()
        waiting = list(names)
        while waiting and (most is None or len(seen) <= most):
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            named = self.named(name)
            columns |= named.columns
            waiting.extend(each for each in named.members if measures or not self._is_measure(each))
        return Named(frozenset(columns), frozenset(seen))

    def _is_measure(self, name: str) -> bool:
        member = self.members.get(name)
        return member is not None and member.kind is MemberKind.MEASURE

    def _look_through(self, text: str, home: str, columns: set[Column], members: set[str]) -> None:
        columns.update((home, (one or other).lower()) for one, other in _QUOTED.findall(text))
        for piece in _PIECE.finditer(text):
            if (path := piece["path"]) is not None:
                self._reference(path.strip().split("."), piece["column"], home, (columns, members))
            elif piece["called"] is None and self._is_column(home, word := piece["word"].lower()):
                columns.add((home, word))

    def _is_column(self, home: str, word: str) -> bool:
        if word in _SOFT:
            return (home, word) in self._soft
        return word not in _WORDS and not _NUMBER.fullmatch(word)

    def _reference(
        self, path: list[str], column: str | None, home: str, found: tuple[set[Column], set[str]]
    ) -> None:
        columns, members = found
        cube = home
        if path[0] == _CURRENT:
            path = path[1:]
        # The last cube on the way counts: ``orders.customers.email``.
        while path and path[0] in self._cubes and f"{cube}.{path[0]}" not in self.members:
            cube, path = path[0], path[1:]
        if path:
            members.add(f"{cube}.{path[0]}")
        else:
            columns.add((cube, (column or WHOLE_ROW).lower()))
