"""Makes cubes of what files say, and notes what is wrong with each for itself."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from penelope.adapters.semantic.expression import Expression, expression, query
from penelope.adapters.semantic.schema import (
    CaseRule,
    CubeRule,
    Described,
    DimensionRule,
    JoinRule,
    MeasureRule,
    SegmentRule,
    SqlRule,
)
from penelope.adapters.semantic.shape import (
    AGGREGATES,
    Case,
    Cube,
    Definition,
    Join,
    Label,
    Path,
    Relationship,
)
from penelope.adapters.yaml_source import Document, Problem, Where
from penelope.domain.semantics import MemberKind

Made = TypeVar("Made")

_OLD_WORDS = {"has_one": "one_to_one", "has_many": "one_to_many", "belongs_to": "many_to_one"}


class Build:
    """The cubes so far, where each part of them stands, and every mistake."""

    def __init__(self) -> None:
        self.cubes: dict[str, Cube] = {}
        self.problems: list[Problem] = []
        self.places: dict[Path, tuple[Document, Where]] = {}
        """Of members; of a cube itself under its name and nothing."""

    def complain(self, document: Document, where: Where, message: str) -> None:
        self.problems.append(document.problem(where, message))

    def cube(self, document: Document, where: Where, rule: CubeRule) -> None:
        """Adds a cube. What of it cannot be read stays out, and is told."""
        if rule.name in self.cubes:
            self.complain(document, (*where, "name"), f"there are two cubes or views '{rule.name}'")
            return
        if (rule.sql is None) == (rule.sql_table is None):
            self.complain(document, where, "a cube has either sql_table or sql")
        self.places[rule.name, ""] = (document, where)
        reader = _Reader(self, document, rule.name)
        table = rule.sql_table or ""
        if rule.sql is not None:
            table = f"(\n{reader.read(query, rule.sql, (*where, 'sql')) or ''}\n)"
        members = reader.members(rule, where)
        self.cubes[rule.name] = Cube(
            name=rule.name,
            table=table,
            members=members,
            joins=reader.joins(rule.joins, where),
            keys=tuple(name for name, member in members.items() if member.primary_key),
            title=rule.title or _words(rule.name),
            description=rule.description or "",
            public=rule.visible is not False,
            meta=rule.meta,
        )


class _Reader:
    """Reads one cube."""

    def __init__(self, build: Build, document: Document, cube: str) -> None:
        self._build = build
        self._document = document
        self._cube = cube

    def read(self, make: Callable[[str], Made], text: str, where: Where) -> Made | None:
        try:
            return make(text)
        except ValueError as error:
            self._build.complain(self._document, where, str(error))
            return None

    def members(self, rule: CubeRule, where: Where) -> Mapping[str, Definition]:
        found: dict[str, Definition] = {}
        groups = (
            ("dimensions", rule.dimensions, self._dimension),
            ("measures", rule.measures, self._measure),
            ("segments", rule.segments, self._segment),
        )
        for group, rules, make in groups:
            for index, item in enumerate(rules):
                at: Where = (*where, group, index)
                if item.name in found:
                    self._build.complain(
                        self._document, (*at, "name"), f"there are two members '{item.name}' in the cube"
                    )
                    continue
                self._build.places[self._cube, item.name] = (self._document, at)
                found[item.name] = make(item, at)  # type: ignore[arg-type]  # each maker belongs to its rules
        return found

    def joins(self, rules: list[JoinRule], where: Where) -> tuple[Join, ...]:
        found: dict[str, Join] = {}
        for index, rule in enumerate(rules):
            at: Where = (*where, "joins", index)
            sql = self.read(expression, rule.sql, (*at, "sql"))
            if rule.name in found or rule.name == self._cube:
                self._build.complain(
                    self._document, (*at, "name"), f"there can be one join to '{rule.name}' at most"
                )
            elif sql is not None:
                relationship = Relationship(_OLD_WORDS.get(rule.relationship, rule.relationship))
                found[rule.name] = Join(
                    source=self._cube, target=rule.name, relationship=relationship, sql=sql
                )
        return tuple(found.values())

    def _dimension(self, rule: DimensionRule, where: Where) -> Definition:
        if (rule.sql is None) == (rule.case is None):
            self._build.complain(self._document, where, "a dimension has either sql or case")
        return self._definition(
            rule,
            kind=MemberKind.DIMENSION,
            sql=self._sql(rule.sql, (*where, "sql")),
            case=self._case(rule.case, (*where, "case")) if rule.case else None,
            primary_key=rule.primary_key,
            sub_query=rule.sub_query,
            # As in Cube: keys are there to join, not to be asked for.
            public=rule.visible if rule.visible is not None else not rule.primary_key,
        )

    def _measure(self, rule: MeasureRule, where: Where) -> Definition:
        if rule.sql is None and rule.type != "count":
            self._build.complain(self._document, where, "the key 'sql' is missing")
        if rule.filters and rule.type not in AGGREGATES:
            self._build.complain(
                self._document, (*where, "filters"), "filter the measures that it is calculated from"
            )
        return self._definition(
            rule,
            kind=MemberKind.MEASURE,
            sql=self._sql(rule.sql, (*where, "sql")),
            filters=self._filters(rule.filters, where),
            public=rule.visible is not False,
        )

    def _segment(self, rule: SegmentRule, where: Where) -> Definition:
        return self._definition(
            rule,
            kind=MemberKind.SEGMENT,
            sql=self._sql(rule.sql, (*where, "sql")),
            public=rule.visible is not False,
        )

    def _definition(self, rule: Described, **parts: object) -> Definition:
        return Definition(
            cube=self._cube,
            name=rule.name,
            type=getattr(rule, "type", "boolean"),
            title=rule.title or _words(rule.name),
            description=rule.description or "",
            meta=rule.meta,
            **parts,  # type: ignore[arg-type]  # each maker passes what its kind has
        )

    def _sql(self, text: str | None, where: Where) -> Expression | None:
        return None if text is None else self.read(expression, text, where)

    def _filters(self, rules: list[SqlRule], where: Where) -> tuple[Expression, ...]:
        read = [self._sql(item.sql, (*where, "filters", index, "sql")) for index, item in enumerate(rules)]
        return tuple(item for item in read if item is not None)

    def _case(self, rule: CaseRule, where: Where) -> Case:
        when: list[tuple[Expression, Label]] = []
        for index, item in enumerate(rule.when):
            at: Where = (*where, "when", index)
            sql = self._sql(item.sql, (*at, "sql"))
            label = self._label(item.label, (*at, "label"))
            if sql is not None:
                when.append((sql, label))
        otherwise = self._label(rule.otherwise.label, (*where, "else", "label")) if rule.otherwise else None
        return Case(when=tuple(when), otherwise=otherwise)

    def _label(self, label: str | SqlRule, where: Where) -> Label:
        if isinstance(label, str):
            return Label(text=label)
        return Label(sql=self._sql(label.sql, (*where, "sql")))


def _words(name: str) -> str:
    """A title for what has none."""
    return name.replace("_", " ").strip().capitalize()
