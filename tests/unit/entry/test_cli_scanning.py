"""`penelope playbooks scan`: the shipped library is clean, and a bad playbook is told."""

from pathlib import Path

from typer.testing import CliRunner

from penelope.entry.cli.main import app
from penelope.testing.kit import shipped

BAD = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: bad
version: "1"
title: Bad
match: {names: [X]}
steps:
  - {name: Clean up, action: ssh.run, target: a, tier: 1, timeout: 10s, params: {script: "rm -rf /"}}
verify: {within: 60s, clauses: [{subject: metric.up, at_least: 1}]}
"""


def test_the_shipped_playbooks_hold_nothing_critical() -> None:
    done = CliRunner().invoke(app, ["playbooks", "scan"])
    assert done.exit_code == 0
    assert done.output.strip().endswith(f"{len(shipped())} playbooks, nothing critical")
    assert done.output.count("\n") == 1


def test_what_is_critical_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    done = CliRunner().invoke(app, ["playbooks", "scan", str(tmp_path)])
    assert done.exit_code == 1
    assert "bad: critical destroys-files at 1. Clean up (ssh.run), script: rm -rf /" in done.output
