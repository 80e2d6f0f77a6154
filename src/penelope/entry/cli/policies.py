"""Commands for those who write policies; they need no server."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.options import settings_of
from penelope.entry.cli.words import visible


def lint(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Policy files (.yaml, .rego) and folders of them; by default those of the settings.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print every mistake of policies as file:line:column. Exits with 1 if there is any."""
    from penelope.adapters.policy import context_rego, load  # noqa: PLC0415 - so that `--help` is there at once

    settings = settings_of(context).policy
    given = paths or [*settings.paths, *settings.rego]
    rules = load.files_in([path for path in given if path.is_dir() or path.suffix == ".rego"], "*.rego")
    sets = load.files_in([path for path in given if path.suffix != ".rego"], "*.y*ml")
    policies, problems = load.read_expressions(sets)
    organisation, more = context_rego.linted(rules)
    for problem in [*problems, *more]:
        typer.echo(visible(problem))
    if problems or more:
        raise typer.Exit(1)
    count = len(policies) + organisation
    screens.show(Text(f"{count} policies, no mistakes", "green"))


def test(file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of cases.")]) -> None:
    """Run the cases of a file against the policies that it names. Exits with 1 if one comes out otherwise."""
    from penelope.adapters.policy.cases import failures  # noqa: PLC0415 - so that `--help` is there at once

    count, problems = failures(file)
    for problem in problems:
        typer.echo(visible(problem))
    if problems:
        raise typer.Exit(1)
    screens.show(Text(f"{count} cases, all as expected", "green"))
