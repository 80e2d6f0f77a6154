"""The library of playbooks, read from files once and checked whole."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from penelope.adapters.playbooks.lint import Adapters, check
from penelope.adapters.yaml_source import Problem
from penelope.domain.plan import Playbook
from penelope.errors import InvalidPlaybook

_PACKAGE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class PlaybookFiles:
    """The playbooks that were found in files, in order of preference."""

    found: tuple[Playbook, ...]

    def playbooks(self) -> tuple[Playbook, ...]:
        return self.found


def load(paths: Sequence[Path], shipped: bool, adapters: Adapters | None = None) -> PlaybookFiles:  # noqa: FBT001 - the agreed signature
    """The playbooks in files and folders, then those that ship with Penelope where `shipped` asks for them.

    A shipped playbook gives way to one of the same name. With `adapters`, actions must name an adapter
    and an operation of theirs. Raises InvalidPlaybook naming ``file:line:column`` of every mistake.
    """
    library: dict[str, Playbook] = {}
    problems = list(_collect(files_in(paths), library, adapters))
    if shipped:
        starter: dict[str, Playbook] = {}
        problems += _collect(files_in([shipped_folder()]), starter, adapters)
        library = {**library, **{name: item for name, item in starter.items() if name not in library}}
    if problems:
        raise InvalidPlaybook("\n".join(map(str, problems)))
    return PlaybookFiles(found=tuple(library.values()))


def files_in(paths: Iterable[Path]) -> list[Path]:
    """The playbook files among files and folders, those of a folder by name; in a folder, hidden files are none."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("[!.]*.y*ml")) if path.is_dir() else [path]
    return found


def shipped_folder() -> Path:
    """The starter library: inside the installed package, or beside `src` in a checkout."""
    installed = _PACKAGE / "_playbooks"
    return installed if installed.is_dir() else _PACKAGE.parents[1] / "playbooks"


def _collect(
    files: Sequence[Path], library: dict[str, Playbook], adapters: Adapters | None
) -> Iterator[Problem]:
    for path in files:
        playbook, problems = check(path, adapters)
        yield from problems
        if playbook is None:
            continue
        if playbook.name in library:
            yield Problem(str(path), 1, 1, f"another file holds a playbook named '{playbook.name}' already")
        library.setdefault(playbook.name, playbook.playbook())
