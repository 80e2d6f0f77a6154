"""The courses that a plan may take: enough of them that each branch of each condition is gone once."""

from collections.abc import Sequence
from dataclasses import dataclass

from penelope.domain.action import Action
from penelope.domain.plan import Node, NodeKind, Plan

MOST = 8
"""How many courses of one plan are tried; each takes as long as a plan without conditions."""


@dataclass(frozen=True, slots=True)
class Course:
    """One way through a plan. `turns` says which branch was taken of each condition on the way."""

    actions: tuple[Action, ...] = ()
    turns: tuple[str, ...] = ()

    def then(self, other: "Course") -> "Course":
        return Course(self.actions + other.actions, self.turns + other.turns)

    @property
    def label(self) -> str:
        """Tells it from the others of the plan; empty where there is only one."""
        return ", ".join(self.turns)


def courses(plan: Plan) -> list[Course]:
    """All that are needed, however many: those of conditions one after the other are gone together, so that there are
    about as many as there are branches, not as many as there are combinations.
    """
    actions = {action.key: action for action in plan.actions}
    # Without a course, steps follow each other as they are written, and what comes after the rollout follows them.
    nodes = [
        *(plan.course or [_step(action) for action in plan.steps]),
        *(plan.after_course or [_step(action) for action in plan.after]),
    ]
    return _in_order(nodes, actions)


def remarks(plan: Plan) -> tuple[str, ...]:
    """Where a rehearsal goes another way than the plan will, for people."""
    said = []
    for node in _all((*plan.course, *plan.after_course)):
        if node.kind is NodeKind.WAIT:
            said.append(f"{node.name or node.key}: not waited for")
        elif node.kind is NodeKind.PARALLEL:
            said.append(f"{node.name or node.key}: tried one after the other, not side by side")
        elif node.kind is NodeKind.CONDITION:
            said.append(f"{node.name or node.key}: both branches tried, each on fresh copies")
    return tuple(said)


def _step(action: Action) -> Node:
    return Node(kind=NodeKind.ACTION, key=action.key, name=action.name)


def _all(nodes: Sequence[Node]) -> list[Node]:
    return [each for node in nodes for each in (node, *_all((*node.children, *node.otherwise)))]


def _of(node: Node, actions: dict[str, Action]) -> list[Course]:
    match node.kind:
        case NodeKind.ACTION:
            return [Course((actions[node.key],))]
        case NodeKind.CONDITION:
            name = node.name or node.key
            return [
                Course(turns=(turn,)).then(course)
                for turn, below in ((name, node.children), (f"not {name}", node.otherwise))
                for course in _in_order(below, actions)
            ]
        case NodeKind.WAIT:
            return [Course()]
        case _:
            return _in_order(node.children, actions)


def _in_order(nodes: Sequence[Node], actions: dict[str, Action]) -> list[Course]:
    each = [_of(node, actions) for node in nodes]
    made = []
    for number in range(max(map(len, each), default=1)):
        whole = Course()
        for found in each:
            # What has fewer ways than others goes its last one again.
            whole = whole.then(found[min(number, len(found) - 1)])
        made.append(whole)
    return made
