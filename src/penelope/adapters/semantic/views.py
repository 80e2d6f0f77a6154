"""Gives every member the name that queries know it by: of its cube, and of each view that includes it."""

import itertools
from collections.abc import Iterator, Sequence

from penelope.adapters.semantic.build import Build
from penelope.adapters.semantic.schema import IncludeRule, ViewCubeRule, ViewRule
from penelope.adapters.semantic.shape import Cube, Definition, Exposed, Shape
from penelope.adapters.yaml_model import suggestion
from penelope.adapters.yaml_source import Document, Where

Placed = tuple[Document, Where, ViewRule]


def add_views(build: Build, views: Sequence[Placed]) -> Shape:
    """The whole model; mistakes of the views go to the build's problems."""
    exposed = {
        member.full_name: _of_cube(cube, member)
        for cube in build.cubes.values()
        for member in cube.members.values()
    }
    routes: dict[str, tuple[tuple[str, ...], ...]] = {}
    for document, where, view in views:
        if view.name in build.cubes or view.name in routes:
            build.complain(document, (*where, "name"), f"there are two cubes or views '{view.name}'")
            continue
        adder = _View(build, document, view)
        routes[view.name] = adder.add(where, exposed)
    return Shape(cubes=dict(build.cubes), exposed=exposed, routes=routes)


def _of_cube(cube: Cube, member: Definition) -> Exposed:
    return Exposed(
        name=member.full_name,
        definition=member,
        route=(cube.name,),
        title=member.title,
        description=member.description,
        public=member.public and cube.public,
        meta=member.meta,
    )


class _View:
    """Adds the members of one view."""

    def __init__(self, build: Build, document: Document, view: ViewRule) -> None:
        self._build = build
        self._document = document
        self._view = view

    def add(self, where: Where, exposed: dict[str, Exposed]) -> tuple[tuple[str, ...], ...]:
        routes: list[tuple[str, ...]] = []
        for index, rule in enumerate(self._view.cubes):
            at: Where = (*where, "cubes", index)
            route = tuple(rule.join_path.split("."))
            if not self._leads(route, (*at, "join_path")):
                continue
            routes.append(route)
            for include, place in self._included(rule, route[-1], at):
                item = self._exposed(rule, include, route)
                if item.name in exposed and exposed[item.name].definition != item.definition:
                    text = f"'{item.name}' is there already; give an alias, or set prefix: true"
                    self._build.complain(self._document, place, text)
                exposed.setdefault(item.name, item)
        return tuple(routes)

    def _leads(self, route: tuple[str, ...], where: Where) -> bool:
        cubes = self._build.cubes
        for name in route:
            if name not in cubes:
                text = f"there is no cube '{name}'{suggestion(name, cubes)}"
                self._build.complain(self._document, where, text)
                return False
        for before, name in itertools.pairwise(route):
            if all(join.target != name for join in cubes[before].joins):
                self._build.complain(self._document, where, f"'{before}' has no join to '{name}'")
                return False
        return True

    def _included(self, rule: ViewCubeRule, cube: str, where: Where) -> Iterator[tuple[IncludeRule, Where]]:
        members = self._build.cubes[cube].members
        for index, name in enumerate(rule.excludes):
            if name not in members:
                text = f"'{cube}' has no member '{name}'{suggestion(name, members)}"
                self._build.complain(self._document, (*where, "excludes", index), text)
        if rule.includes == "*":
            for name in members:
                if name not in rule.excludes:
                    yield IncludeRule(name=name), (*where, "includes")
            return
        for index, item in enumerate(rule.includes):
            include = IncludeRule(name=item) if isinstance(item, str) else item
            place: Where = (*where, "includes", index)
            if include.name not in members:
                text = f"'{cube}' has no member '{include.name}'{suggestion(include.name, members)}"
                self._build.complain(self._document, place, text)
            elif include.name not in rule.excludes:
                yield include, place

    def _exposed(self, rule: ViewCubeRule, include: IncludeRule, route: tuple[str, ...]) -> Exposed:
        cube = self._build.cubes[route[-1]]
        member = cube.members[include.name]
        name = include.alias or include.name
        if rule.prefix:
            name = f"{rule.alias or cube.name}_{name}"
        return Exposed(
            name=f"{self._view.name}.{name}",
            definition=member,
            route=route,
            title=include.title or member.title,
            description=include.description or member.description,
            public=member.public and self._view.visible is not False,
            meta=include.meta if include.meta is not None else member.meta,
        )
