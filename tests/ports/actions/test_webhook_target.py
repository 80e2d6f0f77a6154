"""What is particular to a webhook, on a receiver that checks signatures."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from benching import an_action, with_options
from receiving import SECRET, Receiver, receive

from penelope.adapters.actions.webhook import WebhookAdapter, signature
from penelope.domain.action import Action, Progress, Snapshot
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidCatalogue,
    InvalidPlaybook,
    OutcomeUnknown,
    Unavailable,
)
from penelope.rooms.act.run import perform, undo

ADAPTER = WebhookAdapter()


@pytest.fixture
def receiver(request: pytest.FixtureRequest) -> Receiver:
    return receive(request)


def send(receiver: Receiver, **options: Any) -> Action:
    given = {"url": f"{receiver.url}/hook", "secret": SECRET, **options}
    action = an_action("webhook", "send", given, {"type": "cache.flushed", "data": {"n": 1}})
    return replace(action, key="inc_1/plan_1/0")


def tells(receiver: Receiver) -> str:
    return receiver.url + "/events/{id}"


def run(steps: Any) -> Any:
    return asyncio.run(steps)


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of github.com/standard-webhooks: key, id, timestamp and payload are theirs."""
    import base64  # noqa: PLC0415 - only this example needs it

    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_event_bears_id_time_token_and_the_same_body_each_time(receiver: Receiver) -> None:
    action = replace(send(receiver, headers={"X-Team": "shop"}), fence=7)
    snapshot = run(ADAPTER.snapshot(action))
    run(ADAPTER.execute(action, snapshot))
    run(ADAPTER.execute(action, snapshot))
    (_, _, first, body), (_, _, second, again) = receiver.requests
    assert receiver.refused == []
    assert (first["webhook-id"], second["webhook-id"]) == (action.key, action.key)
    assert (first["x-team"], first["penelope-fencing-token"]) == ("shop", "7")
    assert body == again
    assert json.loads(body) == {
        "type": "cache.flushed",
        "timestamp": snapshot.state["at"],
        "data": {"n": 1},
    }
    assert receiver.taken == [action.key]


def test_without_a_status_url_a_lost_answer_stays_unknown(receiver: Receiver) -> None:
    receiver.statuses = [503]
    action = send(receiver)
    with pytest.raises(OutcomeUnknown):
        run(perform(ADAPTER, action, run(ADAPTER.snapshot(action)), first_attempt=True))
    assert run(ADAPTER.probe(action, Snapshot())) is Progress.UNKNOWN
    with pytest.raises(OutcomeUnknown):
        run(perform(ADAPTER, action, run(ADAPTER.snapshot(action)), first_attempt=False))
    assert len(receiver.requests) == 1


def test_with_a_status_url_a_lost_answer_is_cleared_up(receiver: Receiver) -> None:
    receiver.statuses = [500]
    action = send(receiver, status_url=tells(receiver))
    assert run(perform(ADAPTER, action, run(ADAPTER.snapshot(action)), first_attempt=True)).repeated
    assert receiver.taken == [action.key]


@pytest.mark.parametrize(
    ("status", "error"), [(302, ActionFailed), (400, ActionFailed), (429, Unavailable), (500, Unavailable)]
)
def test_answers_are_told_by_what_they_mean_and_redirects_are_refused(
    receiver: Receiver, status: int, error: type[Exception]
) -> None:
    receiver.statuses = [status]
    action = send(receiver, status_url=tells(receiver))
    with pytest.raises(error, match=str(status)):
        run(ADAPTER.execute(action, run(ADAPTER.snapshot(action))))
    assert len(receiver.requests) == 1


def test_a_wrong_key_is_a_refusal(receiver: Receiver) -> None:
    action = send(receiver, secret="another key of 16 bytes")
    with pytest.raises(ActionFailed, match="400"):
        run(ADAPTER.execute(action, run(ADAPTER.snapshot(action))))
    assert receiver.events == {}


def test_what_was_sent_stays_sent_unless_the_receiver_takes_events_back(receiver: Receiver) -> None:
    action = send(receiver, status_url=tells(receiver))
    snapshot = run(ADAPTER.snapshot(action))
    run(ADAPTER.execute(action, snapshot))
    with pytest.raises(CompensationFailed, match="stays sent"):
        run(undo(ADAPTER, action, snapshot))
    able = with_options(action, reverts=True)
    receiver.stubborn = True
    with pytest.raises(CompensationFailed, match="still in effect"):
        run(undo(ADAPTER, able, snapshot))
    assert run(ADAPTER.differences(able, snapshot))


@pytest.mark.parametrize(
    "options",
    [
        {"url": "file:///etc/passwd"},
        {"url": "ftp://example.org"},
        {"secret": "short"},
        {"secret": "whsec_!!"},
        {"secret": "whsec_c2hvcnQ="},
        {"headers": {"Webhook-Id": "mine"}},
        {"headers": {"X": "a\r\nY: b"}},
        {"status_url": "http://127.0.0.1/without-an-id"},
        {"status_url": "gopher://{id}"},
        {"target": "http://169.254.169.254/"},
    ],
)
def test_options_that_cannot_work_are_refused_without_showing_them(
    receiver: Receiver, options: dict[str, Any]
) -> None:
    action = send(receiver, **options)
    with pytest.raises(InvalidCatalogue) as caught:
        run(ADAPTER.execute(action, Snapshot(state={"at": "2026-01-01T00:00:00Z"})))
    shown = caught.value.message + caught.value.advice
    assert not any(str(value) in shown for value in options.values())
    assert receiver.requests == []


@pytest.mark.parametrize(
    "params",
    [
        {"type": "Cache.Flushed"},
        {"type": "a..b"},
        {"type": "a\r\nb"},
        {"type": "a.reverted"},
        {"type": "a" * 200},
        {"type": "a", "url": "http://169.254.169.254/"},
        {"type": "a", "data": {"n": 2**60}},
        {"type": "a", "data": {"n": float("nan")}},
        {"type": "a", "data": {"n": "x" * 300_000}},
        {"type": "a", "data": [1]},
        {},
    ],
)
def test_hostile_parameters_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidPlaybook):
        ADAPTER.validate("send", params)


def test_only_declared_types_are_sent_and_an_odd_key_becomes_a_plain_id(receiver: Receiver) -> None:
    action = send(receiver, types=["cache.warmed"])
    with pytest.raises(InvalidPlaybook, match="no event of the type"):
        run(ADAPTER.snapshot(action))
    odd = replace(send(receiver), key="inc.1/ü\n")
    run(ADAPTER.execute(odd, run(ADAPTER.snapshot(odd))))
    assert receiver.refused == []
    assert len(receiver.taken[0]) == 64
