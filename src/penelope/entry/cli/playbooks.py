"""Shows one playbook as Penelope understands it, and the actions that one can be made of; needs no server."""

from pathlib import Path
from typing import Annotated

import typer

from penelope.domain.plan import Playbook
from penelope.entry.cli import playbook_screens, screens
from penelope.entry.cli.options import settings_of
from penelope.errors import UnknownAdapter, UnknownPlaybook


def show(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A playbook in force, or a file that ends in .yaml or .yml.")
    ],
) -> None:
    """Show a playbook: what it is for, what it needs, its course, and how each step is taken back."""
    screens.show(*playbook_screens.playbook(_found(context, name)))


def list_actions(
    context: typer.Context,  # noqa: ARG001 - every command takes it
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="ACTION",
            help="An adapter, or one action such as process.restart; by default all.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the actions that steps can take; of one that is named, its parameters, permissions and snapshots."""
    from penelope.adapters.actions.installed import operations  # noqa: PLC0415 - so that `--help` is there at once

    every = {
        f"{adapter}.{operation}": declared
        for adapter, offered in sorted(operations().items())
        for operation, declared in sorted(offered.items())
    }
    if name is None:
        screens.show(playbook_screens.actions(every))
        return
    chosen = {item: declared for item, declared in every.items() if name in {item, item.partition(".")[0]}}
    if not chosen:
        hint = "`penelope playbooks actions` lists all that are installed."
        raise UnknownAdapter(f"no installed adapter has the action '{name}'", hint=hint)
    for item, declared in chosen.items():
        screens.show(*playbook_screens.action(item, declared))


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
