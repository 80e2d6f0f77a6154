"""SQL of members: names from the model are quoted, values of a query are parameters."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from penelope.adapters.semantic.expression import Expression
from penelope.adapters.semantic.shape import AGGREGATES, Definition, Label, Shape
from penelope.adapters.semantic.targets import Target, refers_to_measures, target
from penelope.adapters.semantic.times import rounded
from penelope.domain.semantics import MemberKind
from penelope.errors import InvalidQuery

_SIMPLE = re.compile(r'"[^"]+"(\."?[A-Za-z_0-9$]+"?)?')
_LONGEST = 400_000
"""Characters: references within references can double at every step."""

ASIS = frozenset({"count_distinct", "count_distinct_approx", "min", "max"})
"""Measures that come out the same however often a row stands there."""


class Parameters:
    """Values that go beside the SQL; `add` gives the placeholder of one."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def add(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text of the model. Never for values of a query: those are parameters."""
    return "'" + text.replace("'", "''") + "'"


def inner_name(definition: Definition) -> str:
    """What the query behind a sub_query dimension is called; no cube can be called so."""
    return quoted(f"$sub:{definition.full_name}")


class Renderer:
    """Renders members of one query, in which every cube stands under its own name."""

    def __init__(self, shape: Shape, zone_parameter: Callable[[], str | None]) -> None:
        self._cubes = shape.cubes
        self._zone = zone_parameter

    def value(self, definition: Definition) -> str:
        """A dimension or a segment, of one row."""
        if definition.sub_query:
            return f'{inner_name(definition)}."value"'
        if definition.case is not None:
            whens = [
                f"WHEN {self._own(definition, sql)} THEN {self._label(definition, label)}"
                for sql, label in definition.case.when
            ]
            otherwise = definition.case.otherwise
            last = f" ELSE {self._label(definition, otherwise)}" if otherwise else ""
            return f"CASE {' '.join(whens)}{last} END"
        return self._own(definition, definition.sql)

    def keys(self, cube: str) -> list[str]:
        return [self.value(self._cubes[cube].members[name]) for name in self._cubes[cube].keys]

    def folded(self, definition: Definition, *, repeated: bool = False) -> str:
        """A measure that folds rows; `repeated` where rows of its cube may stand there more than once."""
        if definition.type not in AGGREGATES:
            return self._own(definition, definition.sql)
        argument = self.argument(definition)
        match definition.type:
            case "count_distinct":
                return f"count(DISTINCT {argument})"
            case "count_distinct_approx":
                return f"approx_count_distinct({argument})"
            case "count" if repeated and definition.sql is None:
                return f"count(DISTINCT {argument})"
            case _:
                return f"{definition.type}({argument})"

    def argument(self, definition: Definition) -> str:
        """What a measure folds, of one row: NULL where its filters leave the row out."""
        if definition.sql is not None:
            value = self._own(definition, definition.sql)
        else:
            keys = self.keys(definition.cube)
            value = keys[0] if len(keys) == 1 else _all_keys(keys)
        if not definition.filters:
            return value
        conditions = " AND ".join(f"({self._own(definition, sql)})" for sql in definition.filters)
        return f"CASE WHEN {conditions} THEN {'1' if value == '*' else value} END"

    def calculated(self, definition: Definition, leaf: Callable[[Definition], str]) -> str:
        """A measure of what its leaves came to."""
        if not is_calculated(self._cubes, definition):
            return leaf(definition)
        return self._filled(
            definition.cube,
            definition.sql,
            lambda item: f"({self.calculated(item.member, leaf)})" if item.member else "",
        )

    def condition(self, home: str, sql: Expression) -> str:
        """That of a join."""
        return self._filled(home, sql, self._reference)

    def _label(self, definition: Definition, label: Label) -> str:
        return literal(label.text) if label.sql is None else self._own(definition, label.sql)

    def _own(self, definition: Definition, sql: Expression | None) -> str:
        if sql is None:
            raise InvalidQuery(f"{definition.full_name} has no SQL")
        if sql.plain is not None and definition.sql is sql:
            return f"{quoted(definition.cube)}.{quoted(sql.plain)}"
        return self._filled(definition.cube, sql, self._reference)

    def _filled(self, home: str, sql: Expression | None, render: Callable[[Target], str]) -> str:
        if sql is None:
            return ""
        parts = [
            piece if isinstance(piece, str) else render(target(self._cubes, home, piece))
            for piece in sql.pieces
        ]
        text = "".join(parts)
        if len(text) > _LONGEST:
            raise InvalidQuery("the data model's members grow too long when they are written out")
        return text

    def _reference(self, item: Target) -> str:
        if item.member is None:
            return quoted(item.cube)
        if item.member.kind is MemberKind.MEASURE:
            text = self.calculated(item.member, self.folded)
        else:
            text = self.value(item.member)
        if item.granularity is not None:
            text = rounded(text, item.granularity, self._zone())
        return text if _SIMPLE.fullmatch(text) else f"({text})"


def _all_keys(keys: list[str]) -> str:
    """One value of several keys, NULL where the row is not there."""
    if not keys:
        return "*"
    return f"CASE WHEN {keys[0]} IS NOT NULL THEN ({', '.join(keys)}) END"


def is_calculated(cubes: Mapping[str, Any], definition: Definition) -> bool:
    """Whether a measure is reckoned from other measures, and not from rows."""
    return definition.type not in AGGREGATES and refers_to_measures(cubes, definition)
