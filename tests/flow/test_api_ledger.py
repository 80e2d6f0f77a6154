"""What leaves the ledger over HTTP: receipts, checkpoints, exports and figures."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from doorstep import Doorstep, settings

from penelope.adapters.signers.ed25519 import verifier
from penelope.adapters.signers.keyfolder import load
from penelope.errors import Unavailable, UnknownIncident
from penelope.flow.export import HistoryReader, Logged
from penelope.flow.keys import Scope
from penelope.flow.log import LogStore, SignedCheckpoint
from penelope.flow.proving import Prover
from penelope.kit.clock import SystemClock
from penelope.ledger import receipt
from penelope.ledger.notes import open_checkpoint
from penelope.testing.witness import FakeWitness, served

ORIGIN = "log.example.com/penelope"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


@pytest.fixture(scope="module")
def witness(folder: Path) -> Iterator[tuple[FakeWitness, str]]:
    """A witness that knows the log, and its address."""
    keys = load(folder / "ledger-keys", ORIGIN, datetime.now(UTC))
    fake = FakeWitness("witness.example.com/w", {ORIGIN: [each.vkey for each in keys.listed]}, SystemClock())
    with served(fake) as url:
        yield fake, url


@pytest.fixture(scope="module")
def door(folder: Path, witness: tuple[FakeWitness, str]) -> Iterator[Doorstep]:
    fake, url = witness
    ledger = {
        "origin": ORIGIN,
        "keys": "ledger-keys",
        "checkpoint_seconds": 0.05,
        "witnesses": [f"{fake.vkey} {url}"],
    }
    with Doorstep(settings(folder, ledger=ledger)) as door:
        yield door


@pytest.fixture(scope="module")
def incident(door: Doorstep) -> str:
    identifier = door.open(id="told", type="Told")
    door.wait_for(identifier, "escalated")
    return identifier


def history_of(door: Doorstep, incident: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = door.get(f"/api/v1/incidents/{incident}/timeline")["entries"]
    return found


# --- receipts ---------------------------------------------------------------------------------------------


def test_a_receipt_tells_what_the_timeline_tells_and_proves_it(
    door: Doorstep, incident: str, witness: tuple[FakeWitness, str]
) -> None:
    answer = door.ask("GET", f"/api/v1/incidents/{incident}/receipt", key=door.key(Scope.READ))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    keys = door.running.log_keys.verifiers
    story = receipt.check(receipt.parse(answer.content), keys, [verifier(witness[0].vkey)])
    told = [(entry.unit, entry.version, entry.event, entry.reason, entry.hash) for entry in story.entries]
    names = ("unit", "version", "event", "reason", "hash")
    assert told == [tuple(entry[name] for name in names) for entry in history_of(door, incident)]
    assert told[-1][2] == "IncidentEscalated"
    assert story.checkpoint.origin == ORIGIN
    assert len(story.remarks) == 1


def test_an_incident_that_is_not_there_has_no_receipt(door: Doorstep) -> None:
    door.problem(404, "unknown_incident", lambda: door.ask("GET", "/api/v1/incidents/inc_no/receipt"))
    door.problem(400, "invalid_request", lambda: door.ask("GET", "/api/v1/incidents/a.b/receipt"))


@pytest.mark.parametrize(
    "path", ["incidents/inc_1/receipt", "ledger/checkpoint", "ledger/stats", "ledger/export"]
)
def test_nothing_is_told_without_the_scope(door: Doorstep, path: str) -> None:
    assert door.ask("GET", f"/api/v1/{path}", key=None).status_code == 401
    assert door.ask("GET", f"/api/v1/{path}", key=door.key(Scope.WRITE)).status_code == 403


class Behind:
    """The log of a moment at which no more than this was signed."""

    def __init__(self, log: LogStore, latest: SignedCheckpoint | None) -> None:
        self._log = log
        self._latest = latest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def latest(self) -> SignedCheckpoint | None:
        return self._latest


class Torn:
    """A history of which one entry comes into the log only later."""

    def __init__(self, history: HistoryReader, late: int) -> None:
        self._history = history
        self._late = late
        self._asked = 0

    async def story(self, incident: str) -> Sequence[Logged]:
        found = await self._history.story(incident)
        self._asked += 1
        # At first it is not there at all, as what another transaction has not committed.
        return found if self._asked > 3 else [each for each in found if each.place != self._late]


def test_what_is_not_signed_in_time_may_be_asked_for_again(door: Doorstep, incident: str) -> None:
    history, log = door.running.history, door.running.log
    last = door.run(history.story(incident))[-1].place
    latest = door.run(log.latest())
    for before in (None, replace(latest, size=last)):
        behind: Any = Behind(log, before)
        with pytest.raises(Unavailable, match="not all entries") as raised:
            door.run(Prover(log=behind, history=history, patience_seconds=0.15).prove(incident))
        assert raised.value.retryable
        assert "ledger stats" in raised.value.advice


def test_a_receipt_waits_until_no_chain_has_a_gap(door: Doorstep, incident: str) -> None:
    history, log = door.running.history, door.running.log
    story = door.run(history.story(incident))
    first = next(each.place for each in story if each.entry.kind == "incident" and each.entry.version == 1)
    torn: Any = Torn(history, first)
    made = door.run(Prover(log=log, history=torn).prove(incident))
    assert len(made.entries) == len(story)
    assert torn._asked > 3


def test_a_receipt_does_not_wait_for_ever_for_a_witness(door: Doorstep, incident: str) -> None:
    prover = Prover(log=door.running.log, history=door.running.history, witnesses=9, patience_seconds=0.15)
    made = door.run(prover.prove(incident))
    assert receipt.check(made, door.running.log_keys.verifiers).incident == incident
    with pytest.raises(UnknownIncident):
        door.run(prover.prove("inc_no"))


# --- checkpoint and figures -------------------------------------------------------------------------------


def test_the_checkpoint_is_signed_and_cosigned(
    door: Doorstep, incident: str, witness: tuple[FakeWitness, str]
) -> None:
    assert incident
    given = door.until(
        lambda: door.get("/api/v1/ledger/checkpoint"), lambda found: witness[0].name in found["note"]
    )
    keys = [*door.running.log_keys.verifiers, verifier(witness[0].vkey)]
    checkpoint = open_checkpoint(given["note"].encode(), keys)
    assert (checkpoint.size, checkpoint.root.hex()) == (given["size"], given["root"])


def test_the_figures_add_up(door: Doorstep, incident: str) -> None:
    stats = door.until(
        lambda: door.get("/api/v1/ledger/stats"),
        lambda found: found["waiting"] == 0 and found["checkpoint"]["witnesses"],
    )
    told = [entry["event"] for entry in history_of(door, incident)]
    assert stats["entries"] == sum(stats["events"].values()) == stats["log_size"] == stats["payloads"]
    assert stats["entries"] >= len(told)
    assert set(told) <= stats["events"].keys()
    assert (stats["removed"], stats["xmin_age"]) == (0, 0)
    assert stats["checkpoint"]["size"] == stats["log_size"]
    assert stats["checkpoint"]["witnesses"] == ["witness.example.com/w"]
    assert 0 <= stats["checkpoint"]["age_seconds"] < 600
    assert datetime.fromisoformat(stats["oldest_at"]) <= datetime.fromisoformat(
        stats["checkpoint"]["signed_at"]
    )


# --- exports ----------------------------------------------------------------------------------------------


def export(door: Doorstep, **query: Any) -> list[dict[str, Any]]:
    answer = door.ask("GET", "/api/v1/ledger/export", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(text) for text in answer.text.splitlines()]


def test_an_export_holds_every_entry_with_its_place(door: Doorstep, incident: str) -> None:
    door.until(lambda: door.get("/api/v1/ledger/stats"), lambda found: found["waiting"] == 0)
    found = export(door)
    assert [entry["index"] for entry in found] == list(range(len(found)))
    mine = [entry for entry in found if entry["incident"] == incident]
    told = history_of(door, incident)
    names = ("seq", "event", "reason", "details", "hash", "actor")
    assert [[entry[name] for name in names] for entry in mine] == [
        [entry[name] for name in names] for entry in told
    ]


def test_an_export_can_be_narrowed(door: Doorstep, incident: str) -> None:
    found = export(door, where=[f"incident={incident}", "event!=DecisionMade", "kind!=incident"])
    told = history_of(door, incident)
    wanted = [
        entry["seq"] for entry in told if entry["event"] != "DecisionMade" and entry["kind"] != "incident"
    ]
    assert [entry["seq"] for entry in found] == wanted
    moment = told[1]["recorded_at"]
    later = export(door, where=f"incident={incident}", since=moment)
    earlier = export(door, where=f"incident={incident}", until=moment)
    assert [entry["seq"] for entry in earlier + later] == [entry["seq"] for entry in told]
    assert earlier
    assert export(door, since="2199-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query",
    [
        {"where": "reason=x"},
        {"where": ["event=x"] * 21},
        {"since": "2026-11-21T07:00:00"},
        {"until": "yesterday"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"since": "0001-01-01T00:00:00+14:00"},
    ],
)
def test_an_export_that_cannot_be_meant_is_refused(door: Doorstep, query: dict[str, Any]) -> None:
    door.problem(400, "invalid_request", lambda: door.ask("GET", "/api/v1/ledger/export", params=query))
