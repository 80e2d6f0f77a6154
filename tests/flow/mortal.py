"""A Penelope that dies in the middle of an action: run as a script, it never comes to its end.

The world of its actions is a file, so that it outlives the process.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from stage import BAD, GOOD, PATIENCE_SECONDS, Script, begin, performing, playbook, shop

from penelope.domain.action import Action, Effect, Preview, Progress, Snapshot
from penelope.domain.benchmark import Benching, Measurement, Probe, SuiteName
from penelope.domain.plan import Plan
from penelope.domain.rehearsal import Rehearsal, RehearsalOutcome
from penelope.domain.service import Service
from penelope.testing.actions import FakeAction


class FileAction(FakeAction):
    """Counts in a file what it was asked, by call and action; `dies_at` names the call that is its last."""

    def __init__(self, world: Path, dies_at: str = "") -> None:
        super().__init__()
        self.counts: Counter[str] = Counter(json.loads(world.read_text()) if world.exists() else {})
        self._world = world
        self._dies_at = dies_at

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:  # noqa: ARG002 - the file tells
        self.note(f"probe {action.name}")
        return Progress.APPLIED if self.counts[f"effect {action.name}"] else Progress.NOT_APPLIED

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        self.note(f"dry_run {action.name}")
        return await super().dry_run(action, snapshot)

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - the file tells
        self.note(f"execute {action.name}")
        self.note(f"effect {action.name}")
        return Effect(summary="done")

    async def observe(self, action: Action) -> dict[str, Any]:
        self.note(f"observe {action.name}")
        return {"value": action.name}

    def note(self, what: str) -> None:
        """Counts a call, and dies at the one that is the last."""
        self.counts[what] += 1
        self._world.write_text(json.dumps(self.counts))
        if what == self._dies_at:
            os._exit(9)

    def measured(self, probe: str) -> int:
        """How often a probe was measured by now."""
        self.note(f"measure {probe} {(count := self.counts[f'measure {probe}'] + 1)}")
        self.note(f"measure {probe}")
        return count


class FileTwin:
    """Passes each plan; dies before it has looked at it, or with its answer in hand."""

    def __init__(self, world: FileAction) -> None:
        self._world = world

    async def rehearse(self, plan: Plan, service: Service) -> Rehearsal:  # noqa: ARG002 - it passes each
        self._world.note("rehearse")
        self._world.note("rehearsed")
        return Rehearsal(outcome=RehearsalOutcome.PASSED, reason="all is well")


class FileProber:
    """Fails at its first look, which is then doubted, and never again."""

    def __init__(self, world: FileAction) -> None:
        self._world = world

    async def measure(self, service: Service, probe: Probe, since: datetime) -> Measurement:  # noqa: ARG002 - by count alone
        count = self._world.measured(probe.name)
        return Measurement(failed=True, note="fails") if count == 1 else Measurement(figure=10.0)


def script(world: Path, dies_at: str = "", *, measured: bool = False, asking: bool = False) -> Script:
    """`measured` gives the service a smoke suite and a regression suite; `asking` has plans rehearsed and asked for."""
    adapter, service = FileAction(world, dies_at), shop()
    if measured:
        suite = (Probe(name="page", kind="file"),)
        service = replace(service, benchmarks=dict.fromkeys(SuiteName, suite))
    return Script(
        playbooks=[playbook(approval=asking)],
        twin=FileTwin(adapter) if asking else None,
        adapter=adapter,
        services=(service,),
        probers={"file": FileProber(adapter)},
        benching=Benching(looks=3, pause_seconds=0.05),
    )


async def live_and_die(
    databases: tuple[str, str], world: Path, dies_at: str, *, measured: bool = False, asking: bool = False
) -> None:
    told = script(world, dies_at, measured=measured, asking=asking)
    async with performing(databases, told) as stage:
        stage.metrics.script("shop", BAD, GOOD)
        await begin(stage)
        await asyncio.sleep(PATIENCE_SECONDS)


if __name__ == "__main__":
    asyncio.run(
        live_and_die(
            (sys.argv[1], sys.argv[2]),
            Path(sys.argv[3]),
            sys.argv[4],
            measured="measured" in sys.argv[5:],
            asking="asking" in sys.argv[5:],
        )
    )
