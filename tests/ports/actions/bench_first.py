"""Benches of the adapters for processes, HTTP, git and traffic, and of the shipped fake."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from benching import Bench, an_action, with_options

from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.adapters.actions.http import HttpAdapter
from penelope.adapters.actions.process import ProcessAdapter
from penelope.adapters.actions.traffic import TrafficAdapter
from penelope.adapters.routers.noop import NoopRouter
from penelope.adapters.routers.traefik import TraefikRouter
from penelope.domain.action import Snapshot
from penelope.domain.service import RouterReference, Service
from penelope.testing.actions import FakeAction, Mood
from penelope.testing.routers import FakeRouter


def _process(operation: str, params: dict[str, Any], request: pytest.FixtureRequest) -> Bench:
    supervised = request.getfixturevalue("supervised")
    action = an_action("process", operation, supervised.options, params)

    async def half(_: Snapshot) -> None:
        supervised.stop()
        if operation == "switch_release":
            supervised.point_at("v2")

    return Bench(
        adapter=ProcessAdapter(),
        action=action,
        effects=lambda: len(supervised.settled_starts()),
        shown=("state", "release"),
        unreachable=(ProcessAdapter(), with_options(action, supervisor="http://penny:s3cret@127.0.0.1:9")),
        half=half,
        restores=operation != "restart",
    )


def restart(request: pytest.FixtureRequest) -> Bench:
    return _process("restart", {}, request)


def switch_release(request: pytest.FixtureRequest) -> Bench:
    return _process("switch_release", {"release": "v2"}, request)


def http(request: pytest.FixtureRequest) -> Bench:
    endpoint = request.getfixturevalue("endpoint")
    options = {"base_url": endpoint.url, "observe_path": "/flag"}
    params = {"path": "/flags", "probe_path": "/flags/{key}", "compensate_path": "/undo/{key}"}
    action = an_action("http", "call", options, params)
    return Bench(
        adapter=HttpAdapter(),
        action=action,
        effects=lambda: len(endpoint.seen),
        shown=("status",),
        unreachable=(HttpAdapter(), with_options(action, base_url="http://127.0.0.1:9")),
        snapshot_asks=False,
    )


class _Crash(Exception):
    """Stands for a kill."""


class _Crashing(GitPatchAdapter):
    async def _check_out(self, *_: object) -> None:
        raise _Crash


def _git(operation: str, params: dict[str, Any], request: pytest.FixtureRequest) -> Bench:
    repo = request.getfixturevalue("repo")
    action = an_action("git_patch", operation, {"repository": str(repo.path), "branch": "main"}, params)
    before = repo.commits()

    async def half(snapshot: Snapshot) -> None:
        with pytest.raises(_Crash):
            await _Crashing().execute(action, snapshot)

    return Bench(
        adapter=GitPatchAdapter(),
        action=action,
        effects=lambda: repo.commits() - before,
        shown=("tree", "clean"),
        unreachable=(GitPatchAdapter(), with_options(action, repository=str(repo.path.parent))),
        half=half,
    )


def git_apply(request: pytest.FixtureRequest) -> Bench:
    repo = request.getfixturevalue("repo")

    def change(root: Path) -> None:
        (root / "config.ini").write_text("[shop]\nworkers = 4\ntimeout = 30\n")
        (root / "notes.txt").unlink()
        (root / "sub").mkdir()
        (root / "sub" / "new file.txt").write_text("new\n")

    return _git("apply", {"diff": repo.diff_after(change), "message": "Mend"}, request)


def git_revert(request: pytest.FixtureRequest) -> Bench:
    return _git("revert", {"commit": request.getfixturevalue("repo").git("rev-parse", "HEAD")}, request)


def _traffic(router: Any, service: Service, unreachable: TrafficAdapter) -> Bench:
    calls: list[dict[str, int]] = []

    class Counting:
        async def weights(self, service: Service) -> Any:
            return await router.weights(service)

        async def set_weights(self, service: Service, weights: Any) -> None:
            await router.set_weights(service, weights)
            calls.append(dict(weights))

    action = an_action("traffic", "set_weights", {}, {"weights": {"blue": 10, "green": 90}})
    action = replace(action, target=replace(action.target, service=service.name))
    kind = service.router.kind if service.router else ""
    return Bench(
        adapter=TrafficAdapter({kind: Counting()}, {service.name: service}),
        action=action,
        effects=lambda: len(calls),
        shown=("weights", "weight.blue", "weight.green"),
        counts_compensations=True,
        unreachable=(unreachable, action),
    )


def traffic_noop(_: pytest.FixtureRequest) -> Bench:
    router = RouterReference(kind="noop", options={}, arms={"blue": "b", "green": "g"})
    service = Service(name="shop", owner="team", tier=1, router=router)
    cut_off = FakeRouter()
    cut_off.out_of_reach = True
    return _traffic(NoopRouter(), service, TrafficAdapter({"noop": cut_off}, {"shop": service}))


def traffic_traefik(request: pytest.FixtureRequest) -> Bench:
    name = f"acted-{request.node.originalname.replace('_', '-')}"
    service = request.getfixturevalue("traefik").service(name, {"blue": 100, "green": 0})
    options = {**service.router.options, "api": "http://127.0.0.1:9"}
    file = Path(options["file"]).with_suffix(".unwatched")
    file.write_text(Path(options["file"]).read_text())
    router = replace(service.router, options={**options, "file": str(file)})
    cut_off = TrafficAdapter({"traefik": TraefikRouter()}, {name: replace(service, router=router)})
    return _traffic(TraefikRouter(), service, cut_off)


def fake(_: pytest.FixtureRequest) -> Bench:
    adapter, cut_off = FakeAction(), FakeAction()
    cut_off.mood = Mood.OUT_OF_REACH
    action = an_action("fake", "set", {}, {"value": 1})
    return Bench(
        adapter=adapter,
        action=action,
        effects=lambda: sum(adapter.effects.values()),
        shown=("value",),
        unreachable=(cut_off, action),
    )


BENCHES = [restart, switch_release, http, git_apply, git_revert, traffic_noop, traffic_traefik, fake]
HALVED = [restart, switch_release, git_apply, git_revert]
