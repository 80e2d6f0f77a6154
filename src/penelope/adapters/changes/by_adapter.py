"""Asks the reader that knows a target's kind."""

from collections.abc import Mapping

from penelope.adapters.changes.git import GitChanges
from penelope.adapters.changes.process import ProcessChanges
from penelope.domain.service import Target
from penelope.kit.canonical import Json
from penelope.rooms.context.ports import ChangeReader


class Changes:
    """One change reader for all targets; a kind without history has no changes."""

    def __init__(self) -> None:
        self._readers: dict[str, ChangeReader] = {"process": ProcessChanges(), "git_patch": GitChanges()}

    async def changes(self, target: Target) -> Mapping[str, Json]:
        reader = self._readers.get(target.adapter)
        return {} if reader is None else await reader.changes(target)
