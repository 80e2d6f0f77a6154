"""What is found now counts only for an action that meets the world so."""

from dataclasses import replace

import pytest

from penelope.domain.deployment import Course, Stage
from penelope.domain.plan import Node, NodeKind, Plan
from penelope.domain.service import Target
from penelope.rooms.plan.foresight import foreseeable
from penelope.testing.gate import planned


def plan_of(*targets: str, course: tuple[Node, ...] = ()) -> Plan:
    """Actions a, b, c, … on these targets."""
    actions = [
        {"key": key, "name": key, "target": Target(name=target, service="shop", adapter="process")}
        for key, target in zip("abcdef", targets, strict=False)
    ]
    made = planned(*({k: v for k, v in action.items() if k != "key"} for action in actions))
    steps = tuple(
        replace(step, key=str(given["key"])) for step, given in zip(made.steps, actions, strict=True)
    )
    return replace(made, steps=steps, course=course)


def do(key: str) -> Node:
    return Node(kind=NodeKind.ACTION, key=key, name=key)


def block(kind: NodeKind, *children: Node, otherwise: tuple[Node, ...] = ()) -> Node:
    return Node(kind=kind, key=kind.value, name=kind.value, children=children, otherwise=otherwise)


WAIT = block(NodeKind.WAIT)


@pytest.mark.parametrize(
    ("targets", "course", "expected"),
    [
        (("one",), (), "a"),
        (("one", "two"), (), "a"),
        (("one", "one"), (), "a"),
        (("one", "two"), (do("b"), do("a")), "b"),
        (("one", "two"), (WAIT, do("a"), do("b")), ""),
        (("one", "two"), (block(NodeKind.CONDITION, do("a")), do("b")), ""),
        (("one", "two"), (block(NodeKind.CONDITION, do("a"), otherwise=(do("b"),)),), ""),
        (("one", "two"), (block(NodeKind.PARALLEL, do("a"), do("b")),), ""),
        (("one", "two"), (block(NodeKind.PARALLEL, do("a")), do("b")), "a"),
        (("one", "two"), (block(NodeKind.SEQUENCE, do("a"), do("b")),), "a"),
        (("one", "two"), (block(NodeKind.SEQUENCE), do("b")), ""),
    ],
)
def test_only_what_certainly_meets_the_world_as_it_is_now(
    targets: tuple[str, ...], course: tuple[Node, ...], expected: str
) -> None:
    assert foreseeable(plan_of(*targets, course=course)) == set(expected)


def test_what_comes_after_a_rollout_is_not_foreseen() -> None:
    made = plan_of("one", "two", "three")
    later = replace(made, steps=made.steps[:1], after=made.steps[1:])
    assert foreseeable(later) == {"a"}
    first = replace(later, steps=())
    assert foreseeable(first) == {"b"}
    rollout = Course(canary="b", control="a", stages=(Stage(weight=100),))
    assert foreseeable(replace(later, rollout=rollout)) == {"a"}
    assert foreseeable(replace(first, rollout=rollout)) == set()
