"""Runs one of the commands that a target allows, and keeps a receipt of what became of it."""

import asyncio
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

from penelope.adapters.actions.command_guard import write_durably
from penelope.adapters.actions.command_options import (
    CommandOptions,
    CommandRule,
    Line,
    RunParams,
    argv_of,
    check_params,
    environment_of,
    rule_of,
    unusable,
)
from penelope.adapters.actions.command_run import Answer, Order, States, run
from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_options, require_operation
from penelope.adapters.scanners.secrets import redacted
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot, Tier
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InputError,
    OutcomeUnknown,
    Unavailable,
)
from penelope.kit.canonical import Json

_SHOWN_CHARACTERS = 2000
_STORE = "store"
_DONE, _NOTHING, _UNDONE = "succeeded", "nothing", "undone"
_NOT_RUN = frozenset({None, "refused", _NOTHING, _UNDONE})
_PROBED = {0: Progress.APPLIED, 1: Progress.NOT_APPLIED, 2: Progress.PARTIAL}
_SECRET_CHARACTERS = 6
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Receipts:
    """The folder of receipts. It bears an identity, so that one that was lost, or is another machine's, is noticed."""

    folder: Path

    def identity(self) -> str | None:
        try:
            return (self.folder / _STORE).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _unreadable(error) from error

    def opened(self) -> str:
        """Makes the folder where it is not there; returns its identity."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            present = self.identity()
            if present is not None:
                return present
            fresh = secrets.token_hex(8)
            aside = self.folder / f".{fresh}"
            write_durably(aside, fresh.encode("ascii"))
            try:
                # A link, for it never replaces: of two that come at once, both go on with the one that was first.
                (self.folder / _STORE).hardlink_to(aside)
            finally:
                aside.unlink()
        except FileExistsError:
            return self.identity() or ""
        except OSError as error:
            raise _unreadable(error) from error
        return fresh

    def path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def state(self, key: str) -> str | None:
        """What the receipt of an action says, None where nothing of it was ever begun."""
        try:
            return str(json.loads(self.path(key).read_bytes())["state"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise _unreadable(error) from error

    def running(self, key: str) -> bool:
        """Whether anything of the action goes on: all that its command started holds the lock, whoever watches it."""
        try:
            descriptor = os.open(
                self.path(key).with_suffix(".lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _unreadable(error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def settled(self, key: str) -> str | None:
        """The state, once the guard of a run that was just ended has come to write it down."""
        until = time.monotonic() + _SETTLE_SECONDS
        while self.running(key) and time.monotonic() < until:
            time.sleep(0.02)
        return self.state(key)


def _unreadable(error: Exception) -> Unavailable:
    reason = error.strerror if isinstance(error, OSError) else "what stands there is no receipt"
    return Unavailable(
        f"the receipts of commands are out of reach: {reason}",
        hint="Check the target's option `receipts`, or Penelope's own folder.",
    )


class CommandAdapter:
    """The operation `run`.

    A receipt is written and on the disk before the command starts, and again when it has ended, by a guard that
    outlives Penelope for that. What was begun and has no end is answered by the command's `probe`, where the catalogue
    names one; without it nobody can tell, and the adapter says so.
    """

    name = "command"
    operations = MappingProxyType(
        {
            "run": operation(
                "Run a command that the catalogue allows",
                RunParams,
                "execute: the program",
                "write: receipts",
                tier=Tier.SNAPSHOT,
                snapshots=("what the command's `observe` prints",),
            )
        }
    )

    def __init__(self, receipts: Path) -> None:
        self._receipts = receipts

    @classmethod
    def made(cls, surroundings: Surroundings) -> Self:
        return cls(surroundings.keep / "receipts")

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        check_params(params)

    async def snapshot(self, action: Action) -> Snapshot:
        rule, values = rule_of(action)
        store = await asyncio.to_thread(self._of(action).opened)
        return Snapshot(state={"store": store, "observed": await _observed(action, rule, values)})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:  # noqa: ARG002 - a command shows nothing beforehand
        rule, values = rule_of(action)
        if why := await asyncio.to_thread(unusable, rule.program):
            raise ActionFailed(f"the program of {action.params['command']!r} {why}")
        words = [_shown(word, rule) for word in argv_of(rule, values)]
        return Preview(
            summary=f"{action.params['command']} would be run", diff="".join(f"+{word}\n" for word in words)
        )

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        state = await self._state(action, snapshot)
        if state is None or state in {"refused", _UNDONE}:
            return Progress.NOT_APPLIED
        if state in {_DONE, _NOTHING}:
            return Progress.APPLIED
        return await self._told(action)

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        rule, values = rule_of(action)
        if why := await asyncio.to_thread(unusable, rule.program):
            raise ActionFailed(f"the program of {action.params['command']!r} {why}")
        state = await self._state(action, snapshot)
        if state in {_DONE, _NOTHING}:
            return Effect(summary=f"{action.params['command']} had been run", repeated=True)
        if state not in _NOT_RUN:
            progress = await self._told(action)
            again = rule.resumable or action.idempotent
            if progress is Progress.APPLIED:
                return Effect(summary=f"{action.params['command']} had been run", repeated=True)
            if progress is not Progress.NOT_APPLIED and not again:
                raise OutcomeUnknown(
                    f"{action.params['command']} was begun before, and is {progress.value}",
                    hint="Give the command a `probe`, or say that it is `resumable`.",
                )
        answer = await run(self._order(action, rule, values, state))
        return await self._judged(action, rule, answer)

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        command = action.params["command"]
        try:
            rule, values = rule_of(action)
            state = await self._state(action, snapshot)
            if await asyncio.to_thread(self._of(action).running, action.key):
                raise CompensationFailed(
                    f"{command} is still running", hint="End it, or wait; then take it back again."
                )
            if state in _NOT_RUN:
                return Effect(summary=f"nothing of {command} is left to take back", repeated=True)
            if not rule.lasting:
                return Effect(summary=f"{command} leaves nothing that could be taken back")
            if rule.undo is None:
                if await self._told(action) is Progress.NOT_APPLIED:
                    return Effect(summary=f"{command} has changed nothing")
                raise CompensationFailed(
                    f"the catalogue names no command that takes {command} back",
                    hint="Give it an `undo`, or say `lasting: false` where nothing of it stays.",
                )
            states = States(
                begun="undoing", by_exit={"0": _UNDONE}, failed="undoing", killed="undoing", refused="undoing"
            )
            answer = await run(self._order(action, rule, values, state, rule.undo, states))
        except InputError as error:
            raise CompensationFailed(error.message, hint=error.advice) from error
        if answer.error or answer.state != _UNDONE:
            raise CompensationFailed(f"{command} could not be taken back: {_why(answer, rule)}")
        return Effect(summary=f"{command} was taken back", details=_details(answer, rule))

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        rule, values = rule_of(action)
        if not rule.lasting:
            return []
        if rule.observe is not None:
            before, now = snapshot.state["observed"], await _observed(action, rule, values)
            keys = sorted({*before, *now})
            return [
                Difference(subject=key, before=before.get(key), now=now.get(key))
                for key in keys
                if before.get(key) != now.get(key)
            ]
        state = await self._state(action, snapshot)
        if state in _NOT_RUN or (state != _DONE and await self._told(action) is Progress.NOT_APPLIED):
            return []
        return [Difference(subject="command", before="not run", now=state)]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        await asyncio.to_thread(self._of(action).opened)
        return await _observed(action, *rule_of(action))

    def _of(self, action: Action) -> _Receipts:
        named = read_options(CommandOptions, action.target).receipts
        return _Receipts(self._receipts if named is None else Path(named))

    async def _state(self, action: Action, snapshot: Snapshot) -> str | None:
        receipts = self._of(action)
        if await asyncio.to_thread(receipts.identity) != snapshot.state["store"]:
            raise Unavailable(
                "the receipts of commands are not those of before: they were lost, or are another machine's",
                hint="Beyond one machine the workers share the folder that `receipts` names.",
            )
        state = await asyncio.to_thread(receipts.state, action.key)
        under_way = state in {"begun", "undoing"}
        return await asyncio.to_thread(receipts.settled, action.key) if under_way else state

    async def _told(self, action: Action) -> Progress:
        """What the command's own probe says, once nothing of it runs any more: until then it has not come to its end."""
        if await asyncio.to_thread(self._of(action).running, action.key):
            return Progress.PARTIAL
        return await _asked(action)

    def _order(
        self,
        action: Action,
        rule: CommandRule,
        values: Mapping[str, str],
        state: str | None,
        line: Line | None = None,
        states: States | None = None,
    ) -> Order:
        ways = dict.fromkeys(rule.succeeded, _DONE) | dict.fromkeys(rule.changed_nothing, _NOTHING)
        ways |= dict.fromkeys(rule.refused, "refused")
        return Order(
            argv=argv_of(line or rule, values),
            environment=environment_of(rule, action.key),
            folder=rule.folder,
            limits=_limits(rule),
            timeout_seconds=action.timeout_seconds,
            receipt=str(self._of(action).path(action.key)),
            expected_state=state,
            states=states
            or States(
                begun="begun",
                by_exit={str(code): name for code, name in ways.items()},
                failed="failed",
                killed="killed",
                refused="refused",
            ),
            facts={"key": action.key, "command": action.params["command"]},
        )

    async def _judged(self, action: Action, rule: CommandRule, answer: Answer) -> Effect:
        command = action.params["command"]
        why = _why(answer, rule)
        if answer.error:
            raise (OutcomeUnknown if answer.began else ActionFailed)(f"{command}: {why}")
        if answer.state == _DONE:
            return Effect(summary=f"{command} was run", details=_details(answer, rule))
        if answer.state == _NOTHING:
            return Effect(summary=f"{command} had nothing to change", details=_details(answer, rule))
        if answer.state == "refused" or await self._told(action) is Progress.NOT_APPLIED:
            raise ActionFailed(f"{command} {why}")
        raise OutcomeUnknown(f"{command} {why}; it may have done a part of its work")


async def _asked(action: Action) -> Progress:
    """What the command's own probe says."""
    rule, values = rule_of(action)
    if rule.probe is None:
        return Progress.UNKNOWN
    answer = await _question(action, rule, rule.probe, values)
    if answer.killed or answer.error:
        return Progress.UNKNOWN
    return _PROBED.get(answer.exit, Progress.UNKNOWN)


async def _observed(action: Action, rule: CommandRule, values: Mapping[str, str]) -> dict[str, Json]:
    """What the command's `observe` prints: a JSON object by its keys, anything else as `output`."""
    if rule.observe is None:
        return {}
    answer = await _question(action, rule, rule.observe, values)
    if answer.error or answer.killed or answer.exit != 0:
        raise Unavailable(f"the state that {action.params['command']} changes cannot be seen")
    try:
        read = json.loads(answer.stdout)
    except ValueError:
        read = None
    if not isinstance(read, dict):
        read = {"output": answer.stdout}
    return {str(key): _plain(value, rule) for key, value in read.items()}


def _plain(value: Json, rule: CommandRule) -> Json:
    """Something that history can hold: a long or private text by its hash only."""
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**53):
        return value
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    shown = _shown(text.strip(), rule)
    if shown == text.strip() and len(text) <= _SHOWN_CHARACTERS:
        return shown
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()}"


async def _question(action: Action, rule: CommandRule, line: Line, values: Mapping[str, str]) -> Answer:
    order = Order(
        argv=argv_of(line, values),
        environment=environment_of(rule, action.key),
        folder=rule.folder,
        limits=_limits(rule),
        timeout_seconds=action.timeout_seconds,
    )
    return await run(order)


def _limits(rule: CommandRule) -> dict[str, int]:
    return {name: getattr(rule.limits, name) for name in rule.limits.__struct_fields__}


def _why(answer: Answer, rule: CommandRule) -> str:
    """What became of a run, in words, with the last line that it wrote."""
    if answer.error:
        return answer.error
    ends = {
        "timeout": "has not ended in time and was killed",
        "processes": "started more processes than it may and was killed",
        "gave up": "was given up and killed",
    }
    reason = ends.get(answer.killed, f"ended with status {answer.exit}")
    lines = (answer.stderr or answer.stdout).strip().splitlines()
    return f"{reason}: {_shown(lines[-1], rule)[:200]}" if lines else reason


def _details(answer: Answer, rule: CommandRule) -> dict[str, Json]:
    output = _shown(answer.stdout, rule)[:_SHOWN_CHARACTERS]
    return {"status": answer.exit, "output": output, "cut": answer.cut or len(output) < len(answer.stdout)}


def _shown(text: str, rule: CommandRule) -> str:
    """A text of the command's without what is, or could be, a secret."""
    for value in rule.environment.values():
        if len(value) >= _SECRET_CHARACTERS:
            text = text.replace(value, "***")
    return "\n".join(redacted(line, _SHOWN_CHARACTERS) for line in text.splitlines())
