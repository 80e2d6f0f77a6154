"""The log's keys and its anchor, as the sequencer uses them: from a folder that may change while it runs."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from penelope.adapters.signers.anchor import Anchor
from penelope.adapters.signers.keyfolder import KeyFolder, load
from penelope.kit.clock import Clock
from penelope.ledger.ports import Signer, Verifier


class FolderKeys:
    """Fulfils flow's LogKeys. A rotation by another process is seen the next time that keys are asked for."""

    def __init__(self, folder: Path, origin: str, clock: Clock) -> None:
        """Makes the folder and its first key where there is none. Raises BadSettings for what cannot be used."""
        self._folder = folder
        self._origin = origin
        self._clock = clock
        self._anchor = Anchor(folder)
        self._loaded = load(folder, origin, clock.now())
        self._changed_at = 0  # read once more when first asked: the folder may have changed while it was read

    @property
    def origin(self) -> str:
        return self._origin

    @property
    def signers(self) -> Sequence[Signer]:
        return self._keys().signers

    @property
    def verifiers(self) -> Sequence[Verifier]:
        return self._keys().verifiers

    async def anchor(self) -> bytes | None:
        return self._anchor.read()  # a few hundred bytes, which the system has at hand

    async def remember(self, note: bytes) -> None:
        await asyncio.to_thread(self._anchor.remember, note)

    def _keys(self) -> KeyFolder:
        if (stamp := self._stamp()) != self._changed_at:
            self._loaded, self._changed_at = load(self._folder, self._origin, self._clock.now()), stamp
        return self._loaded

    def _stamp(self) -> int:
        return (self._folder / "keys.pub").stat().st_mtime_ns
