"""The options before the command, and the settings that follow from them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from penelope.errors import InvalidRequest

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


def moment_of(text: str | None) -> str | None:
    """A time, UTC where it names no zone, as the interface takes it. Raises InvalidRequest."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"'{text}' is no time", hint="Write 2026-11-21 or 2026-11-21T07:00:00Z."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
