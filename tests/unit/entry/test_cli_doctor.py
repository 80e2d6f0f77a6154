"""`penelope doctor` tells what was tried, and fails only for what is required."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penelope.adapters.twin import capabilities, pg_programs
from penelope.adapters.twin.capabilities import Isolation
from penelope.adapters.twin.pg_programs import Programs
from penelope.entry.cli import doctor
from penelope.entry.cli.main import app
from penelope.settings.twin import Twin

NONE = Isolation(missing="nothing here", landlock=0, cgroups="", walls={})


@pytest.fixture
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which no sandbox can be made."""

    async def look() -> Isolation:
        return NONE

    async def namespaces() -> str:
        return "they are forbidden"

    monkeypatch.setattr(capabilities, "look", look)
    monkeypatch.setattr(capabilities, "user_namespaces", namespaces)


def test_real_machine_is_looked_at(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["doctor", "--json"], env={**os.environ, "PWD": str(tmp_path)})
    told = json.loads(ran.stdout)
    found = {item["name"]: item for item in told["findings"]}
    assert found["python"]["required"]
    assert found["git"]["works"]
    assert {"sqlite", "bubblewrap", "user namespaces", "landlock", "control groups", "limit"} <= set(found)
    assert ran.exit_code == (0 if told["works"] else 1)
    if found["bubblewrap"]["works"]:
        assert found["  own network"]["works"]
        # The development environment has both the programs and the driver.
        assert found["twin of PostgreSQL"]["works"], found["twin of PostgreSQL"]


@pytest.mark.usefixtures("_bare")
def test_missing_isolation_is_said_and_no_failure() -> None:
    ran = CliRunner().invoke(app, ["doctor"])
    assert ran.exit_code == 0
    assert "nothing here" in ran.stdout
    assert "they are forbidden" in ran.stdout
    assert "there is no sandbox: databases" in ran.stdout


def test_missing_programs_of_postgresql_are_said_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def newest() -> None:
        return None

    monkeypatch.setattr(pg_programs, "newest", newest)
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    assert ran.exit_code == 0
    found = {item["name"]: item for item in json.loads(ran.stdout)["findings"]}
    assert not found["twin of PostgreSQL"]["works"]


def test_programs_of_postgresql_must_be_whole_and_of_one_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def program(folder: Path, name: str, version: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(0o755)

    versions = {"whole": "97.1", "old": "14.3", "mixed": "98.1", "parts": "99.1"}
    for folder, version in versions.items():
        for name in pg_programs.NEEDED:
            program(tmp_path / folder, name, version)
    program(tmp_path / "mixed", "pg_dump", "97.1")
    (tmp_path / "parts" / "initdb").unlink()
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / folder) for folder in versions))
    assert asyncio.run(pg_programs.newest()) == Programs(97, tmp_path / "whole")


@pytest.mark.usefixtures("_bare")
def test_missing_isolation_fails_where_rehearsals_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_twin_settings", lambda _: Twin(required=True))
    ran = CliRunner().invoke(app, ["doctor"])
    assert ran.exit_code == 1
    assert "missing: bubblewrap" in ran.stderr


def test_missing_git_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = [item for item in doctor._programs() if item.name == "git"]
    assert finding.required
    assert not finding.works
    assert "PATH" in finding.said


@pytest.mark.usefixtures("_bare")
def test_routers_of_the_catalogue_are_tried_when_asked(tmp_path: Path) -> None:
    """The one file is there and nobody follows it, the other is not, and the third kind is none."""
    (tmp_path / "dynamic.json").write_text(
        '{"http": {"services": {"shop": {"weighted": {"services": [{"name": "b", "weight": 1}]}}}}}'
    )
    services = "".join(
        f"  {name}: {{owner: team, tier: 2, router: {{kind: {kind}, arms: {{blue: b}}, "
        f"options: {{file: {file}, service: shop}}}}}}\n"
        for name, kind, file in (
            ("shop", "traefik", "dynamic.json"),
            ("lost", "traefik", "nowhere.yml"),
            ("odd", "oracle", "x"),
        )
    )
    (tmp_path / "services.yaml").write_text(
        f"apiVersion: penelope.dev/v1\nkind: Services\nservices:\n{services}"
    )
    config = tmp_path / "penelope.yaml"
    config.write_text("catalogue: {path: services.yaml}\n")
    ran = CliRunner().invoke(app, ["--config", str(config), "doctor", "--json", "--routers"])
    found = {item["name"]: item for item in json.loads(ran.stdout)["findings"] if "router" in item["name"]}
    assert {name: item["works"] for name, item in found.items()} == {
        "router of shop: arms": True,
        "router of shop: revision": False,
        "router of lost: revision": False,
        "router of odd": False,
    }
    assert "entry_point" in found["router of shop: revision"]["said"]
    assert "cannot be read" in found["router of lost: revision"]["said"]


@pytest.mark.usefixtures("_bare")
@pytest.mark.parametrize(
    ("token", "works", "said"),
    [
        (None, False, "not served: neither routers.traefik_token nor"),
        ("a-token-for-traefik-only", True, "at /providers/traefik"),
        ("short", False, "16 to 1024 characters"),
        ("a-token-with-a line-in-it", False, "no spaces"),
    ],
)
def test_it_says_whether_traefik_is_given_its_configuration(
    tmp_path: Path, token: str | None, *, works: bool, said: str
) -> None:
    lines = "" if token is None else "routers: {traefik_token_file: token}\n"
    (tmp_path / "penelope.yaml").write_text(f"api: {{port: 8421}}\n{lines}")
    (tmp_path / "token").write_text(token or "")
    ran = CliRunner().invoke(app, ["--config", str(tmp_path / "penelope.yaml"), "doctor", "--json"])
    assert ran.exit_code == 0
    found = {item["name"]: item for item in json.loads(ran.stdout)["findings"]}
    finding = found["Traefik's HTTP provider"]
    assert finding["works"] is works
    assert said in finding["said"]
    assert token is None or token not in ran.stdout
