"""Keys in a folder and the anchor beside them: shared, rotated, retired, killed in the middle, damaged."""

import asyncio
import multiprocessing
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from penelope.adapters.signers.anchor import Anchor
from penelope.adapters.signers.ed25519 import Ed25519Signer, verifier
from penelope.adapters.signers.keyfolder import KeyFolder, load
from penelope.errors import BadSettings, ChainBroken, SignatureInvalid
from penelope.ledger.notes import (
    ED25519,
    Checkpoint,
    Note,
    VerifierKey,
    open_checkpoint,
    sign_checkpoint,
    verify,
)

ORIGIN = "log.example/penelope"
NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=30)


def checkpoint(size: int, origin: str = ORIGIN, root: int = 1) -> Checkpoint:
    return Checkpoint(origin, size, bytes([root]) * 32)


def signed(keys: KeyFolder, size: int = 5) -> bytes:
    return asyncio.run(sign_checkpoint(checkpoint(size), keys.signers))


def key_ids(keys: KeyFolder) -> list[str]:
    return [each.key_id for each in keys.signers]


# --- Ed25519 ----------------------------------------------------------------------------------------------


def test_a_signer_is_written_as_it_was_read() -> None:
    signer = Ed25519Signer.generate(ORIGIN)
    again = Ed25519Signer.parse(signer.secret)
    assert (again.name, again.key_id, again.vkey) == (ORIGIN, signer.key_id, signer.vkey)
    signature = asyncio.run(again.sign(b"message"))
    key = verifier(signer.vkey)
    assert key.verify(b"message", signature)
    assert not key.verify(b"messages", signature)
    assert not key.verify(b"message", signature[:-1])
    assert not key.verify(b"message", signature + b"\0")


SECRET = "PRIVATE+KEY+log.example/penelope+e1cbba1d+AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"


@pytest.mark.parametrize(
    "secret",
    [
        "",
        SECRET.removeprefix("PRIVATE+"),
        SECRET.replace("e1cbba1d", "e1cbba1e"),
        SECRET.replace(ORIGIN, "log.example/other"),
        SECRET.replace(ORIGIN, ""),
        SECRET.removesuffix("AQEB"),
        SECRET.replace("+AQEB", "+AgEB"),
        SECRET.removesuffix("B") + "C",
        f"{SECRET}\n",
    ],
)
def test_a_damaged_private_key_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(BadSettings) as refused:
        Ed25519Signer.parse(secret)
    assert "AQEB" not in f"{refused.value.message} {refused.value.advice}"


@pytest.mark.parametrize("name", ["", "log example", "log+example", "log\n"])
def test_a_name_that_no_note_can_hold_is_refused(name: str) -> None:
    with pytest.raises(BadSettings, match="cannot name a key"):
        Ed25519Signer.generate(name)


def test_a_key_under_which_anybody_can_sign_is_refused() -> None:
    identity = (1).to_bytes(32, "little")
    # The library itself takes this forgery for good: R the neutral point, S zero.
    Ed25519PublicKey.from_public_bytes(identity).verify(identity + bytes(32), b"whatever")
    with pytest.raises(BadSettings, match="no good Ed25519 key"):
        verifier(VerifierKey(ORIGIN, ED25519, identity).text)


@pytest.mark.parametrize(
    "public",
    [
        bytes(32),
        (2**255 - 20).to_bytes(32, "little"),
        (2**255 - 18).to_bytes(32, "little"),
        (1 + 2**255).to_bytes(32, "little"),
        bytes([1]) * 31,
        bytes([1]) * 33,
    ],
)
def test_a_public_key_that_is_none_is_refused(public: bytes) -> None:
    with pytest.raises(BadSettings, match="no good Ed25519 key"):
        verifier(VerifierKey(ORIGIN, ED25519, public).text)


def test_a_key_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(BadSettings, match="of type 6"):
        verifier(VerifierKey(ORIGIN, 6, bytes(1312)).text)


# --- the folder -------------------------------------------------------------------------------------------


def test_the_first_start_makes_a_private_key(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "keys"
    keys = load(folder, ORIGIN, NOW)
    (signer,) = keys.signers
    file = folder / f"{signer.key_id}.key"
    assert file.read_text() == f"{signer.secret}\n"
    assert (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert (folder / "keys.pub").read_text() == f"{signer.vkey} added=2026-11-21T07:00:00.000000Z\n"
    assert load(folder, ORIGIN, LATER).listed == keys.listed
    assert open_checkpoint(signed(keys), keys.verifiers) == checkpoint(5)


def _first_key(folder: Path, start: Barrier) -> list[str]:
    start.wait(60)
    return key_ids(load(folder, ORIGIN, NOW))


def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    # Spawned, since a fork of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(2, mp_context=context) as pool:
        start = manager.Barrier(2)
        found = [pool.submit(_first_key, tmp_path / "keys", start) for _ in range(2)]
        first, second = (each.result(60) for each in found)
    assert first == second
    assert len(first) == 1


def test_after_a_rotation_old_and_new_sign(tmp_path: Path) -> None:
    before = load(tmp_path, ORIGIN, NOW)
    after = before.rotate(LATER)
    assert key_ids(after)[:1] == key_ids(before)
    assert len(set(key_ids(after))) == 2
    raw = signed(after)
    for key in after.verifiers:
        assert open_checkpoint(raw, [key]) == checkpoint(5)
    assert [each.added for each in after.listed] == [
        "2026-11-21T07:00:00.000000Z",
        "2026-12-21T07:00:00.000000Z",
    ]
    again = load(tmp_path, ORIGIN, LATER)
    assert (key_ids(again), again.listed) == (key_ids(after), after.listed)


def test_a_retired_key_signs_no_more_and_still_verifies(tmp_path: Path) -> None:
    first = load(tmp_path, ORIGIN, NOW)
    (old,) = key_ids(first)
    raw = signed(first)
    rotated = first.rotate(NOW)
    (new,) = set(key_ids(rotated)) - {old}
    retired = rotated.retire(old, LATER)
    assert key_ids(retired) == key_ids(load(tmp_path, ORIGIN, LATER)) == [new]
    assert not (tmp_path / f"{old}.key").exists()
    assert [each.retired for each in retired.listed] == ["2026-12-21T07:00:00.000000Z", None]
    assert open_checkpoint(raw, retired.verifiers) == checkpoint(5)
    signatures = verify(Note.parse(signed(retired)), retired.verifiers)
    assert [each.key_id for each in signatures] == [new]
    assert retired.retire(old, LATER + timedelta(1)).listed == retired.listed
    with pytest.raises(BadSettings, match="only key that signs"):
        retired.retire(new, LATER)
    with pytest.raises(BadSettings, match="lists no key ffffffff"):
        retired.retire("ffffffff", LATER)


def test_a_retired_key_whose_file_is_still_there_signs_no_more(tmp_path: Path) -> None:
    keys = load(tmp_path, ORIGIN, NOW).rotate(NOW)
    old, new = keys.signers
    kept = tmp_path / f"{old.key_id}.key"
    secret = kept.read_bytes()
    keys.retire(old.key_id, LATER)
    kept.write_bytes(secret)
    assert key_ids(load(tmp_path, ORIGIN, LATER)) == [new.key_id]


def test_a_key_that_is_not_listed_is_taken_up(tmp_path: Path) -> None:
    keys = load(tmp_path, ORIGIN, NOW)
    brought = Ed25519Signer.generate(ORIGIN)
    file = tmp_path / f"{brought.key_id}.key"
    file.touch(0o600)
    file.write_text(f"{brought.secret}\n")
    assert key_ids(load(tmp_path, ORIGIN, LATER)) == [*key_ids(keys), brought.key_id]
    (tmp_path / "keys.pub").unlink()
    assert set(key_ids(load(tmp_path, ORIGIN, LATER))) == {*key_ids(keys), brought.key_id}


def _rename(folder: Path, key: Path) -> None:
    key.rename(folder / "00000000.key")


@pytest.mark.parametrize(
    ("harm", "message", "hint"),
    [
        (lambda _, key: key.chmod(0o640), "others may read", "chmod 600"),
        (lambda _, key: key.chmod(0o604), "others may read", "chmod 600"),
        (lambda _, key: key.write_text(""), "is damaged", "backup"),
        (lambda _, key: key.write_bytes(b"\xff\xfe"), "is damaged", "backup"),
        (lambda _, key: key.write_text(key.read_text()[:-5]), "is damaged", "backup"),
        (lambda _, key: key.write_text(key.read_text() * 2), "is damaged", "backup"),
        (lambda _, key: key.unlink(), "is missing", "backup"),
        (_rename, "holds the key", "Call it"),
        (lambda folder, _: (folder / "keys.pub").write_text("nonsense\n"), "is damaged", "backup"),
        (lambda folder, _: (folder / "keys.pub").write_bytes(b"\xff\n"), "is damaged", "backup"),
    ],
)
def test_a_damaged_folder_is_refused_with_a_hint(
    tmp_path: Path, harm: Callable[[Path, Path], None], message: str, hint: str
) -> None:
    (signer,) = load(tmp_path, ORIGIN, NOW).signers
    harm(tmp_path, tmp_path / f"{signer.key_id}.key")
    with pytest.raises(BadSettings, match=message) as refused:
        load(tmp_path, ORIGIN, NOW)
    assert hint in refused.value.advice


@pytest.mark.parametrize(
    "end", ["", " added=yesterday", " added=2026-11-21 more", " removed=2026-11-21", " retired=2026-11-21"]
)
def test_a_damaged_line_of_the_list_is_refused(tmp_path: Path, end: str) -> None:
    (signer,) = load(tmp_path, ORIGIN, NOW).signers
    (tmp_path / "keys.pub").write_text(f"{signer.vkey}{end}\n")
    with pytest.raises(BadSettings, match=r"keys\.pub is damaged"):
        load(tmp_path, ORIGIN, NOW)


def test_the_keys_of_another_log_are_refused(tmp_path: Path) -> None:
    (signer,) = load(tmp_path, "log.example/other", NOW).signers
    with pytest.raises(BadSettings, match=f"not of {ORIGIN}"):
        load(tmp_path, ORIGIN, NOW)
    (tmp_path / "keys.pub").unlink()
    with pytest.raises(BadSettings, match=r"is a key of log\.example/other"):
        load(tmp_path, ORIGIN, NOW)
    assert key_ids(load(tmp_path, "log.example/other", NOW)) == [signer.key_id]


def test_a_folder_whose_keys_were_all_retired_by_hand_signs_nothing(tmp_path: Path) -> None:
    load(tmp_path, ORIGIN, NOW)
    file = tmp_path / "keys.pub"
    file.write_text(file.read_text().replace("\n", " retired=2026-11-22\n"))
    with pytest.raises(BadSettings, match="no key that signs"):
        load(tmp_path, ORIGIN, NOW)


# --- the anchor -------------------------------------------------------------------------------------------

KEY = Ed25519Signer.parse(SECRET)


def note(size: int, root: int = 1, key: Ed25519Signer = KEY) -> bytes:
    return asyncio.run(sign_checkpoint(checkpoint(size, key.name, root), [key]))


def test_the_anchor_goes_forwards_only(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "keys")
    assert anchor.read() is None
    for size, kept in [(5, 5), (7, 7), (6, 7), (0, 7), (7, 7), (8, 8)]:
        anchor.remember(note(size))
        assert Anchor(tmp_path / "keys").read() == note(kept)
    assert (tmp_path / "keys" / "anchor").stat().st_mode & 0o777 == 0o600


def test_the_latest_signatures_on_the_same_log_are_kept(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path)
    anchor.remember(note(5))
    again = note(5, key=Ed25519Signer.generate(ORIGIN))
    anchor.remember(again)
    assert anchor.read() == again


def test_the_anchor_refuses_what_contradicts_it(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path)
    anchor.remember(note(5))
    with pytest.raises(ChainBroken, match="two different logs of 5"):
        anchor.remember(note(5, root=2))
    with pytest.raises(ChainBroken, match="not of other"):
        anchor.remember(note(9, key=Ed25519Signer.generate("other.example")))
    with pytest.raises(SignatureInvalid):
        anchor.remember(b"no note")
    assert anchor.read() == note(5)


def test_a_damaged_anchor_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "anchor").write_bytes(b"")
    with pytest.raises(BadSettings, match="anchor is damaged") as refused:
        Anchor(tmp_path).remember(note(5))
    assert "backup" in refused.value.advice
    assert Anchor(tmp_path).read() == b""


def _remember(folder: Path, sizes: list[int]) -> None:
    for size in sizes:
        Anchor(folder).remember(note(size))


def test_two_processes_and_threads_share_the_anchor(tmp_path: Path) -> None:
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            raw = Anchor(tmp_path).read()
            seen.append(0 if raw is None else Checkpoint.parse(Note.parse(raw).text).size)

    with (
        ThreadPoolExecutor() as threads,
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as processes,
    ):
        watching = threads.submit(watch)
        work = [processes.submit(_remember, tmp_path, list(range(start, 80, 2))) for start in (1, 2)]
        work += [threads.submit(_remember, tmp_path, list(range(start, 80, 3))) for start in (1, 2)]
        try:
            for each in work:
                each.result(60)
        finally:
            over.set()
        watching.result(60)
    assert seen == sorted(seen)
    assert Checkpoint.parse(Note.parse(Anchor(tmp_path).read() or b"").text).size == 79


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from penelope.adapters.signers.anchor import Anchor
from penelope.adapters.signers.keyfolder import load

folder, after = Path(sys.argv[1]), int(sys.argv[2])
rename, count = Path.rename, 0

def rename_or_die(self, target):
    global count
    if count == after:
        os.kill(os.getpid(), signal.SIGKILL)
    count += 1
    return rename(self, target)

Path.rename = rename_or_die
now = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
keys = load(folder, "log.example/penelope", now).rotate(now)
Anchor(folder).remember(sys.stdin.buffer.read())
keys.retire(keys.signers[0].key_id, now)
"""
RENAMES = 6
"""Two for the first key and the list, two for the rotation, the anchor, and the list without the retired key."""


@pytest.mark.parametrize("after", range(RENAMES + 1))
def test_a_kill_between_writing_aside_and_renaming_is_harmless(tmp_path: Path, after: int) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(after)]
    run = subprocess.run(command, input=note(9), check=False, timeout=60)
    assert run.returncode == (-signal.SIGKILL if after < RENAMES else 0)
    keys = load(tmp_path, ORIGIN, NOW)
    # At least what was finished is there, nothing that is there is damaged, and the lock is free.
    assert len(keys.signers) == (1 if after < 3 or after == RENAMES else 2)
    assert open_checkpoint(signed(keys), keys.verifiers) == checkpoint(5)
    assert Anchor(tmp_path).read() == (note(9) if after > 4 else None)
    Anchor(tmp_path).remember(note(10))
    assert Anchor(tmp_path).read() == note(10)
