import json
import threading
import time

import pytest

from shop.load import Load
from shop.measures import INSTANCE_HEADER


def run(load, seconds_at_most, until):
    load.start()
    deadline = time.monotonic() + seconds_at_most
    while not until() and time.monotonic() < deadline:
        time.sleep(0.02)
    load.stop()


def test_never_runs_ahead_of_its_pace_and_keeps_its_mix(open_desk):
    seen = []

    def reply(method, path, body):
        seen.append((method, path, body))
        return 200, b"{}"

    with open_desk(reply=reply) as shop:
        load = Load(shop.url, rate_per_second=100)
        began = time.monotonic()
        run(load, 30, lambda: load.sent >= 90)
        seconds = time.monotonic() - began
        figures = load.figures(60)
    # The first request is due at once, and each other one an interval later; how late they are is the machine's.
    assert 90 <= load.sent <= 1 + 100 * seconds
    assert load.sent == load.ok == figures.requests == len(seen)
    assert load.lost == 0
    assert figures.success_ratio == 1.0
    assert figures.p99_seconds > 0
    bought = [json.loads(body) for method, path, body in seen if (method, path) == ("POST", "/checkout")]
    assert len(bought) == load.sent // 3
    assert [basket["coupon"] for basket in bought if "coupon" in basket] == ["ITHACA"] * (load.sent // 45)
    assert load.figures(0) == (0, 1.0, 0.0)


@pytest.mark.parametrize(("status", "lost"), [(404, False), (503, True)])
def test_an_answer_of_500_and_above_is_lost(open_desk, status, lost):
    with open_desk(reply=lambda *_: (status, b"")) as shop:
        load = Load(shop.url, rate_per_second=100)
        run(load, 5, lambda: load.sent >= 10)
    assert (load.lost, load.ok) == ((load.sent, 0) if lost else (0, load.sent))
    assert load.figures(60).success_ratio == (0.0 if lost else 1.0)


def test_nobody_at_home_is_lost():
    load = Load("http://127.0.0.1:9", rate_per_second=100)
    run(load, 5, lambda: load.lost >= 10)
    assert load.lost == load.sent >= 10


def test_requests_that_hang_are_bounded(open_desk):
    release = threading.Event()

    def reply(*_):
        release.wait(10)
        return 200, b""

    with open_desk(reply=reply) as shop:
        load = Load(shop.url, rate_per_second=400)

        def full():
            if load.lost:
                release.set()
            return release.is_set()

        run(load, 5, full)
    assert load.lost > 0
    assert load.ok <= 200
    assert load.sent == load.ok + load.lost


def test_stopping_what_never_started_is_harmless():
    load = Load("http://127.0.0.1:9")
    load.stop()
    assert load.sent == 0


def test_remembers_which_instance_answered_as_long_as_it_is_told_to(open_desk):
    with open_desk(reply=lambda *_: (200, b"{}"), headers={INSTANCE_HEADER: "b"}) as shop:
        load = Load(shop.url, rate_per_second=100, remembered_seconds=0.1)
        run(load, 30, lambda: load.sent >= 30)
    answers = load.answers()
    assert len(answers) == 10
    assert {(each.ok, each.instance) for each in answers} == {(True, "b")}
    assert answers == sorted(answers)


def test_has_as_much_patience_as_it_is_given(open_desk):
    release = threading.Event()
    with open_desk(reply=lambda *_: (release.wait(10) and 200, b"")) as shop:
        load = Load(shop.url, rate_per_second=10, timeout_seconds=0.1)
        run(load, 30, lambda: load.lost)
        release.set()
    assert load.answers()[0].seconds < 2
    assert load.answers()[0].instance == ""
