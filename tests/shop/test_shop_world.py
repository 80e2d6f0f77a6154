"""The shop's world on real processes, real git, real Traefik and supervisord."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xmlrpc.client import ServerProxy

import httpx
import pytest

from shop import files, processes
from shop.alerts import Rhythm
from shop.load import Load
from shop.release import history_file
from shop.watch import Watch
from shop.world import INSTANCES, World

HTTP = httpx.Client(trust_env=False)
RHYTHM = Rhythm(interval_seconds=0.25, window_seconds=2, for_seconds=0.5, resolve_seconds=1)


def eventually(condition, seconds=15.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world of 100 %"))
    began = time.monotonic()
    with world:
        world.started_in = time.monotonic() - began
        yield world
    assert _alive(world.directory) == []


def _alive(directory):
    return [command for _, command in processes._commands() if str(directory) in command]


def gauge(world, instance, name):
    text = HTTP.get(world.instance_urls[instance] + "/metrics").text
    (line,) = [line for line in text.splitlines() if line.startswith(name + " ")]
    return float(line.split()[1])


def buy(world, **basket):
    return HTTP.post(world.url + "/checkout", json={"product": "loom"} | basket)


def test_answers_say_who_gave_them_and_traefik_counts_them(world):
    direct = {name: HTTP.get(f"{url}/products") for name, url in world.instance_urls.items()}
    assert {name: answer.headers["X-Shop-Instance"] for name, answer in direct.items()} == {
        "a": "a",
        "b": "b",
    }
    through = {HTTP.get(world.url + "/products").headers["X-Shop-Instance"] for _ in range(4)}
    assert through == {"a", "b"}
    page = HTTP.get(world.traefik_api + "/metrics").text
    assert 'traefik_service_requests_total{code="200"' in page
    assert 'traefik_router_requests_total{code="200"' in page


def test_a_lost_instance_stays_lost_until_it_is_brought_back(world):
    url = world.instance_urls["b"] + "/health"
    before = HTTP.get(url).json()
    world.lose("b")
    time.sleep(3)  # supervisord tries again meanwhile
    with pytest.raises(httpx.ConnectError):
        HTTP.get(url)
    world.bring_back("b")
    after = HTTP.get(url).json()
    assert (after["release"], after["pid"] != before["pid"]) == (before["release"], True)


def test_is_open_behind_traefik_soon_and_hides_its_admin_corner(world):
    assert world.started_in < 10
    answered = Counter(HTTP.get(world.url + "/").json()["shop"] for _ in range(20))
    assert answered == {"a": 10, "b": 10}
    assert buy(world).json()["cents"] == 24000
    assert HTTP.post(world.url + "/admin/reload").status_code == 404
    assert HTTP.get(world.traefik_api + "/api/http/services/shop@file").json()["status"] == "enabled"


def test_names_what_others_break_and_heal(world):
    with ServerProxy(world.supervisor_url) as server:
        states = {program["name"]: program["statename"] for program in server.supervisor.getAllProcessInfo()}
    assert set(states) == {"shop-a", "shop-b", "traefik"}
    weighted = json.loads(world.dynamic_file.read_text())["http"]["services"]["shop"]["weighted"]["services"]
    assert weighted == [{"name": "shop-a", "weight": 50}, {"name": "shop-b", "weight": 50}]
    assert world.commits()[-1] == "Open the shop"
    assert (world.directory / "supervisord.conf").stat().st_mode & 0o077 == 0
    for instance in INSTANCES:
        assert world.release_link(instance).resolve().parent == world.releases_dir


def test_weights_in_the_dynamic_file_take_effect(world):
    before = world.dynamic_file.read_text()
    dynamic = json.loads(before)
    for service, weight in zip(
        dynamic["http"]["services"]["shop"]["weighted"]["services"], (100, 0), strict=True
    ):
        service["weight"] = weight
    _put(world.dynamic_file, json.dumps(dynamic))
    try:
        eventually(lambda: {HTTP.get(world.url + "/").json()["shop"] for _ in range(6)} == {"a"})
    finally:
        _put(world.dynamic_file, before)
    eventually(lambda: {HTTP.get(world.url + "/").json()["shop"] for _ in range(6)} == {"a", "b"})


def _put(file, text):
    """In one step: a half-written file would be no routes at all."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


def test_a_deployment_moves_the_links_and_restarts_both_instances(world):
    before = Counter(start["instance"] for start in world.starts())
    pids = {start["pid"] for start in world.starts()}
    world.deploy("2.0")
    try:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: HTTP.get(world.url + "/products"), range(60)))
        failed = sum(answer.status_code == 500 for answer in answers)
        assert 6 <= failed <= 32
        assert min(answer.elapsed.total_seconds() for answer in answers) >= 0.3
        for instance in INSTANCES:
            assert world.release_link(instance).resolve().name == "2.0"
            assert history_file(world.release_link(instance)).read_text() == "1.0\n2.0\n"
        new = world.starts()[before.total() :]
        assert sorted((start["instance"], start["release"]) for start in new) == [("a", "2.0"), ("b", "2.0")]
        assert not pids & {start["pid"] for start in new}
    finally:
        world.deploy("1.0")
    assert Counter(start["instance"] for start in world.starts()) - before == {"a": 2, "b": 2}
    assert history_file(world.release_link("a")).read_text().split() == ["1.0", "2.0", "1.0"]
    with pytest.raises(FileNotFoundError):
        world.deploy("7.0")


def test_a_corrupt_configuration_closes_checkout_until_it_is_reverted(world):
    world.corrupt_config()
    assert buy(world).status_code == 503
    assert [gauge(world, instance, "shop_config_valid") for instance in INSTANCES] == [0, 0]
    assert world.commits()[0] == "Spring prices"
    with pytest.raises(RuntimeError, match=r"git revert failed: .*nonsense"):
        files.git(world.config_repository, "revert", "nonsense")
    files.git(world.config_repository, "revert", "--no-edit", "HEAD")
    assert world.reload() == {"a": 200, "b": 200}
    assert buy(world).status_code == 200
    assert [gauge(world, instance, "shop_config_valid") for instance in INSTANCES] == [1, 1]


def test_every_trouble_is_one_alert_under_load(world, open_desk):
    load = Load(world.url, rate_per_second=40)
    with open_desk() as receiver:
        watch = Watch(world.instance_urls, receiver.url, "key", RHYTHM)

        def story():
            """(alert, status) in order, without repetitions."""
            told = [(body["groupLabels"]["alertname"], body["status"]) for body in receiver.accepted()]
            return list(dict.fromkeys(told))

        load.start()
        watch.start()
        try:
            world.deploy("2.0")
            eventually(lambda: story() == [("ShopHighErrorRate", "firing")])
            assert receiver.accepted()[0]["commonLabels"]["release"] == "2.0"
            world.deploy("1.0")
            eventually(lambda: len(story()) == 2)

            world.corrupt_config()
            eventually(lambda: len(story()) == 3)
            files.git(world.config_repository, "revert", "--no-edit", "HEAD")
            world.reload()
            eventually(lambda: len(story()) == 4)

            world.outdate_schema()
            eventually(lambda: len(story()) == 5)
            assert gauge(world, "a", "shop_schema_wanted") - gauge(world, "b", "shop_schema_version") == 1
            assert buy(world, coupon="ITHACA").status_code == 500
            _migrate_once(world)
            assert buy(world, coupon="ITHACA").status_code == 200
            eventually(lambda: len(story()) == 6)
            eventually(lambda: load.figures(1.0).success_ratio == 1.0)
        finally:
            watch.stop()
            load.stop()
    assert story() == [
        (name, status)
        for name in ("ShopHighErrorRate", "ShopConfigInvalid", "ShopSchemaOutdated")
        for status in ("firing", "resolved")
    ]
    assert load.lost > 0


def _migrate_once(world):
    """The same key at both instances at the same moment."""

    def migrate(number):
        url = world.instance_urls[INSTANCES[number % 2]] + "/admin/migrate"
        return HTTP.post(url, headers={"Idempotency-Key": "run:1"})

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(migrate, range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["repeated"] for answer in answers].count(False) == 1
    assert [operation["key"] for operation in world.operations()] == ["run:1"]
    for url in world.instance_urls.values():
        assert HTTP.get(url + "/admin/operations/run:1").json()["schema_version"] == 2


def test_a_start_ends_what_a_killed_owner_left(tmp_path):
    command = [sys.executable, "-m", "shop", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(files.__file__).parents[1])}

    def run():
        owner = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        lines = [owner.stdout.readline() for _ in range(6)]
        assert HTTP.get(lines[0].split()[1]).status_code == 200
        return owner

    def pids():
        return {pid for pid, command in processes._commands() if f"{tmp_path}/" in command}

    with run() as first:
        left = pids()
        first.send_signal(signal.SIGKILL)
    assert left
    assert left <= pids()
    with run() as second:
        assert not left & pids()
        assert len(pids()) == len(left)
        second.send_signal(signal.SIGTERM)
    assert second.returncode == 0
    assert pids() == set()


def test_a_world_that_cannot_start_says_so_and_leaves_nothing(tmp_path):
    world = World(tmp_path)
    release = world.releases_dir / "0.1"
    release.mkdir(parents=True)
    (tmp_path / "supervisord.log").mkdir()  # supervisord cannot write its log there
    with pytest.raises(RuntimeError, match="look into the logs"):
        world.start()
    assert _alive(tmp_path) == []
    world.stop()


@pytest.mark.skipif(shutil.which("ps") is None, reason="this machine has no ps")
def test_processes_are_also_listed_where_there_is_no_proc(tmp_path):
    mine = [command for pid, command in processes._commands(tmp_path) if pid == os.getpid()]
    assert len(mine) == 1
    assert "py" in mine[0]
