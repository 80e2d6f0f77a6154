"""What every action adapter promises, held against real targets and against the shipped fake."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.adapters.actions.http import HttpAdapter
from penelope.adapters.actions.process import ProcessAdapter
from penelope.adapters.actions.traffic import TrafficAdapter
from penelope.adapters.routers.noop import NoopRouter
from penelope.adapters.routers.traefik import TraefikRouter
from penelope.domain.action import Action, Progress, Snapshot, Tier
from penelope.domain.service import RouterReference, Service, Target
from penelope.errors import ActionFailed, DependencyError, OutcomeUnknown, UnknownAdapter
from penelope.kit.codec import to_data
from penelope.rooms.act.ports import ActionAdapter
from penelope.rooms.act.run import perform, undo
from penelope.testing.actions import FakeAction, Mood
from penelope.testing.routers import FakeRouter


@dataclass
class Bench:
    """One adapter with a target. `effects` counts at the target, `shown` names what an undo must restore,
    `half` leaves the action half done as a crash would.
    """

    adapter: ActionAdapter
    action: Action
    effects: Callable[[], int]
    shown: tuple[str, ...]
    unreachable: tuple[ActionAdapter, Action]
    half: Callable[[Snapshot], Awaitable[None]] | None = None

    def look(self) -> dict[str, Any]:
        state = asyncio.run(self.adapter.observe(self.action))
        return {key: state.get(key) for key in self.shown}

    def snapshot(self) -> Snapshot:
        return asyncio.run(self.adapter.snapshot(self.action))

    def probe(self, snapshot: Snapshot) -> Progress:
        return asyncio.run(self.adapter.probe(self.action, snapshot))

    def perform(self, snapshot: Snapshot, *, first_attempt: bool = True) -> bool:
        effect = asyncio.run(perform(self.adapter, self.action, snapshot, first_attempt=first_attempt))
        return effect.repeated

    def undo(self, snapshot: Snapshot) -> None:
        assert asyncio.run(undo(self.adapter, self.action, snapshot)).summary


def _action(adapter: str, operation: str, options: dict[str, Any], params: dict[str, Any]) -> Action:
    return Action(
        key=f"inc_1/plan_1/{adapter}.{operation}",
        name=f"{operation} it",
        adapter=adapter,
        operation=operation,
        target=Target(name="app", service="shop", adapter=adapter, options=options),
        params=params,
        tier=Tier.SNAPSHOT,
        timeout_seconds=8.0,
    )


def _with_options(action: Action, **options: Any) -> Action:
    return replace(action, target=replace(action.target, options={**action.target.options, **options}))


def _process(operation: str, params: dict[str, Any], request: pytest.FixtureRequest) -> Bench:
    supervised = request.getfixturevalue("supervised")
    action = _action("process", operation, supervised.options, params)

    async def half(_: Snapshot) -> None:
        supervised.stop()
        if operation == "switch_release":
            supervised.point_at("v2")

    return Bench(
        adapter=ProcessAdapter(),
        action=action,
        effects=lambda: len(supervised.settled_starts()),
        shown=("state", "release"),
        unreachable=(ProcessAdapter(), _with_options(action, supervisor="http://penny:s3cret@127.0.0.1:9")),
        half=half,
    )


def restart(request: pytest.FixtureRequest) -> Bench:
    return _process("restart", {}, request)


def switch_release(request: pytest.FixtureRequest) -> Bench:
    return _process("switch_release", {"release": "v2"}, request)


def http(request: pytest.FixtureRequest) -> Bench:
    endpoint = request.getfixturevalue("endpoint")
    options = {"base_url": endpoint.url, "observe_path": "/flag"}
    params = {"path": "/flags", "probe_path": "/flags/{key}", "compensate_path": "/undo/{key}"}
    action = _action("http", "call", options, params)
    return Bench(
        adapter=HttpAdapter(),
        action=action,
        effects=lambda: len(endpoint.seen),
        shown=("status",),
        unreachable=(HttpAdapter(), _with_options(action, base_url="http://127.0.0.1:9")),
    )


class _Crash(Exception):
    """Stands for a kill."""


class _Crashing(GitPatchAdapter):
    async def _check_out(self, *_: object) -> None:
        raise _Crash


def _git(operation: str, params: dict[str, Any], request: pytest.FixtureRequest) -> Bench:
    repo = request.getfixturevalue("repo")
    action = _action("git_patch", operation, {"repository": str(repo.path), "branch": "main"}, params)
    before = repo.commits()

    async def half(snapshot: Snapshot) -> None:
        with pytest.raises(_Crash):
            await _Crashing().execute(action, snapshot)

    return Bench(
        adapter=GitPatchAdapter(),
        action=action,
        effects=lambda: repo.commits() - before,
        shown=("tree", "clean"),
        unreachable=(GitPatchAdapter(), _with_options(action, repository=str(repo.path.parent))),
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

    action = _action("traffic", "set_weights", {}, {"weights": {"blue": 10, "green": 90}})
    action = replace(action, target=replace(action.target, service=service.name))
    kind = service.router.kind if service.router else ""
    return Bench(
        adapter=TrafficAdapter({kind: Counting()}, {service.name: service}),
        action=action,
        effects=lambda: len(calls),
        shown=("weights", "weight.blue", "weight.green"),
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
    action = _action("fake", "set", {}, {"value": 1})
    return Bench(
        adapter=adapter,
        action=action,
        effects=lambda: sum(adapter.effects.values()),
        shown=("value",),
        unreachable=(cut_off, action),
    )


ALL = [restart, switch_release, http, git_apply, git_revert, traffic_noop, traffic_traefik, fake]


@pytest.fixture(params=ALL, ids=lambda make: make.__name__)
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = request.param(request)
    return made


@pytest.fixture(params=[restart, switch_release, git_apply, git_revert], ids=lambda make: make.__name__)
def halved(request: pytest.FixtureRequest) -> tuple[Bench, Snapshot]:
    """A bench whose action was left half done."""
    made: Bench = request.param(request)
    snapshot = made.snapshot()
    assert made.half is not None
    asyncio.run(made.half(snapshot))
    return made, snapshot


def test_its_operation_is_valid_and_an_unknown_one_is_not(bench: Bench) -> None:
    bench.adapter.validate(bench.action.operation, bench.action.params)
    with pytest.raises(UnknownAdapter):
        bench.adapter.validate("format_disk", bench.action.params)


def test_nothing_is_applied_before_and_probing_changes_nothing(bench: Bench) -> None:
    before = bench.look()
    snapshot = bench.snapshot()
    assert [bench.probe(snapshot), bench.probe(snapshot)] == [Progress.NOT_APPLIED] * 2
    assert bench.look() == before
    assert bench.effects() == 0


def test_a_dry_run_says_what_would_change_and_changes_nothing(bench: Bench) -> None:
    before = bench.look()
    snapshot = bench.snapshot()
    preview = asyncio.run(bench.adapter.dry_run(bench.action, snapshot))
    assert preview.summary
    assert "s3cret" not in preview.summary + preview.diff
    assert bench.look() == before
    assert bench.effects() == 0
    assert bench.probe(snapshot) is Progress.NOT_APPLIED


def test_its_operations_are_declared(bench: Bench) -> None:
    declared = bench.adapter.operations[bench.action.operation]
    assert declared.summary
    if bench.adapter.name != "fake":
        assert declared.permissions
        assert declared.tier <= bench.action.tier
        jsonschema.validate(to_data(bench.action.params), declared.params)


def test_an_execution_is_recognised(bench: Bench) -> None:
    snapshot = bench.snapshot()
    assert bench.perform(snapshot) is False
    assert bench.probe(snapshot) is Progress.APPLIED
    assert bench.effects() == 1


def test_performing_twice_is_one_effect(bench: Bench) -> None:
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    after = bench.look()
    assert bench.perform(snapshot, first_attempt=False) is True
    assert bench.effects() == 1
    assert bench.look() == after


def test_compensation_restores_and_twice_is_harmless(bench: Bench) -> None:
    before = bench.look()
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    if bench.action.operation != "restart":
        assert bench.look() != before
    bench.undo(snapshot)
    assert bench.look() == before
    effects = bench.effects()
    bench.undo(snapshot)
    assert bench.look() == before
    if bench.adapter.name != "traffic":
        assert bench.effects() == effects


def test_compensating_what_was_never_done_changes_nothing(bench: Bench) -> None:
    before = bench.look()
    bench.undo(bench.snapshot())
    assert bench.look() == before


def test_a_half_done_action_is_carried_to_its_end(halved: tuple[Bench, Snapshot]) -> None:
    bench, snapshot = halved
    assert bench.probe(snapshot) is Progress.PARTIAL
    assert bench.perform(snapshot, first_attempt=False) is False
    assert bench.probe(snapshot) is Progress.APPLIED
    assert bench.effects() == 1


def test_a_half_done_action_can_be_taken_back(halved: tuple[Bench, Snapshot]) -> None:
    bench, snapshot = halved
    bench.undo(snapshot)
    state = bench.look()
    assert state.get("release", "v1") == "v1"
    assert state.get("state", "RUNNING") == "RUNNING"
    assert state.get("clean", True) is True
    assert bench.probe(snapshot) is not Progress.PARTIAL


def test_a_target_out_of_reach_is_a_dependency_error(bench: Bench) -> None:
    adapter, action = bench.unreachable
    snapshot = bench.snapshot()
    attempts: list[Callable[[], Any]] = [
        lambda: adapter.probe(action, snapshot),
        lambda: adapter.execute(action, snapshot),
        lambda: adapter.compensate(action, snapshot),
        lambda: adapter.observe(action),
    ]
    if not isinstance(adapter, HttpAdapter):  # whose snapshot asks nothing of the target
        attempts.append(lambda: adapter.snapshot(action))
    for attempt in attempts:
        with pytest.raises(DependencyError) as caught:
            asyncio.run(attempt())
        assert "s3cret" not in str(caught.value) + caught.value.advice


def test_an_action_on_a_target_out_of_reach_did_not_happen(bench: Bench) -> None:
    adapter, action = bench.unreachable
    snapshot = bench.snapshot()
    with pytest.raises((ActionFailed, OutcomeUnknown)):
        asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
    assert bench.effects() == 0
