"""Makes the actions of a plan from the steps of a playbook, and the course that says how they follow each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from penelope.domain.action import Action
from penelope.domain.contract import Clause, Contract
from penelope.domain.plan import BlockKind, BlockTemplate, Node, NodeKind, StepTemplate
from penelope.domain.service import Service, Target
from penelope.kit.canonical import Json
from penelope.kit.ids import digest_id
from penelope.rooms.plan.binding import bind, names
from penelope.rooms.plan.parameters import Unbindable

MOST_ACTIONS = 100
"""Actions of a plan: more than that nobody reads before agreeing."""

_MOST_NODES = 1000
"""Places of a plan's course, at which lists that are gone through in each other are given up."""

_LONGEST_NAME = 200
"""Characters of a name that was bound: it stands in history, in messages and in reasons, while labels may be long."""

Template = StepTemplate | BlockTemplate
Values = Mapping[str, Json]

_NODES: Mapping[BlockKind, NodeKind] = {
    BlockKind.SEQUENCE: NodeKind.SEQUENCE,
    BlockKind.PARALLEL: NodeKind.PARALLEL,
    BlockKind.CONDITION: NodeKind.CONDITION,
    BlockKind.WAIT: NodeKind.WAIT,
}


@dataclass(frozen=True, slots=True)
class _Here:
    """Where a step stands: the parts of its key, what it may name, and the items of the lists that it is in."""

    path: tuple[str, ...]
    values: Values
    items: Mapping[str, str]

    def below(self, *parts: str) -> "_Here":
        return replace(self, path=(*self.path, *parts))


def bind_contract(contract: Contract, values: Values) -> Contract:
    """The contract with every parameter filled in."""
    return replace(contract, clauses=bind_clauses(contract.clauses, values))


def bind_clauses(clauses: tuple[Clause, ...], values: Values) -> tuple[Clause, ...]:
    """The clauses with every parameter filled in."""
    return tuple(replace(clause, expected=bind(clause.expected, values)) for clause in clauses)


class Binder:
    """Binds the steps of one plan. Keys are digests of the place in the playbook and, in a list, of the item: they stay
    the same when a plan is made again, whatever else is bound, and another item never gets the key of this one.
    """

    def __init__(self, plan_id: str, service: Service) -> None:
        self._plan_id = plan_id
        self._service = service
        self._actions: list[Action] = []
        self._nodes = 0

    def section(
        self, name: str, templates: Sequence[Template], values: Values
    ) -> tuple[tuple[Action, ...], tuple[Node, ...]]:
        """The actions of a section in the order in which they are written, and their course: none for plain steps,
        which follow each other. Raises Unbindable.
        """
        self._actions = []
        here = _Here(path=(name,), values=values, items={})
        course = self._nodes_of(templates, here)
        plain = all(isinstance(template, StepTemplate) for template in templates)
        return tuple(self._actions), () if plain else course

    def _nodes_of(self, templates: Sequence[Template], here: _Here) -> tuple[Node, ...]:
        nodes = (self._node(template, here.below(str(number))) for number, template in enumerate(templates))
        return tuple(node for node in nodes if node is not None)

    def _node(self, template: Template, here: _Here) -> Node | None:
        """The place of a step or block; None for a block in which nothing is left to do."""
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise Unbindable(f"its lists are too long: more than {_MOST_NODES} places")
        if isinstance(template, StepTemplate):
            action = self._action(template, here)
            self._actions.append(action)
            return Node(kind=NodeKind.ACTION, key=action.key, name=action.name)
        if template.kind is BlockKind.FOREACH:
            return self._foreach(template, here)
        return self._block(template, here)

    def _block(self, block: BlockTemplate, here: _Here) -> Node | None:
        inner = "then" if block.kind is BlockKind.CONDITION else block.kind.value
        began = len(self._actions)
        children = self._nodes_of(block.steps, here.below(inner))
        otherwise = self._nodes_of(block.otherwise, here.below("otherwise"))
        if block.kind is not BlockKind.WAIT and not children and not otherwise:
            return None
        if block.kind is BlockKind.PARALLEL:
            _require_apart(block.name, children, self._actions[began:])
        return Node(
            kind=_NODES[block.kind],
            key=self._key(here),
            name=block.name,
            children=children,
            otherwise=otherwise,
            condition=bind_contract(block.condition, here.values) if block.condition else None,
        )

    def _foreach(self, block: BlockTemplate, here: _Here) -> Node | None:
        rounds = [self._round(block, item, here) for item in _items(block, here.values)]
        children = tuple(node for node in rounds if node is not None)
        if not children:
            return None
        return Node(kind=NodeKind.SEQUENCE, key=self._key(here), name=block.name, children=children)

    def _round(self, block: BlockTemplate, item: str, here: _Here) -> Node | None:
        inside = _Here(
            path=(*here.path, "each", item),
            values={**here.values, block.variable: item},
            items={**here.items, block.variable: item},
        )
        children = self._nodes_of(block.steps, inside)
        if not children:
            return None
        return Node(kind=NodeKind.SEQUENCE, key=self._key(inside), name=_short(item), children=children)

    def _key(self, here: _Here) -> str:
        return digest_id(self._plan_id, *here.path)

    def _action(self, step: StepTemplate, here: _Here) -> Action:
        key, name = self._key(here), _name(step, here)
        return Action(
            key=key,
            name=name,
            adapter=step.adapter,
            operation=step.operation,
            target=self._target(step.name, step.target, step.adapter, here.values),
            params=bind(step.params, here.values),
            tier=step.tier,
            timeout_seconds=step.timeout_seconds,
            contract=bind_contract(step.expect, here.values) if step.expect else None,
            retry=step.retry,
            idempotent=step.idempotent,
            rollback=self._rollback(step, key, name, here.values),
            keep=step.keep,
        )

    def _rollback(self, step: StepTemplate, key: str, name: str, values: Values) -> Action | None:
        template = step.rollback
        if template is None:
            return None
        return Action(
            key=digest_id(key, "rollback"),
            name=f"Take back: {name}",
            adapter=template.adapter,
            operation=template.operation,
            target=self._target(step.name, template.target, template.adapter, values),
            params=bind(template.params, values),
            tier=step.tier,
            timeout_seconds=template.timeout_seconds,
        )

    def _target(self, step: str, template: str, adapter: str, values: Values) -> Target:
        name = bind(template, values)
        target = self._service.targets.get(name) if isinstance(name, str) else None
        if target is None:
            raise Unbindable(
                f"step '{step}' needs the target {_short(name)}, which {self._service.name} does not have"
            )
        if target.adapter != adapter:
            raise Unbindable(
                f"step '{step}' needs {_short(name)} to be a {adapter} target, it is a {target.adapter} target"
            )
        return replace(target, options={})  # addresses and secrets stay in the catalogue, out of history


def _name(step: StepTemplate, here: _Here) -> str:
    """The step's name; in a list it shows the item, so that people can tell its actions apart."""
    name = str(bind(step.name, here.values))
    said = set(names(step.name))
    missing = [item for variable, item in here.items.items() if variable not in said]
    return _short(f"{name} ({', '.join(missing)})" if missing else name)


def _short(name: Json) -> str:
    text = str(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"


def _items(block: BlockTemplate, values: Values) -> list[str]:
    found = values.get(block.items)
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise Unbindable(f"{block.items} is no list of texts")
    if len(found) > block.at_most:
        raise Unbindable(
            f"{block.items} has {len(found)} items, '{block.name}' goes through {block.at_most} at most"
        )
    if len(set(found)) < len(found):
        raise Unbindable(f"{block.items} names something twice")
    return found


def _require_apart(block: str, branches: Sequence[Node], actions: Sequence[Action]) -> None:
    """Branches run at the same time: two of them on one target would disturb each other."""
    targets = {action.key: action.target.name for action in actions}
    taken: set[str] = set()
    for branch in branches:
        mine = {targets[key] for key in action_keys((branch,))}
        if both := taken & mine:
            raise Unbindable(f"two branches of '{block}' act on {min(both)}")
        taken |= mine


def action_keys(course: Sequence[Node]) -> list[str]:
    """The keys of all actions of a course, in the order in which they are written."""
    found: list[str] = []
    for node in course:
        if node.kind is NodeKind.ACTION:
            found.append(node.key)
        found += action_keys((*node.children, *node.otherwise))
    return found
