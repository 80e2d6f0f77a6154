"""An action adapter of one's own, as docs/acting.md explains it: a file that makes a proxy show "back soon"."""

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from penelope.adapters.actions.installed import Surroundings
from penelope.domain.action import Action, Difference, Effect, Operation, Preview, Progress, Snapshot
from penelope.errors import CompensationFailed, InvalidPlaybook, Unavailable, UnknownAdapter
from penelope.kit.canonical import Json

PARAMS: Mapping[str, Json] = {
    "type": "object",
    "properties": {"words": {"type": "string", "minLength": 1, "maxLength": 200}},
    "required": ["words"],
    "additionalProperties": False,
}


class MaintenanceAdapter:
    """The file holds the action's key beside the words: that is how an effect is known again after a crash."""

    name = "maintenance"
    operations: Mapping[str, Operation] = {
        "announce": Operation(
            summary="Tell users that the service is back soon",
            params=PARAMS,
            permissions=("write the target's file, and make files in its folder",),
            snapshots=("the file",),
        )
    }

    @classmethod
    def made(cls, _: Surroundings) -> "MaintenanceAdapter":
        """What the entry point is asked for."""
        return cls()

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        if operation not in self.operations:
            raise UnknownAdapter(f"the adapter {self.name!r} has no operation {operation!r}")
        words = params.get("words")
        if set(params) != {"words"} or not isinstance(words, str) or not 1 <= len(words) <= 200:
            raise InvalidPlaybook("announce takes 'words', a text of 1 to 200 characters")

    async def snapshot(self, action: Action) -> Snapshot:
        return Snapshot(state={"text": await asyncio.to_thread(_read, _file(action))})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:  # noqa: ARG002 - the words are all
        return Preview(summary=f"{_file(action).name} would be written", diff=f"+{action.params['words']}\n")

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:  # noqa: ARG002 - the key tells
        """Never PARTIAL: the file is replaced in one step."""
        found = await asyncio.to_thread(_read, _file(action))
        return Progress.APPLIED if found == _text(action) else Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - the key tells
        await asyncio.to_thread(_replace, _file(action), _text(action))
        return Effect(summary="users are told that the service is back soon")

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        """Touches nothing but what this action wrote: somebody else's change is not ours to take back."""
        file, before = _file(action), _before(snapshot)
        found = await asyncio.to_thread(_read, file)
        if found not in (_text(action), before):
            raise CompensationFailed(f"{file.name} was changed by somebody else, and is left alone")
        if found != before:
            await asyncio.to_thread(_replace, file, before)
        return Effect(summary=f"{file.name} is as before", repeated=found == before)

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        before, now = _before(snapshot), await asyncio.to_thread(_read, _file(action))
        return [] if before == now else [Difference(subject="text", before=before, now=now)]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        """For clauses such as `{subject: state.announced, equals: true}`."""
        return {"announced": await asyncio.to_thread(_read, _file(action)) is not None}


def _file(action: Action) -> Path:
    return Path(str(action.target.options["file"]))


def _text(action: Action) -> str:
    return json.dumps({"action": action.key, "words": action.params["words"]})


def _before(snapshot: Snapshot) -> str | None:
    text = snapshot.state["text"]
    return None if text is None else str(text)


def _read(file: Path) -> str | None:
    try:
        # Without its folder the target is out of reach, which is another thing than a file that is not there.
        return file.read_text(encoding="utf-8") if file in file.parent.iterdir() else None
    except OSError as error:
        raise Unavailable(f"{file.name} cannot be read: {error.strerror}") from error


def _replace(file: Path, text: str | None) -> None:
    """In one step, so that a crash leaves the old file or the new one."""
    try:
        if text is None:
            file.unlink(missing_ok=True)
            return
        descriptor, aside = tempfile.mkstemp(dir=file.parent, prefix=".")
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(aside).replace(file)
    except OSError as error:
        raise Unavailable(f"{file.name} cannot be written: {error.strerror}") from error
