"""Takes history into the Merkle log, signs checkpoints over it, and asks witnesses to cosign them."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penelope.errors import PenelopeError, SignatureInvalid
from penelope.flow.cosigning import Cosigner, WitnessObserver
from penelope.flow.log import Lag, LogStore, SignedCheckpoint, proof
from penelope.kit.clock import Clock
from penelope.ledger.notes import Checkpoint, Note, open_checkpoint, sign_checkpoint, succeed
from penelope.ledger.ports import Signer, Verifier, Witness
from penelope.ledger.tiles import root, tiles_of_root

BATCH = 2048
"""Leaves a transaction: so many that its fixed costs hardly count, and so few that on SQLite, where one writes at a
time, nobody waits longer than some 10 ms for it."""

_BATCHES_A_ROUND = 16
"""After so many a checkpoint is signed, even if writers never stop."""

_STRANGE_KEYS = (
    "Hosts that share a database must share the folder ledger.keys, too. If this folder is meant to be a new one, "
    "name a new ledger.origin with it."
)

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


class LogObserver(WitnessObserver, Protocol):
    """Is told how the log stands; telemetry shows it."""

    def log_looked_at(self, size: int, lag: Lag) -> None:
        """The log has so many leaves, and is so far behind."""

    def checkpoint_signed(self, size: int) -> None:
        """A checkpoint was signed."""


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
        self._idle = [
            Cosigner(witness, parts.store, parts.observer, parts.clock) for witness in parts.witnesses
        ]
        """Those that ask nobody at this moment."""

    async def run(self, seconds: float) -> None:
        """Does its rounds, one each `seconds`, and has witnesses asked beside them, until cancelled: then all ends."""
        async with asyncio.TaskGroup() as beside:
            while True:
                checkpoint = await self._attempt()
                if checkpoint is not None:
                    self._have_cosigned(checkpoint, beside)
                await asyncio.sleep(seconds)

    async def round(self) -> SignedCheckpoint | None:
        """Takes in what is new and signs what has grown; returns the newest checkpoint.

        Raises ChainBroken where the database no longer continues what was signed, and SignatureInvalid where others
        have signed it: nothing is signed then.
        """
        try:
            checkpoint = await self._bring_up()
        except Exception:
            await self._look()  # what keeps the log from being signed must not hide how far behind it is
            raise
        await self._look()
        return checkpoint

    async def _attempt(self) -> SignedCheckpoint | None:
        try:
            return await self.round()
        except PenelopeError as error:
            _log.error("the log was not brought up to date: %s. %s", error.message, error.advice)
        except Exception:  # noqa: BLE001 - the database may be away for a moment; the next round tries again
            _log.exception("the log was not brought up to date")
        return None

    def _have_cosigned(self, checkpoint: SignedCheckpoint, beside: asyncio.TaskGroup) -> None:
        """A witness that still has not answered is asked in a later round, for what is newest then."""
        idle, self._idle = self._idle, []
        for cosigner in idle:
            beside.create_task(self._ask(cosigner, checkpoint))

    async def _ask(self, cosigner: Cosigner, checkpoint: SignedCheckpoint) -> None:
        """Whatever comes of it ends nothing else."""
        try:
            await cosigner.ask(checkpoint)
        except PenelopeError as error:
            _log.error("the log does not agree with its witness: %s. %s", error.message, error.advice)
        except Exception:  # noqa: BLE001 - the database may be away for a moment; the next round tries again
            _log.exception("witness %s was not asked", cosigner.name)
        finally:
            self._idle.append(cosigner)

    async def _bring_up(self) -> SignedCheckpoint | None:
        for _ in range(_BATCHES_A_ROUND):
            if not await self._take_in():
                break
        return await self._sign()

    async def _look(self) -> None:
        store = self._parts.store
        self._parts.observer.log_looked_at(await store.size(), await store.lag())

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
        signed = await self._signed(latest)
        size = await store.size()  # asked last: another process may take more in at any time, but never less
        if size == 0 and not signed:
            return None
        after = Checkpoint(keys.origin, size, await self._root(size))
        for before in signed:
            succeed(before, after, await proof(store, before.size, size))
        # There is one note of each size. Where a former log has signed this one, the next entry makes another.
        if await store.taken(size):
            return latest
        note = await self._note(after)
        await keys.remember(note)
        checkpoint = SignedCheckpoint(
            size=size, root=after.root, note=note, signed_at=self._parts.clock.now()
        )
        await store.add_checkpoint(checkpoint)
        self._parts.observer.checkpoint_signed(size)
        return checkpoint

    async def _signed(self, latest: SignedCheckpoint | None) -> list[Checkpoint]:
        """What others may have seen: the store's last checkpoint and the one remembered outside of it.

        Both, for a greater one in the store may be of a fork that somebody has put there with a copy of the keys.
        """
        keys = self._parts.keys
        anchor = await keys.anchor()
        signed = [] if anchor is None else [open_checkpoint(anchor, keys.verifiers)]
        if latest is not None and latest.note != anchor:
            signed.append(_opened(latest, keys))
        return signed

    async def _note(self, checkpoint: Checkpoint) -> bytes:
        """The checkpoint signed, once a size: what is remembered of this size but was not stored is taken again."""
        anchor = await self._parts.keys.anchor()
        if anchor is not None and Note.parse(anchor).text == checkpoint.text:
            return anchor
        return await sign_checkpoint(checkpoint, self._parts.keys.signers)

    async def _root(self, size: int) -> bytes:
        return root(await self._parts.store.tiles(tiles_of_root(size)), size)


def _opened(latest: SignedCheckpoint, keys: LogKeys) -> Checkpoint:
    try:
        return open_checkpoint(latest.note, keys.verifiers)
    except SignatureInvalid as error:
        message = (
            f"the keys of this host did not sign the stored checkpoint of {keys.origin} over {latest.size} entries: "
            f"{error.message}"
        )
        raise SignatureInvalid(message, hint=_STRANGE_KEYS) from error
