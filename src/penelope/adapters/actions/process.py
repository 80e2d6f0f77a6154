"""Restarts a program under supervisord, or switches it to another release."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import msgspec

from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.adapters.actions.releases import Releases, check_release_name
from penelope.adapters.actions.supervisor import Look, Supervisor
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot
from penelope.domain.service import Target
from penelope.errors import ActionFailed, CompensationFailed, InputError, InvalidCatalogue, OutcomeUnknown
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data

_TRIES = 3
_PERMISSIONS = ("supervisor: getProcessInfo, startProcess, stopProcess",)

_KEPT = ("process state", "the release in force")


class ProcessOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target. `supervisor` is a URL and may hold user and password; the last two are paths and
    needed for `switch_release` only.
    """

    supervisor: str
    program: str
    release_link: str | None = None
    releases: str | None = None


class RestartParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`restart` takes none."""


class SwitchParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`release` is the name of a folder below the option `releases`."""

    release: str


def releases_of(target: Target) -> Releases | None:
    """The releases of a process target, None where the catalogue names none."""
    options = read_options(ProcessOptions, target)
    if options.release_link is None or options.releases is None:
        return None
    return Releases(Path(options.release_link), Path(options.releases))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """The snapshot: the run of the program and the release that it was started from."""

    state: str
    pid: int
    start: int
    release: str | None = None

    @property
    def run(self) -> tuple[int, int]:
        return self.start, self.pid


class ProcessAdapter:
    """Operations `restart` and `switch_release`.

    A switch stops the program, moves the link, then starts it: in this order a program that runs from
    another run than the snapshot's, with the link moved, was certainly started from the new release.
    """

    name = "process"
    operations = MappingProxyType(
        {
            "restart": operation("Restart a program", RestartParams, *_PERMISSIONS, snapshots=_KEPT),
            "switch_release": operation(
                "Run a program from another release",
                SwitchParams,
                *_PERMISSIONS,
                "write: release_link",
                snapshots=_KEPT,
            ),
        }
    )

    @classmethod
    def made(cls, _: Surroundings) -> Self:
        return cls()

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        if operation == "switch_release":
            check_release_name(read_params(SwitchParams, params).release)
        else:
            read_params(RestartParams, params)

    async def snapshot(self, action: Action) -> Snapshot:
        look = await _supervisor(action).look()
        before = _Before(state=look.state, pid=look.pid, start=look.start, release=await _present(action))
        return Snapshot(state=to_data(before))

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        before, release = from_data(_Before, snapshot.state), _wanted(action)
        what = f"{action.target.name} ({before.state.lower()}) would be restarted"
        if release is None:
            return Preview(summary=what)
        _required_releases(action).require(release)
        return Preview(
            summary=f"{what} on {release}", diff=f"-release: {before.release}\n+release: {release}\n"
        )

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        before = from_data(_Before, snapshot.state)
        look = await _supervisor(action).look()
        release = _wanted(action)
        if release is not None and await _present(action) != release:
            return Progress.PARTIAL if before.state == "RUNNING" and not look.pid else Progress.NOT_APPLIED
        if look.up and (look.run != before.run or (release is not None and before.release == release)):
            return Progress.APPLIED
        if release is None and look.run == before.run:
            return Progress.NOT_APPLIED
        return Progress.PARTIAL

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        before = from_data(_Before, snapshot.state)
        release = _wanted(action)
        if release is not None:
            _required_releases(action).require(release)
        look = await _supervisor(action).look()
        switched = release is None or await _present(action) == release
        if not (switched and look.run != before.run and look.state in {"STARTING", "RUNNING"}):
            await self._renew(action, release)
        look = await _supervisor(action).until_up()
        summary = f"{action.target.name} restarted" + (f" on {release}" if release else "")
        return Effect(summary=summary, details={"pid": look.pid, "release": await _present(action)})

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        before = from_data(_Before, snapshot.state)
        try:
            if action.operation == "switch_release" and before.release is None:
                raise CompensationFailed("no release was in force before: there is none to go back to")
            back = before.release if action.operation == "switch_release" else None
            look = await self._back(action, back)
        except (ActionFailed, OutcomeUnknown, InputError) as error:
            raise CompensationFailed(error.message, hint=error.advice) from error
        summary = f"{action.target.name} is running" + (f" on {back}" if back else "")
        return Effect(summary=summary, details={"pid": look.pid, "release": back})

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        """A run, once ended, does not come back: the program must be up again, and from the release of before."""
        before, look = from_data(_Before, snapshot.state), await _supervisor(action).look()
        found = []
        if before.state == "RUNNING" and not look.up:
            found.append(Difference(subject="state", before=before.state, now=look.state))
        release = await _present(action)
        if release != before.release:
            found.append(Difference(subject="release", before=before.release, now=release))
        return found

    async def observe(self, action: Action) -> Mapping[str, Json]:
        look = await _supervisor(action).look()
        return {
            "state": look.state,
            "release": await _present(action),
            "pid": look.pid,
            "uptime_seconds": max(0, look.now - look.start) if look.up else 0,
        }

    async def _back(self, action: Action, release: str | None) -> Look:
        look = await _supervisor(action).look()
        moved = release is not None and await _present(action) != release
        if moved or look.state not in {"STARTING", "RUNNING"}:
            await self._renew(action, release)
        return await _supervisor(action).until_up()

    async def _renew(self, action: Action, release: str | None) -> None:
        supervisor = _supervisor(action)
        for _ in range(_TRIES):
            await supervisor.stop(action.timeout_seconds)
            if release is not None:
                await self._switch(action, release)
            if await supervisor.start(action.timeout_seconds):
                return
        raise OutcomeUnknown(
            f"something else keeps starting {action.target.name}: it may run from either release"
        )

    async def _switch(self, action: Action, release: str) -> None:
        await asyncio.to_thread(_required_releases(action).switch, release)


def _supervisor(action: Action) -> Supervisor:
    options = read_options(ProcessOptions, action.target)
    return Supervisor(options.supervisor, options.program)


def _wanted(action: Action) -> str | None:
    if action.operation != "switch_release":
        return None
    return read_params(SwitchParams, action.params).release


async def _present(action: Action) -> str | None:
    releases = releases_of(action.target)
    return None if releases is None else await asyncio.to_thread(releases.present)


def _required_releases(action: Action) -> Releases:
    releases = releases_of(action.target)
    if releases is None:
        raise InvalidCatalogue(
            f"target {action.target.name!r} needs the options release_link and releases to switch releases"
        )
    return releases
