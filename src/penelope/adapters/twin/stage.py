"""One course of a plan, played on copies: without the change, the change, with it, and without it again."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from penelope.adapters.twin import copies, replay
from penelope.adapters.twin.copies import Bounds, CannotCopy, Copy
from penelope.adapters.twin.limits import Limits
from penelope.adapters.twin.pg_scratch import Scratch
from penelope.adapters.twin.sandbox import Job, Sandbox
from penelope.domain.action import Action, Progress, Snapshot
from penelope.domain.rehearsal import Check
from penelope.domain.service import Service, TwinCheck, TwinSpec
from penelope.errors import PenelopeError
from penelope.rooms.act.ports import ActionAdapter

_HOME = "/twin"
_WELL = "passes"


@dataclass(slots=True, kw_only=True)
class Stage:
    """One course under way. `label` tells its checks from those of other courses."""

    service: Service
    spec: TwinSpec
    folder: Path
    limits: Limits
    bounds: Bounds
    adapters: Mapping[str, ActionAdapter]
    servers: Mapping[str, Scratch]
    label: str = ""
    copies: dict[str, Copy] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    done: list[tuple[Action, Snapshot]] = field(default_factory=list)

    async def lay_out(self, actions: Sequence[Action]) -> None:
        """Copies of all that the actions change, and that the service's commands want. Raises as `copies.copied` does."""
        for name in sorted(wanted(self.service, self.spec, actions)):
            if server := self.servers.get(name):
                await server.fresh()
                options = server.options(self.service.targets[name])
                self.copies[name] = Copy(folder=server.folder, options=options, notes=server.notes)
            else:
                self.copies[name] = await self._copied(name)

    async def play(self, actions: Sequence[Action]) -> None:
        before = await self._examined()
        for action in actions:
            if not await self._act(action):
                return
        after = await self._examined()
        for (check, old, _), (_, new, seconds) in zip(before.results, after.results, strict=True):
            held = new == _WELL or old != _WELL
            self._note(Check(name=check.name, before=old, after=new, held=held, seconds=round(seconds, 3)))
        if before.round and after.round and self.spec.replay:
            for each in replay.compared(self.spec.replay, before.round, after.round):
                self._note(each)
        for action, snapshot in reversed(self.done):
            await self._take_back(action, snapshot)

    async def _copied(self, name: str) -> Copy:
        try:
            return await copies.copied(
                self.service.targets[name], self.folder / f"target-{name}", self.bounds
            )
        except CannotCopy as error:
            raise CannotCopy(f"{name}: {error}") from error

    async def _act(self, action: Action) -> bool:
        started = time.monotonic()
        adapter = self.adapters[action.adapter]
        try:
            async with asyncio.timeout(action.timeout_seconds):
                snapshot = await adapter.snapshot(action := self._moved(action))
                await adapter.execute(action, snapshot)
                progress = await adapter.probe(action, snapshot)
            after = "done" if progress is Progress.APPLIED else f"done, but seen as {progress.value}"
            self.done.append((action, snapshot))
            await self._check_copy(action)
        except TimeoutError:
            after = f"not done within {action.timeout_seconds:g} s"
        except PenelopeError as error:
            after = error.message
        except CannotCopy as error:
            after = f"leaves its target: {error}"
        held = after == "done"
        after = after if held else await self._explained(action, after)
        self._note(_of_action(action.name, "not done", after, held, started))
        return held

    async def _take_back(self, action: Action, snapshot: Snapshot) -> None:
        started = time.monotonic()
        adapter = self.adapters[action.adapter]
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
        after = after if held else await self._explained(action, after)
        self._note(_of_action(f"take back: {action.name}", "done", after, held, started))

    async def _explained(self, action: Action, after: str) -> str:
        """A server that a limit has ended answers nobody, which alone would say little."""
        server = self.servers.get(action.target.name)
        trouble = await server.trouble() if server else ""
        return f"{after} (the copy of the database ended: {trouble})" if trouble else after

    def _note(self, check: Check) -> None:
        self.checks.append(replace(check, name=f"{check.name} [{self.label}]") if self.label else check)

    async def _check_copy(self, action: Action) -> None:
        if action.target.name in self.servers:
            return  # it lies in a sandbox, under the limits there
        # Larger than the bounds of a copy it may be, for a change may add; twice as large is no change that is tried here.
        doubled = Bounds(self.bounds.size * 2, self.bounds.files * 2)
        await asyncio.to_thread(copies.check, self.copies[action.target.name].folder, doubled)

    def _moved(self, action: Action) -> Action:
        """The action, led to the copy of its target."""
        target = self.service.targets[action.target.name]
        return replace(action, target=replace(target, options=self.copies[target.name].options))

    async def _examined(self) -> "_Examined":
        """What the checks and the recorded requests say of the copies as they are now."""
        results = []
        for check in self.spec.checks:
            limits = replace(self.limits, seconds=check.timeout_seconds)
            async with self._job(check.argv, check.target) as job:
                ended = await Sandbox(limits).run(job)
            said = _WELL if ended.code == 0 and not ended.stopped else f"ends with {ended.code}"
            results.append((check, f"stopped: {ended.stopped}" if ended.stopped else said, ended.seconds))
        serve, recorded = self.spec.serve, self.spec.replay
        if serve is None or recorded is None:
            return _Examined(results, None)
        async with self._job(serve.argv, serve.target) as job:
            asked = await replay.ask(Sandbox(self.limits), job, serve, recorded, self.folder)
        return _Examined(results, asked)

    @asynccontextmanager
    async def _job(self, argv: Sequence[str], target: str | None) -> AsyncIterator[Job]:
        """Each target lies in /twin under its name; a command runs in the one that it is for, on copies of its own."""
        name = target or (next(iter(self.copies)) if len(self.copies) == 1 else None)
        served = [each for each in self.copies if each in self.servers]
        chosen = name if name in served else served[0] if len(served) == 1 else None
        async with AsyncExitStack() as stack:
            databases = {each: await stack.enter_async_context(self.servers[each].lent()) for each in served}
            yield Job(
                argv=argv,
                folder=f"{_HOME}/{name}" if name in self.copies else _HOME,
                copies={
                    f"{_HOME}/{each}": copy.folder for each, copy in self.copies.items() if each not in served
                },
                also=tuple(Path(path) for path in self.spec.read_only),
                seen={f"{_HOME}/{each}": self.servers[each].folder for each in served},
                environment=_environment(f"{_HOME}/{chosen}", databases[chosen]) if chosen else {},
            )


@dataclass(frozen=True, slots=True)
class _Examined:
    results: Sequence[tuple[TwinCheck, str, float]]
    round: replay.Round | None


def wanted(service: Service, spec: TwinSpec, actions: Sequence[Action]) -> set[str]:
    """The targets of which copies are needed."""
    names = {action.target.name for action in actions}
    named = [*(check.target for check in spec.checks), spec.serve.target if spec.serve else None]
    return names | {name for name in named if name is not None and name in service.targets}


def _environment(folder: str, database: str) -> dict[str, str]:
    """How a command finds the copy of its database: as any client of PostgreSQL does."""
    return {
        "PGHOST": folder,
        "PGPORT": "5432",
        "PGUSER": Scratch.USER,
        "PGDATABASE": database,
        "DATABASE_URL": f"postgresql://{Scratch.USER}@/{database}?host={folder}",
    }


def _of_action(name: str, before: str, after: str, held: bool, started: float) -> Check:  # noqa: FBT001 - as the check has it
    seconds = round(time.monotonic() - started, 3)
    return Check(name=name, before=before, after=after[:300], held=held, seconds=seconds)
