"""The options before the command, and the settings that follow from them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from penelope.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The settings file and the overrides of it that were named on the command line."""

    config: Path | None = None
    overrides: tuple[str, ...] = ()


def settings_of(context: typer.Context, *overrides: str) -> "Settings":
    """The settings in force, with further overrides. Raises BadSettings."""
    from penelope.settings import load  # noqa: PLC0415 - so that `--help` is there at once

    options: Options = context.obj
    everything: Sequence[str] = (*options.overrides, *overrides)
    return load(options.config, os.environ, everything)
