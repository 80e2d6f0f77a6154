"""Which members of Cube's models are made from masked ones, by the SQL that Cube tells of them."""

from collections.abc import Mapping
from typing import Final

from penelope.adapters.semantic.columns import WHOLE_ROW, Column
from penelope.adapters.semantic.cube_sql import CubeSql
from penelope.domain.access import Masking
from penelope.domain.semantics import MemberKind

_FOLDS_MANY: Final = frozenset({"count", "count_distinct", "count_distinct_approx", "sum", "avg"})
"""Measures that show no single value. The others may: the largest e-mail address is an e-mail address."""


class CubeVeil:
    """The masks of one question."""

    def __init__(self, sql: CubeSql, masks: Mapping[str, Masking]) -> None:
        self._sql = sql
        self._masks = masks
        made = sql.behind(masks, measures=False)
        # What a member is made from that Cube does not tell of cannot be known: any column of its cube.
        unknown = {(name.partition(".")[0], WHOLE_ROW) for name in made.members - sql.members.keys()}
        self._columns = made.columns | unknown
        self._veiled = frozenset(cube for cube, _ in self._columns)

    def of(self, name: str) -> Masking | None:
        """How a cube's member is masked: as the policy says, and not shown at all where it is made from a masked one, for
        a part or a hash of another value than the policy thought of could say too much.
        """
        if name in self._masks:
            return self._masks[name]
        return Masking.NULL if self._masks and self._made_from_masked(name) else None

    def _made_from_masked(self, name: str) -> bool:
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            each = waiting.pop()
            if each in seen:
                continue
            seen.add(each)
            if each in self._masks or self._is_hidden_and_veiled(each):
                return True
            member = self._sql.members.get(each)
            if member is not None and member.kind is MemberKind.MEASURE and member.type in _FOLDS_MANY:
                continue
            named = self._sql.named(each)
            if any(self._is_masked(column) for column in named.columns):
                return True
            waiting.extend(named.members)
        return False

    def _is_hidden_and_veiled(self, name: str) -> bool:
        return name not in self._sql.members and name.partition(".")[0] in self._veiled

    def _is_masked(self, column: Column) -> bool:
        cube, name = column
        if name == WHOLE_ROW:
            return cube in self._veiled
        return column in self._columns or (cube, WHOLE_ROW) in self._columns
