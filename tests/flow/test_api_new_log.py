"""The runbook of docs/database.md: a restored backup goes on as a new log, and everything holds again."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from doorstep import Doorstep, settings

from penelope.flow.integrity import Sweep
from penelope.ledger import receipt
from penelope.ledger.notes import Checkpoint, Note


def named(folder: Path, number: int) -> Doorstep:
    ledger = {
        "origin": f"log.example.com/{number}",
        "keys": f"ledger-keys-{number}",
        "checkpoint_seconds": 0.05,
        "archive": "archive",
    }
    return Doorstep(settings(folder, ledger=ledger))


def escalated(door: Doorstep, name: str) -> str:
    """An incident that is at its end."""
    incident = door.open(id=name, type=name)
    door.wait_for(incident, "escalated")
    return incident


def signed(door: Doorstep) -> Checkpoint:
    """The checkpoint that is served, once all there is was signed."""
    door.until(
        lambda: door.get("/api/v1/ledger/stats"),
        lambda stats: stats["checkpoint"] is not None and stats["checkpoint"]["size"] == stats["entries"],
    )
    return Checkpoint.parse(Note.parse(door.ask("GET", "/log/checkpoint", key=None).content).text)


def proven(door: Doorstep, incident: str) -> receipt.Story:
    answer = door.ask("GET", f"/api/v1/incidents/{incident}/receipt")
    assert answer.status_code == 200, answer.text
    return receipt.check(receipt.parse(answer.content), door.running.log_keys.verifiers)


def swept(door: Doorstep) -> Sweep:
    found: Sweep = door.run(door.running.sweep.sweep())
    return found


def copied(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for file in source.glob("*.db*"):
        shutil.copy(file, target)


def emptied(folder: Path) -> None:
    for file in folder.glob("*.db*"):
        file.unlink()


def test_a_restored_backup_goes_on_as_a_new_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    backup = tmp_path / "backup"
    with named(tmp_path, 1) as door:
        before = escalated(door, "Before")
        old = signed(door)
    copied(tmp_path, backup)
    with named(tmp_path, 1) as door:
        escalated(door, "Lost")
        assert signed(door).size > old.size
    emptied(tmp_path)
    copied(backup, tmp_path)

    with named(tmp_path, 1) as door:  # under its old name it is noticed, and not gone on with
        door.until(lambda: caplog.text, lambda text: "entries when it was last signed, and now" in text)
        answer: Any = door.get("/api/v1/ledger/verify")
        assert not answer["ok"]
    emptied(tmp_path)
    copied(backup, tmp_path)

    with named(tmp_path, 2) as door:
        assert door.get("/api/v1/ledger/verify")["ok"]
        after = escalated(door, "After")
        new = signed(door)
        assert (new.origin, old.origin) == ("log.example.com/2", "log.example.com/1")
        assert new.size > old.size
        for incident in (before, after):
            assert proven(door, incident).checkpoint.origin == new.origin
        assert door.get("/api/v1/ledger/verify")["flaws"] == []
        assert swept(door).count == 0
        note = door.get("/api/v1/ledger/checkpoint")["note"]
        assert door.ask("POST", "/api/v1/ledger/verify", content=note).json()["ok"]
    with named(tmp_path, 2) as door:  # and so it stays
        escalated(door, "Later")
        assert signed(door).size > new.size
        assert swept(door).count == 0
