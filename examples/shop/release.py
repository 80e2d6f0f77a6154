"""Releases of the shop: folders with a release.toml, and the link by which an instance chooses one."""

import os
import random
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_MAIN = '''"""Starts the shop the way this release behaves."""

from pathlib import Path

from shop.service import main

main(Path(__file__).resolve().parent)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """How a release behaves: the share of requests that it fails, and by how much it slows all of them.

    One that tires does so only from `tires_seconds` after its start on.
    """

    name: str
    error_ratio: float = 0.0
    delay_seconds: tuple[float, float] = (0.0, 0.0)
    tires_seconds: float = 0.0

    @classmethod
    def read(cls, folder: Path) -> Self:
        document = tomllib.loads((folder / "release.toml").read_text(encoding="utf-8"))
        least, most = document["delay_seconds"]
        return cls(
            name=document["name"],
            error_ratio=document["error_ratio"],
            delay_seconds=(least, most),
            tires_seconds=document["tires_seconds"],
        )

    def write(self, releases: Path) -> None:
        """Makes the release's folder below `releases`."""
        folder = releases / self.name
        folder.mkdir(parents=True, exist_ok=True)
        least, most = self.delay_seconds
        text = f'name = "{self.name}"\nerror_ratio = {self.error_ratio}\ndelay_seconds = [{least}, {most}]\n'
        text += f"tires_seconds = {self.tires_seconds}\n"
        (folder / "release.toml").write_text(text, encoding="utf-8")
        (folder / "main.py").write_text(_MAIN, encoding="utf-8")

    def fate(self, number: int, age_seconds: float) -> tuple[bool, float]:
        """Whether request `number` fails, and its delay in seconds: chance that is the same in every run.

        `age_seconds` is how long the instance has run.
        """
        chance = random.Random(number)
        fails, delay = chance.random() < self.error_ratio, chance.uniform(*self.delay_seconds)
        return fails, delay if age_seconds >= self.tires_seconds else 0.0


GOOD = Release(name="1.0")
BAD = Release(name="2.0", error_ratio=0.3, delay_seconds=(0.3, 0.6))
TIRING = Release(name="1.1", delay_seconds=(0.3, 0.6), tires_seconds=7.5)
"""Slow a few seconds after each start: a restart mends it, and never for long."""


def history_file(link: Path) -> Path:
    """Beside the link: one release a line, newest last, appended by whoever moves the link."""
    return link.with_name(link.name + ".history")


def switch(link: Path, release: Path) -> None:
    """Points the link at a release's folder, in one atomic step, and notes it in the link's history."""
    if not release.is_dir():
        raise FileNotFoundError(f"there is no release {release.name}")
    fresh = link.with_name(link.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(os.path.relpath(release, link.parent))
    fresh.replace(link)
    with history_file(link).open("a", encoding="utf-8") as history:
        history.write(f"{release.name}\n")
