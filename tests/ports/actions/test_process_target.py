"""What is particular to a program under a real supervisord."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from penelope.adapters.actions.process import ProcessAdapter
from penelope.adapters.actions.supervisor import Supervisor
from penelope.domain.action import Action, Progress, Tier
from penelope.domain.service import Target
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidCatalogue,
    OutcomeUnknown,
    PenelopeError,
    Unavailable,
)
from penelope.rooms.act.run import perform, undo

ADAPTER = ProcessAdapter()


def act(supervised: Any, operation: str, **params: Any) -> Action:
    return Action(
        key="inc/plan/0",
        name=operation,
        adapter="process",
        operation=operation,
        target=Target(name="app", service="shop", adapter="process", options=supervised.options),
        params=params,
        tier=Tier.SNAPSHOT,
        timeout_seconds=8.0,
    )


def on(action: Action, **options: Any) -> Action:
    kept = {key: value for key, value in {**action.target.options, **options}.items() if value is not None}
    return replace(action, target=replace(action.target, options=kept))


def run(steps: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(steps)


def test_a_switch_is_written_into_the_history_once(supervised: Any) -> None:
    action = act(supervised, "switch_release", release="v2")
    snapshot = run(ADAPTER.snapshot(action))
    for _ in range(2):
        run(ADAPTER.execute(action, snapshot))
    assert supervised.history.read_text() == "v1\nv2\n"
    run(undo(ADAPTER, action, snapshot))
    assert supervised.history.read_text() == "v1\nv2\nv1\n"
    assert supervised.settled_starts() == ["v2", "v1"]
    assert run(ADAPTER.probe(action, snapshot)) is Progress.NOT_APPLIED


def test_being_on_the_release_already_is_done_without_a_restart(supervised: Any) -> None:
    action = act(supervised, "switch_release", release="v1")
    snapshot = run(ADAPTER.snapshot(action))
    assert run(perform(ADAPTER, action, snapshot, first_attempt=True)).repeated is True
    assert supervised.starts() == []


def test_a_link_moved_by_hand_without_a_restart_is_half_done(supervised: Any) -> None:
    action = act(supervised, "switch_release", release="v2")
    snapshot = run(ADAPTER.snapshot(action))
    supervised.point_at("v2")
    assert run(ADAPTER.probe(action, snapshot)) is Progress.PARTIAL
    run(ADAPTER.execute(action, snapshot))
    assert supervised.settled_starts() == ["v2"]


def test_a_restart_by_itself_is_not_a_switch(supervised: Any) -> None:
    action = act(supervised, "switch_release", release="v2")
    snapshot = run(ADAPTER.snapshot(action))
    supervised.stop()
    assert run(ADAPTER.probe(action, snapshot)) is Progress.PARTIAL
    supervised.rpc.supervisor.startProcess("app")
    assert supervised.settled_starts() == ["v1"]
    assert run(ADAPTER.probe(action, snapshot)) is Progress.NOT_APPLIED
    run(ADAPTER.execute(action, snapshot))
    assert supervised.settled_starts() == ["v1", "v2"]


def test_observation_shows_state_release_and_age(supervised: Any) -> None:
    action = act(supervised, "restart")
    seen = run(ADAPTER.observe(action))
    assert (seen["state"], seen["release"], seen["pid"]) == ("RUNNING", "v1", supervised.info()["pid"])
    assert 0 <= seen["uptime_seconds"] < 60
    supervised.stop()
    assert run(ADAPTER.observe(action)) | {"release": "v1"} == {
        "state": "STOPPED",
        "release": "v1",
        "pid": 0,
        "uptime_seconds": 0,
    }


def test_a_program_without_releases_can_be_restarted_only(supervised: Any) -> None:
    action = on(act(supervised, "restart"), release_link=None)
    snapshot = run(ADAPTER.snapshot(action))
    assert snapshot.state["release"] is None
    assert run(perform(ADAPTER, action, snapshot, first_attempt=True)).details["release"] is None
    switch = on(act(supervised, "switch_release", release="v2"), release_link=None)
    with pytest.raises(InvalidCatalogue, match="release_link"):
        run(ADAPTER.execute(switch, snapshot))
    with pytest.raises(CompensationFailed, match="none to go back to"):
        run(ADAPTER.compensate(switch, snapshot))


def test_a_release_that_does_not_exist_leaves_the_program_alone(supervised: Any) -> None:
    action = act(supervised, "switch_release", release="v9")
    snapshot = run(ADAPTER.snapshot(action))
    with pytest.raises(ActionFailed, match="no release 'v9'"):
        run(perform(ADAPTER, action, snapshot, first_attempt=True))
    assert supervised.starts() == []
    assert supervised.link.readlink().name == "v1"


def test_a_start_under_way_is_awaited_not_repeated(supervised: Any) -> None:
    action = on(act(supervised, "restart"), program="slow")
    snapshot = run(ADAPTER.snapshot(action))
    supervised.rpc.supervisor.startProcess("slow", False)
    pid = supervised.info("slow")["pid"]
    assert run(ADAPTER.probe(action, snapshot)) is Progress.PARTIAL
    assert run(ADAPTER.execute(action, snapshot)).details["pid"] == pid


# Supervisord tells of it as its answer to the start or, where it was asked to look a moment later, as a state.
@pytest.mark.parametrize(
    ("program", "said"), [("broken", "ends at once|broken is (FATAL|BACKOFF)"), ("missing", "no such file")]
)
def test_a_program_that_does_not_come_up_has_failed(supervised: Any, program: str, said: str) -> None:
    action = on(act(supervised, "restart"), program=program)
    snapshot = run(ADAPTER.snapshot(action))
    with pytest.raises(ActionFailed, match=said):
        run(ADAPTER.execute(action, snapshot))
    with pytest.raises(CompensationFailed, match=said):
        run(ADAPTER.compensate(action, snapshot))


def test_a_start_that_breaks_off_has_failed(supervised: Any) -> None:
    action = on(act(supervised, "restart"), program="fading")
    snapshot = run(ADAPTER.snapshot(action))
    supervised.rpc.supervisor.startProcess("fading", False)
    with pytest.raises(ActionFailed, match="fading is "):
        run(ADAPTER.execute(action, snapshot))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"program": "nobody"}, "fault 10"),
        ({"supervisor": "http://penny:wrong@{}"}, "status 401"),
        ({"supervisor": "http://penny:s3cret@127.0.0.1:port"}, "URL that cannot be used"),
        ({"supervisor": "ftp://penny:s3cret@127.0.0.1"}, "cannot be asked"),
    ],
)
def test_a_supervisor_that_does_not_serve_is_out_of_reach(
    supervised: Any, options: dict[str, str], said: str
) -> None:
    address = supervised.url.rsplit("@", 1)[1]
    action = on(act(supervised, "restart"), **{key: value.format(address) for key, value in options.items()})
    with pytest.raises(Unavailable, match=said) as caught:
        run(ADAPTER.snapshot(action))
    assert "penny" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"hello",
        b"<a/>",
        b"<methodResponse><params><param><value><int>x</int></value></param></params></methodResponse>",
        b"<methodResponse><params><param><value><int>1</int></value></param></params></methodResponse>",
        b"<methodResponse><params><param><value><struct></struct></value></param></params></methodResponse>",
        b"<methodResponse><params></params></methodResponse>",
    ],
)
def test_an_answer_that_is_no_supervisors_is_out_of_reach(
    supervised: Any, endpoint: Any, answer: bytes
) -> None:
    endpoint.answers["/RPC2"] = answer
    action = on(act(supervised, "restart"), supervisor=endpoint.url)
    with pytest.raises(Unavailable, match="cannot be read"):
        run(ADAPTER.snapshot(action))


FAULT = (
    b"<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>6</int></value></member>"
    b"<member><name>faultString</name><value>SHUTDOWN_STATE</value></member></struct></value></fault></methodResponse>"
)


def test_a_supervisor_that_is_shutting_down_is_out_of_reach(endpoint: Any) -> None:
    endpoint.answers["/RPC2"] = FAULT
    supervisor = Supervisor(endpoint.url, "app")
    with pytest.raises(Unavailable, match="fault 6"):
        run(supervisor.look())
    with pytest.raises(ActionFailed, match="cannot be stopped: fault 6"):
        run(supervisor.stop(5.0))
    with pytest.raises(ActionFailed, match="does not start: fault 6"):
        run(supervisor.start(5.0))


def test_a_program_that_others_keep_starting_is_of_unknown_outcome(supervised: Any) -> None:
    class Rival(ProcessAdapter):
        async def _switch(self, action: Action, release: str) -> None:
            await super()._switch(action, release)
            supervised.rpc.supervisor.startProcess("app")

    action = act(supervised, "switch_release", release="v2")
    snapshot = run(ADAPTER.snapshot(action))
    with pytest.raises(OutcomeUnknown, match="something else keeps starting"):
        run(Rival().execute(action, snapshot))


def test_options_that_do_not_fit_show_no_values(supervised: Any) -> None:
    action = on(act(supervised, "restart"), relase_link="s3cret")
    with pytest.raises(InvalidCatalogue, match="relase_link") as caught:
        run(ADAPTER.snapshot(action))
    assert "s3cret" not in str(caught.value)
    assert isinstance(caught.value, PenelopeError)
