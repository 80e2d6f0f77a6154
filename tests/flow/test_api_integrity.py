"""Sweeping over HTTP, what lives here, and errors and losses of telemetry that end in the database."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from doorstep import Doorstep, event, settings
from owner import unguarded
from sqlalchemy import create_engine

from penelope.adapters.signers.keyfolder import load
from penelope.bootstrap import parts
from penelope.domain.gate import RuleVerdict
from penelope.errors import BadSettings
from penelope.flow.keys import Scope
from penelope.kit.clock import SystemClock
from penelope.rooms.gate.rules import Request
from penelope.store import guards
from penelope.testing.witness import FakeWitness, served


def tamper(folder: Path, unit: str, word: str) -> None:
    with unguarded(folder / "penelope.db") as database:
        change = "UPDATE units_of_work SET attributes = replace(attributes, 'Odd', ?) WHERE id = ?"
        assert database.exec_driver_sql(change, (word, unit)).rowcount == 1


def sweep(door: Doorstep) -> dict[str, Any]:
    answer = door.ask("POST", "/api/v1/ledger/sweep")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def logged(folder: Path) -> list[dict[str, Any]]:
    with sqlite3.connect(folder / "penelope.db") as database:
        database.row_factory = sqlite3.Row
        found = [dict(row) for row in database.execute("SELECT * FROM interaction_logs ORDER BY seq")]
    database.close()
    return found


# --- sweeping ---------------------------------------------------------------------------------------------


def test_what_fits_makes_no_incident(tmp_path: Path) -> None:
    with Doorstep(settings(tmp_path)) as door:
        door.wait_for(door.open(), "escalated")
        before = door.kept()
        assert sweep(door) == {"count": 0, "flaws": [], "incident": None}
        assert door.kept() == before


def test_drift_is_one_incident_that_people_get(tmp_path: Path) -> None:
    with Doorstep(settings(tmp_path)) as door:
        units = [door.open(id=f"e-{n}", subject=f"shop-{n}") for n in range(2)]
        for unit in units:
            door.wait_for(unit, "escalated")
        tamper(tmp_path, units[0], "Even")
        found = sweep(door)
        assert found["count"] == len(found["flaws"]) > 0
        assert {flaw["unit"] for flaw in found["flaws"]} == {units[0]}
        assert door.metric("penelope_ledger_flaws") == found["count"]
        incident = door.wait_for(found["incident"], "escalated")
        assert (incident["service"], incident["name"], incident["severity"]) == (
            "penelope",
            "LedgerDrift",
            "critical",
        )
        again = sweep(door)
        assert (again["flaws"], again["incident"]) == (found["flaws"], None)
        # What is found later joins the incident that is open about it.
        tamper(tmp_path, units[1], "Strange")
        more = sweep(door)
        assert (more["count"], more["incident"]) == (2 * found["count"], found["incident"])
        tamper_back(tmp_path, units)
        assert sweep(door) == {"count": 0, "flaws": [], "incident": None}
        assert door.metric("penelope_ledger_flaws") == 0


def test_an_incident_that_is_forged_too_mutes_nothing(tmp_path: Path) -> None:
    with Doorstep(settings(tmp_path)) as door:
        unit = door.open()
        door.wait_for(unit, "escalated")
        tamper(tmp_path, unit, "Even")
        told = [sweep(door)["incident"]]
        for number in range(2):
            door.wait_for(told[-1], "escalated")
            forge(tmp_path, told[-1])
            found = sweep(door)
            assert {flaw["unit"] for flaw in found["flaws"]} == {unit, *told}
            assert sweep(door)["incident"] is None
            told.append(found["incident"])
            assert len(set(told)) == number + 2
        assert door.wait_for(told[-1], "escalated")["name"] == "LedgerDrift"


def forge(folder: Path, incident: str) -> None:
    with unguarded(folder / "penelope.db") as database:
        change = (
            "UPDATE units_of_work SET attributes = replace(attributes, 'LedgerDrift', 'Nothing') WHERE id = ?"
        )
        assert database.exec_driver_sql(change, (incident,)).rowcount == 1


def test_an_altered_anchor_is_a_flaw(tmp_path: Path) -> None:
    anchor = tmp_path / "ledger-keys" / "anchor"
    with Doorstep(settings(tmp_path)) as door:
        unit = door.open()
        door.wait_for(unit, "escalated")
        door.until(anchor.exists, bool)
    # Altered while nothing runs: a round of the sequencer that had read the anchor before would put it right again.
    origin, size, rest = anchor.read_text().split("\n", 2)
    anchor.write_text(f"{origin}\n{int(size) + 1}\n{rest}")
    tamper(tmp_path, unit, "Even")
    with Doorstep(settings(tmp_path)) as door:
        found = sweep(door)
        assert {flaw["unit"] for flaw in found["flaws"]} == {"log", unit}
        assert "the checkpoint beside its keys cannot be used" in found["flaws"][0]["problem"]
        assert door.metric("penelope_ledger_flaws") == found["count"]
        assert door.incident(found["incident"])["name"] == "LedgerDrift"
        verified = door.get("/api/v1/ledger/verify")
        assert (verified["ok"], verified["flaws"][0]) == (False, found["flaws"][0])


def tamper_back(folder: Path, units: list[str]) -> None:
    with unguarded(folder / "penelope.db") as database:
        for unit, word in zip(units, ("Even", "Strange"), strict=True):
            change = "UPDATE units_of_work SET attributes = replace(attributes, ?, 'Odd') WHERE id = ?"
            assert database.exec_driver_sql(change, (word, unit)).rowcount == 1


def test_guards_that_are_gone_are_found(tmp_path: Path) -> None:
    with Doorstep(settings(tmp_path)) as door:
        engine = create_engine(f"sqlite:///{tmp_path}/penelope.db")
        with engine.begin() as connection:
            guards.remove(connection)
        engine.dispose()
        found = sweep(door)
        assert found["count"] > 1
        assert all("is not in force" in flaw["problem"] for flaw in found["flaws"])
        door.wait_for(found["incident"], "escalated")


def test_the_server_sweeps_by_itself(tmp_path: Path) -> None:
    wanted = settings(
        tmp_path,
        ledger={"keys": "keys", "archive": "archive", "checkpoint_seconds": 0.1, "sweep_seconds": 0.1},
    )
    with Doorstep(wanted) as door:
        unit = door.open()
        door.wait_for(unit, "escalated")
        tamper(tmp_path, unit, "Even")
        found = door.until(
            lambda: door.get("/api/v1/incidents")["incidents"],
            lambda incidents: any(each["name"] == "LedgerDrift" for each in incidents),
        )
        assert [each["service"] for each in found if each["name"] == "LedgerDrift"] == ["penelope"]


def test_a_sweep_needs_the_scope_write_and_actors_read(tmp_path: Path) -> None:
    with Doorstep(settings(tmp_path)) as door:
        for method, path, scope in (
            ("POST", "/api/v1/ledger/sweep", Scope.READ),
            ("GET", "/api/v1/actors", Scope.WRITE),
        ):
            answer = door.ask(method, path, key=door.key(scope))
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


# --- who lives --------------------------------------------------------------------------------------------


def test_a_worker_lives_as_long_as_its_heart_beats(tmp_path: Path) -> None:
    wanted = settings(tmp_path, engine={"poll_seconds": 0.05, "heartbeat_seconds": 1.0})
    with Doorstep(wanted) as door:
        door.wait_for(door.open(), "escalated")
        found = door.until(lambda: actors(door), lambda found: "worker:local" in found)
        assert (found["worker:local"]["kind"], found["worker:local"]["alive"]) == ("worker", True)
        assert (found["penelope"]["kind"], found["penelope"]["alive"]) == ("engine", None)
        with unguarded(tmp_path / "penelope.db") as database:
            database.exec_driver_sql(
                "INSERT INTO local_actors SELECT 'act_2', kind, 'worker:gone', '' FROM local_actors WHERE name = 'worker:local'"
            )
            database.exec_driver_sql(
                "UPDATE local_actors SET last_heartbeat_at = '2026-01-01T00:00:00.000000Z'"
            )
        assert actors(door)["worker:gone"]["alive"] is False
        door.until(lambda: actors(door)["worker:local"]["alive"], bool)
        assert actors(door)["penelope"]["last_heartbeat_at"].startswith("2026-01-01T00:00:00")


def actors(door: Doorstep) -> dict[str, dict[str, Any]]:
    return {actor["name"]: actor for actor in door.get("/api/v1/actors")}


# --- the buffer and the log, put together -----------------------------------------------------------------


SECRET = "hunter2"


class Broken:
    """A rule of the gate that cannot do its work."""

    name = "broken"

    def check(self, request: Request) -> RuleVerdict:
        raise KeyError(f"{SECRET} of {request.plan.service}")


def test_a_rule_that_breaks_lets_nothing_through_and_leaves_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = parts.rules_of
    monkeypatch.setattr(parts, "rules_of", lambda *given: (Broken(), *standing(*given)))
    with Doorstep(settings(tmp_path)) as door:
        incident = door.open(data={"labels": {"stuck": "yes"}})
        door.wait_for(incident, "escalated")
        entries = door.run(door.running.reader.entries(incident=incident, after=0, limit=100))
    (verdict,) = next(entry.details["verdicts"] for entry in entries if entry.kind == "gate")
    assert (verdict["rule"], verdict["ruling"]) == ("broken", "refuse")
    assert verdict["reason"] == "the rule broke (KeyError), so it refuses"
    rows = logged(tmp_path)
    (error,) = (row for row in rows if row["log_type"] == "ERROR")
    assert error["event"] == "KeyError"
    told = json.loads(error["error"])
    assert "in check" in told["stack"]
    assert SECRET not in json.dumps(error)
    (decided,) = (row for row in rows if row["log_type"] == "GUARDIAN_DECISION")
    assert json.loads(decided["details"])["verdicts"][0]["rule"] == "broken"


@pytest.mark.parametrize("overflow", ["refuse", "spill"])
def test_when_it_stops_every_entry_has_its_record(tmp_path: Path, overflow: str) -> None:
    wanted = settings(
        tmp_path, buffer={"overflow": overflow, "spill_file": "spill/file", "interval_seconds": 60}
    )
    with Doorstep(wanted) as door:
        for number in range(5):
            door.send(event(number, subject=f"shop-{number}"))
        entries, _ = door.kept()
        units = door.run(door.running.reader.entries(incident=None, after=0, limit=1000))
    transitions = [(row["unit"], json.loads(row["details"])) for row in logged(tmp_path)]
    assert len(transitions) == entries
    assert {(unit, details["version"]) for unit, details in transitions} == {
        (entry.unit, entry.version) for entry in units
    }


def test_witnesses_of_the_settings_are_asked(tmp_path: Path) -> None:
    origin = "log.example/penelope"
    (signer,) = load(tmp_path / "keys", origin, SystemClock().now()).signers
    witness = FakeWitness("witness.example/w", {origin: [signer.vkey]}, SystemClock())
    with served(witness) as url:
        ledger = {
            "origin": origin,
            "keys": "keys",
            "checkpoint_seconds": 0.05,
            "witnesses": [f"{witness.vkey} {url}"],
        }
        with Doorstep(settings(tmp_path, ledger=ledger)) as door:
            door.wait_for(door.open(), "escalated")
            size, _ = door.kept()
            door.until(lambda: witness.seen[origin].size, lambda seen: seen == size)
            cosigned = {"witness": "witness.example/w", "outcome": "cosigned"}
            door.until(lambda: door.run(door.running.log.cosignatures(size)), lambda lines: len(lines) == 1)
            assert door.metric("penelope_witness_requests_total", **cosigned) >= 1


@pytest.mark.parametrize(
    "witness", ["witness.example/w+12345678+AAAA http://127.0.0.1:9", "nothing http://127.0.0.1:9"]
)
def test_a_witness_that_is_none_keeps_it_from_starting(tmp_path: Path, witness: str) -> None:
    wanted = settings(tmp_path, ledger={"keys": "keys", "witnesses": [witness]})
    with pytest.raises(BadSettings), Doorstep(wanted):
        pytest.fail("it started")
    assert not (tmp_path / "penelope.db").exists()
