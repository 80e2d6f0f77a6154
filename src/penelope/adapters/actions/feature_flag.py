"""Sets a feature flag's default variant, or disables the flag, in a file that flagd or an OpenFeature SDK reads."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import msgspec

from penelope.adapters.actions.flag_file import FlagFile, FlagPart, FlagText
from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InputError,
    InvalidCatalogue,
    InvalidPlaybook,
)
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data

_LONGEST_NAME = 256
_PERMISSIONS = ("write: the file, and its folder",)
_KEPT = ("the flag's definition",)


class FlagOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target: an absolute path of a flagd file in JSON, and the flags that may be changed."""

    file: str
    flags: list[str]


class VariantParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`variant` is the name of one of the flag's variants."""

    flag: str
    variant: str


class FlagParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `disable` and `enable`: clients of a disabled flag fall back to the default in their code."""

    flag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """The snapshot. `digest` is the flag's as it was, `planned` as the action would leave it, `kept` names the text."""

    flag: str
    digest: str
    planned: str
    kept: str
    state: str | None = None
    default_variant: str | None = None


class FeatureFlagAdapter:
    """Operations `set_default_variant`, `disable` and `enable`, each of one flag of those that the target lists.

    The flag as the action leaves it is foreseen in the snapshot, to the byte; whatever is neither that nor what was
    there before is somebody else's change, and is left alone.
    """

    name = "feature_flag"
    operations = MappingProxyType(
        {
            "set_default_variant": operation(
                "Give a flag's users another variant", VariantParams, *_PERMISSIONS, snapshots=_KEPT
            ),
            "disable": operation("Disable a flag", FlagParams, *_PERMISSIONS, snapshots=_KEPT),
            "enable": operation("Enable a flag", FlagParams, *_PERMISSIONS, snapshots=_KEPT),
        }
    )

    def __init__(self, keep: Keep) -> None:
        self._keep = keep

    @classmethod
    def made(cls, surroundings: Surroundings) -> Self:
        return cls(Keep(surroundings.keep))

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        if operation == "set_default_variant":
            read = read_params(VariantParams, params)
            names = [read.flag, read.variant]
        else:
            names = [read_params(FlagParams, params).flag]
        if not all(1 <= len(name) <= _LONGEST_NAME and name.isprintable() for name in names):
            raise InvalidPlaybook("the name of a flag or variant is 1 to 256 printable characters")

    async def snapshot(self, action: Action) -> Snapshot:
        return await asyncio.to_thread(self._snapshot, action)

    def _snapshot(self, action: Action) -> Snapshot:
        flag, file = self._flag(action), _file(action)
        part = file.read().flag(flag)
        before = _Before(
            flag=flag,
            digest=part.digest,
            planned=_changed(action, part).flag(flag).digest,
            kept=self._keep.put(part.raw.encode("utf-8", "surrogatepass")),
            state=_said(part, "state"),
            default_variant=_said(part, "defaultVariant"),
        )
        return Snapshot(state=to_data(before))

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        before = from_data(_Before, snapshot.state)
        part = await asyncio.to_thread(self._part, action)
        key, value = _wanted(action)
        targeted = "; its targeting rules still hold" if key != "state" and part.value("targeting") else ""
        lines = "" if part.value(key) == value else f"-{key}: {_said(part, key)}\n+{key}: {value}\n"
        return Preview(summary=f"{before.flag}: {key} would be {value}{targeted}", diff=lines)

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        before = from_data(_Before, snapshot.state)
        try:
            part = await asyncio.to_thread(self._part, action)
        except ActionFailed:
            return Progress.NOT_APPLIED  # somebody took the flag away, or broke the file
        key, value = _wanted(action)
        applied = part.digest == before.planned or part.value(key) == value
        return Progress.APPLIED if applied else Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        return await asyncio.to_thread(self._execute, action, from_data(_Before, snapshot.state))

    def _execute(self, action: Action, before: _Before) -> Effect:
        file, flag = _file(action), self._flag(action)
        key, value = _wanted(action)
        with file.changing() as text:
            part = text.flag(flag)
            if part.digest not in {before.digest, before.planned}:
                raise ActionFailed(f"somebody else has changed the flag {flag!r} since it was looked at")
            changed = _changed(action, part)
            if changed.text != text.text:
                file.replace(text, changed.text)
        return Effect(summary=f"{flag}: {key} is {value}", details={"flag": flag, key: value})

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        try:
            return await asyncio.to_thread(self._compensate, action, from_data(_Before, snapshot.state))
        except (ActionFailed, InputError) as error:
            raise CompensationFailed(error.message, hint=error.advice) from error

    def _compensate(self, action: Action, before: _Before) -> Effect:
        file, flag = _file(action), self._flag(action)
        raw = self._keep.get(before.kept).decode("utf-8", "surrogatepass")
        with file.changing() as text:
            part = text.flag(flag)
            if part.digest == before.digest:
                return Effect(summary=f"{flag} is as before", repeated=True)
            if part.digest != before.planned:
                raise CompensationFailed(
                    f"somebody else has changed the flag {flag!r} since: it is left as it is",
                    hint="Compare the flag with what the snapshot shows, and set it by hand.",
                )
            file.replace(text, part.with_raw(raw))
        return Effect(summary=f"{flag} is as before", details={"flag": flag})

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        before = from_data(_Before, snapshot.state)
        try:
            part = await asyncio.to_thread(self._part, action)
        except ActionFailed as error:
            return [Difference(subject=before.flag, before=before.state, now=error.message)]
        if part.digest == before.digest:
            return []
        found = [
            Difference(subject=f"{before.flag}: {key}", before=was, now=_said(part, key))
            for key, was in (("state", before.state), ("defaultVariant", before.default_variant))
            if _said(part, key) != was
        ]
        return found or [Difference(subject=before.flag, before=before.digest, now=part.digest)]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        part = await asyncio.to_thread(self._part, action)
        return {
            "enabled": part.value("state") == "ENABLED",
            "default_variant": _said(part, "defaultVariant"),
            "targeted": bool(part.value("targeting")),
        }

    def _part(self, action: Action) -> FlagPart:
        return _file(action).read().flag(self._flag(action))

    def _flag(self, action: Action) -> str:
        self.validate(action.operation, action.params)
        flag = str(action.params["flag"])
        if flag not in read_options(FlagOptions, action.target).flags:
            raise InvalidPlaybook(
                f"target {action.target.name!r} does not list the flag {flag!r}",
                hint="Its option `flags` lists the flags that may be changed.",
            )
        return flag


def _file(action: Action) -> FlagFile:
    path = Path(read_options(FlagOptions, action.target).file)
    if not path.is_absolute():
        raise InvalidCatalogue(f"target {action.target.name!r} needs an absolute path as `file`")
    return FlagFile(path)


def _wanted(action: Action) -> tuple[str, str]:
    if action.operation == "set_default_variant":
        return "defaultVariant", read_params(VariantParams, action.params).variant
    return "state", "ENABLED" if action.operation == "enable" else "DISABLED"


def _said(part: FlagPart, key: str) -> str | None:
    """What a member says, if it is a name; history takes no number beyond 2^53."""
    value = part.value(key)
    return value[:_LONGEST_NAME] if isinstance(value, str) else None if value is None else "(no text)"


def _changed(action: Action, part: FlagPart) -> FlagText:
    """The text after the action. Raises ActionFailed for a variant that the flag does not have."""
    key, value = _wanted(action)
    variants = part.value("variants")
    if key == "defaultVariant" and (not isinstance(variants, dict) or value not in variants):
        raise ActionFailed(f"the flag has no variant {value[:80]!r}")
    return FlagText(part.with_value(key, value))
