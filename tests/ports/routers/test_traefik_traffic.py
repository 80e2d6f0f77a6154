"""What Traefik does with real requests when its router is told something, and what a crash leaves behind."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from penelope.adapters.routers.traefik import TraefikRouter
from penelope.adapters.routers.traefik_http import served
from penelope.adapters.routers.traefik_serving import TraefikProvider
from penelope.domain.service import RouterReference, Service
from penelope.domain.traffic import Affinity, Mirror, Pin
from penelope.errors import BadSettings, InvalidCatalogue, Unauthenticated, Unavailable


def answers(url: str, count: int, **given: Any) -> Counter[str]:
    with httpx.Client(trust_env=False, timeout=10) as client:
        return Counter(client.get(url, **given).text for _ in range(count))


@pytest.fixture
def shop(traefik: Any, backends: dict[str, Any], request: pytest.FixtureRequest) -> tuple[Service, str]:
    """A service over two real servers, all of its traffic on blue; and its URL."""
    name = "".join(each if each.isalnum() else "-" for each in request.node.name)[:60]
    urls = {arm: each.url for arm, each in backends.items()}
    return traefik.service(name, {"blue": 100, "green": 0}, urls), f"{traefik.web}/{name}"


def test_a_change_that_was_confirmed_holds_for_the_next_request(shop: tuple[Service, str]) -> None:
    service, url = shop
    router = TraefikRouter()
    for weights, arm in (({"blue": 0, "green": 100}, "green"), ({"blue": 100, "green": 0}, "blue")) * 3:
        asyncio.run(router.set_weights(service, weights))
        assert answers(url, 20) == {arm: 20}


def test_the_weights_are_the_shares_of_real_requests(shop: tuple[Service, str]) -> None:
    service, url = shop
    asyncio.run(TraefikRouter().set_weights(service, {"blue": 75, "green": 25}))
    assert answers(url, 200) == {"blue": 150, "green": 50}


def test_a_mirror_gets_copies_and_its_answers_are_thrown_away(
    shop: tuple[Service, str], backends: dict[str, Any]
) -> None:
    service, url = shop
    router = TraefikRouter()
    asyncio.run(router.mirror(service, Mirror(arm="green", percent=50)))
    assert answers(url, 40) == {"blue": 40}
    deadline = time.monotonic() + 5
    while sum(backends["green"].seen.values()) < 20 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sum(backends["green"].seen.values()) == 20
    asyncio.run(router.mirror(service, None))
    answers(url, 20)
    assert sum(backends["green"].seen.values()) == 20


@pytest.mark.parametrize("way", ["header", "cookie"])
def test_a_pin_takes_only_who_bears_it(shop: tuple[Service, str], way: str) -> None:
    service, url = shop
    named: Any = {way: "canary"}
    asyncio.run(TraefikRouter().pin(service, Pin(arm="green", value="yes", **named)))
    marks = {"header": {"canary": "yes"}, "cookie": {"Cookie": "a=b; canary=yes; c=d"}}
    others = {"header": {"canary": "yesno"}, "cookie": {"Cookie": "xcanary=yes; canary=yesno"}}
    assert answers(url, 5, headers=marks[way]) == {"green": 5}
    assert answers(url, 5, headers=others[way]) == {"blue": 5}
    asyncio.run(TraefikRouter().finalise(service))
    assert answers(url, 5, headers=marks[way]) == {"blue": 5}


def test_who_stuck_to_an_arm_leaves_it_with_its_last_weight(shop: tuple[Service, str]) -> None:
    service, url = shop
    router = TraefikRouter()
    asyncio.run(router.set_weights(service, {"blue": 50, "green": 50}))
    asyncio.run(router.stick(service, Affinity(cookie="arm")))
    with httpx.Client(trust_env=False) as client:
        first = client.get(url).text
        while first != "green":
            client.cookies.clear()
            first = client.get(url).text
        assert {client.get(url).text for _ in range(20)} == {"green"}
        asyncio.run(router.set_weights(service, {"blue": 100, "green": 0}))
        assert {client.get(url).text for _ in range(10)} == {"blue"}


def test_traffic_leaves_an_arm_that_is_not_well(traefik: Any, backends: dict[str, Any]) -> None:
    urls = {"blue": backends["blue"].url, "green": "http://127.0.0.1:9"}
    check = {"path": "/health", "interval": "100ms", "timeout": "100ms"}
    service = traefik.service("health", {"blue": 100, "green": 0}, urls, health_check=check)
    asyncio.run(TraefikRouter().set_weights(service, {"blue": 50, "green": 50}))
    url, deadline = f"{traefik.web}/health", time.monotonic() + 10
    while answers(url, 10) != {"blue": 10}:
        assert time.monotonic() < deadline, "requests still reach the arm that is not there"
    assert answers(url, 40) == {"blue": 40}


def test_weights_are_not_told_from_a_file_that_nobody_follows(traefik: Any, tmp_path: Path) -> None:
    service = traefik.service("stale", {"blue": 100, "green": 0})
    asyncio.run(TraefikRouter().set_weights(service, {"blue": 90, "green": 10}))
    assert service.router is not None
    elsewhere = tmp_path / "stale.yml"
    text = Path(service.router.options["file"]).read_text()
    elsewhere.write_text(text.replace("X-Penelope-Revision: 1-", "X-Penelope-Revision: 2-"))
    options = {**service.router.options, "file": str(elsewhere)}
    router = RouterReference(kind="traefik", options=options, arms=service.router.arms)
    copy = Service(name="stale", owner="team", tier=2, router=router)
    with pytest.raises(Unavailable, match="not taken over"):
        asyncio.run(TraefikRouter(0.3).weights(copy))


def test_a_server_behind_traefik_cannot_play_the_revision(traefik: Any, backends: dict[str, Any]) -> None:
    service = traefik.service(
        "played", {"blue": 100, "green": 0}, {arm: each.url for arm, each in backends.items()}
    )
    asyncio.run(TraefikRouter().set_weights(service, {"blue": 90, "green": 10}))
    assert service.router is not None
    options = {**service.router.options, "entry_point": backends["blue"].url}
    router = RouterReference(kind="traefik", options=options, arms=service.router.arms)
    with pytest.raises(Unavailable):
        asyncio.run(TraefikRouter(0.3).weights(Service(name="played", owner="t", tier=2, router=router)))


def test_a_long_throttle_is_found(traefik: Any, free_port: Callable[[], int], tmp_path: Path) -> None:
    """The same file, followed by a Traefik with its default throttle of 2 s."""
    made = traefik.service("throttled", {"blue": 100, "green": 0})
    file = tmp_path / "throttled.yml"
    shutil.copy(Path(made.router.options["file"]), file)
    web = free_port()
    command = [
        str(Path(sys.executable).parent / "traefik"),
        f"--entrypoints.web.address=127.0.0.1:{web}",
        f"--providers.file.filename={file}",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    options = {"file": str(file), "service": "throttled", "entry_point": f"http://127.0.0.1:{web}"}
    router = RouterReference(kind="traefik", options=options, arms=made.router.arms)
    service = Service(name="throttled", owner="team", tier=2, router=router)
    try:
        found = {item.name: item for item in asyncio.run(TraefikRouter(15).findings(service))}
    finally:
        process.terminate()
        process.wait(10)
    assert found["revision"].works
    assert not found["throttle"].works
    assert "providersThrottleDuration" in found["throttle"].said


def test_findings_name_what_is_missing(traefik: Any) -> None:
    service = traefik.service("lacking", {"blue": 100, "green": 0, "red": 0})
    options = {key: value for key, value in service.router.options.items() if key != "entry_point"}
    arms = {arm: name for arm, name in service.router.arms.items() if arm != "red"}
    router = RouterReference(kind="traefik", options=options, arms=arms)
    found = asyncio.run(
        TraefikRouter().findings(Service(name="lacking", owner="team", tier=2, router=router))
    )
    assert [(item.name, item.works) for item in found] == [("arms", False), ("revision", False)]
    assert "lacking-red" in found[0].said
    assert "entry_point" in found[1].said


KILLED = """
import json, os, signal, sys
from pathlib import Path
from penelope.adapters.routers import traefik_file
from penelope.adapters.routers.ordering import Order
from penelope.adapters.routers.traefik_document import Names, apply

file = Path(sys.argv[1])
before = file.read_text()
names = Names(service="shop", router="shop", arms={"blue": "b", "green": "g"})
order = Order(weights={"blue": 0, "green": 100})

def edit(document):
    return apply(document, names, order, health=None, probed=True, renew=False)

def until_line(wanted):
    count = 0
    def trace(frame, event, _):
        nonlocal count
        if frame.f_code.co_filename != traefik_file.__file__:
            return None
        count += event == "line"
        if count == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace
    return trace

for line in range(1, 200):
    file.write_text(before)
    child = os.fork()
    if not child:
        sys.settrace(until_line(line))
        traefik_file.change(file, edit)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([ended, json.loads(file.read_text())]))
    if ended != -signal.SIGKILL:
        break
"""


def test_a_kill_on_any_line_leaves_a_whole_file_and_the_next_change_goes_through(tmp_path: Path) -> None:
    file = tmp_path / "dynamic.json"
    entries = [{"name": "b", "weight": 100}, {"name": "g", "weight": 0}]
    before = {"http": {"services": {"shop": {"weighted": {"services": entries}}}}}
    file.write_text(json.dumps(before))
    command = [sys.executable, "-c", KILLED, str(file)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    ends = [json.loads(line) for line in told.splitlines()]
    assert [code for code, _ in ends] == [-signal.SIGKILL] * (len(ends) - 1) + [0]
    old = [document == before for _, document in ends]
    assert old == sorted(old, reverse=True), "a later kill undid what an earlier one had left"
    assert (old[0], old[-1], len(ends) > 20) == (True, False, True)
    changed = [document for _, document in ends if document != before]
    for document in changed:
        weighted = document["http"]["services"]["shop"]["weighted"]["services"]
        assert [entry["weight"] for entry in weighted] == [0, 100]
        assert document["http"]["routers"]["penelope-shop-revision"]["middlewares"] == [
            "penelope-shop-revision"
        ]
    options = {"file": str(file), "service": "shop"}
    router = RouterReference(kind="traefik", options=options, arms={"blue": "b", "green": "g"})
    service = Service(name="shop", owner="team", tier=1, router=router)
    asyncio.run(TraefikRouter().set_weights(service, {"blue": 30, "green": 70}))
    assert asyncio.run(TraefikRouter().weights(service)) == {"blue": 30, "green": 70}


def test_one_unreadable_configuration_keeps_traefik_as_it_is(asking_traefik: Any) -> None:
    service = asking_traefik.service("whole")
    other = asking_traefik.service("half")
    file = Path(other.router.options["file"])
    served({"whole": service, "half": other})
    text = file.read_text()
    file.write_text(text[:40])
    try:
        with pytest.raises(Unavailable):
            served({"whole": service, "half": other})
    finally:
        file.write_text(text)
    with pytest.raises(InvalidCatalogue, match="two services"):
        served({"whole": service, "again": service})


def test_only_who_bears_the_token_is_told() -> None:
    provider = TraefikProvider({}, "a-token-that-is-long-enough")
    assert asyncio.run(provider.document(b"Bearer a-token-that-is-long-enough")) == {}
    for given in (b"", b"Bearer ", b"a-token-that-is-long-enough", b"Bearer a-token-that-is-long-enoug\xff"):
        with pytest.raises(Unauthenticated):
            asyncio.run(provider.document(given))


def test_a_token_that_is_no_secret_is_refused() -> None:
    with pytest.raises(BadSettings):
        TraefikProvider({}, "short")
