"""Finds every mistake of a playbook file: of its form, and of what only its parts together show."""

from collections.abc import Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path

from penelope.adapters.playbooks.model import ParameterRule, PlaybookFile, RolloutRule, StepRule
from penelope.adapters.yaml_model import suggestion, validate
from penelope.adapters.yaml_source import Document, Problem, Where, read
from penelope.domain.action import Operation
from penelope.kit.canonical import Json
from penelope.rooms.plan.binding import malformed, names

Adapters = Mapping[str, Mapping[str, Operation]]
"""The operations of each installed adapter."""

Finding = tuple[Where, str]

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def lint(path: Path, adapters: Adapters) -> list[Problem]:
    """Every mistake of one file, by line; an empty list means that it can be used."""
    return check(path, adapters)[1]


def check(path: Path, adapters: Adapters | None) -> tuple[PlaybookFile | None, list[Problem]]:
    """The playbook in a file, or None, and its mistakes. Without `adapters`, actions are not looked up."""
    document = read(path)
    playbook, problems = validate(document, PlaybookFile)
    if playbook is None:
        return None, sorted(problems)
    problems = [
        document.problem(where, message) for where, message in _findings(document, playbook, adapters)
    ]
    return (None if problems else playbook), sorted(problems)


def _findings(document: Document, playbook: PlaybookFile, adapters: Adapters | None) -> Iterator[Finding]:
    yield from _parameters(document.data, playbook.parameters)
    for section in ("steps", "after"):
        for index, step in enumerate(getattr(playbook, section)):
            where = (section, index)
            if adapters is not None:
                yield from _action(where, step, adapters)
            if step.action == "traffic.set_weights":
                yield from _weights((*where, "params"), step)
    if playbook.rollout:
        yield from _rollout(playbook.rollout)
    yield from _subjects(playbook)


def _parameters(data: Json, declared: Mapping[str, ParameterRule]) -> Iterator[Finding]:
    used: set[str] = set()
    for where, text in chain(_step_texts(data), _clause_texts(data)):
        if malformed(text):
            yield where, "'${' must begin a parameter such as ${name}; write $${ for a literal ${"
        for name in names(text):
            used.add(name)
            if name not in declared:
                yield where, f"the parameter '{name}' is not declared{suggestion(name, declared)}"
    for name, rule in declared.items():
        if name not in used:
            yield ("parameters", name), f"the parameter '{name}' is declared but not used"
        if rule.default is not None and not _is_of_type(rule.type, rule.default):
            yield ("parameters", name, "default"), f"must be of type {rule.type}"
    yield from _bounds(data, declared)


def _bounds(data: Json, declared: Mapping[str, ParameterRule]) -> Iterator[Finding]:
    for where, text in _clause_texts(data):
        for name in names(text) if where[-1] in {"at_most", "at_least"} else ():
            if name in declared and declared[name].type not in {"integer", "number"}:
                yield where, f"the parameter '{name}' is a {declared[name].type}, not a number"


def _is_of_type(kind: str, value: Json) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean") == isinstance(value, bool)


def _steps(data: Json) -> Iterator[tuple[Where, Json]]:
    for section in ("steps", "after"):
        for index, step in enumerate(data.get(section, ())):
            yield (section, index), step


def _step_texts(data: Json) -> Iterator[tuple[Where, str]]:
    for where, step in _steps(data):
        yield (*where, "name"), step["name"]
        yield from _within(step.get("params", {}), (*where, "params"))


def _clause_texts(data: Json) -> Iterator[tuple[Where, str]]:
    """The texts that clauses expect, wherever the clauses stand."""
    lists: list[tuple[Where, Json]] = [(("preconditions",), data.get("preconditions", ()))]
    for where, step in _steps(data):
        lists.append(((*where, "expect", "clauses"), (step.get("expect") or {}).get("clauses", ())))
    lists.append((("verify", "clauses"), data["verify"]["clauses"]))
    for where, clauses in lists:
        for index, clause in enumerate(clauses):
            for comparator in clause.keys() - {"subject", "weight"}:
                yield from _within(clause[comparator], (*where, index, comparator))


def _within(value: Json, where: Where) -> Iterator[tuple[Where, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _within(item, (*where, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _within(item, (*where, index))


def _action(step_at: Where, step: StepRule, adapters: Adapters) -> Iterator[Finding]:
    where = (*step_at, "action")
    adapter, _, operation = step.action.partition(".")
    if adapter not in adapters:
        yield where, f"there is no adapter '{adapter}'{suggestion(adapter, adapters)}"
    elif operation not in adapters[adapter]:
        known = adapters[adapter]
        hint = suggestion(operation, known) or f"; it has {', '.join(sorted(known))}"
        yield where, f"the adapter '{adapter}' has no operation '{operation}'{hint}"
    elif step.tier < adapters[adapter][operation].tier:
        least = int(adapters[adapter][operation].tier)
        yield (*step_at, "tier"), f"{step.action} is of tier {least} or above"


def _weights(where: Where, step: StepRule) -> Iterator[Finding]:
    weights = step.params.get("weights")
    if weights is None:
        yield where, "traffic.set_weights needs 'weights', a percentage for each arm"
    elif isinstance(weights, dict) and not any(map(_is_placeholder, weights.values())):
        if not all(type(weight) is int and 0 <= weight <= 100 for weight in weights.values()):
            yield (*where, "weights"), "weights must be whole numbers from 0 to 100"
        elif sum(weights.values()) != 100:
            yield (*where, "weights"), f"weights must sum to 100, they sum to {sum(weights.values())}"


def _is_placeholder(value: Json) -> bool:
    return isinstance(value, str) and any(True for _ in names(value))


def _rollout(rollout: RolloutRule) -> Iterator[Finding]:
    where: Where = ("rollout", "steps")
    for index, (before, after) in enumerate(pairwise(rollout.steps), start=1):
        if after <= before:
            yield (*where, index), f"the steps must rise, but {after} follows {before}"
    if rollout.steps[-1] != 100:
        yield where, "the last step must be 100"
    if rollout.canary == rollout.control:
        yield ("rollout", "control"), "canary and control must be two different arms"
    if rollout.max_step < rollout.interval * rollout.looks_per_step:
        yield (
            ("rollout", "max_step"),
            "is shorter than looks_per_step times interval: no step could be promoted",
        )


def _subjects(playbook: PlaybookFile) -> Iterator[Finding]:
    """`state.<key>` is what the adapter of one action reports, so only a step can expect it."""
    for index, clause in enumerate(playbook.verify.clauses):
        if clause.subject.startswith("state."):
            where = ("verify", "clauses", index, "subject")
            yield where, "state.<key> can only be expected in a step; verify looks at metrics"
