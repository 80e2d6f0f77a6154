"""A Penelope that dies in the middle of an action: run as a script, it never comes to its end.

The world of its actions is a file, so that it outlives the process.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from stage import PATIENCE_SECONDS, Script, begin, performing, playbook

from penelope.domain.action import Action, Effect, Progress, Snapshot
from penelope.testing.actions import FakeAction


class FileAction(FakeAction):
    """Counts in a file what it was asked, by call and action; `dies_at` names the call that is its last."""

    def __init__(self, world: Path, dies_at: str = "") -> None:
        super().__init__()
        self.counts: Counter[str] = Counter(json.loads(world.read_text()) if world.exists() else {})
        self._world = world
        self._dies_at = dies_at

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:  # noqa: ARG002 - the file tells
        self._note(f"probe {action.name}")
        return Progress.APPLIED if self.counts[f"effect {action.name}"] else Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - the file tells
        self._note(f"execute {action.name}")
        self._note(f"effect {action.name}")
        return Effect(summary="done")

    async def observe(self, action: Action) -> dict[str, Any]:
        self._note(f"observe {action.name}")
        return {"value": action.name}

    def _note(self, what: str) -> None:
        self.counts[what] += 1
        self._world.write_text(json.dumps(self.counts))
        if what == self._dies_at:
            os._exit(9)


def script(world: Path, dies_at: str = "") -> Script:
    return Script(playbooks=[playbook()], adapter=FileAction(world, dies_at))


async def live_and_die(databases: tuple[str, str], world: Path, dies_at: str) -> None:
    async with performing(databases, script(world, dies_at)) as stage:
        await begin(stage)
        await asyncio.sleep(PATIENCE_SECONDS)


if __name__ == "__main__":
    asyncio.run(live_and_die((sys.argv[1], sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
