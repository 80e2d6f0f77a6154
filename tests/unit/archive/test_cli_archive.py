"""The commands that take payloads from the database."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from vault import Vault, change, open_vault

from penelope.adapters.signers.keyfolder import load
from penelope.entry.cli.main import app

Command = Callable[..., Result]


@pytest.fixture
def penelope(old_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on a copy of an old vault."""
    shutil.copytree(old_sqlite, tmp_path / "vault")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    settings = {
        "database.url": "sqlite:///vault/penelope.db",
        "ledger.origin": "example.com/log",
        "ledger.keys": "vault/keys",
        "ledger.archive": "vault/archive",
    }
    given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return lambda *words, answer="": CliRunner().invoke(app, [*given, "ledger", *words], input=answer)


def on_vault(folder: Path, scene: Callable[[Vault], object]) -> None:
    async def run() -> None:
        async with open_vault(f"sqlite:///{folder}/vault/penelope.db", folder / "vault") as vault:
            await scene(vault)  # type: ignore[misc]  # it is a coroutine

    asyncio.run(run())


def test_old_payloads_are_archived_and_checked(penelope: Command) -> None:
    done = penelope("archive")
    assert done.stdout == "1 segments archived, 4096 payloads taken from the database\n", done.output
    assert penelope("archive").stdout == "0 segments archived, 0 payloads taken from the database\n"
    assert penelope("archive", "--check").stdout.startswith("1 segments are as they were recorded")


def test_a_damaged_archive_ends_with_an_error(penelope: Command, tmp_path: Path) -> None:
    penelope("archive")
    (file,) = (tmp_path / "vault" / "archive").glob("*.zst")
    file.write_bytes(b"damaged")
    done = penelope("archive", "--check")
    assert done.exit_code == 1
    assert "was altered" in done.stderr
    assert "Restore the file from a backup" in done.stderr


def test_a_person_is_erased_when_that_is_confirmed(penelope: Command, tmp_path: Path) -> None:
    async def act(vault: Vault) -> None:
        await vault.ledger.save(replace(change("inc-1:x", "key:ada"), incident="inc-1"))

    async def look(vault: Vault) -> None:
        assert [entry.erased for entry in (await vault.entries())[4106:]] == [True, False]

    on_vault(tmp_path, act)
    words = ("erase", "--actor", "key:ada", "--reason", "request 4711")
    refused = penelope(*words, answer="n\n")
    assert refused.exit_code == 1
    done = penelope(*words, answer="y\n")
    assert "erased 1 payloads in the database and 0 in the archive" in done.stdout, done.output
    assert "Backups, exports and receipts that were handed out are not changed." in done.stderr
    on_vault(tmp_path, look)
    again = penelope(*words, "--yes")
    assert again.exit_code == 1
    assert "is no person who has acted here" in again.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("archive",),
        ("archive", "--check"),
        ("erase", "--actor", "key:ada", "--reason", "request 4711", "--yes"),
    ],
)
def test_in_the_wrong_folder_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    def refusal() -> str:
        done = CliRunner().invoke(app, ["ledger", *words])
        assert (done.exit_code, done.stdout) == (1, "")
        return done.stderr

    monkeypatch.chdir(tmp_path)
    assert "there are no keys in" in refusal()
    assert list(tmp_path.iterdir()) == []
    keys = tmp_path / "var" / "ledger-keys"
    keys.mkdir(mode=0o700, parents=True)
    assert "there are no keys in" in refusal()
    load(keys, "localhost/penelope", datetime.now(UTC))
    assert "there is no file" in refusal()
    assert list((tmp_path / "var").iterdir()) == [keys]


def test_a_check_changes_no_table(penelope: Command, tmp_path: Path) -> None:
    database = tmp_path / "vault" / "penelope.db"
    database.write_bytes(b"")
    done = penelope("archive", "--check")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no such table" in done.stderr
    assert "penelope database migrate" in done.stderr
    assert database.read_bytes() == b""
