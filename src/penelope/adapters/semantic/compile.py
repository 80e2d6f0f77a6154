"""Makes SQL for DuckDB of a query, as Cube means it.

Measures of a cube whose rows the joins repeat are not simply summed: first the distinct keys of its rows are found for
every group, then the cube is joined to them and folded, and the results of all cubes are put side by side (what Cube
calls the aggregation of multiplied measures, schema-compiler `fullKeyQueryAggregate`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penelope.adapters.semantic.asked import Asked, Selected, asked
from penelope.adapters.semantic.filters import Conditions
from penelope.adapters.semantic.joins import Hint, Tree, tree
from penelope.adapters.semantic.render import (
    ASIS,
    Parameters,
    Renderer,
    inner_name,
    is_calculated,
    quoted,
)
from penelope.adapters.semantic.shape import Cube, Definition, Exposed, Shape
from penelope.adapters.semantic.targets import targets
from penelope.adapters.semantic.times import rounded, zone
from penelope.adapters.semantic.veil import Veil
from penelope.domain.access import Masking
from penelope.domain.semantics import MemberKind, SemanticQuery
from penelope.errors import InvalidQuery

Leaf = Callable[[Definition], str]

_UTC = frozenset({"UTC", "Etc/UTC"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """`body` gives the rows without order or bounds, its columns named `cells`; `columns` are the members.

    `masks` are by column. `parameters` stand for ``$1``, ``$2`` and so on.
    """

    body: str
    columns: tuple[str, ...]
    cells: tuple[str, ...]
    order: tuple[tuple[int, bool], ...]
    limit: int
    offset: int
    parameters: tuple[object, ...]
    masks: tuple[Masking | None, ...]
    cubes: tuple[str, ...]

    def sql(self, cells: Sequence[str] | None = None) -> str:
        """The whole query; `cells` stand in for columns that are masked, each as SQL over the columns of the body."""
        inner = self.body
        if cells is not None:
            chosen = ", ".join(f"{sql} AS {name}" for sql, name in zip(cells, self.cells, strict=True))
            inner = f'SELECT {chosen} FROM (\n{self.body}\n) AS "$rows"'  # noqa: S608 - no value of a query is in it
        ordered = ", ".join(f"{at + 1} {'DESC' if down else 'ASC'} NULLS LAST" for at, down in self.order)
        ending = f"\nORDER BY {ordered}" if ordered else ""
        ending += f"\nLIMIT {self.limit:d}" + (f" OFFSET {self.offset:d}" if self.offset else "")
        return inner + ending


def compiled(shape: Shape, query: SemanticQuery, veil: Veil) -> Compiled:
    """Raises InvalidQuery for what the model cannot answer."""
    given = asked(shape, query, veil)
    compiler = _Compiler(shape, query.timezone)
    body, joined = compiler.body(given)
    columns = [item.column for item in given.groups] + [item.name for item in given.measures]
    masks = [veil.of(item.exposed.definition) for item in given.groups]
    masks += [veil.of(item.definition) for item in given.measures]
    return Compiled(
        body=body,
        columns=tuple(columns),
        cells=_cells(given),
        order=given.order,
        limit=query.limit,
        offset=query.offset,
        parameters=tuple(compiler.parameters.values),
        masks=tuple(masks),
        cubes=joined.cubes,
    )


def _cells(given: Asked) -> tuple[str, ...]:
    return (
        *(f"c{at}" for at in range(len(given.groups))),
        *(f"m{at}" for at in range(len(given.measures))),
    )


class _Compiler:
    """Compiles one query and the queries within it."""

    def __init__(self, shape: Shape, timezone: str) -> None:
        self._shape = shape
        self._zone_name = timezone
        self._zone_parameter: str | None = None
        self.parameters = Parameters()
        self._render = Renderer(shape, self._zone)

    def _zone(self) -> str | None:
        if self._zone_name not in _UTC and self._zone_parameter is None:
            self._zone_parameter = self.parameters.add(self._zone_name)
        return self._zone_parameter

    def body(self, given: Asked) -> tuple[str, Tree]:
        """The rows, and the join that they come from."""
        joined = tree(self._shape.cubes, self._hints(given.named))
        groups = [self._group(item) for item in given.groups]
        source = self._source(joined, self._inner(given))
        where = self._where(given)
        measured = [item.definition for item in given.measures]
        measured += [item for item in self._in_totals(given) if item not in measured]
        repeated = self._repeated(measured, joined)
        if repeated:
            return self._side_by_side(given, joined, (groups, source, where), repeated), joined

        def folded(leaf: Definition) -> str:
            return self._render.folded(leaf, repeated=joined.repeats(leaf.cube))

        measures = [self._render.calculated(item.definition, folded) for item in given.measures]
        chosen = [f"{sql} AS {cell}" for sql, cell in zip([*groups, *measures], _cells(given), strict=True)]
        having = self._having(given, folded)
        grouped = f"\nGROUP BY {_numbers(len(groups))}" if groups else ""
        return f"SELECT {', '.join(chosen)}\nFROM {source}{where}{grouped}{having}", joined

    def _side_by_side(
        self, given: Asked, joined: Tree, base: tuple[list[str], str, str], repeated: list[Definition]
    ) -> str:
        """One query for all that can be folded as it is, one for each cube whose rows are repeated."""
        groups, source, where = base
        measured = [item.definition for item in given.measures]
        leaves = self._leaves([*measured, *self._in_totals(given)])
        names = {leaf.path: f"f{at}" for at, leaf in enumerate(leaves)}
        plain = [leaf for leaf in leaves if leaf not in repeated]
        keyed: dict[str, list[Definition]] = {}
        for leaf in repeated:
            keyed.setdefault(leaf.cube, []).append(leaf)
        chosen = [f"{sql} AS c{at}" for at, sql in enumerate(groups)]
        ending = f"\nGROUP BY {_numbers(len(groups))}" if groups else ""
        parts: list[str] = []
        places: dict[tuple[str, str], str] = {}
        if plain:
            folds = [
                f"{self._render.folded(leaf, repeated=joined.repeats(leaf.cube))} AS {names[leaf.path]}"
                for leaf in plain
            ]
            parts.append(f"SELECT {', '.join([*chosen, *folds])}\nFROM {source}{where}{ending}")
            places.update({leaf.path: f'"$q0".{names[leaf.path]}' for leaf in plain})
        for cube, members in keyed.items():
            folds = [f"{self._render.folded(leaf)} AS {names[leaf.path]}" for leaf in members]
            places.update({leaf.path: f'"$q{len(parts)}".{names[leaf.path]}' for leaf in members})
            parts.append(self._by_keys(cube, members, folds, (chosen, source, where)))

        def placed(leaf: Definition) -> str:
            return places[leaf.path]

        measures = [self._render.calculated(item, placed) for item in measured]
        cells = _cells(given)
        columns = [f'"$q0".c{at} AS {cells[at]}' for at in range(len(groups))]
        columns += [f"{sql} AS {cell}" for sql, cell in zip(measures, cells[len(groups) :], strict=True)]
        text = f'SELECT {", ".join(columns)}\nFROM (\n{parts[0]}\n) AS "$q0"'
        for at, part in enumerate(parts[1:], 1):
            same = " AND ".join(f'"$q0".c{n} IS NOT DISTINCT FROM "$q{at}".c{n}' for n in range(len(groups)))
            text += f'\nJOIN (\n{part}\n) AS "$q{at}" ON {same or "TRUE"}'
        return text + self._having(given, placed).replace("\nHAVING", "\nWHERE", 1)

    def _by_keys(
        self, cube: str, members: Sequence[Definition], folds: list[str], base: tuple[list[str], str, str]
    ) -> str:
        chosen, source, where = base
        keys = self._render.keys(cube)
        named = [f"{sql} AS k{at}" for at, sql in enumerate(keys)]
        distinct = f"SELECT DISTINCT {', '.join([*chosen, *named])}\nFROM {source}{where}"
        own = self._own_tree(cube, members)
        first = f'(\n{distinct}\n) AS "$keys"\nLEFT JOIN {self._table(cube)} ON ' + " AND ".join(
            f'"$keys".k{at} = {sql}' for at, sql in enumerate(keys)
        )
        inner = [item for leaf in members for item in self._sub_queries(leaf)]
        whole = "\n".join([first, *self._inner_joins(cube, inner), *self._joined(own, inner)])
        groups = [f'"$keys".c{at} AS c{at}' for at in range(len(chosen))]
        ending = f"\nGROUP BY {_numbers(len(groups))}" if groups else ""
        return f"SELECT {', '.join([*groups, *folds])}\nFROM {whole}{ending}"

    def _own_tree(self, cube: str, members: Sequence[Definition]) -> Tree:
        """What the measures of a cube need beside it. Raises InvalidQuery where that would repeat its rows."""
        hints: list[Hint] = [(cube,)]
        for leaf in members:
            hints += [hint for hint in self._needs(leaf, (cube,)) if hint not in hints]
        own = tree(self._shape.cubes, hints)
        if own.root != cube or own.repeats(cube):
            raise InvalidQuery(
                f"{members[0].full_name} needs cubes that repeat the rows of {cube}",
                hint="Make a sub_query dimension of what it needs, or ask for less at once.",
            )
        return own

    def _repeated(self, measured: Sequence[Definition], joined: Tree) -> list[Definition]:
        """Measures that would come out too high over the join as it is."""
        return [
            leaf
            for leaf in self._leaves(measured)
            if joined.repeats(leaf.cube)
            and leaf.type not in ASIS
            and not (leaf.type == "count" and leaf.sql is None)
        ]

    def _leaves(self, measured: Sequence[Definition]) -> list[Definition]:
        """The measures that rows are folded into, of which the others are calculated."""
        found: dict[tuple[str, str], Definition] = {}
        waiting = list(reversed(measured))
        while waiting:
            item = waiting.pop()
            if not is_calculated(self._shape.cubes, item):
                found.setdefault(item.path, item)
            elif item.sql is not None:
                below = [each.member for each in targets(self._shape.cubes, item.cube, item.sql)]
                waiting += [each for each in reversed(below) if each is not None]
        return list(found.values())

    def _in_totals(self, given: Asked) -> list[Definition]:
        return [item.definition for item in given.named if item.definition.kind is MemberKind.MEASURE]

    def _group(self, item: Selected) -> str:
        sql = self._render.value(item.exposed.definition)
        return sql if item.granularity is None else rounded(sql, item.granularity, self._zone())

    def _where(self, given: Asked) -> str:
        where = zone(self._zone_name)

        def operand(name: str) -> tuple[str, str]:
            definition = self._shape.exposed[name].definition
            return self._render.value(definition), definition.type

        conditions = Conditions(self.parameters, where, operand)
        parts = [
            conditions.between(self._render.value(item.definition), *dates) for item, dates in given.ranges
        ]
        parts += [self._render.value(item.definition) for item in given.segments]
        parts += [conditions.sql(item) for item in given.rows]
        return "\nWHERE " + " AND ".join(f"({part})" for part in parts) if parts else ""

    def _having(self, given: Asked, leaf: Leaf) -> str:
        def operand(name: str) -> tuple[str, str]:
            definition = self._shape.exposed[name].definition
            return f"({self._render.calculated(definition, leaf)})", definition.type

        conditions = Conditions(self.parameters, zone(self._zone_name), operand)
        parts = [f"({conditions.sql(item)})" for item in given.totals]
        return "\nHAVING " + " AND ".join(parts) if parts else ""

    def _hints(self, named: Sequence[Exposed]) -> list[Hint]:
        """The cubes that members need, in their order; through views by the way that they name."""
        views = dict.fromkeys(item.name.partition(".")[0] for item in named)
        routes = [route for view in views for route in self._shape.routes.get(view, ())]
        found: dict[Hint, None] = {}
        for item in named:
            for hint in [item.route, *self._needs(item.definition, item.route)]:
                found.setdefault(_enriched(hint, routes))
        return list(found)

    def _needs(self, definition: Definition, route: Hint) -> list[Hint]:
        """The cubes that the SQL of a member refers to, at any depth."""
        if definition.sub_query:
            return []
        found: dict[Hint, None] = {}
        for sql in definition.expressions:
            for item in targets(self._shape.cubes, definition.cube, sql):
                if item.route:
                    found.setdefault(item.route if len(item.route) > 1 else (item.cube,))
                if item.member is not None:
                    found.update(dict.fromkeys(self._needs(item.member, route)))
        found.pop((definition.cube,), None)
        return list(found)

    def _sub_queries(self, definition: Definition) -> list[Definition]:
        """Dimensions with queries of their own that a member is made of, itself among them."""
        if definition.sub_query:
            return [definition]
        found: list[Definition] = []
        for sql in definition.expressions:
            for item in targets(self._shape.cubes, definition.cube, sql):
                if item.member is not None:
                    found += [each for each in self._sub_queries(item.member) if each not in found]
        return found

    def _inner(self, given: Asked) -> list[Definition]:
        found: dict[tuple[str, str], Definition] = {}
        for item in given.named:
            found.update({each.path: each for each in self._sub_queries(item.definition)})
        return list(found.values())

    def _source(self, joined: Tree, inner: Sequence[Definition]) -> str:
        lines = [self._table(joined.root), *self._inner_joins(joined.root, inner)]
        return "\n".join([*lines, *self._joined(joined, inner)])

    def _joined(self, joined: Tree, inner: Sequence[Definition]) -> list[str]:
        lines: list[str] = []
        for join in joined.joins:
            condition = self._render.condition(join.source, join.sql)
            lines.append(f"LEFT JOIN {self._table(join.target)} ON {condition}")
            lines += self._inner_joins(join.target, inner)
        return lines

    def _inner_joins(self, cube: str, inner: Sequence[Definition]) -> list[str]:
        lines: list[str] = []
        for dimension in dict.fromkeys(item for item in inner if item.cube == cube):
            name = inner_name(dimension)
            keys = self._render.keys(cube)
            same = " AND ".join(f"{name}.k{at} = {sql}" for at, sql in enumerate(keys))
            lines.append(f"LEFT JOIN (\n{self._inner_query(dimension)}\n) AS {name} ON {same}")
        return lines

    def _inner_query(self, dimension: Definition) -> str:
        """What a sub_query dimension stands for: a measure, for every key of its cube."""
        cube = self._shape.cubes[dimension.cube]
        measure = _as_measure(dimension)
        keys = [_as_exposed(cube, cube.members[name]) for name in cube.keys]
        found = _as_exposed(cube, measure)
        needed = [_as_exposed(self._shape.cubes[leaf.cube], leaf) for leaf in self._leaves([measure])]
        given = Asked(
            groups=tuple(Selected(exposed=key) for key in keys),
            measures=(found,),
            segments=(),
            rows=(),
            totals=(),
            ranges=(),
            order=(),
            named=(*needed, *keys),
        )
        body, _ = self.body(given)
        columns = ", ".join(f"c{at} AS k{at}" for at in range(len(keys)))
        return f'SELECT {columns}, m0 AS "value"\nFROM (\n{body}\n) AS "$inner"'

    def _table(self, cube: str) -> str:
        return f"{self._shape.cubes[cube].table} AS {quoted(cube)}"


def _as_measure(dimension: Definition) -> Definition:
    return Definition(
        cube=dimension.cube,
        name=dimension.name,
        kind=MemberKind.MEASURE,
        type="number",
        sql=dimension.sql,
    )


def _as_exposed(cube: Cube, definition: Definition) -> Exposed:
    return Exposed(
        name=definition.full_name,
        definition=definition,
        route=(cube.name,),
        title="",
        description="",
        public=True,
        meta={},
    )


def _enriched(hint: Hint, routes: Sequence[Hint]) -> Hint:
    """The way that a view of the query names to a cube, where nothing else is said."""
    if len(hint) > 1:
        return hint
    for route in routes:
        if hint[0] in route:
            return route[: route.index(hint[0]) + 1]
    return hint


def _numbers(count: int) -> str:
    return ", ".join(str(at + 1) for at in range(count))
