"""Commands that need no server: settings, playbooks, keys."""

import asyncio
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import penelope
from penelope.bootstrap import keyring
from penelope.entry.cli.main import app
from penelope.flow.keys import Order, Scope
from penelope.settings import load
from penelope.testing.kit import shipped

BROKEN = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: broken
version: "1"
title: Broken
match: {names: [X]}
steps:
  - {name: Do, action: proces.restart, target: a, tier: 1}
  - {name: Do again, action: process.restart, target: a, tier: 9}
verify: {within: 1s, clauses: [{subject: metric.error_ratio, at_most: 1}]}
"""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


# --- the tree ---------------------------------------------------------------------------------------------


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"penelope {penelope.__version__}\n"


def test_without_a_command_help_is_shown() -> None:
    for arguments in ((), ("keys",), ("ledger",)):
        assert "Usage: " in run(*arguments).output


def test_help_does_not_wait_for_the_servers_libraries() -> None:
    code = "import sys, penelope.entry.cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"fastapi", "uvicorn", "sqlalchemy", "dbos", "httpx", "pydantic"}.isdisjoint(loaded)


# --- settings ---------------------------------------------------------------------------------------------


def test_every_setting_is_shown_with_its_origin(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("api:\n  port: 1234\n")
    shown = run("--config", str(file), "--set", "gate.halt_failures=5", "config", "check")
    assert shown.exit_code == 0
    assert re.search(r"api\.port +1234 ", shown.stdout)
    assert re.search(r"gate\.halt_failures +5 +command line", shown.stdout)
    assert re.search(r"log\.level +info +default", shown.stdout)
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_all_mistakes_of_the_settings_are_shown_at_once() -> None:
    shown = run("--set", "api.prt=1", "--set", "log.level=loud", "config", "check")
    assert shown.exit_code == 2
    assert 'did you mean "api.port"?' in shown.stderr
    assert "log.level" in shown.stderr
    assert shown.stdout == ""


@pytest.mark.parametrize("command", [("status",), ("serve",), ("keys", "list"), ("playbooks", "list")])
def test_bad_settings_stop_any_command_in_words(command: tuple[str, ...]) -> None:
    shown = run("--set", "api.prt=1", *command)
    assert shown.exit_code == 1
    assert shown.stderr.splitlines() == [
        'command line: unknown setting "api.prt"; did you mean "api.port"?',
        "Run `penelope config check`; every setting is in docs/reference/settings.md.",
    ]


def test_a_server_that_cannot_have_its_port_says_so(tmp_path: Path) -> None:
    shown = run("serve", "--host", "192.0.2.1", "--port", "1")
    assert shown.exit_code == 1
    assert "cannot listen on 192.0.2.1, port 1" in shown.stderr
    assert not (tmp_path / "var").exists()


# --- playbooks --------------------------------------------------------------------------------------------


def test_the_shipped_playbooks_have_no_mistakes() -> None:
    shown = run("playbooks", "lint")
    assert (shown.exit_code, shown.stdout) == (0, f"{len(shipped())} playbooks, no mistakes\n")


def test_every_mistake_is_printed_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(BROKEN)
    shown = run("playbooks", "lint", str(file), str(tmp_path / "missing.yaml"))
    assert shown.exit_code == 1
    lines = shown.stdout.splitlines()
    assert lines[0] == f"{file}:9:64: must be less than or equal to 4"
    assert lines[-1] == f"{tmp_path / 'missing.yaml'}:1:1: no such file"


def test_an_action_that_no_adapter_has_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN.replace("tier: 9", "tier: 1"))
    shown = run("playbooks", "lint", str(tmp_path))
    assert shown.exit_code == 1
    assert "broken.yaml:8:24: there is no adapter 'proces'; did you mean 'process'?" in shown.stdout


def test_the_playbooks_of_the_settings_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    options = ("--set", "playbooks.paths=[broken.yaml]", "--set", "playbooks.shipped=false")
    assert "broken.yaml:9:" in run(*options, "playbooks", "lint").stdout
    shown = run(*options, "playbooks", "list")
    assert shown.exit_code == 1
    assert "broken.yaml:9:" in shown.stderr


def test_playbooks_are_listed_in_order_of_preference(tmp_path: Path) -> None:
    mine = BROKEN.replace("proces.", "process.").replace("tier: 9", "tier: 2")
    (tmp_path / "mine.yaml").write_text(mine)
    shown = run("--set", "playbooks.paths=[mine.yaml]", "playbooks", "list")
    rows = [text.split()[:3] for text in shown.stdout.splitlines()[2:] if text[0] != " "]
    assert rows[0] == ["broken", "1", "2"]
    assert ["rollback-release", "1", "2"] in rows


ROUND = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: round
version: "2"
title: "Round \\e[31mand round"
match: {names: [X], severities: [error], expression: "incident.service != 'cart'"}
parameters:
  pods: {type: list, from: change.pool.pods, pattern: "[a-z]+", at_most: 3}
steps:
  - name: Round
    foreach: pods
    as: pod
    at_most: 3
    steps:
      - {name: "Restart ${pod}", action: process.restart, target: "${pod}", tier: 1, retry: {attempts: 2}}
      - {wait_for: [{subject: metric.up, at_least: 1}], within: 30s}
  - when: [{subject: metric.error_ratio, at_least: 0.5}]
    then:
      - {name: Switch, action: process.switch_release, target: a, tier: 2, params: {release: r1},
         rollback: {action: process.restart, target: b}}
    otherwise:
      - {name: Keep, action: process.restart, target: a, tier: 1, rollback: none}
verify: {within: 1s, clauses: [{subject: metric.error_ratio, at_most: 1}]}
"""


def test_a_playbook_is_shown_with_its_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "round.yaml").write_text(ROUND)
    in_force = run("--set", "playbooks.paths=[round.yaml]", "playbooks", "show", "round")
    shown = run("playbooks", "show", "round.yaml")
    assert (in_force.exit_code, in_force.stdout) == (0, shown.stdout)
    text = re.sub(r"[│├└─ ]+", " ", shown.stdout)
    assert "round version 2" in text
    assert "Round \\x1b[31mand round" in text
    assert "severities error" in text
    assert "where incident.service != 'cart'" in text
    assert "needs pods: list, from change.pool.pods, following [a-z]+, at most 3" in text
    assert " Round pod through pods, at most 3\n" in text
    assert " process.restart on ${pod}, tier 1, 1 min 0 s, 2 attempts 1.0 s apart\n" in text
    assert " Wait for metric.up metric.up at least 1 within 30.0 s\n" in text
    assert " When metric.error_ratio if metric.error_ratio at least 0.5\n then\n Switch\n" in text
    assert " taken back by process.restart on b\n otherwise\n Keep\n" in text
    assert " is not taken back\n" in text


def test_a_rollout_is_shown_where_it_happens() -> None:
    shown = run("playbooks", "show", "rollback-release").stdout
    words = ("Switch instance b", "rollout of b against a: 10 %", "Switch instance a", "verify metric")
    assert [shown.index(item) for item in words] == sorted(shown.index(item) for item in words)


def test_a_playbook_that_is_not_there_is_said() -> None:
    shown = run("playbooks", "show", "rolback-release")
    assert shown.exit_code == 1
    assert "there is no playbook 'rolback-release' in force; did you mean 'rollback-release'?" in shown.stderr
    missing = run("playbooks", "show", "missing.yaml")
    assert (missing.exit_code, "no such file" in missing.stderr) == (1, True)


def test_the_actions_that_there_are() -> None:
    every = run("playbooks", "actions").stdout
    assert re.search(r"^process\.switch_release +1 +\S", every, re.MULTILINE)
    assert [line for line in every.splitlines() if line.startswith(("http.", "traffic."))]
    one = re.sub(r" +", " ", run("playbooks", "actions", "git_patch.apply").stdout)
    assert one.startswith("git_patch.apply ")
    assert " tier 2 or above, reversible with a snapshot" in one
    assert " params diff: string" in one
    assert " message: string, may be left out" in one
    assert " needs write: the repository and its files" in one
    both = run("playbooks", "actions", "process").stdout
    assert ("process.restart" in both, "params none" in re.sub(r" +", " ", both)) == (True, True)
    assert "http.call" not in both
    missing = run("playbooks", "actions", "proces")
    assert (missing.exit_code, "no installed adapter has the action 'proces'" in missing.stderr) == (1, True)


# --- keys -------------------------------------------------------------------------------------------------


def test_a_key_is_printed_once_and_listed_without_its_secret() -> None:
    made = run("keys", "create", "anna", "--scope", "write", "--scope", "read", "--expires-days", "7")
    assert made.exit_code == 0
    text = made.stdout.strip()
    assert re.fullmatch(r"pnl_\w{10}_\w{51}", text)
    identifier = text.split("_")[1]
    assert f"key {identifier} with the scopes read, write" in made.stderr
    run("keys", "create", "ben", "--scope", "admin")
    listed = run("keys", "list").stdout
    assert text not in listed
    assert re.search(rf"{identifier} +anna +read, write +\d{{4}}-\d\d-\d\d +good until \d{{4}}", listed)
    assert re.search(r"ben +admin +\d{4}-\d\d-\d\d +good *$", listed, re.MULTILINE)


def test_a_key_is_revoked_once() -> None:
    identifier = run("keys", "create", "anna", "--scope", "read").stdout.split("_")[1]
    assert run("keys", "revoke", identifier).exit_code == 0
    assert re.search(r"anna +read +[\d-]+ +revoked \d{4}", run("keys", "list").stdout)
    again = run("keys", "revoke", identifier)
    assert again.exit_code == 1
    assert f"there is no key '{identifier}', or it was revoked before" in again.stderr


def test_an_expired_key_is_shown_to_be_so() -> None:
    async def make() -> None:
        async with keyring(load(None, {}, ())) as keys:
            past = datetime.now(UTC) - timedelta(days=1)
            order = Order(name="old", scopes=frozenset({Scope.READ}), expires_at=past)
            await keys.create(order, past - timedelta(days=1))

    asyncio.run(make())
    assert re.search(r"old +read +[\d-]+ +expired \d{4}", run("keys", "list").stdout)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a\nb", "ключ"])
def test_a_key_needs_a_name_that_can_stand_in_the_ledger(name: str, tmp_path: Path) -> None:
    shown = run("keys", "create", name, "--scope", "read")
    assert shown.exit_code == 1
    assert "the name of a key" in shown.stderr
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("options", [(), ("--scope", "root"), ("--scope", "read", "--expires-days", "0")])
def test_a_key_needs_scopes_that_exist_and_a_future(options: tuple[str, ...]) -> None:
    shown = run("keys", "create", "anna", *options)
    assert shown.exit_code == 2
    assert "Usage: " in shown.stderr


def test_a_database_of_another_kind_is_refused_in_words() -> None:
    shown = run("--set", "database.url=oracle://x/y", "keys", "list")
    assert shown.exit_code == 1
    assert "database.url" in shown.stderr
