"""Mistakes of steps and blocks: operations that do not exist, parameters that do not fit them, branches that collide."""

from collections.abc import Iterator, Mapping

from penelope.adapters.playbooks.operation_params import misfits
from penelope.adapters.playbooks.places import (
    CHILDREN,
    SECTIONS,
    Finding,
    Place,
    Scope,
    clauses,
    inside,
    places,
)
from penelope.adapters.yaml_model import suggestion
from penelope.adapters.yaml_source import Where
from penelope.domain.action import Operation
from penelope.kit.canonical import Json
from penelope.rooms.plan.binding import names

Adapters = Mapping[str, Mapping[str, Operation]]
"""The operations of each installed adapter."""

DEEPEST, MOST_ITEMS = 5, 100
"""How deep blocks may stand in each other, and how many steps and blocks a playbook may have."""


def of_steps(data: Json, scope: Scope, adapters: Adapters | None) -> Iterator[Finding]:
    """Every mistake of steps and blocks. Without `adapters`, actions are not looked up."""
    every = list(places(data, scope))
    yield from _size(every)
    if len(every) > MOST_ITEMS:
        return  # what follows compares steps with each other, which takes long for very many
    yield from _names(every)
    for place in every:
        if place.kind == "action":
            yield from _action(place, adapters)
        elif place.kind == "foreach":
            yield from _foreach(place)
        elif place.kind == "parallel":
            yield from _collisions(place)
        for where, asked in clauses(place):
            key = where[-1]
            why = f"state.<key> can only be expected in a step; {key} looks at metrics"
            yield from _no_state(where, asked, why)
    why = "state.<key> can only be expected in a step; verify looks at metrics"
    yield from _no_state(("verify", "clauses"), data["verify"]["clauses"], why)


def _size(every: list[Place]) -> Iterator[Finding]:
    if len(every) > MOST_ITEMS:
        yield (
            (SECTIONS[0],),
            f"a playbook has at most {MOST_ITEMS} steps and blocks, this one has {len(every)}",
        )
    if not any(place.kind == "action" for place in every):
        yield (SECTIONS[0],), "nothing is done: no step has an action"
    for place in every:
        if place.depth == DEEPEST + 1:
            yield place.where, f"stands more than {DEEPEST} deep; make it a playbook of its own"


def _names(every: list[Place]) -> Iterator[Finding]:
    """People tell steps apart by their names, on screens and in the ledger."""
    known: set[str] = set()
    for place in every:
        if place.kind == "action":
            name = place.item["name"]
            if name in known:
                yield (*place.where, "name"), f"another step is called '{name}' already"
            known.add(name)


def _action(place: Place, adapters: Adapters | None) -> Iterator[Finding]:
    step, where = place.item, place.where
    yield from _call(where, step, adapters)
    if adapters is not None and (known := _operation(step, adapters)) and step["tier"] < known.tier:
        yield (*where, "tier"), f"{step['action']} is of tier {int(known.tier)} or above"
    rollback = step.get("rollback")
    if not isinstance(rollback, dict):
        return
    where = (*where, "rollback")
    yield from _call(where, rollback, adapters)
    if adapters is not None and (known := _operation(rollback, adapters)) and known.tier > step["tier"]:
        yield (*where, "action"), f"is of tier {int(known.tier)}, above that of the step that it takes back"


def _operation(call: Mapping[str, Json], adapters: Adapters) -> Operation | None:
    adapter, _, operation = call["action"].partition(".")
    return adapters.get(adapter, {}).get(operation)


def _call(where: Where, call: Mapping[str, Json], adapters: Adapters | None) -> Iterator[Finding]:
    """An action, or what takes one back: does the operation exist, and do the parameters fit it?"""
    if call["action"] == "traffic.set_weights":
        yield from _weights((*where, "params"), call)
    if adapters is None:
        return
    adapter, _, operation = call["action"].partition(".")
    at = (*where, "action")
    if adapter not in adapters:
        yield at, f"there is no adapter '{adapter}'{suggestion(adapter, adapters)}"
    elif operation not in adapters[adapter]:
        known = adapters[adapter]
        hint = suggestion(operation, known) or f"; it has {', '.join(sorted(known))}"
        yield at, f"the adapter '{adapter}' has no operation '{operation}'{hint}"
    else:
        params = call.get("params") or {}
        for below, message in misfits(adapters[adapter][operation], params):
            yield (*where, "params", *below), message


def _weights(where: Where, step: Mapping[str, Json]) -> Iterator[Finding]:
    weights = (step.get("params") or {}).get("weights")
    if weights is None:
        yield where, "traffic.set_weights needs 'weights', a percentage for each arm"
    elif isinstance(weights, dict) and not any(map(_is_placeholder, weights.values())):
        if not all(type(weight) is int and 0 <= weight <= 100 for weight in weights.values()):
            yield (*where, "weights"), "weights must be whole numbers from 0 to 100"
        elif sum(weights.values()) != 100:
            yield (*where, "weights"), f"weights must sum to 100, they sum to {sum(weights.values())}"


def _is_placeholder(value: Json) -> bool:
    return isinstance(value, str) and any(True for _ in names(value))


def _foreach(place: Place) -> Iterator[Finding]:
    name, variable = place.item["foreach"], place.item["as"]
    kind = place.scope.get(name)
    if kind is None:
        yield (
            (*place.where, "foreach"),
            f"the parameter '{name}' is not declared{suggestion(name, place.scope)}",
        )
    elif kind != "list":
        yield (*place.where, "foreach"), f"the parameter '{name}' is a {kind}, not a list"
    if variable in place.scope:
        yield (*place.where, "as"), f"there is a parameter '{variable}' already; call the item otherwise"
    below = list(inside(place))
    if below and not any(variable in set(names(dict(inner.item))) for inner in below):
        yield (
            (*place.where, "as"),
            f"the item '{variable}' is not used: the steps would do the same each time",
        )


def _collisions(place: Place) -> Iterator[Finding]:
    """Branches run at the same time, so that two of them on one target would disturb each other."""
    taken: dict[str, int] = {}
    (key,) = CHILDREN[place.kind]
    for number in range(len(place.item[key])):
        branch: Where = (*place.where, key, number)
        inner = [
            item for item in inside(place) if item.where[: len(branch)] == branch and item.kind == "action"
        ]
        for target in dict.fromkeys(item.item["target"] for item in inner if _is_fixed(item, place)):
            if target in taken:
                yield branch, f"acts on {target}, as branch {taken[target] + 1} beside it does"
            taken.setdefault(target, number)


def _is_fixed(item: Place, block: Place) -> bool:
    """Whether the target is the same thing in every branch: items of a list differ, which binding watches."""
    return all(name in block.scope for name in names(item.item["target"]))


def _no_state(where: Where, asked: Json, why: str) -> Iterator[Finding]:
    for index, clause in enumerate(asked):
        if clause["subject"].startswith("state."):
            yield (*where, index, "subject"), why
