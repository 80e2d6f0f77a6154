"""An action adapter that is handed credentials for each call, and out of which none of them comes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from penelope.adapters.secrets.redaction import Redaction
from penelope.adapters.secrets.resolve import Resolved, has_references
from penelope.domain.action import Action, Difference, Effect, Operation, Preview, Progress, Snapshot
from penelope.errors import ActionFailed
from penelope.kit.canonical import Json
from penelope.kit.codec import to_data
from penelope.rooms.act.ports import ActionAdapter, Secrets

Answered = TypeVar("Answered")

_MOST_CAUSES = 16


class Guarded:
    """Fills in the references to secrets in the options of an action's target right before each call, and takes what
    they stood for out of what the adapter answers or raises.

    A snapshot that holds a secret is refused: history must not keep it, and without it nothing could be restored.
    """

    def __init__(self, adapter: ActionAdapter, secrets: Secrets) -> None:
        self._adapter = adapter
        self._secrets = secrets
        self.name = adapter.name
        self.operations: Mapping[str, Operation] = adapter.operations

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        self._adapter.validate(operation, params)

    async def snapshot(self, action: Action) -> Snapshot:
        filled, redaction = await self._filled(action)
        snapshot = await _clean(redaction, lambda: self._adapter.snapshot(filled))
        if redaction.shows(to_data(snapshot)):
            raise ActionFailed(
                f"what is there before {action.name} holds a credential of its target, so it cannot be remembered",
                hint="Take the credential out of what the action changes, or change it by hand.",
            )
        return snapshot

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        filled, redaction = await self._filled(action)
        preview = await _clean(redaction, lambda: self._adapter.dry_run(filled, snapshot))
        return replace(preview, summary=redaction.text(preview.summary), diff=redaction.text(preview.diff))

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        filled, redaction = await self._filled(action)
        return await _clean(redaction, lambda: self._adapter.probe(filled, snapshot))

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        filled, redaction = await self._filled(action)
        return _shown(redaction, await _clean(redaction, lambda: self._adapter.execute(filled, snapshot)))

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        filled, redaction = await self._filled(action)
        return _shown(redaction, await _clean(redaction, lambda: self._adapter.compensate(filled, snapshot)))

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        filled, redaction = await self._filled(action)
        found = await _clean(redaction, lambda: self._adapter.differences(filled, snapshot))
        return [
            Difference(
                subject=redaction.text(each.subject),
                before=redaction.value(each.before),
                now=redaction.value(each.now),
            )
            for each in found
        ]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        filled, redaction = await self._filled(action)
        state = await _clean(redaction, lambda: self._adapter.observe(filled))
        return {redaction.text(key): redaction.value(value) for key, value in state.items()}

    async def _filled(self, action: Action) -> tuple[Action, Redaction]:
        resolved = Resolved(self._secrets)
        filled = await _with_options(action, resolved)
        return filled, Redaction(resolved.values)


async def _with_options(action: Action, resolved: Resolved) -> Action:
    rollback = action.rollback
    if rollback is not None:
        action = replace(action, rollback=await _with_options(rollback, resolved))
    if not has_references(action.target.options):
        return action
    options = await resolved.options(action.target.options)
    return replace(action, target=replace(action.target, options=options))


def _shown(redaction: Redaction, effect: Effect) -> Effect:
    details = {redaction.text(key): redaction.value(value) for key, value in effect.details.items()}
    return replace(effect, summary=redaction.text(effect.summary), details=details)


async def _clean(redaction: Redaction, call: Callable[[], Awaitable[Answered]]) -> Answered:
    """The answer of a call, or its error without any secret."""
    try:
        return await call()
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold a secret
        clean = _redacted(redaction, error)
    # Outside of the handler: an error raised in there would keep the one that it replaces.
    raise clean


def _redacted(redaction: Redaction, error: BaseException, depth: int = 0) -> Exception:
    """The same error, and what caused it, in words without secrets; frames, which hold values, are left behind."""
    clean = _same_kind(redaction, error)
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < _MOST_CAUSES:
        clean.__cause__ = _redacted(redaction, cause, depth + 1)
    return clean


def _same_kind(redaction: Redaction, error: BaseException) -> Exception:
    clean: BaseException | None
    try:
        clean = type(error).__new__(type(error))
        clean.args = tuple(_redacted_part(redaction, part) for part in error.args)
        vars(clean).update({name: _redacted_part(redaction, part) for name, part in vars(error).items()})
        if redaction.shows([str(clean), repr(clean)]):
            clean = None
    except Exception:  # noqa: BLE001 - an error of a library may be made in any way
        clean = None
    return (
        clean
        if isinstance(clean, Exception)
        else RuntimeError(f"{type(error).__name__}: {redaction.text(str(error))}")
    )


def _redacted_part(redaction: Redaction, part: Any) -> Any:
    if part is None or isinstance(part, str | int | float | bytes | list | tuple | Mapping):
        return redaction.value(part)
    return redaction.text(str(part))
