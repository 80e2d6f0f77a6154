"""Commands on a database that is no database, has no tables or does not answer: they end in words, never in a traceback."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from penelope.adapters.signers.keyfolder import load
from penelope.entry.cli.main import app

NOWHERE = "postgresql://penelope@127.0.0.1:9/penelope"
ERASE = ("ledger", "erase", "--actor", "key:ada", "--reason", "request 4711", "--yes")
ARCHIVE = ("ledger", "archive")
CHECK_ARCHIVE = ("ledger", "archive", "--check")
CHECK = ("database", "check")
VERIFY = ("ledger", "verify", "--offline")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    load(tmp_path / "var" / "ledger-keys", "localhost/penelope", datetime.now(UTC))


def run(url: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["--set", f"database.url={url}", *words])


def refusal(done: Result) -> list[str]:
    assert (done.exit_code, done.stdout) == (1, ""), done.output
    assert isinstance(done.exception, SystemExit)
    return done.stderr.splitlines()


@pytest.mark.parametrize("words", [VERIFY, ARCHIVE, CHECK_ARCHIVE, ERASE, CHECK, ("database", "migrate")])
def test_a_server_that_is_down_is_named(words: tuple[str, ...]) -> None:
    message, hint = refusal(run(NOWHERE, *words))
    assert message.startswith("the database does not answer: connection failed")
    assert hint == "Check database.url and that the server is up."


@pytest.mark.parametrize("words", [ARCHIVE, CHECK_ARCHIVE, ERASE, CHECK, ("database", "migrate")])
def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path, words: tuple[str, ...]) -> None:
    file = tmp_path / "penelope.db"
    file.write_text("nothing of the kind\n" * 500)
    message, hint = refusal(run(f"sqlite:///{file}", *words))
    assert message == "the database cannot be used: file is not a database"
    assert "verify --offline" in hint
    assert file.read_text().startswith("nothing of the kind")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"nothing of the kind\n" * 500, "cannot be read any more: file is not a database"),
        (b"", "cannot be read any more: no such table: log_state"),
    ],
)
def test_what_is_damaged_is_what_verification_tells(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "penelope.db"
    file.write_bytes(content)
    done = run(f"sqlite:///{file}", *VERIFY, "--json")
    assert (done.exit_code, done.stderr) == (1, "")
    answer = json.loads(done.stdout)
    assert (answer["ok"], answer["size"], answer["root"]) == (False, 0, "")
    assert problem in [flaw["problem"] for flaw in answer["flaws"]]
    assert file.read_bytes() == content


@pytest.mark.parametrize("words", [VERIFY, CHECK_ARCHIVE])
def test_tables_that_are_missing_on_a_server_are_said_to_be_missing(
    postgres: str, words: tuple[str, ...]
) -> None:
    message, hint = refusal(run(postgres, *words))
    assert message.startswith('the database cannot be used: relation "')
    assert "penelope database migrate" in hint
