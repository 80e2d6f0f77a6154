"""Gathers what lies outside of the database, for stored history to be held against."""

from collections.abc import Sequence
from typing import NamedTuple

from penelope.errors import PenelopeError, SignatureInvalid
from penelope.flow.sequencing import LogKeys
from penelope.ledger.chain import Flaw
from penelope.ledger.notes import Checkpoint, open_checkpoint
from penelope.ledger.ports import Verifier


class Outside(NamedTuple):
    """The log's verifier keys, the last checkpoint that they signed, and what of both cannot be used."""

    verifiers: Sequence[Verifier] = ()
    checkpoints: Sequence[Checkpoint] = ()
    flaws: Sequence[Flaw] = ()


async def outside(keys: LogKeys) -> Outside:
    """What lies in the folder of the keys. Damage there is a flaw like any other: it must not end the search for more."""
    try:
        verifiers = keys.verifiers
    except (PenelopeError, OSError) as error:
        return Outside(flaws=[_flaw(f"its keys cannot be read: {error}")])
    try:
        anchor = await keys.anchor()
        checkpoints = [] if anchor is None else [open_checkpoint(anchor, verifiers)]
    except (SignatureInvalid, OSError) as error:
        return Outside(verifiers, flaws=[_flaw(f"the checkpoint beside its keys cannot be used: {error}")])
    return Outside(verifiers, checkpoints)


def _flaw(problem: str) -> Flaw:
    return Flaw(unit="log", version=0, problem=problem)
