"""The last signed checkpoint, kept beside the keys: what shows that a database was put back to an older state."""

from pathlib import Path

from penelope.adapters.signers.folder import locked, replace
from penelope.errors import BadSettings, ChainBroken, SignatureInvalid
from penelope.ledger.notes import Checkpoint, Note


class Anchor:
    """One file in the folder of the keys, which several processes may share; it never goes back.

    Both methods wait for the disk: an event loop calls them in a thread. What is read is as trustworthy as
    the folder; open it with the log's keys all the same.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "anchor"

    def read(self) -> bytes | None:
        """The signed note of the largest checkpoint that was remembered; None if there never was one."""
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return None

    def remember(self, note: bytes) -> None:
        """Keeps a signed checkpoint, unless a larger one is kept already.

        Raises SignatureInvalid for what is no checkpoint, ChainBroken for another root of the same size or
        another log's checkpoint, and BadSettings if the file is damaged.
        """
        after = _checkpoint(note)
        with locked(self._file.parent):
            before = self._read_checkpoint()
            if before is None or _follows(before, after):
                replace(self._file, note)

    def _read_checkpoint(self) -> Checkpoint | None:
        note = self.read()
        try:
            return None if note is None else _checkpoint(note)
        except SignatureInvalid as error:
            raise BadSettings(
                f"{self._file} is damaged: {error.message}",
                hint="Restore it from a backup; only a checkpoint kept elsewhere can take its place.",
            ) from error


def _checkpoint(note: bytes) -> Checkpoint:
    return Checkpoint.parse(Note.parse(note).text)


def _follows(before: Checkpoint, after: Checkpoint) -> bool:
    if after.origin != before.origin:
        raise ChainBroken(f"the anchor is of {before.origin}, not of {after.origin}")
    if after.size == before.size and after.root != before.root:
        raise ChainBroken(f"two different logs of {after.size} entries were signed")
    return after.size >= before.size
