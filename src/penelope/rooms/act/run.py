"""Carries one action out, or takes it back, and says for certain which of the two came true."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from penelope.domain.action import Action, Difference, Effect, Progress, Snapshot
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    DependencyError,
    InputError,
    OutcomeUnknown,
    PenelopeError,
    Timeout,
)
from penelope.kit.canonical import Json
from penelope.rooms.act.ports import ActionAdapter

_LOOKS = 3
_PAUSE_SECONDS = 0.3
_MOST_SHOWN, _LONGEST_SHOWN = 5, 200
"""Differences that an error tells of, and characters of each side of one: the error goes into history and to people."""


async def perform(
    adapter: ActionAdapter, action: Action, snapshot: Snapshot, *, first_attempt: bool
) -> Effect:
    """Makes the action take effect once. The target is probed before anything is done to it.

    `first_attempt` says that nothing can have been sent before, so that a target which cannot tell is
    acted upon; so is one whose action is harmless when it is done twice. Raises ActionFailed or OutcomeUnknown.
    """
    if await _probe_first(adapter, action, snapshot, first_attempt=first_attempt) is Progress.APPLIED:
        return _found(action)
    try:
        async with asyncio.timeout(action.timeout_seconds):
            return await adapter.execute(action, snapshot)
    except InputError as error:
        raise ActionFailed(error.message, hint=error.advice) from error
    except (TimeoutError, DependencyError) as error:
        return await _settle(adapter, action, snapshot, error)


async def undo(adapter: ActionAdapter, action: Action, snapshot: Snapshot) -> Effect:
    """Puts back what the snapshot holds, and proves it by comparing the target with the snapshot.

    A target out of reach is tried again, within the action's time, for compensating twice is harmless. Raises
    CompensationFailed for anything that goes wrong, and where the target is not as it was.
    """
    try:
        async with asyncio.timeout(action.timeout_seconds):
            effect = await _patiently(lambda: adapter.compensate(action, snapshot))
            left = await _patiently(lambda: adapter.differences(action, snapshot))
    except CompensationFailed:
        raise
    except TimeoutError as error:
        seconds = f"{action.timeout_seconds:g} s"
        raise CompensationFailed(f"{action.name} could not be taken back within {seconds}") from error
    except PenelopeError as error:
        raise CompensationFailed(f"{action.name} could not be taken back: {error.message}") from error
    if left:
        raise CompensationFailed(
            f"{action.name} was taken back, and its target is not as it was: {_listed(left)}"
        )
    return replace(effect, details={**effect.details, "as_before": True})


_Found = TypeVar("_Found")


async def _patiently(ask: Callable[[], Awaitable[_Found]]) -> _Found:
    for _ in range(_LOOKS - 1):
        try:
            return await ask()
        except DependencyError:
            await asyncio.sleep(_PAUSE_SECONDS)
    return await ask()


def _listed(left: Sequence[Difference]) -> str:
    shown = "; ".join(
        f"{_short(item.subject)} was {_short(item.before)}, is {_short(item.now)}"
        for item in left[:_MOST_SHOWN]
    )
    return shown if len(left) <= _MOST_SHOWN else f"{shown}; and {len(left) - _MOST_SHOWN} more"


def _short(value: Json) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


async def _probe_first(
    adapter: ActionAdapter, action: Action, snapshot: Snapshot, *, first_attempt: bool
) -> Progress:
    try:
        progress = await _probe(adapter, action, snapshot)
    except PenelopeError as error:
        # A credential that is gone since then says as little about the earlier attempt as a target that is.
        if not first_attempt:
            raise OutcomeUnknown(f"{action.name} was tried before, and {error.message}") from error
        untried = f"{action.name} was not tried: " if isinstance(error, DependencyError) else ""
        raise ActionFailed(f"{untried}{error.message}", hint=error.advice) from error
    if progress is Progress.UNKNOWN and not first_attempt and not action.idempotent:
        raise OutcomeUnknown(
            f"{action.name} was tried before, and its target cannot tell whether it happened"
        )
    return progress


async def _settle(
    adapter: ActionAdapter, action: Action, snapshot: Snapshot, error: DependencyError | TimeoutError
) -> Effect:
    """Looks a few times, for what was sent may still be on its way; only the last look can say "not done"."""
    progress = Progress.UNKNOWN
    for look in range(_LOOKS):
        if look:
            await asyncio.sleep(_PAUSE_SECONDS)
        try:
            progress = await _probe(adapter, action, snapshot)
        except PenelopeError:  # whatever keeps the target from being asked, something was sent
            progress = Progress.UNKNOWN
        if progress is Progress.APPLIED:
            return _found(action)
    seconds = f"has not ended within {action.timeout_seconds:g} s"
    reason = error.message if isinstance(error, DependencyError) else seconds
    if progress is Progress.NOT_APPLIED:
        raise ActionFailed(f"{action.name}: {reason}") from error
    raise OutcomeUnknown(f"{action.name}: {reason}; a probe found it {progress.value}") from error


async def _probe(adapter: ActionAdapter, action: Action, snapshot: Snapshot) -> Progress:
    try:
        async with asyncio.timeout(action.timeout_seconds):
            return await adapter.probe(action, snapshot)
    except TimeoutError as error:
        raise Timeout(f"a probe of {action.target.name} has not ended in time") from error


def _found(action: Action) -> Effect:
    return Effect(summary=f"{action.name} had taken effect already", repeated=True)
