"""Runs an Ansible playbook of those that a target lists."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Self

import msgspec

from penelope.adapters.actions.ansible_job import Job, Outcome, Run
from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot, Tier
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidCatalogue,
    InvalidPlaybook,
    OutcomeUnknown,
    Unavailable,
)
from penelope.kit.canonical import Json

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){0,8}\.ya?ml")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED = re.compile(
    r"(?:ansible|inventory|role|play)_\w*|groups?|group_names|hostvars|omit|vars|environment|playbook_dir"
)
_HOSTS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,-]{0,199}")
_TEMPLATE = re.compile(r"\{[{%#]|[%#}]\}")
_LONGEST_TEXT = 4096
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


class AnsibleOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target: a folder and the playbooks in it that may be run, an inventory (a path), the variables that
    a step may set, with their types, and those that are fixed, which may be secret. `undo` names for a playbook the one
    that takes it back, with the same variables. `check` is false for playbooks that Ansible's check mode cannot follow.
    """

    folder: str
    playbooks: list[str]
    inventory: str
    variables: dict[str, Literal["string", "integer", "number", "boolean"]] = {}
    fixed: dict[str, Json] = {}
    undo: dict[str, str] = {}
    check: bool = True


class PlayParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `play`. `limit` are hosts or groups of the inventory, joined by commas."""

    playbook: str
    variables: dict[str, str | int | float | bool] = {}
    limit: str = ""


class AnsibleAdapter:
    """Operation `play`. A playbook runs in a process that outlives Penelope's, and writes down what came of it: after a
    crash the run is waited for, and one that was torn off is run again, which is harmless by Ansible's own rule.

    What would change is found out in check mode before, so that what was in effect already is neither taken for ours
    nor taken back.
    """

    name = "ansible"
    operations = MappingProxyType(
        {
            "play": operation(
                "Run an Ansible playbook",
                PlayParams,
                "what the playbook does on its hosts",
                tier=Tier.SNAPSHOT,
                snapshots=("the tasks that would change something",),
            )
        }
    )

    def __init__(self, folder: Path) -> None:
        """`folder` is private; each action gets one of its own in it."""
        self._folder = folder

    @classmethod
    def made(cls, surroundings: Surroundings) -> Self:
        return cls(surroundings.keep / "ansible")

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        read = read_params(PlayParams, params)
        if not _FILE.fullmatch(read.playbook):
            raise InvalidPlaybook("a playbook is a plain relative path that ends in .yml or .yaml")
        if read.limit and not _HOSTS.fullmatch(read.limit):
            raise InvalidPlaybook("limit is names of hosts or groups, joined by commas")
        for name, value in read.variables.items():
            if not _VARIABLE.fullmatch(name) or _RESERVED.fullmatch(name):
                raise InvalidPlaybook(f"{name[:80]!r} is no variable that a step may set")
            if isinstance(value, str) and (len(value) > _LONGEST_TEXT or _TEMPLATE.search(value)):
                raise InvalidPlaybook(
                    f"the value of {name!r} is too long, or a template", hint="Ansible would execute it."
                )

    async def snapshot(self, action: Action) -> Snapshot:
        pending = await self._pending(action, "before")
        return Snapshot(state={"pending": None if pending is None else _tasks(pending)})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:  # noqa: ARG002 - asked anew
        pending = await self._pending(action, "preview")
        playbook = self._job(action).playbook
        if pending is None:
            return Preview(summary=f"{playbook} would be run; what it changes cannot be told before")
        return Preview(summary=f"{playbook} would change {pending.count} things", diff=pending.diff)

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:  # noqa: ARG002 - its run tells
        self._job(action)
        run = self._run(action, "run")
        if not run.begun or self._undone(action):
            return Progress.NOT_APPLIED
        outcome = run.outcome
        if outcome is not None and outcome.good:
            return Progress.APPLIED
        return Progress.PARTIAL if run.alive or run.touched else Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - its run tells
        job, run = self._job(action), self._run(action, "run")
        if self._undone(action):
            self._forget(action)
        outcome = await run.wait()
        if outcome is None or not outcome.good:
            if run.begun and run.touched:
                self._remember(action)
            outcome = await run.start(job)
        if outcome is None:
            raise OutcomeUnknown(f"{job.playbook} was torn off", hint="Read its output, and run it again.")
        if outcome.unreachable and outcome.harmless:
            raise Unavailable(f"{job.playbook}: {_first(outcome.unreachable)} is out of reach")
        if not outcome.good:
            where = _first([*outcome.failed, *outcome.unreachable])
            raise ActionFailed(f"{job.playbook} ended as {outcome.status}, at {where}")
        return Effect(
            summary=f"{job.playbook} changed {outcome.count} things",
            details={"changed": outcome.count, "tasks": _tasks(outcome)},
        )

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - its run tells
        job, run = self._job(action), self._run(action, "run")
        await run.end()
        if not self._changed(action):
            return Effect(summary=f"{job.playbook} has changed nothing", repeated=True)
        if self._undone(action):
            return Effect(summary=f"{job.playbook} was taken back already", repeated=True)
        undo = read_options(AnsibleOptions, action.target).undo.get(job.playbook)
        if undo is None:
            raise CompensationFailed(
                f"{job.playbook} cannot be taken back: its target names no playbook that does",
                hint="Take it back by hand; name such a playbook in the target's option `undo`.",
            )
        outcome = await self._run(action, "undo").start(_job(action, undo))
        if outcome is not None and outcome.unreachable and outcome.harmless:
            raise Unavailable(f"{undo}: {_first(outcome.unreachable)} is out of reach")
        if outcome is None or not outcome.good:
            where = "an unknown place" if outcome is None else _first([*outcome.failed, *outcome.unreachable])
            raise CompensationFailed(f"{undo} failed at {where}")
        return Effect(summary=f"{undo} changed {outcome.count} things", details={"changed": outcome.count})

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        """The tasks that would change something must be those of before, and our own run must be taken back."""
        before, now = snapshot.state.get("pending"), await self._pending(action, "now")
        found = []
        if now is not None and before != _tasks(now):
            found.append(
                Difference(subject="tasks that would change something", before=before, now=_tasks(now))
            )
        if self._changed(action) and not self._undone(action):
            found.append(Difference(subject="the playbook's run", before="none", now="not taken back"))
        return found

    async def observe(self, action: Action) -> Mapping[str, Json]:
        """``state.pending``: how many tasks would change something; 0 once the playbook is in effect."""
        pending = await self._pending(action, "look")
        return {} if pending is None else {"pending": pending.count}

    async def _pending(self, action: Action, purpose: str) -> Outcome | None:
        """What check mode says now; None where the target's playbooks cannot be checked."""
        job = self._job(action)
        if not read_options(AnsibleOptions, action.target).check:
            return None
        outcome = await self._run(action, purpose).start(replace(job, check=True))
        if outcome is None:
            raise Unavailable(f"{job.playbook} could not be checked")
        if outcome.unreachable:
            raise Unavailable(f"{job.playbook}: {_first(outcome.unreachable)} is out of reach")
        if not outcome.good:
            raise ActionFailed(
                f"{job.playbook} fails in check mode, at {_first(outcome.failed)}",
                hint="Mend it, or set the target's option `check` to false.",
            )
        return outcome

    def _job(self, action: Action) -> Job:
        self.validate(action.operation, action.params)
        playbook = read_params(PlayParams, action.params).playbook
        if playbook not in read_options(AnsibleOptions, action.target).playbooks:
            raise InvalidPlaybook(f"target {action.target.name!r} does not list the playbook {playbook!r}")
        return _job(action, playbook)

    def _run(self, action: Action, purpose: str) -> Run:
        return Run(self._home(action) / purpose)

    def _home(self, action: Action) -> Path:
        return self._folder / hashlib.sha256(action.key.encode()).hexdigest()

    def _undone(self, action: Action) -> bool:
        run = self._run(action, "undo")
        outcome = run.outcome
        return outcome is not None and outcome.good

    def _changed(self, action: Action) -> bool:
        run = self._run(action, "run")
        return (self._home(action) / "touched").exists() or (run.begun and run.touched)

    def _forget(self, action: Action) -> None:
        """Makes an action that was taken back one that was never done: last goes what says that it was taken back."""
        self._run(action, "run").clear()
        (self._home(action) / "touched").unlink(missing_ok=True)
        self._run(action, "undo").clear()

    def _remember(self, action: Action) -> None:
        """A run that is about to be run again has changed something: its own files go."""
        try:
            (self._home(action) / "touched").touch()
        except OSError as error:
            raise Unavailable(f"no playbook can be run here: {error.strerror}") from error


def _job(action: Action, playbook: str) -> Job:
    options, params = read_options(AnsibleOptions, action.target), read_params(PlayParams, action.params)
    folder, inventory = Path(options.folder), Path(options.inventory)
    if not folder.is_absolute() or not inventory.is_absolute() or not _FILE.fullmatch(playbook):
        raise InvalidCatalogue(
            f"target {action.target.name!r} needs absolute paths as folder and inventory, and plain playbooks"
        )
    path = (folder / playbook).resolve()
    if not path.is_file() or not inventory.exists():
        raise Unavailable(f"{playbook} or its inventory is not there")
    if not path.is_relative_to(folder.resolve()):
        raise InvalidCatalogue(f"the playbook {playbook!r} leads out of its folder")
    for name, value in params.variables.items():
        kind = options.variables.get(name)
        if kind is None or name in options.fixed:
            raise InvalidPlaybook(f"target {action.target.name!r} lets no step set the variable {name!r}")
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            raise InvalidPlaybook(f"the variable {name!r} must be of the type {kind}")
    return Job(
        folder=folder.resolve(),
        playbook=playbook,
        inventory=str(inventory),
        variables={**params.variables, **options.fixed},
        limit=params.limit,
        check=False,
        timeout_seconds=action.timeout_seconds,
    )


def _tasks(outcome: Outcome) -> list[Json]:
    return [f"{host}: {task}" for host, task in outcome.changed]


def _first(tasks: Sequence[tuple[str, str]]) -> str:
    return ": ".join(tasks[0]) if tasks else "its beginning"
