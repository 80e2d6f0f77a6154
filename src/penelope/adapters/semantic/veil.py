"""Which members of a query are masked: those that a policy names, and those that are made from them."""

from collections.abc import Mapping

from penelope.adapters.semantic.columns import WHOLE_ROW, Column
from penelope.adapters.semantic.expression import Expression
from penelope.adapters.semantic.shape import Definition, Exposed, Path, Shape
from penelope.adapters.semantic.targets import target, targets
from penelope.domain.access import Masking
from penelope.domain.semantics import MemberKind
from penelope.errors import InvalidQuery

_FOLDS_MANY = frozenset({"count", "count_distinct", "count_distinct_approx", "sum", "avg"})
"""Measures that show no single value. The others do: the largest e-mail address is an e-mail address."""

_STRICTEST = (Masking.NULL, Masking.PARTIAL, Masking.HASH)


class Veil:
    """The masks of one query. Raises InvalidQuery for a mask of an unknown member: it might be a slip of the policy,
    and nothing may come through by one.
    """

    def __init__(self, shape: Shape, masks: Mapping[str, Masking]) -> None:
        self._shape = shape
        self._named: dict[Path, Masking] = {}
        for name, masking in masks.items():
            exposed = shape.exposed.get(name)
            if exposed is None:
                raise InvalidQuery("a mask is for a member that the data model does not have")
            path = exposed.definition.path
            self._named[path] = min(masking, self._named.get(path, masking), key=_STRICTEST.index)
        self._columns: set[Column] = set()
        for path in self._named:
            definition = shape.definition(path)
            if definition.kind is not MemberKind.MEASURE:
                self._columns |= self._columns_of(definition)
        self._known: dict[Path, Masking | None] = {}

    def __bool__(self) -> bool:
        return bool(self._named)

    def of(self, definition: Definition) -> Masking | None:
        """How a member is masked. What is made from a masked one is left out altogether: a part or a hash of another
        value than the policy thought of could say too much.
        """
        if not self._named:
            return None
        path = definition.path
        if path in self._named:
            return self._named[path]
        if path not in self._known:
            self._known[path] = Masking.NULL if self._made_from_masked(definition) else None
        return self._known[path]

    def refuse(self, exposed: Exposed, purpose: str) -> None:
        """Raises InvalidQuery for a masked member: to filter by it or to order by it would tell its values."""
        if self.of(exposed.definition) is not None:
            raise InvalidQuery(
                f"{exposed.name} is masked and cannot be used to {purpose}",
                hint="Leave it out, or ask those who own the data for access.",
            )

    def _made_from_masked(self, definition: Definition) -> bool:
        if definition.kind is MemberKind.MEASURE and definition.type in _FOLDS_MANY:
            return False
        for sql in definition.expressions:
            if self._columns & self._direct(definition.cube, sql):
                return True
            for item in targets(self._shape.cubes, definition.cube, sql):
                if item.member is not None and self.of(item.member) is not None:
                    return True
        return self._row_of_masked(definition)

    def _row_of_masked(self, definition: Definition) -> bool:
        whole = {
            cube
            for sql in definition.expressions
            for cube, column in self._direct(definition.cube, sql)
            if column == WHOLE_ROW
        }
        masked = {cube for cube, _ in self._columns}
        everything = {cube for cube, column in self._columns if column == WHOLE_ROW}
        return bool(whole & masked) or definition.cube in everything

    def _columns_of(self, definition: Definition) -> set[Column]:
        found: set[Column] = set()
        for sql in definition.expressions:
            found |= self._direct(definition.cube, sql)
            for item in targets(self._shape.cubes, definition.cube, sql):
                if item.member is not None and item.member.kind is not MemberKind.MEASURE:
                    found |= self._columns_of(item.member)
        return found

    def _direct(self, home: str, sql: Expression) -> set[Column]:
        return {
            (home if before is None else target(self._shape.cubes, home, before).cube, column)
            for before, column in sql.columns
        }
