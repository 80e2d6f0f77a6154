"""Puts the sources together, from weak to strong, and refuses all mistakes at once."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penelope.errors import BadSettings
from penelope.settings.known import sections
from penelope.settings.sources import Given, Mistake, from_environment, from_file, from_overrides
from penelope.settings.tree import DEFAULT, Settings

DEFAULT_FILE = Path("penelope.yaml")

# What pydantic's messages say of Python; ours begin with the setting's name instead.
_NOISE = re.compile(r"^(Value error, |Input |String )| for <class .*>$")


def load(file: Path | None, environment: Mapping[str, str], overrides: Sequence[str]) -> Settings:
    """The settings: defaults, then the file, then the environment, then the command line, each over the last.

    Without `file`, `penelope.yaml` in the working directory is read if it is there. Relative paths are
    seen from the folder of the file, wherever they were given; without a file from the working directory.

    Raises BadSettings, whose message lists every mistake of every source and where it stands.
    """
    if file is None and DEFAULT_FILE.exists():
        file = DEFAULT_FILE
    found = list(
        chain(
            from_file(file) if file else (),
            from_environment(environment),
            from_overrides(overrides),
        )
    )
    mistakes = [item for item in found if isinstance(item, Mistake)]
    given = {item.name: item for item in found if isinstance(item, Given)}
    folder = file.resolve().parent if file else Path.cwd()
    settings = _build(given, folder, mistakes)
    if settings is None or mistakes:
        raise BadSettings(_message(mistakes))
    return settings


def _build(given: Mapping[str, Given], folder: Path, mistakes: list[Mistake]) -> Settings | None:
    """The tree, or None once the list of mistakes has grown by what does not fit."""
    tree: dict[str, dict[str, Any]] = {section: {} for section in sections()}
    for item in given.values():
        section, _, key = item.name.partition(".")
        tree[section][key] = item.value
    origins = {name: item.origin for name, item in given.items()}
    try:
        return Settings.model_validate(tree, context={"folder": folder, "origins": origins})
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            name = ".".join(str(part) for part in detail["loc"][:2])
            message = _NOISE.sub("", detail["msg"])
            # Names alone: a key that is wrong is called `[key]`, and what holds no names tells itself.
            inner = [part for part in detail["loc"][2:] if isinstance(part, str) and part.isidentifier()]
            mistakes.append(Mistake(origins.get(name, DEFAULT), f"{'.'.join([name, *inner])} {message}"))
        return None


def _message(mistakes: Sequence[Mistake]) -> str:
    if len(mistakes) == 1:
        return str(mistakes[0])
    return "\n".join([f"{len(mistakes)} mistakes in the settings:", *(f"  {item}" for item in mistakes)])
