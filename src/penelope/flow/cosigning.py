"""Asks a witness to cosign a checkpoint."""

import logging
from typing import Protocol

from penelope.errors import ChainBroken, DependencyError, WitnessRefused
from penelope.flow.log import LogStore, SignedCheckpoint, proof
from penelope.kit.clock import Clock
from penelope.ledger.ports import Witness

_log = logging.getLogger(__name__)


class WitnessObserver(Protocol):
    """Is told how witnesses answer; telemetry shows it."""

    def witness_asked(self, witness: str, outcome: str) -> None:
        """A witness was asked: `cosigned`, `refused` or `unavailable`."""


class Cosigner:
    """Asks one witness, wherever it stands, and keeps its cosignatures."""

    def __init__(self, witness: Witness, store: LogStore, observer: WitnessObserver, clock: Clock) -> None:
        self._witness = witness
        self._store = store
        self._observer = observer
        self._clock = clock
        self.name = witness.name

    async def ask(self, checkpoint: SignedCheckpoint) -> None:
        """Has a checkpoint cosigned, if it is not yet; waits as long as the witness does not answer.

        Raises ChainBroken where the witness has seen more of this log than there is.
        """
        old = await self._store.cosigned(self.name)
        if old >= checkpoint.size:  # another process may have been there with more
            return
        try:
            lines = await self._lines(old, checkpoint)
        except WitnessRefused as error:
            self._observer.witness_asked(self.name, "refused")
            _log.error("witness %s refused: %s", self.name, error.message)
            return
        except ChainBroken:
            self._observer.witness_asked(self.name, "refused")
            raise
        except DependencyError as error:
            self._observer.witness_asked(self.name, "unavailable")
            _log.warning("witness %s does not answer: %s", self.name, error.message)
            return
        for line in lines:
            await self._store.add_cosignature(checkpoint.size, self.name, line, self._clock.now())
        self._observer.witness_asked(self.name, "cosigned")

    async def _lines(self, old: int, checkpoint: SignedCheckpoint) -> list[str]:
        try:
            return await self._asked(old, checkpoint)
        except WitnessRefused as error:
            if error.size is None or error.size == old:
                raise
            if error.size > (size := await self._store.size()):
                message = f"witness {self.name} has seen {error.size} entries, but there are {size}"
                raise ChainBroken(message) from error
            if error.size > checkpoint.size:
                return []  # another process was there first
            return await self._asked(error.size, checkpoint)

    async def _asked(self, old: int, checkpoint: SignedCheckpoint) -> list[str]:
        leading = await proof(self._store, old, checkpoint.size)
        return await self._witness.add_checkpoint(old, leading, checkpoint.note)
