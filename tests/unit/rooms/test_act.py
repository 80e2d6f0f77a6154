"""`act` on the shipped fake: what it says of an action must be what happened to it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from penelope.domain.action import Action, Difference, Effect, Progress, Snapshot, Tier
from penelope.domain.service import Target
from penelope.errors import (
    ActionFailed,
    BadSettings,
    CompensationFailed,
    InvalidCatalogue,
    InvalidPatch,
    OutcomeUnknown,
    PenelopeError,
    Timeout,
    Unavailable,
)
from penelope.kit.canonical import Json
from penelope.rooms.act.run import perform, undo
from penelope.testing.actions import FakeAction, Mood

ACTION = Action(
    key="inc/plan/0",
    name="restart the shop",
    adapter="fake",
    operation="set",
    target=Target(name="app", service="shop", adapter="fake"),
    params={"value": 1},
    tier=Tier.SNAPSHOT,
    timeout_seconds=0.2,
)
BEFORE = Snapshot(state={"before": None})


def run(adapter: FakeAction, *, first_attempt: bool = True, action: Action = ACTION) -> Effect:
    return asyncio.run(perform(adapter, action, BEFORE, first_attempt=first_attempt))


class Scripted(FakeAction):
    """Probes answer from a script; after its end, what really is."""

    def __init__(self, *script: Progress | Exception) -> None:
        super().__init__()
        self.script = list(script)
        self.probes = 0

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        self.probes += 1
        if not self.script:
            return await super().probe(action, snapshot)
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_an_action_is_executed_once_and_then_recognised() -> None:
    adapter = FakeAction()
    assert run(adapter).repeated is False
    repeat = run(adapter, first_attempt=False)
    assert (repeat.repeated, adapter.effects[ACTION.key], adapter.world) == (True, 1, {"app": {"value": 1}})


def test_a_definite_failure_stays_one() -> None:
    adapter = FakeAction()
    adapter.mood = Mood.FAILS
    with pytest.raises(ActionFailed, match="as it was told to"):
        run(adapter)
    assert not adapter.effects


@pytest.mark.parametrize("first_attempt", [True, False])
def test_a_lost_answer_is_cleared_up_by_a_probe(first_attempt: bool) -> None:  # noqa: FBT001 - pytest gives it by name
    adapter = FakeAction()
    adapter.mood = Mood.LOSES_THE_ANSWER
    assert run(adapter, first_attempt=first_attempt).repeated is True
    assert adapter.effects[ACTION.key] == 1


def test_a_lost_answer_of_a_target_that_cannot_tell_is_unknown() -> None:
    adapter = FakeAction()
    adapter.can_tell, adapter.mood = False, Mood.LOSES_THE_ANSWER
    with pytest.raises(OutcomeUnknown, match="the answer was lost"):
        run(adapter)
    assert adapter.effects[ACTION.key] == 1


def test_a_target_that_cannot_tell_is_acted_upon_the_first_time_only() -> None:
    adapter = FakeAction()
    adapter.can_tell = False
    assert run(adapter).repeated is False
    with pytest.raises(OutcomeUnknown, match="cannot tell"):
        run(adapter, first_attempt=False)
    assert adapter.effects[ACTION.key] == 1


def test_an_execution_that_hangs_and_did_nothing_has_failed() -> None:
    adapter = FakeAction()
    adapter.mood = Mood.HANGS
    with pytest.raises(ActionFailed, match=r"not ended within 0\.2 s"):
        run(adapter)
    assert not adapter.effects


def test_only_the_last_look_can_say_not_done() -> None:
    adapter = Scripted(Progress.NOT_APPLIED, Progress.NOT_APPLIED, Progress.PARTIAL)
    adapter.mood = Mood.LOSES_THE_ANSWER
    assert run(adapter).repeated is True
    assert adapter.probes == 4


@pytest.mark.parametrize("last", [Progress.PARTIAL, Progress.UNKNOWN, Unavailable("gone")])
def test_looks_that_end_without_certainty_are_unknown(last: Progress | Exception) -> None:
    adapter = Scripted(Progress.NOT_APPLIED, Progress.NOT_APPLIED, Progress.NOT_APPLIED, last)
    adapter.mood = Mood.LOSES_THE_ANSWER
    with pytest.raises(OutcomeUnknown):
        run(adapter)


@pytest.mark.parametrize("found", [Progress.PARTIAL, Progress.NOT_APPLIED])
def test_what_is_half_done_or_undone_is_executed_again(found: Progress) -> None:
    adapter = Scripted(found)
    assert run(adapter, first_attempt=False).repeated is False
    assert adapter.effects[ACTION.key] == 1


def test_without_a_probe_nothing_is_tried() -> None:
    adapter = Scripted(Unavailable("no route"))
    with pytest.raises(ActionFailed, match="was not tried: no route"):
        run(adapter)
    assert not adapter.effects


def test_without_a_probe_an_earlier_try_stays_unknown() -> None:
    adapter = Scripted(Timeout("too late"))
    with pytest.raises(OutcomeUnknown, match="tried before, and too late"):
        run(adapter, first_attempt=False)
    assert not adapter.effects


@pytest.mark.parametrize("error", [BadSettings("the secret is gone"), ActionFailed("it cannot be asked")])
def test_a_target_that_may_not_be_asked_any_more_leaves_an_earlier_try_unknown(error: PenelopeError) -> None:
    adapter = Scripted(error)
    with pytest.raises(OutcomeUnknown, match=f"tried before, and {error.message}"):
        run(adapter, first_attempt=False)
    assert not adapter.effects


@pytest.mark.parametrize("error", [BadSettings("the secret is gone"), ActionFailed("it cannot be asked")])
def test_a_target_that_may_not_be_asked_after_a_lost_answer_is_unknown(error: PenelopeError) -> None:
    adapter = Scripted(Progress.NOT_APPLIED, error, error, error)
    adapter.mood = Mood.LOSES_THE_ANSWER
    with pytest.raises(OutcomeUnknown, match="the answer was lost"):
        run(adapter)
    assert adapter.effects[ACTION.key] == 1


def test_a_probe_that_hangs_is_ended() -> None:
    class Hanging(FakeAction):
        async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
            await asyncio.Event().wait()
            return await super().probe(action, snapshot)

    with pytest.raises(ActionFailed, match="was not tried: a probe of app has not ended"):
        run(Hanging())


def test_wrong_input_is_a_definite_failure_with_its_hint() -> None:
    class Refusing(FakeAction):
        async def execute(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - the port's shape
            raise InvalidPatch("leaves", hint="stay")

    with pytest.raises(ActionFailed, match="leaves") as caught:
        run(Refusing())
    assert caught.value.advice == "stay"
    with pytest.raises(ActionFailed, match="no options"):
        run(Scripted(InvalidCatalogue("no options")))


def test_undo_puts_back_and_twice_is_harmless() -> None:
    adapter = FakeAction()
    adapter.world["app"] = {"value": 0}
    before = asyncio.run(adapter.snapshot(ACTION))
    asyncio.run(perform(adapter, ACTION, before, first_attempt=True))
    assert asyncio.run(undo(adapter, ACTION, before)).repeated is False
    assert asyncio.run(undo(adapter, ACTION, before)).repeated is True
    assert (adapter.world, adapter.compensations[ACTION.key]) == ({"app": {"value": 0}}, 1)


class Flaky(FakeAction):
    """Out of reach for the first compensations."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no route")
        return await super().compensate(action, snapshot)


def test_undo_tries_again_while_the_target_is_out_of_reach() -> None:
    adapter, action = Flaky(2), replace(ACTION, timeout_seconds=5.0)
    run(adapter, action=action)
    assert asyncio.run(undo(adapter, action, BEFORE)).repeated is False
    assert adapter.world == {}


@pytest.mark.parametrize(
    ("adapter", "mood", "said"),
    [
        (FakeAction(), Mood.FAILS, "stays, as it was told to"),
        (FakeAction(), Mood.HANGS, r"within 1 s"),
        (Flaky(3), Mood.WELL, "no route"),
    ],
)
def test_an_undo_that_goes_wrong_is_loud(adapter: FakeAction, mood: Mood, said: str) -> None:
    action = replace(ACTION, timeout_seconds=1.0)
    run(adapter, action=action)
    adapter.mood = mood
    with pytest.raises(CompensationFailed, match=said):
        asyncio.run(undo(adapter, action, BEFORE))
    assert adapter.world == {"app": {"value": 1}}


def test_what_is_told_of_an_undo_stays_short() -> None:
    class Filling(FakeAction):
        async def differences(self, action: Action, snapshot: Snapshot) -> list[Difference]:  # noqa: ARG002 - the port's shape
            return [
                Difference(subject=f"file {number}", before="b" * 9_999, now="n" * 9_999)
                for number in range(9)
            ]

    adapter = Filling()
    run(adapter)
    with pytest.raises(CompensationFailed, match=r"file 0 was b{200}…, is n{200}…; .*; and 4 more") as caught:
        asyncio.run(undo(adapter, ACTION, BEFORE))
    assert len(caught.value.message) < 2_500


def test_the_fake_shows_its_world_and_can_stand_for_any_adapter() -> None:
    adapter = FakeAction("process", {"restart"})
    adapter.validate("restart", {})
    adapter.world["app"] = {"state": "RUNNING"}
    state: Mapping[str, Json] = asyncio.run(adapter.observe(ACTION))
    assert (adapter.name, state) == ("process", {"state": "RUNNING"})
