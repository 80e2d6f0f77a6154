"""Asks an adapter what an action would change, and says in words what came of it."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from penelope.domain.action import Action
from penelope.domain.trial import ActionPreview
from penelope.errors import ActionFailed, InputError, PenelopeError
from penelope.kit.canonical import Json
from penelope.kit.harmless import harmless
from penelope.rooms.act.ports import ActionAdapter

LONGEST_WORDS = 400
LONGEST_DIFF = 4000
"""Characters that are kept of one preview."""

_PRIVATE = re.compile(r"pass|secret|token|credential|private|(api|access|signing)_?key|pepper", re.IGNORECASE)
_SHORTEST_SECRET = 4
_DEEPEST = 16


async def preview(
    adapter: ActionAdapter, action: Action, *, seconds: float, foreseeable: bool
) -> ActionPreview:
    """What the action, located at its target, would change; never raises but when it is cancelled.

    It takes at most so many seconds. What cannot work is `refused`: input that is wrong always, and a failure where it is
    `foreseeable` that the action meets its target as it is now. Texts are without the secrets among the target's
    options, whatever the adapter says, and fit to be stored.
    """
    words, refused = "", False
    try:
        async with asyncio.timeout(seconds):
            found = await adapter.dry_run(action, await adapter.snapshot(action))
            return ActionPreview(
                key=action.key,
                name=action.name,
                summary=_shown(found.summary, action, LONGEST_WORDS),
                diff=_shown(found.diff, action, LONGEST_DIFF, lines=True),
            )
    except TimeoutError:
        words = f"its dry run has not ended within {seconds:.3g} s"
    except InputError as error:
        words, refused = error.message, True
    except ActionFailed as error:
        words = error.message if foreseeable else f"as things are now it would fail: {error.message}"
        refused = foreseeable
    except PenelopeError as error:
        words = error.message
    except Exception as error:  # noqa: BLE001 - a fault of the adapter's says nothing about the action
        words = f"its adapter broke: {type(error).__name__}: {error}"
    missing = _shown(words, action, LONGEST_WORDS) or "no reason was given"
    return ActionPreview(key=action.key, name=action.name, missing=missing, refused=refused)


def _shown(text: str, action: Action, longest: int, *, lines: bool = False) -> str:
    for secret in sorted(set(_secrets(action.target.options, 0)), key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return harmless(text, longest, lines=lines)


def _secrets(options: Json, depth: int, *, private: bool = False) -> Iterator[str]:
    """Texts under names that sound private, and passwords within addresses."""
    if depth > _DEEPEST:
        return
    if isinstance(options, Mapping):
        for name, value in options.items():
            yield from _secrets(value, depth + 1, private=private or bool(_PRIVATE.search(str(name))))
    elif isinstance(options, list | tuple):
        for item in options:
            yield from _secrets(item, depth + 1, private=private)
    elif isinstance(options, str):
        found = [options] if private else _password(options)
        yield from (text for text in found if len(text) >= _SHORTEST_SECRET)


def _password(address: str) -> list[str]:
    try:
        password = urlsplit(address).password
    except ValueError:
        return []
    return [] if password is None else [password, unquote(password)]
