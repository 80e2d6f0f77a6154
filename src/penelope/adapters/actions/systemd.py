"""Restarts, starts and stops a unit of systemd, through systemctl."""

import asyncio
import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self

import msgspec

from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot, Tier
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InputError,
    InvalidCatalogue,
    OutcomeUnknown,
    Timeout,
    Unavailable,
)
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.kit.spawn import spawn

_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@-]{0,199}\.(?:service|timer|socket|path|target)")
_PROPERTIES = ("LoadState", "ActiveState", "SubState", "InvocationID", "MainPID", "NRestarts", "Result")
_MOVING = frozenset({"activating", "deactivating", "reloading", "maintenance"})
_UP = frozenset({"active", "reloading", "refreshing"})
_DOWN = frozenset({"inactive", "failed"})
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 10.0
_COMPLAINT_CHARACTERS = 200
_PERMISSIONS = ("systemd: show the unit", "systemd: manage the unit (polkit or root)")


class SystemdOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target: the unit with its suffix, whose manager it is under (`user` for the user's own), and the words
    that run systemctl, such as ``[sudo, -n, systemctl]``.
    """

    unit: str
    user: bool = False
    systemctl: tuple[str, ...] = ("/usr/bin/systemctl",)


class UnitParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """These operations take none: the unit is the target's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """What systemd says of a unit. `invocation` tells one run from the next, empty while it never ran."""

    load: str
    active: str
    sub: str
    invocation: str
    pid: int
    restarts: int
    result: str

    @property
    def up(self) -> bool:
        return self.active in _UP

    @property
    def rising(self) -> bool:
        """On its way up; one that crashes again and again is so whenever systemd waits to start it anew."""
        return self.active == "activating"


class SystemdAdapter:
    """Operations `restart`, `start`, `stop` and `reset_failed`.

    A run is known by systemd's InvocationID: a unit that is active in another run than the snapshot's was restarted.
    """

    name = "systemd"
    operations = MappingProxyType(
        {
            name: operation(
                summary, UnitParams, *_PERMISSIONS, tier=tier, snapshots=("the state of the unit",)
            )
            for name, summary, tier in (
                ("restart", "Restart a unit", Tier.LOCAL),
                ("start", "Start a unit", Tier.LOCAL),
                ("stop", "Stop a unit", Tier.SNAPSHOT),
                ("reset_failed", "Let a failed unit be started again", Tier.LOCAL),
            )
        }
    )

    @classmethod
    def made(cls, _: Surroundings) -> Self:
        return cls()

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        read_params(UnitParams, params)

    async def snapshot(self, action: Action) -> Snapshot:
        return Snapshot(state=to_data(await _look(action)))

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        before = from_data(_Unit, snapshot.state)
        unit = _options(action).unit
        if before.load != "loaded":
            raise ActionFailed(f"the unit {unit} is {before.load}")
        return Preview(summary=f"{unit}, which is {before.active} ({before.sub}): {action.operation}")

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        before, now = from_data(_Unit, snapshot.state), await _look(action)
        match action.operation:
            case "restart":
                return _restarted(before, now)
            case "start":
                return _reached(now, up=True)
            case "stop":
                return _reached(now, up=False)
            case _:
                return Progress.NOT_APPLIED if now.active == "failed" else Progress.APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        self.validate(action.operation, action.params)
        before, now, unit = from_data(_Unit, snapshot.state), await _look(action), _options(action).unit
        if now.load != "loaded":
            raise ActionFailed(f"the unit {unit} is {now.load}", hint="Check the target's option `unit`.")
        verb = action.operation.replace("_", "-")
        if action.operation == "restart" and _restarted(before, now) is Progress.PARTIAL:
            verb = "start"  # It was stopped by an attempt before this one.
        complaint = await _manage(action, verb)
        after = await _settled(action)
        wanted = await self.probe(action, snapshot)
        if wanted is not Progress.APPLIED:
            raise (ActionFailed if wanted is Progress.NOT_APPLIED else OutcomeUnknown)(
                f"{unit} is {after.active} ({after.result}) after {verb}{complaint}",
                hint="Read the unit's journal: journalctl -u UNIT.",
            )
        return Effect(
            summary=f"{unit}: {action.operation}", details={"pid": after.pid, "invocation": after.invocation}
        )

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        before, unit = from_data(_Unit, snapshot.state), _options(action).unit
        try:
            # A loop of crashes comes to no rest, and need not: it was one before.
            look = _look if before.rising else _settled
            now = await look(action)
            if _as_before(before, now) or action.operation == "reset_failed":
                return Effect(summary=f"{unit} is {now.active}", repeated=True)
            complaint = await _manage(action, "start" if before.up or before.rising else "stop")
            now = await look(action)
        except (ActionFailed, OutcomeUnknown, InputError) as error:
            raise CompensationFailed(error.message, hint=error.advice) from error
        if not _as_before(before, now):
            raise CompensationFailed(f"{unit} is {now.active} ({now.result}) still{complaint}")
        return Effect(summary=f"{unit} is {now.active} again", details={"pid": now.pid})

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        """Whether it runs as it did; a run that has ended, or a failure that was forgotten, does not come back."""
        before, now = from_data(_Unit, snapshot.state), await _look(action)
        found = []
        if not _as_before(before, now):
            found.append(Difference(subject="active", before=before.active, now=now.active))
        if before.load != now.load:
            found.append(Difference(subject="load", before=before.load, now=now.load))
        return found

    async def observe(self, action: Action) -> Mapping[str, Json]:
        now = await _look(action)
        return {
            "load": now.load,
            "active": now.active,
            "sub": now.sub,
            "running": now.up,
            "result": now.result,
            "restarts": now.restarts,
            "pid": now.pid,
        }


def _as_before(before: _Unit, now: _Unit) -> bool:
    """Whether it runs as it did. One that was on its way up may have arrived: nobody wants it stopped for that."""
    return now.up or now.rising if before.rising else now.up == before.up


def _restarted(before: _Unit, now: _Unit) -> Progress:
    if now.invocation == before.invocation and now.active == before.active:
        return Progress.NOT_APPLIED
    return Progress.APPLIED if now.up and now.invocation != before.invocation else Progress.PARTIAL


def _reached(now: _Unit, *, up: bool) -> Progress:
    if now.active in _MOVING:
        return Progress.PARTIAL
    return Progress.APPLIED if now.up == up else Progress.NOT_APPLIED


def _options(action: Action) -> SystemdOptions:
    options = read_options(SystemdOptions, action.target)
    if not _UNIT.fullmatch(options.unit):
        raise InvalidCatalogue(
            f"the unit of target {action.target.name!r} is no plain name with a suffix such as .service"
        )
    if not options.systemctl or any("\0" in word for word in options.systemctl):
        raise InvalidCatalogue(f"the option `systemctl` of target {action.target.name!r} names no program")
    return options


async def _look(action: Action) -> _Unit:
    """Raises Unavailable where systemd does not answer."""
    status, out, complaint = await _systemctl(
        action, _LOOK_SECONDS, "show", f"--property={','.join(_PROPERTIES)}"
    )
    said = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
    if status != 0 or not {"LoadState", "ActiveState"} <= said.keys():
        raise Unavailable(f"systemd says nothing about the unit: {complaint or 'no answer'}")
    return _Unit(
        load=said["LoadState"],
        active=said["ActiveState"],
        sub=said.get("SubState", ""),
        invocation=said.get("InvocationID", ""),
        pid=_number(said.get("MainPID", "")),
        restarts=_number(said.get("NRestarts", "")),
        result=said.get("Result", ""),
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


async def _settled(action: Action) -> _Unit:
    """Waits until the unit is on its way no more."""
    while True:
        unit = await _look(action)
        if unit.active not in _MOVING:
            return unit
        await asyncio.sleep(_POLL_SECONDS)


async def _manage(action: Action, verb: str) -> str:
    """Asks for a change; what systemctl complains about, to be judged by what the unit is afterwards."""
    status, _, complaint = await _systemctl(action, action.timeout_seconds, verb)
    return f": {complaint or f'status {status}'}" if status != 0 else ""


async def _systemctl(action: Action, timeout_seconds: float, verb: str, *flags: str) -> tuple[int, str, str]:
    options = _options(action)
    scope = ("--user",) if options.user else ()
    argv = [*options.systemctl, *scope, "--no-pager", "--no-ask-password", verb, *flags, "--", options.unit]
    try:
        process = await spawn(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(user=options.user),
        )
    except OSError as error:
        raise Unavailable(
            f"systemctl cannot be run: {error.strerror}", hint="Check the option `systemctl`."
        ) from error
    try:
        async with asyncio.timeout(timeout_seconds):
            out, complaint = await process.communicate()
    except TimeoutError:
        raise Timeout(f"systemctl {verb} has not ended within {timeout_seconds:g} s") from None
    finally:
        if process.returncode is None:
            # systemd carries a job on whose client has gone: what became of it is asked afterwards.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    first = complaint.decode("utf-8", "replace").strip().split("\n")[0]
    shown = "".join(character if character.isprintable() else "?" for character in first)
    return process.returncode or 0, out.decode("utf-8", "replace"), shown[:_COMPLAINT_CHARACTERS]


def _environment(*, user: bool) -> dict[str, str]:
    passed = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS") if user else ()
    given = {name: os.environ[name] for name in passed if name in os.environ}
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", **given}
