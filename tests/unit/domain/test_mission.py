from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.incident import IncidentState
from penelope.domain.mission import (
    ActionWork,
    Block,
    BlockedBy,
    IncidentWork,
    Members,
    Mission,
    progress,
)
from penelope.kit.codec import from_data, to_data

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


def action(name, status="planned", incident="inc_1") -> ActionWork:
    return ActionWork(id=f"key-{name}", name=name, incident=incident, status=status)


def incident(name="inc_1", state=IncidentState.ACTING, **changes) -> IncidentWork:
    return IncidentWork(id=name, title=f"title of {name}", service="shop", state=state, **changes)


def test_pieces_of_work_are_the_actions_of_the_plan_and_the_end():
    found = progress([incident(planned=(action("a", "done"), action("b", "started"), action("c")))], [])
    assert (found.done, found.total, found.percent) == (1, 4, 25)
    assert [member.id for member in found.remaining] == ["inc_1"]
    healed = progress([incident(state=IncidentState.HEALED, planned=(action("a", "compensated"),))], [])
    assert (healed.percent, healed.remaining) == (100, ())


def test_the_share_is_rounded_down_and_nothing_is_nowhere():
    almost = progress([incident(planned=tuple(action(str(n), "done") for n in range(199)))], [])
    assert (almost.done, almost.total, almost.percent) == (199, 200, 99)
    assert progress([], []).percent == 0


@pytest.mark.parametrize(
    ("work", "blocked"),
    [
        (incident(), ()),
        (
            incident(state=IncidentState.AWAITING_APPROVAL, approvals=("app_1",)),
            (Block(by=BlockedBy.APPROVAL, of="app_1"),),
        ),
        (incident(approvals=("app_1",)), ()),
        (incident(halts=("fleet",)), (Block(by=BlockedBy.HALT, of="fleet"),)),
        (
            incident(state=IncidentState.OBSERVING, held_by="inc_2"),
            (Block(by=BlockedBy.INCIDENT, of="inc_2"),),
        ),
        (incident(held_by="inc_2"), ()),
        (incident(state=IncidentState.ESCALATED), (Block(by=BlockedBy.PEOPLE, of="inc_1"),)),
        (incident(state=IncidentState.ESCALATED, over=True), ()),
        (incident(state=IncidentState.HEALED, halts=("fleet",)), ()),
    ],
)
def test_what_blocks_a_member_is_named(work, blocked):
    (member,) = progress([work], []).members
    assert member.blocked == blocked


def test_an_action_counts_once():
    shared = action("a", "done")
    found = progress([incident(planned=(shared,))], [shared, action("x", "done", "inc_9")])
    assert [member.id for member in found.members] == ["inc_1", "key-x"]
    assert (found.done, found.total) == (2, 3)


names = st.lists(st.sampled_from("abcdef"), max_size=6).map(tuple)


@given(names, names, names)
def test_members_are_there_once_in_order_and_changing_again_changes_nothing(first, add, remove):
    mission = Mission(id="m", name="n", goal="g", created_by="key:ada", created_at=NOW)
    mission = mission.changed(Members(incidents=first, actions=add), Members())
    after = mission.changed(Members(incidents=add), Members(incidents=remove))
    assert len(set(after.incidents)) == len(after.incidents)
    assert set(after.incidents) == (set(first) - set(remove)) | set(add)
    again = after.changed(Members(incidents=add), Members(incidents=tuple(set(remove) - set(add))))
    assert again == after
    assert from_data(Mission, to_data(after)) == after
