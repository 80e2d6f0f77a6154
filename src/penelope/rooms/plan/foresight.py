"""Which actions of a plan will meet their targets as these are now."""

from collections.abc import Iterable, Sequence

from penelope.domain.action import Action
from penelope.domain.plan import Node, NodeKind, Plan

_Place = tuple[str, str]
"""Service and name of a target."""


def foreseeable(plan: Plan) -> frozenset[str]:
    """The keys of the actions that certainly run, and on whose targets nothing of the plan happens before them.

    What is found about these now will hold when they are reached. It need not for the others: those under a condition
    or behind a wait, those whose target an earlier step changes, and those that come after a rollout.
    """
    walk = _Walk({action.key: action for action in plan.actions})
    walk.through(plan.course or _in_order(plan.steps))
    if plan.rollout is None:
        walk.through(plan.after_course or _in_order(plan.after))
    return frozenset(walk.foreseen)


def _in_order(actions: Sequence[Action]) -> Sequence[Node]:
    return [Node(kind=NodeKind.ACTION, key=action.key, name=action.name) for action in actions]


class _Walk:
    """Goes through a course, and notes on the way what was changed before."""

    def __init__(self, actions: dict[str, Action]) -> None:
        self.foreseen: set[str] = set()
        self._actions = actions
        self._changed: set[_Place] = set()
        self._open = False
        """Whether there was a wait: until it is over the world goes on."""

    def through(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._visit(node)

    def _visit(self, node: Node) -> None:
        match node.kind:
            case NodeKind.ACTION:
                place = self._place(node.key)
                if not self._open and place not in self._changed:
                    self.foreseen.add(node.key)
                self._changed.add(place)
            case NodeKind.SEQUENCE:
                self.through(node.children)
            case NodeKind.PARALLEL:
                self._side_by_side(node.children)
            case NodeKind.CONDITION:
                self._changed |= self._places((*node.children, *node.otherwise))
            case NodeKind.WAIT:
                self._open = True

    def _side_by_side(self, branches: Sequence[Node]) -> None:
        """Of two branches that share a target either may come first."""
        before, open_before, open_after = set(self._changed), self._open, self._open
        for branch in branches:
            others = [other for other in branches if other is not branch]
            self._changed, self._open = before | self._places(others), open_before
            self._visit(branch)
            open_after = open_after or self._open
        self._changed, self._open = before | self._places(branches), open_after

    def _places(self, nodes: Iterable[Node]) -> set[_Place]:
        found: set[_Place] = set()
        for node in nodes:
            if node.kind is NodeKind.ACTION:
                found.add(self._place(node.key))
            found |= self._places((*node.children, *node.otherwise))
        return found

    def _place(self, key: str) -> _Place:
        target = self._actions[key].target
        return target.service, target.name
