"""The command ``penelope playbooks test``: trials of playbooks on a terminal."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from penelope.errors import InvalidRequest, Unavailable
from penelope.testing import kit_report
from penelope.testing.kit import Finding, Result, Subject, shipped, subject_of, trials, worlds
from penelope.testing.kit_run import house, run_all


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be tried: playbooks by name (by default all that ship with a world), or one in a file of its own."""

    names: Sequence[str] = ()
    file: Path | None = None
    world: str | None = None
    seed: int = 0
    quick: bool = False
    as_json: bool = False


def run(wishes: Wishes) -> int:
    """Tries it and shows what came of it. The number of trials that are broken; a playbook without a world is one, too.

    Raises InvalidRequest for wishes that do not go together, and as `subject_of`.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # a world of one's own lies beside its playbook
    subjects = _subjects(wishes)
    if wishes.world is None and wishes.file is None and not wishes.names:
        without = tuple((name, "it has no world") for name in sorted(set(shipped()) - set(worlds())))
    else:
        without = ()
    results, absent = asyncio.run(_tried(subjects, wishes))
    everything = [*absent, *without]
    if wishes.as_json:
        sys.stdout.write(json.dumps(kit_report.data(results, everything, wishes.seed), indent=2) + "\n")
    else:
        Console(highlight=False).print(kit_report.summary(results, everything))
    return sum(result.finding is Finding.BROKEN for result in results) + len(without)


def _subjects(wishes: Wishes) -> list[Subject]:
    names = list(dict.fromkeys(wishes.names))
    if wishes.file is not None and not names:
        names = [wishes.file.stem]
    if (wishes.file is not None or wishes.world is not None) and len(names) != 1:
        raise InvalidRequest(
            "a file or a world is for one playbook",
            hint="Name the playbook: penelope playbooks test NAME --world MODULE:CLASS.",
        )
    if not names:
        names = [name for name in shipped() if name in worlds()]
    return [subject_of(name, file=wishes.file, world=wishes.world) for name in names]


async def _tried(subjects: Sequence[Subject], wishes: Wishes) -> tuple[list[Result], list[tuple[str, str]]]:
    """The results, and the playbooks whose world cannot be had here. Each trial is shown as soon as it is over."""
    console = Console(stderr=wishes.as_json, highlight=False)
    results: list[Result] = []
    absent: list[tuple[str, str]] = []
    async with house() as made:
        for subject in subjects:
            planned = trials(subject, seed=wishes.seed, quick=wishes.quick)
            try:
                async with aclosing(run_all(made, subject, planned)) as going:
                    async for result in going:
                        results.append(result)
                        console.print(kit_report.line(result), soft_wrap=True)
            except Unavailable as error:
                absent.append((subject.playbook, error.message))
    return results, absent
