"""Which courses of a plan are tried."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.adapters.twin.courses import courses, remarks
from penelope.domain.plan import Node, NodeKind, Plan
from penelope.testing.gate import planned

KEYS = [f"key-{number}" for number in range(6)]


def plan_of(*course: Node) -> Plan:
    return replace(planned(*({"name": key} for key in KEYS)), course=course)


def act(number: int) -> Node:
    return Node(kind=NodeKind.ACTION, key=KEYS[number], name=KEYS[number])


def when(name: str, *children: Node, otherwise: tuple[Node, ...] = ()) -> Node:
    return Node(kind=NodeKind.CONDITION, key=name, name=name, children=children, otherwise=otherwise)


def gone(plan: Plan) -> list[tuple[str, str]]:
    """Each course as its label, and the numbers of its actions."""
    return [(way.label, "".join(action.key[-1] for action in way.actions)) for way in courses(plan)]


def test_without_a_course_each_step_follows_the_one_before() -> None:
    plan = replace(planned(*({"name": key} for key in KEYS)))
    plan = replace(plan, steps=plan.steps[:4], after=plan.steps[4:])
    assert gone(plan) == [("", "012345")]


@pytest.mark.parametrize(
    ("course", "wanted"),
    [
        ((when("c", act(0), otherwise=(act(1),)), act(2)), [("c", "02"), ("not c", "12")]),
        ((when("c", act(0)), act(2)), [("c", "02"), ("not c", "2")]),
        # Conditions in a row are gone together; nested ones add to those around them.
        (
            (when("c", act(0), otherwise=(act(1),)), when("d", act(2), otherwise=(act(3),))),
            [("c, d", "02"), ("not c, not d", "13")],
        ),
        (
            (when("c", act(0), when("d", act(1), otherwise=(act(2),)), otherwise=(act(3),)), act(4)),
            [("c, d", "014"), ("c, not d", "024"), ("not c", "34")],
        ),
        (
            (Node(kind=NodeKind.PARALLEL, key="p", name="p", children=(act(1), act(0))), act(2)),
            [("", "102")],
        ),
        ((Node(kind=NodeKind.WAIT, key="w", name="w"), act(0)), [("", "0")]),
    ],
)
def test_each_branch_is_gone(course: tuple[Node, ...], wanted: list[tuple[str, str]]) -> None:
    plan = replace(plan_of(*course), after=())
    assert gone(plan) == wanted


def test_what_is_otherwise_than_in_earnest_is_said() -> None:
    wait = Node(kind=NodeKind.WAIT, key="w", name="calm")
    plan = plan_of(when("c", act(0), Node(kind=NodeKind.PARALLEL, key="p", name="", children=(act(1), wait))))
    assert remarks(plan) == (
        "c: both branches tried, each on fresh copies",
        "p: tried one after the other, not side by side",
        "calm: not waited for",
    )


def trees() -> st.SearchStrategy[Node]:
    actions = st.integers(0, 5).map(act)

    def above(below: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
        some = st.lists(below, max_size=3).map(tuple)
        kinds = st.sampled_from([NodeKind.SEQUENCE, NodeKind.PARALLEL])
        blocks = st.builds(Node, kind=kinds, key=st.just("b"), name=st.just("b"), children=some)
        choices = st.builds(
            Node,
            kind=st.just(NodeKind.CONDITION),
            key=st.just("c"),
            name=st.just("c"),
            children=some,
            otherwise=some,
        )
        return blocks | choices

    return st.recursive(actions, above, max_leaves=12)


def everywhere(node: Node) -> set[str]:
    if node.kind is NodeKind.ACTION:
        return {node.key}
    return {key for child in (*node.children, *node.otherwise) for key in everywhere(child)}


def branches(node: Node) -> int:
    own = node.kind is NodeKind.CONDITION
    return own + sum(branches(child) for child in (*node.children, *node.otherwise))


@given(st.lists(trees(), min_size=1, max_size=4))
def test_no_action_is_left_out_and_there_are_no_more_courses_than_branches(course: list[Node]) -> None:
    plan = plan_of(*course)
    ways = courses(plan)
    tried = {action.key for way in ways for action in way.actions}
    assert tried == {key for node in course for key in everywhere(node)}
    assert 1 <= len(ways) <= 1 + sum(branches(node) for node in course)
