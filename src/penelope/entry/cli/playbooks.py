"""Shows one playbook as Penelope understands it; needs no server."""

from pathlib import Path
from typing import Annotated

import typer

from penelope.domain.plan import Playbook
from penelope.entry.cli import playbook_screens, screens
from penelope.entry.cli.options import settings_of
from penelope.errors import UnknownPlaybook


def show(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A playbook in force, or a file that ends in .yaml or .yml.")
    ],
) -> None:
    """Show a playbook: what it is for, what it needs, its course, and how each step is taken back."""
    screens.show(*playbook_screens.playbook(_found(context, name)))


def _found(context: typer.Context, name: str) -> Playbook:
    from penelope.adapters.actions.installed import operations  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.playbooks.load import load  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.yaml_model import suggestion  # noqa: PLC0415 - so that `--help` is there at once

    if name.endswith((".yaml", ".yml")):
        return load([Path(name)], shipped=False, adapters=operations()).playbooks()[0]
    settings = settings_of(context).playbooks
    library = {item.name: item for item in load(settings.paths, settings.shipped, operations()).playbooks()}
    if name not in library:
        raise UnknownPlaybook(f"there is no playbook '{name}' in force{suggestion(name, library)}")
    return library[name]
