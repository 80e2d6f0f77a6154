"""The scanner on the command line, for those who write playbooks; it needs no server."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.options import settings_of
from penelope.entry.cli.words import visible


def scan(
    context: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Playbook files and folders; by default those of the settings.", show_default=False
        ),
    ] = None,
) -> None:
    """Print what the scanner finds in playbooks. Exits with 1 if anything is critical."""
    from penelope.adapters.playbooks.load import load  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.scanners.scan import ThoroughScanner  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.rooms.gate.ports import Danger  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.rooms.gate.scanner import values_of_playbook  # noqa: PLC0415 - so that `--help` is there at once

    settings = settings_of(context)
    shipped = settings.playbooks.shipped and not files
    playbooks = load(files or settings.playbooks.paths, shipped).playbooks()
    scanner = ThoroughScanner(settings.scanner.seconds)
    found = [(item.name, each) for item in playbooks for each in scanner.scan(values_of_playbook(item))]
    for name, finding in found:
        typer.echo(visible(f"{name}: {finding}"))
    if any(finding.danger is Danger.CRITICAL for _, finding in found):
        raise typer.Exit(1)
    screens.show(Text(f"{len(playbooks)} playbooks, nothing critical", "green"))
