"""A process that dies in the middle of a benchmark: the story goes on, whatever the catalogue says by then."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mortal import script as mortal_script
from stage import GOOD, performing

from penelope.domain.incident import IncidentState
from penelope.domain.rehearsal import Rehearsal, RehearsalOutcome

Databases = tuple[str, str]


class Rehearsing:
    """A twin that is new: the story that is told did not begin with it."""

    async def rehearse(self, *_: Any) -> Rehearsal:
        return Rehearsal(outcome=RehearsalOutcome.FAILED, reason="it was not asked before")


def die(databases: Databases, world: Path, dies_at: str, *more: str) -> None:
    script = str(Path(__file__).with_name("mortal.py"))
    command = [sys.executable, script, *databases, str(world), dies_at, *more]
    assert subprocess.run(command, check=False, timeout=60).returncode == 9


@pytest.mark.parametrize(
    "dies_at",
    [
        "measure page 1",  # in the smoke suite of the first action, before its answer was recorded
        "measure page 2",  # the first look was bad, the second was under way
        "measure page 3",  # in the smoke suite of the second action
        "measure page 4",  # in the regression suite
    ],
)
@pytest.mark.parametrize("now", ["as before", "without suites", "with a twin"])
def test_the_story_goes_on_after_a_benchmark_that_was_cut_off(
    databases: Databases, tmp_path: Path, dies_at: str, now: str
) -> None:
    world = tmp_path / "world.json"
    die(databases, world, dies_at, "measured")
    asyncio.run(goes_on(databases, world, measured=now != "without suites", twin=now == "with a twin"))


def test_a_suite_that_is_declared_in_the_middle_of_a_story_is_left_to_the_next(
    databases: Databases, tmp_path: Path
) -> None:
    world = tmp_path / "world.json"
    die(databases, world, "probe second")
    counts = asyncio.run(goes_on(databases, world, measured=True, twin=False))
    # The second action's lease had been taken, and the plan been begun, without one.
    assert "measure page" not in counts


async def goes_on(databases: Databases, world: Path, *, measured: bool, twin: bool) -> dict[str, int]:
    script = replace(mortal_script(world, measured=measured), twin=Rehearsing() if twin else None)
    async with performing(databases, script) as stage:
        stage.metrics.script("shop", GOOD)
        (incident,) = await stage.reader.incidents(states=(), before=None, limit=9)
        ended = await stage.until(str(incident["id"]))
        assert ended.state is IncidentState.HEALED
        counts = script.adapter.counts  # type: ignore[attr-defined]  # that of a mortal
        assert (counts["effect first"], counts["effect second"]) == (1, 1)
        events = await stage.events(ended.id)
        assert events.count("ActionDone") == 2
        assert "PlanRehearsed" not in events
        assert await stage.reader.leases() == []
        assert await stage.flaws() == []
        return dict(counts)
