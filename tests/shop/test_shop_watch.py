import socket
import time
from contextlib import closing

import pytest

from shop.alerts import Rhythm
from shop.measures import Measures
from shop.watch import Watch

QUICK = Rhythm(
    interval_seconds=0.05, window_seconds=1, for_seconds=0.1, resolve_seconds=0.2, repeat_seconds=0.4
)


def eventually(condition, seconds=8.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def measures():
    measures = Measures("1.0")
    measures.config_valid.set(1)
    return measures


@pytest.fixture
def instance(measures, open_desk):
    with open_desk(reply=lambda *_: (200, measures.text())) as desk:
        yield desk.url


@pytest.fixture
def watch_over():
    watches = []

    def start(instance, receiver):
        watch = Watch({"a": instance}, receiver, "s3cret", QUICK)
        watches.append(watch)
        watch.start()
        return watch

    yield start
    for watch in watches:
        watch.stop()


def test_tells_of_firing_repeats_it_and_tells_of_the_end(measures, instance, open_desk, watch_over):
    with open_desk() as receiver:
        watch = watch_over(instance, receiver.url + "/api/v1/alertmanager")
        measures.config_valid.set(0)
        eventually(lambda: len(receiver.received) >= 3)
        assert watch.firing() == ["ShopConfigInvalid"]
        measures.config_valid.set(1)
        eventually(lambda: receiver.accepted()[-1]["status"] == "resolved")
        eventually(lambda: not watch.firing())
        watch.stop()
    bodies = receiver.accepted()
    assert {body["status"] for body in bodies[:-1]} == {"firing"}
    assert len({(body["alerts"][0]["startsAt"], body["alerts"][0]["fingerprint"]) for body in bodies}) == 1
    headers = receiver.received[0][0]
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Content-Type"] == "application/json"


def test_keeps_trying_while_the_receiver_is_down_or_refuses(measures, instance, open_desk, watch_over):
    with closing(socket.socket()) as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    watch = watch_over(instance, f"http://127.0.0.1:{port}")
    measures.config_valid.set(0)
    eventually(lambda: watch.problem is not None)
    assert "cannot be reached" in watch.problem
    with open_desk(port=port, reply=lambda *_: (503, b"")) as receiver:
        eventually(lambda: len(receiver.received) >= 2)
        assert watch.problem == "the receiver answered 503"
        receiver.reply = lambda *_: (202, b"")
        eventually(receiver.accepted)
        eventually(lambda: watch.problem is None)
    measures.config_valid.set(1)
    eventually(lambda: not watch.firing())  # it ends while nobody listens
    with open_desk(port=port) as receiver:
        eventually(receiver.accepted)
        watch.stop()
    assert receiver.accepted()[0]["status"] == "resolved"


def test_does_not_tell_of_the_end_of_what_nobody_heard_of(measures, instance, open_desk, watch_over):
    with open_desk(reply=lambda *_: (500, b"")) as receiver:
        watch = watch_over(instance, receiver.url)
        measures.config_valid.set(0)
        eventually(watch.firing)
        measures.config_valid.set(1)
        eventually(lambda: not watch.firing())
        receiver.reply = lambda *_: (202, b"")
        measures.config_valid.set(0)
        eventually(receiver.accepted)
        assert receiver.accepted()[0]["status"] == "firing"
        watch.stop()


def test_an_instance_that_is_down_or_talks_nonsense_is_no_alert(open_desk, watch_over):
    with open_desk(reply=lambda *_: (200, b"what?")) as nonsense, open_desk() as receiver:
        watch = watch_over(nonsense.url, receiver.url)
        eventually(lambda: len(nonsense.received) >= 3)
        nonsense.reply = lambda *_: (500, b"")
        eventually(lambda: len(nonsense.received) >= 6)
        assert watch.firing() == []
        watch.stop()
    assert receiver.received == []
