"""The log's keys in a folder: made at the first start, added to and retired, one private file each.

``KEYID.key`` holds a private key in the form of Go's sumdb/note; ``keys.pub`` lists all verifier keys there
ever were, a line each: ``VKEY added=TIME [retired=TIME]``. A key file that is not listed is taken up when the
folder is loaded: so ends a rotation that was interrupted, and so comes in a key that was made elsewhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from penelope.adapters.signers import folder as disk
from penelope.adapters.signers.ed25519 import Ed25519Signer, verifier
from penelope.errors import BadSettings
from penelope.kit.clock import timestamp
from penelope.ledger.notes import VerifierKey
from penelope.ledger.ports import Verifier

_LIST = "keys.pub"
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A line of the list: a verifier key and when it was added and retired (RFC 3339; None if it still signs)."""

    vkey: str
    added: str
    retired: str | None = None

    @property
    def key_id(self) -> str:
        return VerifierKey.parse(self.vkey).key_id

    @property
    def line(self) -> str:
        end = "" if self.retired is None else f" retired={self.retired}"
        return f"{self.vkey} added={self.added}{end}\n"


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """The folder as it was when it was loaded; `rotate` and `retire` return it as it is after them."""

    folder: Path
    origin: str
    signers: Sequence[Ed25519Signer]
    listed: Sequence[ListedKey]

    @property
    def verifiers(self) -> list[Verifier]:
        """All keys that ever signed for the log, for what retired keys have signed stays true."""
        return [verifier(each.vkey) for each in self.listed]

    def rotate(self, now: datetime) -> "KeyFolder":
        """Adds a key. The others go on signing, so that whoever does not know it yet still can verify."""
        with disk.locked(self.folder):
            _add_key(self.folder, self.origin)
            return _read(self.folder, self.origin, now)

    def retire(self, key_id: str, now: datetime) -> "KeyFolder":
        """Ends a key's signing for good and removes its private half; a retired key may be retired again.

        Raises BadSettings for a key that is not in the folder, and for the only one that signs.
        """
        with disk.locked(self.folder):
            present = _read(self.folder, self.origin, now)
            if key_id not in {each.key_id for each in present.listed}:
                raise BadSettings(f"{self.folder} lists no key {key_id}", hint=f"See {self.folder / _LIST}.")
            if [each.key_id for each in present.signers] == [key_id]:
                raise BadSettings(f"{key_id} is the only key that signs", hint="Rotate first: that adds one.")
            listed = [
                replace(each, retired=each.retired or timestamp(now)) if each.key_id == key_id else each
                for each in present.listed
            ]
            _write_list(self.folder, listed)
            disk.remove(_key_file(self.folder, key_id))
            return _read(self.folder, self.origin, now)


def load(folder: Path, origin: str, now: datetime) -> KeyFolder:
    """The keys of the log called `origin`; makes the folder and a first key where there is none.

    Of two processes that start at once, one makes the key and both get it. Raises BadSettings for a key that
    others may read, that is damaged, missing or another log's.
    """
    with disk.locked(folder):
        if not (folder / _LIST).exists() and not list(folder.glob("*.key")):
            _add_key(folder, origin)
        return _read(folder, origin, now)


def _read(folder: Path, origin: str, now: datetime) -> KeyFolder:
    """The folder's keys, after the list was completed; call it with the folder locked."""
    listed = _read_list(folder / _LIST, origin)
    retired = {each.key_id for each in listed if each.retired is not None}
    files = [file for file in sorted(folder.glob("*.key")) if file.stem not in retired]
    signers = {signer.key_id: signer for signer in (_read_key(file, origin) for file in files)}
    known = {each.key_id for each in listed}
    if new := [ListedKey(signers[each].vkey, timestamp(now)) for each in signers if each not in known]:
        listed += new
        _write_list(folder, listed)
    return KeyFolder(folder, origin, _in_order(folder, listed, signers), listed)


def _in_order(
    folder: Path, listed: Sequence[ListedKey], signers: Mapping[str, Ed25519Signer]
) -> list[Ed25519Signer]:
    active = [each.key_id for each in listed if each.retired is None]
    for key_id in active:
        if key_id not in signers:
            raise BadSettings(
                f"{_key_file(folder, key_id)} is missing",
                hint=f"Restore it from a backup, or write retired=TIME behind it in {folder / _LIST}.",
            )
    if not active:
        raise BadSettings(f"{folder} holds no key that signs", hint="Restore the folder from a backup.")
    return [signers[key_id] for key_id in active]


def _add_key(folder: Path, origin: str) -> None:
    signer = Ed25519Signer.generate(origin)
    disk.replace(_key_file(folder, signer.key_id), f"{signer.secret}\n".encode())


def _key_file(folder: Path, key_id: str) -> Path:
    return folder / f"{key_id}.key"


def _read_key(file: Path, origin: str) -> Ed25519Signer:
    if file.stat().st_mode & _OTHERS:
        raise BadSettings(
            f"others may read {file}", hint=f"Run `chmod 600 {file}`, then rotate: it may be known."
        )
    try:
        signer = Ed25519Signer.parse(file.read_text(encoding="utf-8").removesuffix("\n"))
    except (BadSettings, UnicodeDecodeError) as error:
        raise BadSettings(f"{file} is damaged", hint="Restore it from a backup.") from error
    if signer.name != origin:
        raise BadSettings(
            f"{file} is a key of {signer.name}, but the log is called {origin}",
            hint="A log keeps its name for life: correct the setting, or use another folder for another log.",
        )
    if file.stem != signer.key_id:
        raise BadSettings(f"{file} holds the key {signer.key_id}", hint=f"Call it {signer.key_id}.key.")
    return signer


def _read_list(file: Path, origin: str) -> list[ListedKey]:
    if not file.exists():
        return []
    try:
        return [_read_line(line, origin) for line in file.read_text(encoding="utf-8").splitlines()]
    except (BadSettings, ValueError) as error:
        raise BadSettings(f"{file} is damaged: {error}", hint="Restore it from a backup.") from error


def _read_line(line: str, origin: str) -> ListedKey:
    vkey, *words = line.split(" ")
    dates = dict(word.split("=", 1) for word in words)
    if verifier(vkey).name != origin:
        raise BadSettings(f"it lists a key that is not of {origin}")
    for date in dates.values():
        datetime.fromisoformat(date)
    if not {"added"} <= dates.keys() <= {"added", "retired"}:
        raise ValueError("a line says when a key was added and when it was retired, and no more")
    return ListedKey(vkey, dates["added"], dates.get("retired"))


def _write_list(folder: Path, listed: Sequence[ListedKey]) -> None:
    disk.replace(folder / _LIST, "".join(each.line for each in listed).encode())
