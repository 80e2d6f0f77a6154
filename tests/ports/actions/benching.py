"""What the conformance suite of the action adapters needs of each: a bench with a real target.

A file ``bench_<what>.py`` beside this one lists its benches in ``BENCHES``, and those of them whose action can be left
half done in ``HALVED``; the suite finds it by its name.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from penelope.domain.action import Action, Difference, Progress, Snapshot, Tier
from penelope.domain.service import Target
from penelope.rooms.act.ports import ActionAdapter
from penelope.rooms.act.run import perform, undo


@dataclass
class Bench:
    """One adapter with a target. `effects` counts at the target, `shown` names what an undo must restore,
    `half` leaves the action half done as a crash would.
    """

    adapter: ActionAdapter
    action: Action
    effects: Callable[[], int]
    shown: tuple[str, ...]
    unreachable: tuple[ActionAdapter, Action]
    half: Callable[[Snapshot], Awaitable[None]] | None = None
    restores: bool = True
    """False where nothing is left to put back: a restart has no state before it."""
    counts_compensations: bool = False
    """True where taking back twice is told twice to the target, harmlessly."""
    snapshot_asks: bool = True
    """False where a snapshot asks nothing of the target."""

    def look(self) -> dict[str, Any]:
        state = asyncio.run(self.adapter.observe(self.action))
        return {key: state.get(key) for key in self.shown}

    def snapshot(self) -> Snapshot:
        return asyncio.run(self.adapter.snapshot(self.action))

    def probe(self, snapshot: Snapshot) -> Progress:
        return asyncio.run(self.adapter.probe(self.action, snapshot))

    def perform(self, snapshot: Snapshot, *, first_attempt: bool = True) -> bool:
        effect = asyncio.run(perform(self.adapter, self.action, snapshot, first_attempt=first_attempt))
        return effect.repeated

    def differences(self, snapshot: Snapshot) -> list[Difference]:
        return list(asyncio.run(self.adapter.differences(self.action, snapshot)))

    def undo(self, snapshot: Snapshot) -> None:
        assert asyncio.run(undo(self.adapter, self.action, snapshot)).summary


_SECONDS = {"git_patch": 60.0, "ansible": 60.0}
"""How long those may take that start many processes, on a machine that does much else."""


def an_action(adapter: str, operation: str, options: dict[str, Any], params: dict[str, Any]) -> Action:
    return Action(
        key=f"inc_1/plan_1/{adapter}.{operation}",
        name=f"{operation} it",
        adapter=adapter,
        operation=operation,
        target=Target(name="app", service="shop", adapter=adapter, options=options),
        params=params,
        tier=Tier.SNAPSHOT,
        timeout_seconds=_SECONDS.get(adapter, 8.0),
    )


def with_options(action: Action, **options: Any) -> Action:
    return replace(action, target=replace(action.target, options={**action.target.options, **options}))
