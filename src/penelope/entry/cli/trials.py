"""The command that tries playbooks; what it does lies in the test kit."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer


def try_playbooks(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", help="Playbooks; by default all that ship and have a world.", show_default=False
        ),
    ] = None,
    *,
    playbook_file: Annotated[
        Path | None, typer.Option(metavar="FILE", exists=True, help="The file of a playbook of your own.")
    ] = None,
    world: Annotated[
        str | None,
        typer.Option(metavar="MODULE:CLASS", help="The world to try it in, instead of the installed one."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws of chance go the same way for the same seed.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Each kind of trouble at one step, instead of at every step.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")] = False,
) -> None:
    """Try playbooks: do they heal, is each action one effect, does a rollback restore, whatever fails or dies where?

    Exits with 1 if anything is broken.
    """
    # The kit lies above this floor, beside the fakes, and a server never loads it: it is called by name.
    kit = import_module("penelope.testing.kit_command")
    wishes = kit.Wishes(
        names=tuple(names or ()), file=playbook_file, world=world, seed=seed, quick=quick, as_json=as_json
    )
    if kit.run(wishes):
        raise typer.Exit(1)
