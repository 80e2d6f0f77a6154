"""What driving the Merkle log needs of the store, and the values that pass between them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penelope.ledger.tiles import Tile, Tiles, consistency, tiles_of_consistency


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrated:
    """What one round of the sequencer came to: leaves added, and the log's size after it."""

    added: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far the log is behind history: entries that wait, and on PostgreSQL how many transaction numbers the
    oldest open transaction is behind the newest (0 on SQLite). While that one stays open, nothing after it is logged.
    """

    entries: int
    xmin_age: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint as it was signed; `note` without cosignatures."""

    size: int
    root: bytes
    note: bytes
    signed_at: datetime


class LogStore(Protocol):
    """The log as it is stored. Checkpoints and cosignatures are those of one origin: what else lies with them is of a
    log that had another name, and is passed by.
    """

    async def integrate(self, limit: int) -> Integrated | None:
        """Takes up to so many committed entries into the tree, in one transaction.

        None where another process is doing so at this moment.
        """

    async def size(self) -> int:
        """How many leaves were integrated."""

    async def lag(self) -> Lag:
        """How far the log is behind."""

    async def tiles(self, wanted: Iterable[Tile]) -> Tiles:
        """Those of the tiles that there are."""

    async def bundle(self, index: int, width: int) -> Sequence[bytes]:
        """The canonical entries beneath the tile `(0, index)`, up to `width`."""

    async def latest(self) -> SignedCheckpoint | None:
        """The greatest checkpoint that was signed."""

    async def taken(self, size: int) -> bool:
        """Whether there is a checkpoint of this size, be it of this log or of a former one."""

    async def add_checkpoint(self, checkpoint: SignedCheckpoint) -> None:
        """Keeps a checkpoint; one of the same size that is there already stays."""

    async def cosigned(self, witness: str) -> int:
        """The greatest size that a witness has cosigned; 0 if none."""

    async def add_cosignature(self, size: int, witness: str, line: str, now: datetime) -> None:
        """Keeps a cosignature; one by the same witness for the same size stays."""

    async def cosignatures(self, size: int) -> Sequence[str]:
        """The signature lines of witnesses under the checkpoint of a size."""


async def proof(store: LogStore, old: int, size: int) -> list[bytes]:
    """That the log of `size` leaves continues that of `old`; empty where there is nothing to prove."""
    if old == 0 or old >= size:
        return []
    return consistency(await store.tiles(tiles_of_consistency(old, size)), old, size)
