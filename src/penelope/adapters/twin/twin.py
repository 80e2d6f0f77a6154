"""The twin: tries a plan's actions on copies of their targets, and has the service's own checks judge the result."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from penelope.adapters.actions.installed import Kind, Surroundings
from penelope.adapters.twin import copies, replay
from penelope.adapters.twin.capabilities import isolation
from penelope.adapters.twin.copies import Bounds, CannotCopy, Copy
from penelope.adapters.twin.limits import MIB, Limits
from penelope.adapters.twin.sandbox import Job, Sandbox
from penelope.adapters.twin.workshop import workshop
from penelope.domain.action import Action, Progress, Snapshot
from penelope.domain.plan import Node, NodeKind, Plan
from penelope.domain.rehearsal import Check, Rehearsal, RehearsalOutcome
from penelope.domain.service import Service, TwinCheck, TwinSpec
from penelope.errors import PenelopeError
from penelope.rooms.act.ports import ActionAdapter

_HOME = "/twin"
_AT_ONCE = 2
"""How many rehearsals there are at once: each may use memory up to its limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the settings say: `required` makes a plan that cannot be tried fail."""

    limits: Limits
    bounds: Bounds
    required: bool
    timeout_seconds: float


@dataclass(slots=True, kw_only=True)
class _Stage:
    """One rehearsal under way."""

    service: Service
    spec: TwinSpec
    folder: Path
    limits: Limits
    adapters: Mapping[str, ActionAdapter]
    copies: dict[str, Copy] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    done: list[tuple[Action, Snapshot]] = field(default_factory=list)


class SandboxTwin:
    """Fulfils `rooms/plan/ports.py: Twin`.

    The adapters themselves act on the copies, so that what is tried is what will be done. They run in this process, as
    they do when it is meant; only what the service brings along (its checks, itself) runs in the sandbox.
    """

    def __init__(self, kinds: Mapping[str, Kind], rules: Rules) -> None:
        self._kinds = kinds
        self._rules = rules
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def rehearse(self, plan: Plan, service: Service) -> Rehearsal:
        """Never raises for what a plan does; takes back all that it made, also when it is cancelled."""
        async with self._turns:
            return await self._held(plan, service)

    async def _held(self, plan: Plan, service: Service) -> Rehearsal:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._rules.timeout_seconds):
                held = await self._rehearse(plan, service)
        except TimeoutError:
            held = _not_possible(f"it did not end within {self._rules.timeout_seconds:g} s")
        except CannotCopy as error:
            held = _not_possible(str(error))
        except PenelopeError as error:
            held = _not_possible(error.message)
        except OSError as error:
            held = _not_possible(f"a copy cannot be made: {error.strerror}")
        if held.outcome is RehearsalOutcome.NOT_POSSIBLE and self._rules.required:
            reason = f"it must be rehearsed (setting twin.required), and cannot be: {held.reason}"
            held = replace(held, outcome=RehearsalOutcome.FAILED, reason=reason)
        return replace(held, seconds=round(time.monotonic() - started, 3))

    async def _rehearse(self, plan: Plan, service: Service) -> Rehearsal:
        actions, skipped = _sorted(plan, service, self._kinds)
        if not actions:
            return _not_possible("; ".join(skipped) or "the plan has no actions")
        spec = service.twin or TwinSpec()
        limits = _limits(self._rules.limits, spec)
        found = await isolation() if spec.checks or spec.serve else None
        if found is not None and found.missing:
            return _not_possible(f"nothing can be run in isolation here: {found.missing}")
        async with workshop() as folder:
            surroundings = Surroundings(services={}, routers={}, keep=folder / "keep")
            names = {action.adapter for action in actions}
            stage = _Stage(
                service=service,
                spec=spec,
                folder=folder,
                limits=limits,
                adapters={name: self._kinds[name].made(surroundings) for name in names},
            )
            await self._lay_out(stage, actions)
            await self._play(stage, actions)
        left_out = [note for copy in stage.copies.values() for note in copy.notes]
        walls = (*limits.words(), *found.words()) if found else ("nothing of the service was run",)
        return _judged(stage.checks, [*skipped, *left_out], walls)

    async def _lay_out(self, stage: _Stage, actions: Sequence[Action]) -> None:
        wanted = {action.target.name for action in actions}
        named = [check.target for check in stage.spec.checks]
        named.append(stage.spec.serve.target if stage.spec.serve else None)
        wanted.update(name for name in named if name is not None and name in stage.service.targets)
        for name in sorted(wanted):
            stage.copies[name] = await _copied(stage, name, self._rules.bounds)

    async def _play(self, stage: _Stage, actions: Sequence[Action]) -> None:
        """Without the change, the change, with it, and without it again."""
        before = await _examined(stage)
        for action in actions:
            if not await self._act(stage, action):
                return
        after = await _examined(stage)
        for (check, old, _), (_, new, seconds) in zip(before.results, after.results, strict=True):
            held = new == _WELL or old != _WELL
            stage.checks.append(
                Check(name=check.name, before=old, after=new, held=held, seconds=round(seconds, 3))
            )
        if before.round and after.round and stage.spec.replay:
            stage.checks += replay.compared(stage.spec.replay, before.round, after.round)
        for action, snapshot in reversed(stage.done):
            await self._take_back(stage, action, snapshot)

    async def _act(self, stage: _Stage, action: Action) -> bool:
        started = time.monotonic()
        adapter = stage.adapters[action.adapter]
        try:
            async with asyncio.timeout(action.timeout_seconds):
                snapshot = await adapter.snapshot(action := _moved(stage, action))
                await adapter.execute(action, snapshot)
                progress = await adapter.probe(action, snapshot)
            after = "done" if progress is Progress.APPLIED else f"done, but seen as {progress.value}"
            stage.done.append((action, snapshot))
            await _check_copy(stage, action, self._rules.bounds)
        except TimeoutError:
            after = f"not done within {action.timeout_seconds:g} s"
        except PenelopeError as error:
            after = error.message
        except CannotCopy as error:
            after = f"leaves its target: {error}"
        held = after == "done"
        stage.checks.append(_of_action(action.name, "not done", after, held, started))
        return held

    async def _take_back(self, stage: _Stage, action: Action, snapshot: Snapshot) -> None:
        started = time.monotonic()
        adapter = stage.adapters[action.adapter]
        try:
            async with asyncio.timeout(action.timeout_seconds):
                await adapter.compensate(action, snapshot)
                differences = await adapter.differences(action, snapshot)
            after = "as before" if not differences else f"{len(differences)} differences stay"
        except TimeoutError:
            after = f"not taken back within {action.timeout_seconds:g} s"
        except PenelopeError as error:
            after = error.message
        held = after == "as before"
        stage.checks.append(_of_action(f"take back: {action.name}", "done", after, held, started))


@dataclass(frozen=True, slots=True)
class _Examined:
    results: Sequence[tuple[TwinCheck, str, float]]
    round: replay.Round | None


_WELL = "passes"


async def _examined(stage: _Stage) -> _Examined:
    """What the checks and the recorded requests say of the copies as they are now."""
    results = []
    for check in stage.spec.checks:
        limits = replace(stage.limits, seconds=check.timeout_seconds)
        ended = await Sandbox(limits).run(_job(stage, check.argv, check.target))
        said = _WELL if ended.code == 0 and not ended.stopped else f"ends with {ended.code}"
        results.append((check, f"stopped: {ended.stopped}" if ended.stopped else said, ended.seconds))
    serve, recorded = stage.spec.serve, stage.spec.replay
    if serve is None or recorded is None:
        return _Examined(results, None)
    job = _job(stage, serve.argv, serve.target)
    return _Examined(results, await replay.ask(Sandbox(stage.limits), job, serve, recorded, stage.folder))


def _job(stage: _Stage, argv: Sequence[str], target: str | None) -> Job:
    """Each target lies in /twin under its name; a command runs in the one that it is for."""
    name = target or (next(iter(stage.copies)) if len(stage.copies) == 1 else None)
    folder = f"{_HOME}/{name}" if name in stage.copies else _HOME
    return Job(
        argv=argv,
        folder=folder,
        copies={f"{_HOME}/{name}": copy.folder for name, copy in stage.copies.items()},
        also=tuple(Path(path) for path in stage.spec.read_only),
    )


async def _copied(stage: _Stage, name: str, bounds: Bounds) -> Copy:
    target = stage.service.targets[name]
    try:
        return await copies.copied(target, stage.folder / f"target-{name}", bounds)
    except CannotCopy as error:
        raise CannotCopy(f"{name}: {error}") from error


async def _check_copy(stage: _Stage, action: Action, bounds: Bounds) -> None:
    # Larger than the bounds of a copy it may be, for a change may add; twice as large is no change that is tried here.
    doubled = Bounds(bounds.size * 2, bounds.files * 2)
    await asyncio.to_thread(copies.check, stage.copies[action.target.name].folder, doubled)


def _moved(stage: _Stage, action: Action) -> Action:
    """The action, led to the copy of its target."""
    target = stage.service.targets[action.target.name]
    return replace(action, target=replace(target, options=stage.copies[target.name].options))


def _sorted(plan: Plan, service: Service, kinds: Mapping[str, Kind]) -> tuple[list[Action], list[str]]:
    """The actions that can be tried, and for each of the others why it cannot."""
    open_choice = {key for node in (*plan.course, *plan.after_course) for key in _chosen(node)}
    actions, skipped = [], []
    for action in plan.actions:
        target = service.targets.get(action.target.name)
        if target is None:
            why = "its target is not in the catalogue"
        elif action.key in open_choice:
            why = "whether it runs is decided when it is reached"
        elif action.adapter not in kinds:
            why = f"the adapter {action.adapter} is not installed"
        else:
            why = copies.obstacle(target)
        if why:
            skipped.append(f"{action.name} is not rehearsed: {why}")
        else:
            actions.append(action)
    return actions, skipped


def _chosen(node: Node, *, below: bool = False) -> list[str]:
    """The keys of the actions of which it is not certain that they will run."""
    if node.kind is NodeKind.ACTION:
        return [node.key] if below else []
    below = below or node.kind is NodeKind.CONDITION
    return [key for child in (*node.children, *node.otherwise) for key in _chosen(child, below=below)]


def _limits(limits: Limits, spec: TwinSpec) -> Limits:
    own = {
        name.removesuffix("_mib"): value * (MIB if name.endswith("_mib") else 1)
        for name, value in spec.limits.items()
    }
    limits = replace(limits, **own)
    # What follows from a limit that the service sets itself.
    return replace(limits, process_memory=4 * limits.memory, file_size=limits.disk // 4)


def _of_action(name: str, before: str, after: str, held: bool, started: float) -> Check:  # noqa: FBT001 - as the check has it
    seconds = round(time.monotonic() - started, 3)
    return Check(name=name, before=before, after=after[:300], held=held, seconds=seconds)


def _not_possible(reason: str) -> Rehearsal:
    return Rehearsal(outcome=RehearsalOutcome.NOT_POSSIBLE, reason=reason)


def _judged(checks: Sequence[Check], skipped: Sequence[str], walls: tuple[str, ...]) -> Rehearsal:
    failed = [f"{check.name}: {check.after} (before: {check.before})" for check in checks if not check.held]
    outcome = RehearsalOutcome.FAILED if failed else RehearsalOutcome.PASSED
    reason = "; ".join(failed[:5] or [f"{len(checks)} checks are no worse with the change", *skipped])
    return Rehearsal(outcome=outcome, reason=reason[:2000], checks=tuple(checks), limits=walls)
