"""The twin: tries a plan's actions on copies of their targets, and has the service's own checks judge the result."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from penelope.adapters.actions.installed import Kind, Surroundings
from penelope.adapters.actions.options import read_options
from penelope.adapters.actions.sql_model import SqlOptions
from penelope.adapters.secrets.redaction import Redaction
from penelope.adapters.secrets.resolve import Resolved, StoredSecrets
from penelope.adapters.twin import copies
from penelope.adapters.twin.capabilities import isolation
from penelope.adapters.twin.copies import Bounds, CannotCopy
from penelope.adapters.twin.courses import MOST, Course, courses, remarks
from penelope.adapters.twin.limits import MIB, Limits
from penelope.adapters.twin.pg_programs import OLDEST, Programs, newest
from penelope.adapters.twin.pg_scratch import Scratch, scratch
from penelope.adapters.twin.pg_source import Dumped, chosen, dumped, sampled
from penelope.adapters.twin.stage import Stage, wanted
from penelope.adapters.twin.workshop import workshop
from penelope.domain.action import Action
from penelope.domain.plan import Plan
from penelope.domain.rehearsal import Check, Rehearsal, RehearsalOutcome
from penelope.domain.service import Service, Target, TwinSpec
from penelope.errors import PenelopeError
from penelope.rooms.act.ports import Secrets

_AT_ONCE = 2
"""How many rehearsals there are at once: each may use memory up to its limits."""
_OF_A_SERVER = {"terminate_query", "recycle_connections", "set_parameter"}
"""Operations on what a running server does, of which a copy of its schema says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the settings say: `required` makes a plan that cannot be tried fail."""

    limits: Limits
    bounds: Bounds
    required: bool
    timeout_seconds: float


class SandboxTwin:
    """Fulfils `rooms/plan/ports.py: Twin`.

    The adapters themselves act on the copies, so that what is tried is what will be done. They run in this process, as
    they do when it is meant; only what the service brings along (its checks, itself) runs in the sandbox.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        rules: Rules,
        secrets: Secrets | None = None,
        programs: Callable[[], Awaitable[Programs | None]] = newest,
    ) -> None:
        self._kinds = kinds
        self._rules = rules
        self._programs = programs
        self._secrets = secrets or StoredSecrets({})
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def rehearse(self, plan: Plan, service: Service) -> Rehearsal:
        """Never raises for what a plan does; takes back all that it made, also when it is cancelled."""
        async with self._turns:
            return await self._held(plan, service)

    async def _held(self, plan: Plan, service: Service) -> Rehearsal:
        started = time.monotonic()
        checks: list[Check] = []
        try:
            async with asyncio.timeout(self._rules.timeout_seconds):
                held = await self._rehearse(plan, service, checks)
        except TimeoutError:
            held = _not_possible(f"it did not end within {self._rules.timeout_seconds:g} s")
        except CannotCopy as error:
            held = _not_possible(str(error))
        except PenelopeError as error:
            held = _not_possible(error.message)
        except OSError as error:
            held = _not_possible(f"a copy cannot be made: {error.strerror}")
        if held.outcome is RehearsalOutcome.NOT_POSSIBLE and any(not check.held for check in checks):
            # Whatever came after it: what was found to fail has failed.
            held = _judged(checks, [held.reason], held.limits)
        if held.outcome is RehearsalOutcome.NOT_POSSIBLE and self._rules.required:
            reason = f"it must be rehearsed (setting twin.required), and cannot be: {held.reason}"
            held = replace(held, outcome=RehearsalOutcome.FAILED, reason=reason)
        return replace(held, seconds=round(time.monotonic() - started, 3))

    async def _rehearse(self, plan: Plan, service: Service, checks: list[Check]) -> Rehearsal:
        """Puts what it finds into `checks` at once, so that it is known whatever comes after."""
        actions, skipped = _sorted(plan, service, self._kinds)
        if not actions:
            return _not_possible("; ".join(skipped) or "the plan has no actions")
        spec = service.twin or TwinSpec()
        names = wanted(service, spec, actions)
        databases = [name for name in sorted(names) if copies.served(service.targets[name])]
        found = await isolation() if spec.checks or spec.serve or databases else None
        if found is not None and found.missing:
            return _not_possible(f"nothing can be run in isolation here: {found.missing}")
        limits = _limits(self._rules.limits, spec)
        ways, untried = _ways(plan, actions)
        left_out = dict.fromkeys([*skipped, *untried])
        async with workshop() as folder, AsyncExitStack() as stack:
            servers = {
                name: await stack.enter_async_context(
                    self._server(service.targets[name], actions, folder / f"server-{name}", limits)
                )
                for name in databases
            }
            for number, way in enumerate(ways):
                stage = self._stage(service, spec, folder / f"course-{number}", limits, servers)
                stage.label = way.label if len(ways) > 1 else ""
                stage.checks = checks
                await stage.lay_out(actions)
                await stage.play(way.actions)
                left_out |= dict.fromkeys(note for copy in stage.copies.values() for note in copy.notes)
        walls = (*limits.words(), *found.words()) if found else ("nothing of the service was run",)
        return _judged(checks, [*left_out], (*walls, *remarks(plan)))

    def _stage(
        self, service: Service, spec: TwinSpec, folder: Path, limits: Limits, servers: Mapping[str, Scratch]
    ) -> Stage:
        folder.mkdir()
        surroundings = Surroundings(services={}, routers={}, keep=folder / "keep")
        return Stage(
            service=service,
            spec=spec,
            folder=folder,
            limits=limits,
            bounds=self._rules.bounds,
            adapters={name: kind.made(surroundings) for name, kind in self._kinds.items()},
            servers=servers,
        )

    @asynccontextmanager
    async def _server(
        self, target: Target, actions: Sequence[Action], place: Path, limits: Limits
    ) -> AsyncIterator[Scratch]:
        """A server with what the target's database holds. Raises CannotCopy, PenelopeError, without any secret."""
        programs = await self._programs()
        if programs is None:
            raise CannotCopy(
                f"{target.name}: there are no programs of PostgreSQL {OLDEST} or newer here to copy it with"
            )
        resolved = Resolved(self._secrets)
        about = [action for action in actions if action.target.name == target.name]
        whole = self._rules.timeout_seconds

        async def fill(folder: Path) -> Dumped:
            options = await resolved.options(target.options)
            read = read_options(SqlOptions, replace(target, options=options))
            return await dumped(read, about, programs, folder, self._rules.bounds, whole)

        # It lives as long as the rehearsal, which is ended by a clock of its own.
        made = scratch(programs, fill, place, replace(limits, seconds=whole))
        async with AsyncExitStack() as stack:
            try:
                server = await stack.enter_async_context(made)
            except CannotCopy as error:
                text = Redaction(resolved.values).text(str(error))
                raise CannotCopy(f"{target.name}: {text}") from None
            yield server


def _sorted(plan: Plan, service: Service, kinds: Mapping[str, Kind]) -> tuple[list[Action], list[str]]:
    """The actions that can be tried, and for each of the others why it cannot."""
    actions, skipped = [], []
    for action in plan.actions:
        target = service.targets.get(action.target.name)
        if target is None:
            why = "its target is not in the catalogue"
        elif action.adapter not in kinds:
            why = f"the adapter {action.adapter} is not installed"
        else:
            why = copies.obstacle(target) or _without_rows(action, target)
        if why:
            skipped.append(f"{action.name} is not rehearsed: {why}")
        else:
            actions.append(action)
    return actions, skipped


def _without_rows(action: Action, target: Target) -> str:
    """Why an action could do nothing on the copy of a server, whatever it does on the server itself."""
    if not copies.served(target):
        return ""
    if action.operation in _OF_A_SERVER:
        return "it is about what the running server does, which a copy does not"
    table = chosen(action)
    if table is not None and table not in sampled(read_options(SqlOptions, target)):
        return f"no rows of {table} may be copied (the target's option twin.rows)"
    return ""


def _ways(plan: Plan, actions: Sequence[Action]) -> tuple[list[Course], list[str]]:
    """The courses that are tried, of the actions that can be, and what none of them holds."""
    keys = {action.key for action in actions}
    all_ways = [
        Course(tuple(action for action in course.actions if action.key in keys), course.turns)
        for course in courses(plan)
    ]
    ways = [course for course in all_ways if course.actions][:MOST]
    tried = {action.key for course in ways for action in course.actions}
    untried = [
        f"{action.name} is not rehearsed: the plan has more courses than the {MOST} that are tried"
        for action in actions
        if action.key not in tried
    ]
    return ways, untried


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
