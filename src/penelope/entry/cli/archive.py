"""Commands that take payloads from the database: old ones into the archive, and those of a person for good."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.offline import existing_database, existing_keys, plainly
from penelope.entry.cli.options import settings_of

if TYPE_CHECKING:
    from penelope.flow.archiving import ArchiveParts
    from penelope.flow.erasing import PersonStore
    from penelope.settings import Settings

Answer = TypeVar("Answer")


class _Parts(NamedTuple):
    archive: "ArchiveParts"
    persons: "PersonStore"


def archive(
    context: typer.Context,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Read the whole archive back and prove it, and archive nothing.")
    ] = False,
) -> None:
    """Move payloads that are older than ledger.payload_days into the archive now."""
    from penelope.flow.archiving import Archiver  # noqa: PLC0415 - so that `--help` is there at once

    settings = settings_of(context)

    async def run(parts: _Parts) -> str:
        archiver = Archiver(parts.archive, settings.ledger.payload_days)
        if check:
            return f"{await archiver.verify_all()} segments are as they were recorded, and prove themselves"
        done = await archiver.archive_once(datetime.now(UTC))
        return f"{done.segments} segments archived, {done.payloads} payloads taken from the database"

    screens.show(Text(_with_parts(settings, run, read_only=check), "green"))


def erase(
    context: typer.Context,
    *,
    actor: Annotated[
        str, typer.Option(metavar="NAME", help="Whose; as the timeline shows it, such as key:ada.")
    ],
    reason: Annotated[
        str,
        typer.Option(
            help="Why; the ledger keeps it, so name a ticket and not the person.", show_default=False
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase what the ledger tells about a person, for good. Proofs stay valid; see docs/ledger.md for the limits."""
    from penelope.flow.erasing import Eraser  # noqa: PLC0415 - so that `--help` is there at once

    if not yes:
        typer.confirm(f"Erase {actor!r} from history? It cannot be taken back.", abort=True)

    async def run(parts: _Parts) -> str:
        count = await Eraser(parts.archive, parts.persons).erase(actor, reason)
        return (
            f"erased {count.payloads} payloads in the database and {count.archived} in the archive; "
            f"{count.units} units of work name the person no more"
        )

    screens.show(Text(_with_parts(settings_of(context), run), "green"))
    screens.remark("Backups, exports and receipts that were handed out are not changed.")


def _with_parts(
    settings: "Settings", ask: Callable[[_Parts], Awaitable[Answer]], *, read_only: bool = False
) -> Answer:
    async def run() -> Answer:
        async with _opened(settings, read_only=read_only) as parts:
            return await ask(parts)

    with plainly():
        return asyncio.run(run())


@asynccontextmanager
async def _opened(settings: "Settings", *, read_only: bool) -> AsyncIterator[_Parts]:
    """The archive of a running or a stopped server: both may change it, one at a time. Raises BadSettings."""
    from penelope.adapters.archives.folder import FolderArchive  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.adapters.signers.logkeys import FolderKeys  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.flow.archiving import ArchiveParts  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.kit.clock import SystemClock  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.archive import SqlArchive  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.database import migrate, open_engine, open_reader  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.group import GroupCommit  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.log import SqlLog  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.store.persons import SqlPersons  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.telemetry import Telemetry  # noqa: PLC0415 - so that `--help` is there at once

    keys, url, clock = existing_keys(settings), existing_database(settings), SystemClock()
    writer, reader = open_engine(url), open_reader(url)
    try:
        if not read_only:
            await migrate(writer)
        ledger = GroupCommit(writer, clock, Telemetry())
        try:
            parts = ArchiveParts(
                store=SqlArchive(writer, reader),
                log=SqlLog(writer, reader, settings.ledger.origin),
                archive=FolderArchive(settings.ledger.archive),
                writer=ledger,
                keys=FolderKeys(keys, settings.ledger.origin, clock),
            )
            yield _Parts(parts, SqlPersons(writer, reader, clock))
        finally:
            await ledger.close()
    finally:
        await writer.dispose()
        await reader.dispose()
