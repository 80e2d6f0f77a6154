"""An export over HTTP of what lies in the archive, where the archive is damaged."""

from datetime import UTC, datetime
from pathlib import Path

from doorstep import Doorstep, settings

from penelope.adapters.archives.folder import FolderArchive
from penelope.domain.work import Change
from penelope.flow.archiving import ArchiveParts, Archiver
from penelope.ledger.segment import SEGMENT
from penelope.store.archive import SqlArchive
from penelope.store.database import open_engine, open_reader, parse_url


def filling(number: int) -> Change:
    return Change(
        unit=f"plan-{number}",
        kind="plan",
        incident="inc_full",
        status="made",
        attributes={"number": number},
        event="PlanMade",
        actor="penelope",
        reason="because",
    )


async def archived(door: Doorstep) -> int:
    """Takes the payloads of all full segments from the database, as if they were old; how many."""
    url = parse_url(door.running.settings.database.url)
    writer, reading = open_engine(url), open_reader(url)
    try:
        parts = ArchiveParts(
            store=SqlArchive(writer, reading),
            log=door.running.log,
            archive=FolderArchive(door.running.settings.ledger.archive),
            writer=door.running.ledger,
            keys=door.running.log_keys,
        )
        return (await Archiver(parts, payload_days=0).archive_once(datetime.now(UTC))).segments
    finally:
        await writer.dispose()
        await reading.dispose()


def test_an_export_that_cannot_begin_is_a_problem(tmp_path: Path) -> None:
    with Doorstep(settings(tmp_path)) as door:
        door.run(door.running.ledger.save(*map(filling, range(SEGMENT))))
        door.until(
            lambda: door.get("/api/v1/ledger/stats"),
            lambda found: (found["checkpoint"] or {"size": 0})["size"] >= SEGMENT,
        )
        assert door.run(archived(door)) == 1
        (file,) = (tmp_path / "archive").glob("*.zst")
        file.rename(tmp_path / "away")
        door.problem(500, "chain_broken", lambda: door.ask("GET", "/api/v1/ledger/export"))
