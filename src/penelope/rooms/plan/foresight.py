"""Which actions of a plan will meet the world as it is now."""

from collections.abc import Sequence

from penelope.domain.action import Action
from penelope.domain.plan import Node, NodeKind, Plan


def foreseeable(plan: Plan) -> frozenset[str]:
    """The keys of the actions that certainly run, and before which nothing of the plan happens: the first one, if any.

    What is found about it now will hold when it is reached. It need not for the others, on whatever target they are: a
    command on one target writes the file that the next step puts in its place on another.
    """
    course = plan.course or _in_order(plan.steps)
    if not course and plan.rollout is None:
        course = plan.after_course or _in_order(plan.after)
    return _first(course)


def _in_order(actions: Sequence[Action]) -> tuple[Node, ...]:
    return tuple(Node(kind=NodeKind.ACTION, key=action.key, name=action.name) for action in actions)


def _first(nodes: Sequence[Node]) -> frozenset[str]:
    if not nodes:
        return frozenset()
    node = nodes[0]
    if node.kind is NodeKind.ACTION:
        return frozenset({node.key})
    # Of branches that run side by side any may come first; a condition may not hold, and a wait lets the world go on.
    alone = node.kind is NodeKind.SEQUENCE or (node.kind is NodeKind.PARALLEL and len(node.children) == 1)
    return _first(node.children) if alone else frozenset()
