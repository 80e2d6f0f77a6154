"""Gathers the checkpoints that lie outside of the database, for stored history to be held against."""

from penelope.flow.sequencing import LogKeys
from penelope.ledger.notes import Checkpoint, open_checkpoint


async def outside(keys: LogKeys, *given: bytes) -> list[Checkpoint]:
    """The last checkpoint that the log's keys signed, as it lies beside them, and those in the notes given.

    Raises SignatureInvalid for one that none of the keys has signed.
    """
    anchor = await keys.anchor()
    notes = given if anchor is None else (anchor, *given)
    return [open_checkpoint(note, keys.verifiers) for note in notes]
