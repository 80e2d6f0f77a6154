"""Goes through a playbook's data: every step and block, the texts in them, and which parameters each of them knows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from penelope.adapters.playbooks.steps import kind_of
from penelope.adapters.yaml_source import Where
from penelope.kit.canonical import Json

Finding = tuple[Where, str]
"""A mistake and where it stands."""

Scope = Mapping[str, str]
"""The types of the parameters that are known at a place, by name."""

SECTIONS = ("steps", "after")

CHILDREN: Mapping[str, tuple[str, ...]] = {
    "action": (),
    "sequence": ("sequence",),
    "parallel": ("parallel",),
    "when": ("then", "otherwise"),
    "foreach": ("steps",),
    "wait_for": (),
}
"""The keys of each kind of item under which further items stand."""

_BOUNDS = frozenset({"at_most", "at_least", "between", "changes_at_most", "changes_at_least"})
"""What is compared with numbers only."""

_NOT_COMPARED = frozenset({"subject", "weight", "severity", "within", "hold"})


@dataclass(frozen=True, slots=True)
class Place:
    """A step or a block: where it stands, what it is, how deep, and what it knows."""

    where: Where
    item: Mapping[str, Json]
    depth: int
    scope: Scope

    @property
    def kind(self) -> str:
        return kind_of(self.item)


@dataclass(frozen=True, slots=True)
class Words:
    """A text that may hold placeholders. `role` is target, bound, name or value: what it stands for."""

    where: Where
    text: str
    scope: Scope
    role: str = "value"


def places(data: Json, scope: Scope) -> Iterator[Place]:
    """Every step and block in the order of the file."""
    for section in SECTIONS:
        yield from _below(data.get(section) or (), (section,), 1, scope)


def inside(place: Place) -> Iterator[Place]:
    """What stands in a block, at any depth."""
    scope = place.scope
    if place.kind == "foreach":
        scope = {**scope, place.item["as"]: "string"}
    for key in CHILDREN[place.kind]:
        yield from _below(place.item.get(key) or (), (*place.where, key), place.depth + 1, scope)


def _below(items: Json, where: Where, depth: int, scope: Scope) -> Iterator[Place]:
    for index, item in enumerate(items):
        place = Place((*where, index), item, depth, scope)
        yield place
        yield from inside(place)


def words(data: Json, scope: Scope) -> Iterator[Words]:
    """Every text in which a parameter may stand."""
    yield from _of_clauses(data.get("preconditions") or (), ("preconditions",), scope)
    for place in places(data, scope):
        yield from _of_place(place)
    yield from _of_clauses(data["verify"]["clauses"], ("verify", "clauses"), scope)


def clauses(place: Place) -> Iterator[tuple[Where, Json]]:
    """The lists of clauses of a block that are judged on figures."""
    for key in ("when", "wait_for"):
        if key in place.item:
            yield (*place.where, key), place.item[key]


def _of_place(place: Place) -> Iterator[Words]:
    where, item, scope = place.where, place.item, place.scope
    if place.kind == "action":
        yield Words((*where, "name"), item["name"], scope, "name")
        yield from _of_call(where, item, scope)
        if isinstance(item.get("rollback"), dict):
            yield from _of_call((*where, "rollback"), item["rollback"], scope)
        expected = (item.get("expect") or {}).get("clauses") or ()
        yield from _of_clauses(expected, (*where, "expect", "clauses"), scope)
    for at, asked in clauses(place):
        yield from _of_clauses(asked, at, scope)


def _of_call(where: Where, call: Mapping[str, Json], scope: Scope) -> Iterator[Words]:
    if "target" in call:
        yield Words((*where, "target"), call["target"], scope, "target")
    yield from _within(call.get("params") or {}, (*where, "params"), scope, "value")


def _of_clauses(items: Json, where: Where, scope: Scope) -> Iterator[Words]:
    for index, clause in enumerate(items):
        for key in sorted(clause.keys() - _NOT_COMPARED):
            role = "bound" if key in _BOUNDS else "value"
            yield from _within(clause[key], (*where, index, key), scope, role)


def _within(value: Json, where: Where, scope: Scope, role: str) -> Iterator[Words]:
    if isinstance(value, str):
        yield Words(where, value, scope, role)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _within(item, (*where, key), scope, role)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _within(item, (*where, index), scope, role)
