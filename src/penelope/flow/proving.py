"""Makes the receipt of an incident, once a signed checkpoint covers its entries."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from penelope.domain.work import Entry
from penelope.errors import Unavailable, UnknownIncident
from penelope.flow.export import HistoryReader
from penelope.flow.log import LogStore, SignedCheckpoint
from penelope.ledger.notes import add_signatures
from penelope.ledger.receipt import Receipt, make
from penelope.ledger.tiles import Tile, inclusion, tiles_of_inclusion

_PATIENCE_SECONDS = 5.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """Entries with their places in the tree of a checkpoint."""

    checkpoint: SignedCheckpoint
    entries: Sequence[tuple[int, Entry]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prover:
    """`witnesses` is how many cosignatures are waited for; a receipt is made without them if they do not come."""

    log: LogStore
    history: HistoryReader
    witnesses: int = 0
    patience_seconds: float = _PATIENCE_SECONDS

    async def prove(self, incident: str) -> Receipt:
        """The receipt over all that is recorded about an incident now, and maybe what is added meanwhile.

        Raises UnknownIncident, and Unavailable when no signed checkpoint covers its entries in time.
        """
        wanted = {each.entry.seq for each in await self.history.story(incident)}
        if not wanted:
            raise UnknownIncident(f"there is no incident '{incident}'")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience_seconds
        while True:
            covered = await self._covered(incident, wanted)
            late = loop.time() >= deadline
            if covered is not None:
                lines = await self.log.cosignatures(covered.checkpoint.size)
                if late or len(lines) >= self.witnesses:
                    return await self._receipt(incident, covered, lines)
            if late:
                raise Unavailable(
                    f"not all entries of {incident} are in a signed checkpoint yet",
                    hint="Try again in a few seconds. `penelope ledger stats` shows how far the log is behind.",
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _covered(self, incident: str, wanted: set[int]) -> Covered | None:
        checkpoint = await self.log.latest()  # first: entries are logged before they are signed
        if checkpoint is None:
            return None
        entries = [
            (each.place, each.entry)
            for each in await self.history.story(incident)
            if each.place is not None and each.place < checkpoint.size
        ]
        if not wanted <= {entry.seq for _, entry in entries} or not _whole(entries):
            return None
        return Covered(checkpoint=checkpoint, entries=entries)

    async def _receipt(self, incident: str, covered: Covered, lines: Sequence[str]) -> Receipt:
        size = covered.checkpoint.size
        wanted: set[Tile] = set()
        for index, _ in covered.entries:
            wanted |= tiles_of_inclusion(index, size)
        tiles = await self.log.tiles(wanted)
        proven = [(index, entry, inclusion(tiles, index, size)) for index, entry in covered.entries]
        return make(incident, add_signatures(covered.checkpoint.note, lines), proven)


def _whole(entries: Sequence[tuple[int, Entry]]) -> bool:
    """Whether no chain has a gap: on PostgreSQL an entry may be logged before the one that it follows."""
    counts: dict[str, int] = {}
    latest: dict[str, int] = {}
    for _, entry in entries:
        counts[entry.unit] = counts.get(entry.unit, 0) + 1
        latest[entry.unit] = max(latest.get(entry.unit, 0), entry.version)
    return counts == latest
