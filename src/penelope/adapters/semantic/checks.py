"""What can only be checked once all cubes are there: references, circles, joins and keys."""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from penelope.adapters.semantic.build import Build
from penelope.adapters.semantic.expression import Expression
from penelope.adapters.semantic.shape import AGGREGATES, Cube, Definition, Path
from penelope.adapters.semantic.targets import Target, refers_to_measures, target, targets
from penelope.adapters.yaml_model import suggestion
from penelope.adapters.yaml_source import Problem
from penelope.domain.semantics import MemberKind

_DEEPEST = 60
"""How many members may stand for each other in a row."""

_MOST_WRITTEN = 2_000
"""How many members one may stand for in all."""


def findings(build: Build) -> list[Problem]:
    """Every mistake. What points at nothing is told alone: the rest would follow from it."""
    found = list(_dangling(build))
    if not found:
        found = [*_circles(build), *_too_deep(build)]
    if not found:
        for cube in build.cubes.values():
            for member in cube.members.values():
                found += [_problem(build, member.path, text) for text in _mistakes(build.cubes, member)]
            found += list(_join_mistakes(build, cube))
            found += list(_freshness(build, cube))
    return found


def _problem(build: Build, path: Path, message: str, *more: str | int) -> Problem:
    document, where = build.places[path]
    return document.problem((*where, *more), message)


def _dangling(build: Build) -> Iterator[Problem]:
    for cube in build.cubes.values():
        for join in cube.joins:
            if join.target not in build.cubes:
                near = suggestion(join.target, build.cubes)
                yield _problem(
                    build, (cube.name, ""), f"there is no cube '{join.target}' to join{near}", "joins"
                )
        joined = [(("", "joins"), join.sql) for join in cube.joins]
        owned = [
            ((member.name, "sql"), sql) for member in cube.members.values() for sql in member.expressions
        ]
        for (name, part), sql in [*owned, *joined]:
            for reference in sql.references:
                try:
                    target(build.cubes, cube.name, reference)
                except ValueError as error:
                    yield _problem(build, (cube.name, name), str(error), part)


def _graph(cubes: Mapping[str, Cube]) -> dict[Path, set[Path]]:
    return {
        member.path: {
            item.member.path
            for sql in member.expressions
            for item in targets(cubes, member.cube, sql)
            if item.member is not None
        }
        for cube in cubes.values()
        for member in cube.members.values()
    }


def _circles(build: Build) -> Iterator[Problem]:
    try:
        TopologicalSorter(_graph(build.cubes)).prepare()
    except CycleError as error:
        circle = [".".join(path) for path in reversed(error.args[1])]
        yield _problem(
            build, error.args[1][0], f"members refer to each other in a circle: {' -> '.join(circle)}"
        )


def _too_deep(build: Build) -> Iterator[Problem]:
    graph = _graph(build.cubes)
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError:
        return
    depth: dict[Path, int] = {}
    written: dict[Path, int] = {}
    for path in order:
        depth[path] = 1 + max((depth[below] for below in graph[path]), default=0)
        # With every mention counted: a handful of members, each made of the one before twice, is a million.
        written[path] = 1 + sum(written[below] for below in _mentioned(build.cubes, path))
        if depth[path] > _DEEPEST:
            yield _problem(build, path, f"stands for members more than {_DEEPEST} deep")
            return
        if written[path] > _MOST_WRITTEN:
            yield _problem(
                build, path, f"stands for more than {_MOST_WRITTEN} members when it is written out"
            )
            return


def _mentioned(cubes: Mapping[str, Cube], path: Path) -> Iterator[Path]:
    """The members that one refers to, as often as it does."""
    cube, name = path
    for sql in cubes[cube].members[name].expressions:
        for item in targets(cubes, cube, sql):
            if item.member is not None:
                yield item.member.path


def _mistakes(cubes: Mapping[str, Cube], member: Definition) -> Iterator[str]:
    found = [item for sql in member.expressions for item in targets(cubes, member.cube, sql)]
    measures = [item for item in found if item.member and item.member.kind is MemberKind.MEASURE]
    if any(item.member and item.member.kind is MemberKind.SEGMENT for item in found):
        yield "refers to a segment, which only a query can name"
    if member.sub_query:
        if not cubes[member.cube].keys:
            yield "a sub_query needs a primary_key in its cube"
        if not measures or len(measures) != len(found) or (member.sql and member.sql.columns):
            yield "a sub_query is made of measures alone, such as {orders.revenue}"
    elif measures and (member.kind is not MemberKind.MEASURE or member.type in AGGREGATES):
        yield f"must not refer to the measure {measures[0].member.full_name}"  # type: ignore[union-attr]  # measures have members
    elif measures and not refers_to_measures(cubes, member) and _foreign(measures, member):
        yield "mixes columns with measures of another cube; make measures of the columns first"
    if member.primary_key and _leaves(found, member):
        yield "a primary key is made of its own cube alone"


def _leaves(found: list[Target], member: Definition) -> bool:
    return any(item.cube != member.cube for item in found)


def _foreign(measures: list[Target], member: Definition) -> bool:
    return any(item.cube != member.cube for item in measures)


def _join_mistakes(build: Build, cube: Cube) -> Iterator[Problem]:
    for index, join in enumerate(cube.joins):
        for side in (cube, build.cubes[join.target]):
            if not side.keys:
                text = f"'{side.name}' needs a dimension with primary_key to be joined"
                yield _problem(build, (cube.name, ""), text, "joins", index)
        named = _cubes_of(build.cubes, cube.name, join.sql)
        if join.target not in named:
            text = f"does not say how '{join.target}' is joined"
            yield _problem(build, (cube.name, ""), text, "joins", index, "sql")
        if named - {cube.name, join.target}:
            text = "may name only the two cubes that it joins"
            yield _problem(build, (cube.name, ""), text, "joins", index, "sql")
        if any(_is_measure(item) for item in targets(build.cubes, cube.name, join.sql)):
            yield _problem(build, (cube.name, ""), "must not refer to a measure", "joins", index, "sql")


def _is_measure(item: Target) -> bool:
    return item.member is not None and (item.member.kind is not MemberKind.DIMENSION or item.member.sub_query)


def _cubes_of(cubes: Mapping[str, Cube], home: str, sql: Expression) -> set[str]:
    """The cubes whose columns an expression takes, its own where it names none."""
    found = {home} if any(before is None for before, _ in sql.columns) or sql.plain else set()
    for item in targets(cubes, home, sql):
        found.add(item.cube)
        if item.member is not None:
            for below in item.member.expressions:
                found |= _cubes_of(cubes, item.cube, below)
    return found


def _freshness(build: Build, cube: Cube) -> Iterator[Problem]:
    named = cube.meta.get("as_of")
    if named is None:
        return
    member = cube.members.get(named) if isinstance(named, str) else None
    if member is None or member.kind is not MemberKind.MEASURE or member.type not in {"time", "max", "min"}:
        text = "as_of names a measure of the cube, of type time, max or min"
        yield _problem(build, (cube.name, ""), text, "meta", "as_of")
