"""Reads policy files once, and checks them whole."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from penelope.adapters.policy.cel import Expressions, Policy, compiled
from penelope.adapters.policy.model import PolicySet
from penelope.adapters.yaml_model import validate
from penelope.adapters.yaml_source import Problem, read
from penelope.domain.gate import Ruling
from penelope.errors import InvalidPolicy

_RULINGS = {"deny": Ruling.REFUSE, "ask": Ruling.ASK}


def load_expressions(paths: Sequence[Path]) -> Expressions:
    """The policies of files and folders. Raises InvalidPolicy naming ``file:line:column`` of every mistake."""
    policies, problems = read_expressions(files_required(paths, "*.y*ml"))
    if problems:
        raise InvalidPolicy("\n".join(map(str, problems)))
    return Expressions(policies)


def read_expressions(files: Sequence[Path]) -> tuple[list[Policy], list[Problem]]:
    """What could be read, and every mistake."""
    policies: dict[str, Policy] = {}
    problems: list[Problem] = []
    for file in files:
        document = read(file)
        content, found = validate(document, PolicySet)
        problems += found
        for index, entry in enumerate(content.policies if content else ()):
            where = ("policies", index)
            if entry.name in policies:
                problems.append(document.problem((*where, "name"), f"there are two policies '{entry.name}'"))
            try:
                made = compiled(entry.name, _RULINGS[entry.effect], entry.message, entry.expression)
            except ValueError as error:
                problems.append(document.problem((*where, "expression"), f"{entry.name}: {error}"))
            else:
                policies.setdefault(entry.name, made)
    return list(policies.values()), sorted(problems)


def files_required(paths: Sequence[Path], pattern: str) -> list[Path]:
    """Those of `files_in`. Raises InvalidPolicy for a folder that has none: rules that were moved must not be missed."""
    empty = [f"{path}:1:1: no {pattern} is in this folder" for path in paths if not files_in([path], pattern)]
    if empty:
        raise InvalidPolicy("\n".join(empty))
    return files_in(paths, pattern)


def files_in(paths: Sequence[Path], pattern: str) -> list[Path]:
    """Files as they are named, and those of folders and the folders in them, by name; tests beside the policies
    (`*_test.*`) and hidden folders, where a cluster keeps older versions, stay out.
    """
    found: list[Path] = []
    for path in paths:
        found += sorted(_inside(path, pattern)) if path.is_dir() else [path]
    return found


def _inside(folder: Path, pattern: str) -> Iterator[Path]:
    for file in folder.rglob(pattern):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if not hidden and not file.stem.endswith("_test"):
            yield file
