"""Takes history into the Merkle log, signs checkpoints over it, and asks witnesses to cosign them."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penelope.errors import ChainBroken, DependencyError, PenelopeError, WitnessRefused
from penelope.flow.log import Lag, LogStore, SignedCheckpoint
from penelope.kit.clock import Clock
from penelope.ledger.notes import Checkpoint, Note, open_checkpoint, sign_checkpoint, succeed
from penelope.ledger.ports import Signer, Verifier, Witness
from penelope.ledger.tiles import consistency, root, tiles_of_consistency, tiles_of_root

BATCH = 2048
"""Leaves a transaction: so many that its fixed costs hardly count, and so few that on SQLite, where one writes at a
time, nobody waits longer than some 10 ms for it."""

_BATCHES_A_ROUND = 16
"""After so many a checkpoint is signed, even if writers never stop."""

_log = logging.getLogger(__name__)


class LogKeys(Protocol):
    """The log's name and keys, and the last checkpoint that they signed, kept outside of the database."""

    @property
    def origin(self) -> str:
        """The log's name, which all its keys bear."""

    @property
    def signers(self) -> Sequence[Signer]:
        """The keys that sign now."""

    @property
    def verifiers(self) -> Sequence[Verifier]:
        """All keys that ever signed."""

    async def anchor(self) -> bytes | None:
        """The last note that was signed here."""

    async def remember(self, note: bytes) -> None:
        """Keeps a note as the last one, durably; never an older one than is kept."""


class LogObserver(Protocol):
    """Is told how the log stands; telemetry shows it."""

    def log_looked_at(self, size: int, lag: Lag) -> None:
        """The log has so many leaves, and is so far behind."""

    def checkpoint_signed(self, size: int) -> None:
        """A checkpoint was signed."""

    def witness_asked(self, witness: str, outcome: str) -> None:
        """A witness was asked: `cosigned`, `refused` or `unavailable`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogParts:
    """What the log is driven with."""

    store: LogStore
    keys: LogKeys
    witnesses: Sequence[Witness]
    observer: LogObserver
    clock: Clock


class Sequencer:
    """Any number of processes may run one: the store lets one at a time take entries in."""

    def __init__(self, parts: LogParts) -> None:
        self._parts = parts

    async def run(self, seconds: float) -> None:
        """Does its rounds, one each `seconds`, until cancelled."""
        while True:
            try:
                await self.round()
            except PenelopeError as error:
                _log.error("the log was not brought up to date: %s", error.message)
            except Exception:  # noqa: BLE001 - the database may be away for a moment; the next round tries again
                _log.exception("the log was not brought up to date")
            await asyncio.sleep(seconds)

    async def round(self) -> SignedCheckpoint | None:
        """Takes in what is new, signs what has grown, and has it witnessed; returns the newest checkpoint.

        Raises ChainBroken where the database no longer continues what was signed: nothing is signed then.
        """
        for _ in range(_BATCHES_A_ROUND):
            if not await self._take_in():
                break
        checkpoint = await self._sign()
        if checkpoint is not None:
            for witness in self._parts.witnesses:
                await self._ask(witness, checkpoint)
        size = await self._parts.store.size()
        self._parts.observer.log_looked_at(size, await self._parts.store.lag())
        return checkpoint

    async def _take_in(self) -> bool:
        """Whether there may be more."""
        done = await self._parts.store.integrate(BATCH)
        await asyncio.sleep(0)  # on SQLite nothing in here waits, and others want to write, too
        return done is not None and done.added == BATCH

    async def _sign(self) -> SignedCheckpoint | None:
        """Dying anywhere in here is harmless: the anchor is kept before the checkpoint is, and both before it is
        served, so that the next round finds what was signed and goes on from there.
        """
        store, keys = self._parts.store, self._parts.keys
        latest = await store.latest()
        before = await self._signed_last(latest)
        size = await store.size()  # asked last: another process may take more in at any time, but never less
        if size == 0 and before is None:
            return None
        after = Checkpoint(keys.origin, size, await self._root(size))
        succeed(before, after, await self._proof(0 if before is None else before.size, size))
        if latest is not None and latest.size == size:
            return latest
        note = await self._note(after)
        await keys.remember(note)
        checkpoint = SignedCheckpoint(
            size=size, root=after.root, note=note, signed_at=self._parts.clock.now()
        )
        await store.add_checkpoint(checkpoint)
        self._parts.observer.checkpoint_signed(size)
        return checkpoint

    async def _signed_last(self, latest: SignedCheckpoint | None) -> Checkpoint | None:
        """The greatest checkpoint that anybody may have seen: the store's, or the one remembered outside of it."""
        keys = self._parts.keys
        notes = [note for note in (latest.note if latest else None, await keys.anchor()) if note is not None]
        signed = [open_checkpoint(note, keys.verifiers) for note in notes]
        return max(signed, key=lambda checkpoint: checkpoint.size, default=None)

    async def _note(self, checkpoint: Checkpoint) -> bytes:
        """The checkpoint signed, once a size: what is remembered of this size but was not stored is taken again."""
        anchor = await self._parts.keys.anchor()
        if anchor is not None and Note.parse(anchor).text == checkpoint.text:
            return anchor
        return await sign_checkpoint(checkpoint, self._parts.keys.signers)

    async def _root(self, size: int) -> bytes:
        return root(await self._parts.store.tiles(tiles_of_root(size)), size)

    async def _proof(self, old: int, size: int) -> list[bytes]:
        if old == 0 or old >= size:
            return []
        return consistency(await self._parts.store.tiles(tiles_of_consistency(old, size)), old, size)

    async def _ask(self, witness: Witness, checkpoint: SignedCheckpoint) -> None:
        """A witness that does not answer is asked again in the next round."""
        store, observer = self._parts.store, self._parts.observer
        old = await store.cosigned(witness.name)
        if old >= checkpoint.size:  # another process may have been there with more
            return
        try:
            lines = await self._cosigned(witness, old, checkpoint)
        except WitnessRefused as error:
            observer.witness_asked(witness.name, "refused")
            _log.error("witness %s refused: %s", witness.name, error.message)
            return
        except DependencyError as error:
            observer.witness_asked(witness.name, "unavailable")
            _log.warning("witness %s does not answer: %s", witness.name, error.message)
            return
        for line in lines:
            await store.add_cosignature(checkpoint.size, witness.name, line, self._parts.clock.now())
        observer.witness_asked(witness.name, "cosigned")

    async def _cosigned(self, witness: Witness, old: int, checkpoint: SignedCheckpoint) -> list[str]:
        try:
            return await witness.add_checkpoint(old, await self._proof(old, checkpoint.size), checkpoint.note)
        except WitnessRefused as error:
            if error.size is None or error.size == old:
                raise
            if error.size > (size := await self._parts.store.size()):
                message = f"witness {witness.name} has seen {error.size} entries, but there are {size}"
                raise ChainBroken(message) from error
            if error.size > checkpoint.size:
                return []  # another process was there first
            proof = await self._proof(error.size, checkpoint.size)
            return await witness.add_checkpoint(error.size, proof, checkpoint.note)
