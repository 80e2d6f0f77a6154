"""The log's keys as the sequencer uses them: from a folder that another process may change meanwhile."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from penelope.adapters.signers import logkeys
from penelope.adapters.signers.keyfolder import KeyFolder, load
from penelope.adapters.signers.logkeys import FolderKeys
from penelope.errors import BadSettings, ChainBroken
from penelope.kit.clock import SystemClock
from penelope.ledger.notes import Checkpoint, sign_checkpoint

ORIGIN = "log.example/penelope"
NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def opened(folder: Path) -> FolderKeys:
    return FolderKeys(folder, ORIGIN, SystemClock())


def note(keys: FolderKeys, size: int, root: int = 1) -> bytes:
    return asyncio.run(sign_checkpoint(Checkpoint(ORIGIN, size, bytes([root]) * 32), keys.signers))


def ids(keys: FolderKeys) -> tuple[list[str], list[str]]:
    return [each.key_id for each in keys.signers], [each.key_id for each in keys.verifiers]


def test_a_first_key_is_made_and_found_again(tmp_path: Path) -> None:
    keys = opened(tmp_path / "keys")
    assert keys.origin == ORIGIN
    (signer,), (known,) = ids(keys)
    assert signer == known
    assert ids(opened(tmp_path / "keys")) == ([signer], [signer])


def test_rotation_and_retirement_by_another_process_are_seen(tmp_path: Path) -> None:
    keys = opened(tmp_path)
    (first,), _ = ids(keys)
    both = load(tmp_path, ORIGIN, NOW).rotate(NOW)
    second = next(each.key_id for each in both.signers if each.key_id != first)
    assert sorted(ids(keys)[0]) == sorted(ids(keys)[1]) == sorted([first, second])
    both.retire(first, NOW)
    assert ids(keys)[0] == [second]
    assert sorted(ids(keys)[1]) == sorted([first, second])


def test_a_rotation_while_the_folder_was_read_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_slowly(folder: Path, origin: str, now: datetime) -> KeyFolder:
        found = load(folder, origin, now)
        if len(found.signers) == 1:
            found.rotate(now)
        return found

    monkeypatch.setattr(logkeys, "load", load_slowly)
    keys = opened(tmp_path)
    assert len(keys.signers) == 2


def test_keys_are_read_again_only_when_they_changed(tmp_path: Path) -> None:
    keys = opened(tmp_path)
    assert keys.signers is keys.signers
    before = keys.signers
    load(tmp_path, ORIGIN, NOW)
    assert keys.signers is before


def test_the_anchor_is_kept_beside_the_keys_and_never_goes_back(tmp_path: Path) -> None:
    keys = opened(tmp_path)
    small, great = note(keys, 3), note(keys, 8)
    assert asyncio.run(keys.anchor()) is None
    for each in (small, great, small):
        asyncio.run(keys.remember(each))
    assert asyncio.run(keys.anchor()) == great
    assert asyncio.run(opened(tmp_path).anchor()) == great
    with pytest.raises(ChainBroken, match="two different logs of 8 entries"):
        asyncio.run(keys.remember(note(keys, 8, root=2)))


def test_another_log_does_not_get_these_keys(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(BadSettings, match=r"not of other\.example/log"):
        FolderKeys(tmp_path, "other.example/log", SystemClock())
