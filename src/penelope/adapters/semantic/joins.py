"""How cubes are joined for a query, and which of them the joins repeat the rows of."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from penelope.adapters.semantic.shape import Cube, Join, Relationship
from penelope.errors import InvalidQuery

Hint = tuple[str, ...]
"""A cube that a query needs, with the cubes before it where a view says which way to it leads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Cubes that are joined one by one to a first one."""

    root: str
    joins: tuple[Join, ...] = ()

    @property
    def cubes(self) -> tuple[str, ...]:
        return (self.root, *(join.target for join in self.joins))

    def repeats(self, cube: str) -> bool:
        """Whether a row of the cube may stand there more than once, so that its sums would come out too high."""
        seen: set[str] = set()
        waiting = [cube]
        while waiting:
            current = waiting.pop()
            seen.add(current)
            for join in self.joins:
                if current not in {join.source, join.target}:
                    continue
                other = join.target if join.source == current else join.source
                if other in seen:
                    continue
                many = Relationship.ONE_TO_MANY if join.source == current else Relationship.MANY_TO_ONE
                if join.relationship is many:
                    return True
                waiting.append(other)
        return False


def tree(cubes: Mapping[str, Cube], hints: Sequence[Hint]) -> Tree:
    """The join with the fewest cubes; of equals the one that begins with what was named first.

    As Cube does it: joins are followed in the direction that the model gives them. Raises InvalidQuery where none
    leads to all cubes, or where two ways of the same length do.
    """
    found = [
        made for hint in hints if (made := _from(cubes, hint, [other for other in hints if other != hint]))
    ]
    if not found:
        named = ", ".join(dict.fromkeys(hint[-1] for hint in hints))
        raise InvalidQuery(
            f"no joins lead to all of {named}", hint="Ask a view, or add joins to the data model."
        )
    return min(found, key=lambda made: len(made.joins))


def _from(cubes: Mapping[str, Cube], first: Hint, others: Sequence[Hint]) -> Tree | None:
    root = first[0]
    joined: set[str] = set()
    joins: dict[Join, None] = {}
    for hint in ([first[1:]] if len(first) > 1 else []) + list(others):
        before = root
        for cube in hint:
            if cube == root:
                continue
            if cube not in joined:
                way = _way(cubes, before, cube)
                if way is None:
                    return None
                joins.update(dict.fromkeys(way))
                joined.add(cube)
            before = cube
    return _in_order(root, joins)


def _in_order(root: str, joins: Iterable[Join]) -> Tree | None:
    """The tree, without joins that would bring in a cube for a second time."""
    there = {root}
    kept: list[Join] = []
    for join in joins:
        if join.target in there:
            if join.target != root and any(item.target == join.target for item in kept):
                raise InvalidQuery(
                    f"two ways lead to {join.target}, and the answer would depend on which is taken",
                    hint="Ask a view that names its join_path.",
                )
            continue
        there.add(join.target)
        kept.append(join)
    return Tree(root=root, joins=tuple(kept))


def _way(cubes: Mapping[str, Cube], source: str, goal: str) -> list[Join] | None:
    """The shortest way. Raises InvalidQuery where there are two."""
    ways: dict[str, list[Join]] = {source: []}
    ambiguous: set[str] = set()
    waiting = deque([source])
    while waiting:
        current = waiting.popleft()
        if current == goal:
            break
        for join in cubes[current].joins:
            way = [*ways[current], join]
            known = ways.get(join.target)
            if known is None:
                ways[join.target] = way
                waiting.append(join.target)
                if current in ambiguous:
                    ambiguous.add(join.target)
            elif len(known) == len(way):
                ambiguous.add(join.target)
    if goal in ambiguous:
        raise InvalidQuery(
            f"two ways of the same length lead from {source} to {goal}",
            hint="Ask a view that names its join_path.",
        )
    return ways.get(goal)
