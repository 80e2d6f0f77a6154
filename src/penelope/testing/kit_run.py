"""Carries trials out in one opened world, beside which a Penelope is born and killed as they need."""

import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from penelope.errors import Unavailable
from penelope.testing.kit import (
    Finding,
    Kind,
    Result,
    Subject,
    Trial,
    known_operations,
    read_playbook,
    world_class,
)
from penelope.testing.kit_judge import Judged, Rehearsed, judged, stays
from penelope.testing.kit_nursery import Nursery
from penelope.testing.kit_story import Scene, Story


class Ground:
    """An opened world, in which one trial is carried out after the other. Made by `opened`."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._record: Rehearsed | None = None
        self._obstacle = ""
        self._count = 0
        self._deaths = 0

    async def run(self, trial: Trial) -> Result:
        """Carries one trial out. Never raises for what is tried: that is a finding."""
        begun = time.monotonic()
        self._deaths = 0
        try:
            finding, why = await self._tried(trial)
        except Exception as error:  # noqa: BLE001 - whatever breaks is shown beside the trial in which it did
            finding, why = Finding.BROKEN, f"the trial itself failed: {type(error).__name__}: {error}"
        seconds = time.monotonic() - begun
        return Result(trial=trial, finding=finding, why=why, seconds=seconds, deaths=self._deaths)

    async def _tried(self, trial: Trial) -> Judged:
        """The first trial of all is how it goes undisturbed, for the others are held against that."""
        if trial.kind is Kind.HEALS:
            return await self._rehearse(trial)
        if self._record is None and not self._obstacle:
            await self._rehearse(replace(trial, kind=Kind.HEALS, step=0, place=None, error="", number=0))
        if self._record is None:
            return Finding.NOTED, "not tried, for it does not heal"
        if trial.step >= len(self._record.actions):
            return Finding.NOTED, f"it has only {len(self._record.actions)} actions here"
        with self._folder() as folder:
            seen = await Story(self._scene, trial, self._record, folder).told()
        self._deaths = seen.deaths
        return judged(trial, seen, self._record)

    async def _rehearse(self, trial: Trial) -> Judged:
        with self._folder() as folder:
            story = Story(self._scene, trial, None, folder)
            seen = await story.told()
        rehearsed = story.rehearsed(stays(self._scene.playbook))
        finding, why = judged(trial, seen, rehearsed)
        if finding is Finding.BROKEN:
            self._obstacle = why
        else:
            self._record = rehearsed
        return finding, why

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A folder for one trial; its name is short, for the path of a socket may have no more than 107 bytes."""
        self._count += 1
        folder = self._scene.folder / f"t{self._count}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


class House:
    """What the trials of all playbooks share: the process that lives are forked from, and an empty database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._empty = folder / "empty"
        self._nursery = Nursery(folder / "lives.log")
        self._count = 0

    @asynccontextmanager
    async def opened(self, subject: Subject) -> AsyncIterator[Ground]:
        """The ground for the trials of a playbook; its world is closed at the end, whatever happens.

        Raises Unavailable where the world cannot be had here, and InvalidPlaybook.
        """
        playbook = read_playbook(subject.file, known_operations(subject.world))
        self._count += 1
        folder = self._folder / f"w{self._count}"
        roots = (folder / "world", folder / "canary")
        for root in roots:
            root.mkdir(parents=True)
        canary = folder / "canary"
        (canary / "kept").write_text("nobody may touch this\n", encoding="utf-8")
        world = world_class(subject.world)()
        try:
            await world.open(folder / "world")
            yield Ground(
                Scene(
                    subject=subject,
                    playbook=playbook,
                    world=world,
                    folder=folder,
                    roots=(str(folder / "world"),),
                    empty=self._empty,
                    canary=canary,
                    nursery=self._nursery,
                )
            )
        finally:
            await world.close()
            shutil.rmtree(folder, ignore_errors=True)

    async def begin(self) -> None:
        """Starts the nursery and makes the empty database, once."""
        self._empty.mkdir()
        await self._nursery.start()
        await self._nursery.begin(self._empty)
        if code := await self._nursery.ended():
            raise Unavailable(f"no database can be made ({code}): {self._nursery.last_words()}")

    async def end(self) -> None:
        await self._nursery.stop()


def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="pk-"))
    # A database server that will not run as root must get to its data through this folder.
    folder.chmod(0o755)
    return folder


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    """A house in a temporary folder, with its nursery running."""
    folder = _folder()
    made = House(folder)
    try:
        await made.begin()
        yield made
    finally:
        await made.end()
        shutil.rmtree(folder, ignore_errors=True)


async def run_all(house: House, subject: Subject, trials: Iterable[Trial]) -> AsyncGenerator[Result, None]:
    """One result after the other. Raises as `House.opened`."""
    async with house.opened(subject) as ground:
        for trial in trials:
            yield await ground.run(trial)
