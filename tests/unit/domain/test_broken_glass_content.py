"""A glass is broken for what a plan does: the same plan made anew in another incident, and no other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from penelope.domain.action import Action, Tier
from penelope.domain.break_glass import BreakGlass, content_of
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.plan import (
    BlockKind,
    BlockTemplate,
    Match,
    Node,
    NodeKind,
    Parameter,
    Plan,
    Playbook,
    RollbackTemplate,
    StepTemplate,
)
from penelope.domain.service import Service, Target
from penelope.rooms.plan.course import Binder

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
SERVICE = Service(
    name="shop",
    owner="team",
    tier=1,
    targets={name: Target(name=name, service="shop", adapter="redis") for name in ("cache", "other")},
)
VERIFY = Contract(
    clauses=(Clause(subject="metric.error_ratio", comparator=Comparator.AT_MOST, expected=0.02),),
    deadline_seconds=60,
)


def step(name: str, key: str) -> StepTemplate:
    return StepTemplate(
        name=name,
        adapter="redis",
        operation="delete",
        target="cache",
        params={"key": key},
        tier=Tier.SNAPSHOT,
        timeout_seconds=5,
        rollback=RollbackTemplate(
            adapter="redis", operation="set", target="other", params={"key": key}, timeout_seconds=5
        ),
    )


PLAYBOOK = Playbook(
    name="flush",
    version="1",
    title="Flush",
    match=Match(),
    parameters=(Parameter(name="keys", kind="list"),),
    steps=(
        step("first", "a"),
        BlockTemplate(kind=BlockKind.FOREACH, name="each", steps=(step("one", "${it}"),), items="keys", variable="it", at_most=3),
        BlockTemplate(
            kind=BlockKind.CONDITION, name="if", steps=(step("then", "b"),), otherwise=(step("else", "c"),), condition=VERIFY
        ),
    ),
    after=(step("last", "d"),),
    verify=VERIFY,
)  # fmt: skip


def made(plan_id: str, incident: str) -> Plan:
    """As the plan's room makes it: every key follows from the plan's id."""
    binder = Binder(plan_id, SERVICE)
    values = {"keys": ["x", "y"]}
    steps, course = binder.section("steps", PLAYBOOK.steps, values)
    after, after_course = binder.section("after", PLAYBOOK.after, values)
    return Plan(
        id=plan_id,
        incident=incident,
        service="shop",
        playbook="flush",
        playbook_version="1",
        steps=steps,
        verify=VERIFY,
        after=after,
        course=course,
        after_course=after_course,
    )


PLAN = made("p1", "inc_1")


def glass_for(plan: Plan) -> BreakGlass:
    return BreakGlass(
        id="g",
        incident=plan.incident,
        service="shop",
        playbook="flush",
        content=content_of(plan),
        by="ada",
        actor="key:ada",
        reason="it burns",
        lifted=(),
        at=NOW,
        good_until=NOW + timedelta(minutes=15),
        review_due_at=NOW + timedelta(days=2),
    )


def test_it_covers_a_plan_with_rollbacks_and_a_course_that_is_made_anew_in_another_incident() -> None:
    anew = made("p2", "inc_2")
    assert anew.digest != PLAN.digest
    assert glass_for(PLAN).covers(anew, NOW)
    assert not glass_for(PLAN).covers(anew, NOW + timedelta(minutes=15))


def changed_first(change: Callable[[Action], Action]) -> Plan:
    first, *rest = PLAN.steps
    return replace(PLAN, steps=(change(first), *rest))


def other_rollback(action: Action) -> Action:
    assert action.rollback is not None
    return replace(action, rollback=replace(action.rollback, params={"key": "z"}))


def swapped(node: Node) -> Node:
    return replace(node, children=node.otherwise, otherwise=node.children)


OTHERS = {
    "params": changed_first(lambda action: replace(action, params={"key": "z"})),
    "params of the rollback": changed_first(other_rollback),
    "no rollback": changed_first(lambda action: replace(action, rollback=None)),
    "a step less": replace(PLAN, after=()),
    "another order": replace(PLAN, course=PLAN.course[::-1]),
    "no course": replace(PLAN, course=()),
    "the branches swapped": replace(
        PLAN, course=tuple(swapped(node) if node.kind is NodeKind.CONDITION else node for node in PLAN.course)
    ),
    "another service": replace(PLAN, service="other"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_it_covers_nothing_that_does_anything_else(what: str) -> None:
    assert not glass_for(PLAN).covers(OTHERS[what], NOW)
