"""What leaves the ledger through the command line, with a real server in a process of its own."""

import csv
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from serving import PENELOPE, Server
from typer.testing import CliRunner, Result

from penelope.adapters.signers.ed25519 import Ed25519Signer
from penelope.adapters.signers.keyfolder import load
from penelope.entry.cli.export import _COLUMNS
from penelope.entry.cli.main import app
from penelope.kit.clock import SystemClock

ORIGIN = "localhost/penelope"
DAY = "2026-11-21T07:00:00Z"


@pytest.fixture(scope="module")
def incident(server: Server) -> str:
    incident = server.open(id="told", type="Told", data={"annotations": {"summary": "it is late"}})
    server.wait_for(incident, "escalated")
    return incident


@pytest.fixture(scope="module")
def receipt(server: Server, incident: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("receipts") / "receipt.json"
    got = server.run("ledger", "prove", incident, "-o", str(file))
    assert (got.exit_code, got.stdout) == (0, "")
    assert re.fullmatch(rf"The receipt proves \d+ entries. It is in {re.escape(str(file))}.\n", got.stderr)
    return file


@pytest.fixture(scope="module")
def vkey(server: Server) -> str:
    shown = server.run("ledger", "key")
    assert shown.exit_code == 0
    (vkey,) = shown.stdout.splitlines()
    assert re.fullmatch(r"[0-9a-f]{8}: added \S+Z, and signs\n", shown.stderr)
    return vkey


def offline(folder: Path, *arguments: str) -> Result:
    """A command far from any server, its settings and its keys."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        return CliRunner(env={"COLUMNS": "80", "PENELOPE_SERVER": "http://127.0.0.1:9"}).invoke(
            app, ["ledger", *arguments]
        )
    finally:
        os.chdir(here)


def narrow(text: str) -> bool:
    return max(map(len, text.splitlines())) <= 80


# --- receipts ---------------------------------------------------------------------------------------------


def test_a_receipt_is_checked_far_from_the_server(
    incident: str, receipt: Path, vkey: str, tmp_path: Path, server: Server
) -> None:
    checked = offline(tmp_path, "check", str(receipt), "--key", vkey)
    assert checked.exit_code == 0, checked.stderr
    told = checked.stdout
    assert told.startswith(f"Receipt of incident {incident}\n")
    assert re.search(rf"signed by +{ORIGIN} \([0-9a-f]{{8}}\)", told)
    assert re.search(r"checkpoint +\d+ entries, root *\n +[0-9a-f]{64} *\n", told)
    shown = server.run("show", incident).stdout
    lines = [line for line in shown.splitlines() if re.match(r"\d\d:\d\d:\d\d  ", line)]
    assert lines
    assert [line for line in told.splitlines() if re.match(r"\d\d:\d\d:\d\d  ", line)] == lines
    assert re.search(r"\nEvery entry is proven: (\d+) of \1\.\n", told)
    assert re.search(r"acted +penelope", told)
    assert "No witness was asked for" in told
    assert narrow(told)
    assert list(tmp_path.iterdir()) == []


def test_a_receipt_comes_to_standard_output_too(server: Server, incident: str, receipt: Path) -> None:
    given = json.loads(server.run("ledger", "prove", incident).stdout)
    kept = json.loads(receipt.read_text())
    assert [entry["header"] for entry in given["entries"]] == [entry["header"] for entry in kept["entries"]]


def test_keys_come_from_a_file_too(receipt: Path, vkey: str, tmp_path: Path, server: Server) -> None:
    keys = tmp_path / "log+keys"
    keys.write_text(f"{Ed25519Signer.generate(ORIGIN).vkey} added={DAY}\n\n{vkey}\n")
    assert offline(tmp_path, "check", str(receipt), "--key", "log+keys").exit_code == 0
    listed = server.folder / "var" / "ledger-keys" / "keys.pub"
    assert offline(tmp_path, "check", str(receipt), "--key", str(listed)).exit_code == 0


def test_an_altered_receipt_is_refused_with_the_reason(receipt: Path, vkey: str, tmp_path: Path) -> None:
    altered = tmp_path / "altered.json"
    altered.write_text(receipt.read_text().replace("it is late", "all is well"))
    checked = offline(tmp_path, "check", str(altered), "--key", vkey)
    assert (checked.exit_code, checked.stdout) == (1, "")
    message, hint = checked.stderr.splitlines()
    assert re.fullmatch(
        r"entry \d+ was altered: its actor, reason, details or patch are not those .*", message
    )
    assert hint.startswith("Trust nothing in this receipt")


def test_an_erased_payload_is_told_as_such(receipt: Path, vkey: str, tmp_path: Path) -> None:
    document = json.loads(receipt.read_text())
    document["entries"][1].update(salt=None, payload=None)
    (tmp_path / "erased.json").write_text(json.dumps(document))
    checked = offline(tmp_path, "check", "erased.json", "--key", vkey)
    assert checked.exit_code == 0
    assert re.search(r"\d\d:\d\d:\d\d  \w+ +\w+ \(\w+\): its payload was erased\n", checked.stdout)
    assert "1 of " in checked.stdout
    assert narrow(checked.stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{receipt}", "--key", Ed25519Signer.generate(ORIGIN).vkey], "no trusted key signed"),
        (["{receipt}", "--key", "{vkey}", "--witness", Ed25519Signer.generate("w").vkey], "did not cosign"),
        (["{receipt}", "--key", "nowhere"], "nowhere cannot be read: No such file"),
        (["{receipt}", "--key", "{empty}"], "holds no verifier keys"),
        (["{receipt}", "--key", "{binary}"], "holds no verifier keys"),
        (["{receipt}", "--key", "{receipt}"], "no verifier key"),
        (["{receipt}", "--key", "a+b+c"], "no verifier key"),
        (["nowhere.json", "--key", "{vkey}"], "nowhere.json cannot be read"),
        (["{empty}", "--key", "{vkey}"], "the receipt cannot be read"),
    ],
)
def test_what_cannot_be_checked_says_why(
    receipt: Path, vkey: str, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    given = {"receipt": receipt, "vkey": vkey, "empty": "empty", "binary": "binary"}
    checked = offline(tmp_path, "check", *(text.format(**given) for text in arguments))
    assert (checked.exit_code, checked.stdout) == (1, "")
    assert said in checked.stderr.splitlines()[0]


def test_an_incident_that_is_not_there(server: Server, tmp_path: Path) -> None:
    got = server.run("ledger", "prove", "inc_no", "-o", str(tmp_path / "receipt.json"))
    assert got.exit_code == 1
    assert got.stderr.startswith("there is no incident 'inc_no'\n")
    assert list(tmp_path.iterdir()) == []


# --- checkpoint and figures -------------------------------------------------------------------------------


def test_the_checkpoint_is_kept_elsewhere(server: Server, incident: str, tmp_path: Path) -> None:
    assert incident
    file = tmp_path / "checkpoint"
    got = server.run("ledger", "checkpoint", "-o", str(file))
    assert (got.exit_code, got.stdout) == (0, "")
    assert re.fullmatch(rf"{ORIGIN}\n\d+\n\S{{44}}\n\n\u2014 {ORIGIN} \S+\n", file.read_text())
    assert server.run("ledger", "checkpoint").stdout.startswith(f"{ORIGIN}\n")
    refused = server.run("ledger", "checkpoint", "-o", str(tmp_path / "nowhere" / "checkpoint"))
    assert refused.exit_code == 1
    assert "cannot be written: No such file" in refused.stderr


def test_the_figures_are_shown(server: Server, incident: str) -> None:
    assert incident
    shown = server.run("ledger", "stats")
    assert shown.exit_code == 0
    assert re.search(r"entries +\d+ *\n", shown.stdout)
    assert re.search(r"in the log +\d+, (none waits|\d+ wait) *\n", shown.stdout)
    assert re.search(
        r"checkpoint +\d+ entries, signed [\d.]+ m?i?n?s? ?.*ago *\n +cosigned by nobody *\n", shown.stdout
    )
    assert re.search(r"payloads +\d+ in the database, 0 archived or erased *\n", shown.stdout)
    assert re.search(r"oldest entry +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC *\n", shown.stdout)
    assert re.search(r"IncidentOpened +\d+\n", shown.stdout)
    assert narrow(shown.stdout)
    raw = json.loads(server.run("ledger", "stats", "--json").stdout)
    assert raw["events"]["IncidentOpened"] >= 1


# --- exports ----------------------------------------------------------------------------------------------


def spawned(server: Server, *arguments: str) -> tuple[int, str, str]:
    """A command in a process of its own: DuckDB complains at the end of one whose objects were frozen, as here."""
    command = [*PENELOPE, "--config", str(server.folder / "penelope.yaml"), *arguments]
    env = {**os.environ, "PENELOPE_API_KEY": server.key, "COLUMNS": "80"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


READ = """\
import duckdb, json, sys
query = "SELECT hash, epoch_us(recorded_at), patch::VARCHAR FROM read_parquet(?) ORDER BY seq"
with duckdb.connect() as database:
    print(json.dumps(database.execute(query, sys.argv[1:]).fetchall()))
"""


def test_an_export_is_the_same_in_every_format(server: Server, incident: str, tmp_path: Path) -> None:
    where = ["--where", f"incident={incident}"]
    lines = server.run("ledger", "export", *where).stdout.splitlines()
    entries = [json.loads(text) for text in lines]
    assert {tuple(entry) for entry in entries} == {tuple(_COLUMNS)}
    files = {form: tmp_path / f"[all]*.{form}" for form in ("jsonl", "csv", "parquet")}
    for form, file in files.items():
        got = spawned(server, "ledger", "export", "--format", form, *where, "-o", str(file))
        assert got == (0, "", f"{len(entries)} entries.\n")
    assert files["jsonl"].read_text().splitlines() == lines
    with files["csv"].open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for name in ("hash", "recorded_at", "reason", "actor", "salt"):
        assert [row[name] for row in rows] == [entry[name] for entry in entries]
    assert [json.loads(row["details"]) for row in rows] == [entry["details"] for entry in entries]
    files["parquet"].rename(tmp_path / "all.parquet")
    read = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "all.parquet")], capture_output=True, check=True
    )
    found = json.loads(read.stdout)
    assert [(row[0], json.loads(row[2])) for row in found] == [
        (entry["hash"], entry["patch"]) for entry in entries
    ]
    moments = [datetime.fromisoformat(entry["recorded_at"]) for entry in entries]
    assert [row[1] for row in found] == [
        (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for moment in moments
    ]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_an_empty_export_is_a_whole_file(server: Server, tmp_path: Path, form: str) -> None:
    file = tmp_path / "none"
    got = spawned(server, "ledger", "export", "--format", form, "--since", "2199-01-01", "-o", str(file))
    assert got == (0, "", "0 entries.\n")
    if form == "csv":
        assert file.read_text().strip().split(",") == list(_COLUMNS)
    assert [each.name for each in tmp_path.iterdir()] == ["none"]


def test_an_export_is_narrowed(server: Server, incident: str) -> None:
    def events(*arguments: str) -> list[str]:
        given = server.run("ledger", "export", "--where", f"incident={incident}", *arguments)
        assert given.exit_code == 0, given.stderr
        return [json.loads(text)["event"] for text in given.stdout.splitlines()]

    everything = events()
    assert events("--where", "event=IncidentOpened") == ["IncidentOpened"]
    assert events("--where", "event!=IncidentOpened") == everything[1:]
    assert events("--since", "2020-01-01", "--until", "2199-01-01T00:00:00+02:00") == everything
    assert events("--until", "2020-01-01") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--where", "reason=x"], "'reason=x' is no condition"),
        (["--since", "yesterday"], "'yesterday' is no time"),
        (["--until", "2999-01-01"], "query until: Value error, must lie between the years 1970 and 2200"),
        (["--format", "parquet"], "parquet needs a file"),
        (["--format", "csv"], "csv needs a file"),
    ],
)
def test_an_export_that_cannot_be_meant_is_refused(server: Server, arguments: list[str], said: str) -> None:
    got = server.run("ledger", "export", *arguments)
    assert (got.exit_code, got.stdout) == (1, "")
    message, hint = got.stderr.splitlines()
    assert message.startswith(said)
    assert hint


# --- keys -------------------------------------------------------------------------------------------------


def test_keys_are_rotated_and_retired_beside_the_server(server: Server, vkey: str) -> None:
    added = server.run("ledger", "key", "rotate")
    assert added.exit_code == 0
    (second,) = added.stdout.splitlines()
    assert second != vkey
    assert server.run("ledger", "key").stdout.splitlines() == [vkey, second]
    incident = server.open(id="rotated", type="Rotated")
    server.wait_for(incident, "escalated")
    folder = server.folder
    assert server.run("ledger", "prove", incident, "-o", str(folder / "both.json")).exit_code == 0
    for key in (vkey, second):
        assert offline(folder, "check", "both.json", "--key", key).exit_code == 0
    old = vkey.split("+")[1]
    assert server.run("ledger", "key", "retire", old).exit_code == 0
    assert re.search(rf"{old}: added \S+, retired \S+Z\n", server.run("ledger", "key").stderr)
    refused = server.run("ledger", "key", "retire", second.split("+")[1])
    assert (refused.exit_code, refused.stderr.splitlines()[1]) == (1, "Rotate first: that adds one.")
    incident = server.open(id="retired", type="Retired")
    server.wait_for(incident, "escalated")
    assert server.run("ledger", "prove", incident, "-o", str(folder / "new.json")).exit_code == 0
    assert offline(folder, "check", "new.json", "--key", second).exit_code == 0
    assert offline(folder, "check", "new.json", "--key", vkey).exit_code == 1


def test_a_key_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    for arguments in ([], ["rotate"], ["retire", "00000000"]):
        refused = offline(tmp_path, "key", *arguments)
        assert refused.exit_code == 1
        assert refused.stderr.startswith("there are no keys in ")
    assert list(tmp_path.iterdir()) == []
    load(tmp_path / "var" / "ledger-keys", ORIGIN, SystemClock().now())
    assert offline(tmp_path, "key").exit_code == 0
