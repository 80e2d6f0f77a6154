"""Who is asked to agree sees when each action happens, with what, and what would take it back."""

from dataclasses import replace

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.plan import Node, NodeKind
from penelope.domain.service import Target
from penelope.flow.briefing import steps_of
from penelope.testing.gate import planned


def action(name: str, **changes: object) -> Action:
    made = Action(
        key=f"key-{name}",
        name=name,
        adapter="command",
        operation="run",
        target=Target(name="host", service="shop", adapter="command"),
        params={"argv": ["systemctl", "restart", name]},
        tier=Tier.SNAPSHOT,
        timeout_seconds=1,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # fields of an action, by name


def node(kind: NodeKind, *children: Node, key: str = "n", **more: object) -> Node:
    made = Node(kind=kind, key=key, name="both", children=children)
    return replace(made, **more)  # type: ignore[arg-type]  # fields of a node, by name


def leaf(name: str) -> Node:
    return Node(kind=NodeKind.ACTION, key=f"key-{name}", name=name)


FULL = Contract(
    clauses=(Clause(subject="metric.disk_used", comparator=Comparator.AT_LEAST, expected=0.9),),
    deadline_seconds=5,
)


def test_each_step_tells_in_what_circumstances_it_happens() -> None:
    actions = tuple(action(name) for name in ("first", "web", "db", "last"))
    beside = node(NodeKind.PARALLEL, leaf("web"), leaf("db"))
    choice = node(NodeKind.CONDITION, beside, condition=FULL, otherwise=(leaf("last"),))
    course = (leaf("first"), node(NodeKind.WAIT, condition=FULL), choice)
    plan = replace(planned({}), steps=actions, course=course)
    once = "once metric.disk_used at least 0.9"
    inside = f"{once}, if metric.disk_used at least 0.9, beside others of 'both'"
    assert {step.name: step.when for step in steps_of(plan)} == {
        "first": "",
        "web": inside,
        "db": inside,
        "last": f"{once}, unless metric.disk_used at least 0.9",
    }


def test_what_takes_a_step_back_is_not_taken_for_one_more_step() -> None:
    back = action("stop")
    plan = replace(planned({}), steps=(action("start", rollback=back), action("note", keep=True)))
    assert [(step.name, step.when) for step in steps_of(plan)] == [
        ("start", ""),
        ("stop", "only to take back start"),
        ("note", "stays when the rest is taken back"),
    ]


def test_parameters_are_shown_and_a_patch_only_once() -> None:
    small = action("patch", params={"diff": "-a\n+b\n", "path": "x"})
    large = action("large", params={"text": "y" * 5000})
    first, second = steps_of(replace(planned({}), steps=(small, large)))
    assert (first.diff, first.params) == ("-a\n+b\n", '{"path":"x"}')
    assert len(second.params) == 401
