"""Bench of git_patch's operation that takes an earlier patch of ours back."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from bench_first import _Crash, _Crashing
from benching import Bench, an_action, with_options

from penelope.adapters.actions.git_patch import GitPatchAdapter
from penelope.domain.action import Snapshot


def git_reverse(request: pytest.FixtureRequest) -> Bench:
    repo, adapter = request.getfixturevalue("repo"), GitPatchAdapter()
    options = {"repository": str(repo.path), "branch": "main"}

    def change(root: Path) -> None:
        (root / "notes.txt").write_text("other notes\n")

    earlier = an_action("git_patch", "apply", options, {"diff": repo.diff_after(change)})
    earlier = replace(earlier, key="inc_0/plan/earlier")

    async def applied() -> None:
        await adapter.execute(earlier, await adapter.snapshot(earlier))

    asyncio.run(applied())
    action = an_action("git_patch", "reverse", options, {"patch": earlier.key})
    before = repo.commits()

    async def half(snapshot: Snapshot) -> None:
        with pytest.raises(_Crash):
            await _Crashing().execute(action, snapshot)

    return Bench(
        adapter=adapter,
        action=action,
        effects=lambda: repo.commits() - before,
        shown=("tree", "clean"),
        unreachable=(adapter, with_options(action, repository=str(repo.path.parent))),
        half=half,
    )


BENCHES = [git_reverse]
HALVED = [git_reverse]
