"""What a playbook looks like on the terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from penelope.domain.action import Operation
from penelope.domain.contract import Clause, Contract
from penelope.domain.plan import BlockKind, BlockTemplate, Match, Parameter, Playbook, StepTemplate
from penelope.entry.cli.screens import table
from penelope.entry.cli.words import seconds, visible
from penelope.kit.canonical import Json, canonical

_TIERS = {
    1: "reversible and local",
    2: "reversible with a snapshot",
    3: "hard to reverse",
    4: "irreversible",
}
_DIM = "dim"


def playbook(item: Playbook) -> list[RenderableType]:
    """All of a playbook: a head, its course as a tree, and what must be true in the end."""
    head = Text.assemble((item.name, "bold"), f" version {visible(item.version)}\n{visible(item.title)}\n")
    return [head, _facts(item), Text(), _course(item)]


def actions(every: Mapping[str, Operation]) -> Table:
    """All actions, a line each."""
    rows = [
        (Text(name), str(int(operation.tier)), Text(visible(operation.summary)))
        for name, operation in every.items()
    ]
    return table("action", "tier", "what it does", rows=rows, keep=("action",))


def action(name: str, operation: Operation) -> list[RenderableType]:
    """One action: what a step must give it, what its credentials must be allowed, what is kept before it."""
    head = Text.assemble((name, "bold"), f"  {visible(operation.summary)}")
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=_DIM, no_wrap=True)
    grid.add_column(overflow="fold")
    lines = [
        ("tier", f"{int(operation.tier)} or above, {_TIERS[int(operation.tier)]}"),
        *_labelled("params", list(_params(operation)) or ["none"]),
        *_labelled("needs", operation.permissions),
        *_labelled("keeps", operation.snapshots),
    ]
    for label, line in lines:
        grid.add_row(f"  {label}", Text(visible(line)))
    return [head, grid]


def _params(operation: Operation) -> Iterator[str]:
    properties, required = operation.params.get("properties", {}), operation.params.get("required", ())
    for name in sorted(properties, key=lambda item: (item not in required, item)):
        shape = properties[name]
        parts = [f"{name}: {_shape(shape)}"]
        if name not in required:
            parts.append(
                f"{_json(shape['default'])} if left out" if shape.get("default") else "may be left out"
            )
        yield ", ".join(parts)


def _shape(shape: Mapping[str, Json]) -> str:
    """The type of a parameter, in a word or two."""
    if "enum" in shape:
        return f"one of {_json(shape['enum'])}"
    if options := [item for item in shape.get("anyOf", ()) if item.get("type") != "null"]:
        return " or ".join(map(_shape, options))
    if shape.get("type") == "array":
        return f"list of {_shape(shape.get('items') or {})}"
    return str(shape.get("type") or str(shape.get("$ref", "any value")).rpartition("/")[2])


def _facts(item: Playbook) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style=_DIM, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, line in _lines(item):
        grid.add_row(label, Text(visible(line)))
    return grid


def _lines(item: Playbook) -> Iterator[tuple[str, str]]:
    yield from _labelled("for", list(_match(item.match)))
    yield from _labelled("needs", [_parameter(parameter) for parameter in item.parameters])
    yield from _labelled("only where", [_clause(clause) for clause in item.preconditions])
    yield "tier", f"{int(item.tier)}, {_TIERS[int(item.tier)]}"
    yield "approval", "always by a person" if item.approval else "where policies ask for it"


def _labelled(label: str, lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines):
        yield "" if number else label, line


def _match(match: Match) -> Iterator[str]:
    for word, values in (
        ("signals", match.names),
        ("labels", [f"{label}={value}" for label, value in match.labels.items()]),
        ("services", match.services),
        ("severities", match.severities),
        ("problems", match.fingerprints),
    ):
        if values:
            yield f"{word} {', '.join(values)}"
    if match.expression:
        yield f"where {match.expression}"


def _parameter(parameter: Parameter) -> str:
    parts = [f"{parameter.name}: {parameter.kind}"]
    if parameter.source:
        parts.append(f"from {parameter.source}")
    if parameter.default is not None:
        parts.append(f"{'or' if parameter.source else 'is'} {_json(parameter.default)}")
    if parameter.choices:
        parts.append(f"one of {_json(list(parameter.choices))}")
    if parameter.pattern:
        parts.append(f"following {parameter.pattern}")
    if parameter.at_least is not None:
        parts.append(f"at least {parameter.at_least:g}")
    if parameter.at_most is not None:
        parts.append(f"at most {parameter.at_most:g}")
    return ", ".join(parts)


def _course(item: Playbook) -> Tree:
    tree = Tree(Text("course", _DIM), guide_style=_DIM)
    for template in item.steps:
        _grow(tree, template)
    if item.rollout is not None:
        weights = ", ".join(f"{step} %" for step in item.rollout.weights)
        tree.add(Text(f"rollout of {item.rollout.canary} against {item.rollout.control}: {weights}", "cyan"))
    for template in item.after:
        _grow(tree, template)
    tree.add(Text(visible(f"verify {_contract(item.verify)}"), "green"))
    return tree


def _grow(tree: Tree, template: StepTemplate | BlockTemplate) -> None:
    if isinstance(template, StepTemplate):
        _step(tree.add(Text(visible(template.name))), template)
        return
    branch = tree.add(_block(template))
    if template.kind is BlockKind.CONDITION:
        then = branch.add(Text("then", _DIM))
        for inner in template.steps:
            _grow(then, inner)
        if template.otherwise:
            otherwise = branch.add(Text("otherwise", _DIM))
            for inner in template.otherwise:
                _grow(otherwise, inner)
        return
    for inner in template.steps:
        _grow(branch, inner)


def _block(block: BlockTemplate) -> Text:
    said = {
        BlockKind.SEQUENCE: "one after the other",
        BlockKind.PARALLEL: "at the same time",
        BlockKind.FOREACH: f"{block.variable} through {block.items}, at most {block.at_most}",
        BlockKind.CONDITION: "" if block.condition is None else f"if {_clauses(block.condition)}",
        BlockKind.WAIT: "" if block.condition is None else _contract(block.condition),
    }[block.kind]
    return Text.assemble((visible(block.name), "cyan"), (f"  {visible(said)}", _DIM))


def _step(tree: Tree, step: StepTemplate) -> None:
    what = f"{step.adapter}.{step.operation} on {step.target}, tier {int(step.tier)}, {seconds(step.timeout_seconds)}"
    if step.retry.attempts > 1:
        what += f", {step.retry.attempts} attempts {seconds(step.retry.pause_seconds)} apart"
    if step.idempotent:
        what += ", idempotent"
    tree.add(Text(visible(what), _DIM))
    if step.expect is not None:
        tree.add(Text(visible(f"expects {_contract(step.expect)}"), _DIM))
    if step.rollback is not None:
        back = step.rollback
        tree.add(Text(visible(f"taken back by {back.adapter}.{back.operation} on {back.target}"), _DIM))
    elif step.keep:
        tree.add(Text("is not taken back", "yellow"))


def _contract(contract: Contract) -> str:
    held = f", for {seconds(contract.hold_seconds)}" if contract.hold_seconds else ""
    return f"{_clauses(contract)} within {seconds(contract.deadline_seconds)}{held}"


def _clauses(contract: Contract) -> str:
    return " and ".join(_clause(clause) for clause in contract.clauses)


def _clause(clause: Clause) -> str:
    return f"{clause.subject} {clause.comparator.value.replace('_', ' ')} {_json(clause.expected)}"


def _json(value: Json) -> str:
    return canonical(value).decode()
