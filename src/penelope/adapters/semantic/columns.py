"""Columns of tables, and what is made from the same ones."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

Column = tuple[str, str]
"""The cube and the name."""

WHOLE_ROW: Final = "*"
"""Stands for a column where a formula has all of a cube's."""


class ByColumn:
    """Members that are found by the columns that they are made from; a whole row has every column of its cube."""

    def __init__(self, members: Mapping[str, Iterable[Column]]) -> None:
        self._by_column: defaultdict[Column, set[str]] = defaultdict(set)
        self._by_cube: defaultdict[str, set[str]] = defaultdict(set)
        for name, columns in members.items():
            for column in columns:
                self._by_column[column].add(name)
                self._by_cube[column[0]].add(name)

    def sharing(self, columns: Iterable[Column]) -> frozenset[str]:
        """The members that have one of these columns."""
        found: set[str] = set()
        for cube, name in columns:
            if name == WHOLE_ROW:
                found |= self._by_cube.get(cube, set())
            else:
                found |= self._by_column.get((cube, name), set())
                found |= self._by_column.get((cube, WHOLE_ROW), set())
        return frozenset(found)
