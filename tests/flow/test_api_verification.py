"""Verifying through the server and without one, against a checkpoint kept elsewhere; a unit's state and history."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from doorstep import Doorstep, settings
from owner import unguarded
from typer.testing import CliRunner, Result

from penelope.adapters.signers.ed25519 import Ed25519Signer
from penelope.entry.cli.main import app
from penelope.flow import integrity

FILE = """\
database: {url: "sqlite:///penelope.db"}
catalogue: {path: services.yaml}
ledger: {keys: ledger-keys}
"""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Doorstep]:
    with Doorstep(settings(tmp_path)) as door:
        yield door


@pytest.fixture
def incident(door: Doorstep) -> str:
    opened = door.open(id="walk", type="Walk")
    door.wait_for(opened, "escalated")
    return opened


def checkpoint(door: Doorstep) -> str:
    """The newest checkpoint, once all there is was taken in."""
    entries = door.kept()[0]
    signed = door.until(
        lambda: door.run(door.running.log.latest()), lambda found: found is not None and found.size >= entries
    )
    return str(signed.note.decode())


def command(folder: Path, *arguments: str) -> Result:
    (folder / "penelope.yaml").write_text(FILE)
    return CliRunner(env={"COLUMNS": "80"}).invoke(
        app, ["--config", str(folder / "penelope.yaml"), "ledger", *arguments]
    )


@pytest.mark.usefixtures("incident")
def test_it_is_held_against_a_checkpoint(door: Doorstep) -> None:
    note = checkpoint(door)
    answer = door.ask("POST", "/api/v1/ledger/verify", content=note).json()
    assert (answer["ok"], answer["flaws"]) == (True, [])
    assert answer["size"] >= int(note.splitlines()[1])
    strange = note.replace(note.splitlines()[1], "1000", 1)
    door.problem(400, "invalid_request", lambda: door.ask("POST", "/api/v1/ledger/verify", content=strange))
    door.problem(413, "too_large", lambda: door.ask("POST", "/api/v1/ledger/verify", content="x" * 200_000))


def test_a_units_state_and_history(door: Doorstep, incident: str) -> None:
    state = door.get(f"/api/v1/ledger/units/{incident}/state")
    assert (state["unit"], state["ok"], state["paths"], state["flaws"]) == (incident, True, [], [])
    first = door.get(f"/api/v1/ledger/units/{incident}/history?limit=1")
    assert [entry["version"] for entry in first["entries"]] == [1]
    rest = door.get(f"/api/v1/ledger/units/{incident}/history?after={first['next']}")
    assert [entry["version"] for entry in rest["entries"]] == list(range(2, state["version"] + 1))
    assert rest["next"] is None
    for what in ("state", "history"):
        path = f"/api/v1/ledger/units/nowhere/{what}"
        door.problem(404, "unknown_incident", lambda path=path: door.ask("GET", path))


@pytest.mark.parametrize("what", ["state", "history"])
def test_an_id_that_no_database_may_be_asked_for_is_refused(door: Doorstep, what: str) -> None:
    path = f"/api/v1/ledger/units/a%00b/{what}"
    problem = door.problem(400, "invalid_request", lambda: door.ask("GET", path))
    assert "path id" in problem["detail"]


def test_a_head_that_cannot_be_read_is_told(door: Doorstep, tmp_path: Path) -> None:
    with unguarded(tmp_path / "penelope.db") as database:
        database.exec_driver_sql("ALTER TABLE log_state RENAME TO moved")
    answer = door.get("/api/v1/ledger/verify")
    with unguarded(tmp_path / "penelope.db") as database:
        database.exec_driver_sql("ALTER TABLE moved RENAME TO log_state")
    assert (answer["ok"], answer["size"], answer["root"]) == (False, 0, "")
    assert "cannot be read any more: no such table: log_state" in [
        flaw["problem"] for flaw in answer["flaws"]
    ]
    assert door.get("/api/v1/ledger/verify")["ok"] is True


def test_who_asks_during_a_walk_is_told_to_come_back(door: Doorstep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_PATIENCE_SECONDS", 0.01)
    door.run(door.running.sweep._turn.acquire())
    for method, path in (("GET", "verify"), ("POST", "sweep")):
        told = door.problem(
            503,
            "unavailable",
            lambda method=method, path=path: door.ask(method, f"/api/v1/ledger/{path}"),
        )
        assert told["retryable"] is True
    door.running.sweep._turn.release()
    assert door.get("/api/v1/ledger/verify")["ok"] is True


def test_a_history_says_what_was_erased(door: Doorstep, incident: str, tmp_path: Path) -> None:
    path = f"/api/v1/ledger/units/{incident}/history"
    before = door.get(path)["entries"]
    assert {entry["erased"] for entry in before} == {False}
    with unguarded(tmp_path / "penelope.db") as database:
        database.exec_driver_sql("DELETE FROM history_payloads WHERE version = 1")
    first, *rest = door.get(path)["entries"]
    assert (first["erased"], first["actor"], first["reason"], first["details"]) == (True, "", "", {})
    assert rest == before[1:]


@pytest.mark.usefixtures("incident")
def test_it_is_verified_without_a_server(door: Doorstep, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text(checkpoint(door))
    (key,) = door.running.log_keys.verifiers
    assert command(tmp_path, "verify", "--offline").exit_code == 0
    whole = command(tmp_path, "verify", "--offline", "--vkey", key.vkey, "--checkpoint", str(kept), "--json")
    assert json.loads(whole.stdout)["ok"] is True
    kept.write_text(kept.read_text().replace("\n", "\n1", 1))
    forged = command(tmp_path, "verify", "--offline", "--checkpoint", str(kept))
    assert (forged.exit_code, forged.stdout) == (1, "")
    assert "does not fit" in forged.stderr
    assert "--offline" in command(tmp_path, "verify", "--vkey", key.vkey).stderr
    assert "cannot be read" in command(tmp_path, "verify", "--checkpoint", str(tmp_path / "none")).stderr


@pytest.mark.usefixtures("incident")
def test_without_a_server_a_bad_anchor_is_one_flaw_more(door: Doorstep, tmp_path: Path) -> None:
    checkpoint(door)
    anchor = tmp_path / "ledger-keys" / "anchor"
    door.until(anchor.exists, bool)
    lines = anchor.read_text().splitlines(keepends=True)
    anchor.write_text("".join([lines[0], "9999\n", *lines[2:]]))
    found = command(tmp_path, "verify", "--offline", "--json")
    assert found.exit_code == 1
    (flaw,) = json.loads(found.stdout)["flaws"]
    assert flaw["problem"].startswith("the checkpoint beside its keys cannot be used")


def test_there_is_nothing_to_verify(tmp_path: Path) -> None:
    (tmp_path / "ledger-keys").mkdir(mode=0o700)
    assert "there are no keys" in command(tmp_path, "verify", "--offline").stderr
    assert not list((tmp_path / "ledger-keys").iterdir())
    stranger = Ed25519Signer.generate("log.example/stranger").vkey
    assert "there is no file" in command(tmp_path, "verify", "--offline", "--vkey", stranger).stderr
    assert not (tmp_path / "penelope.db").exists()
