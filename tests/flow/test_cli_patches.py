"""`penelope patches log`: a patch that was made, did not help and was taken back, on a real repository and server."""

import json
import re
import subprocess
from pathlib import Path

from serving import SETTINGS, start

SERVICES = """\
apiVersion: penelope.dev/v1
kind: Services
services:
  shop:
    owner: team-shop
    tier: 4
    targets:
      config: {adapter: git_patch, options: {repository: repository}}
      admin: {adapter: http, options: {base_url: "http://127.0.0.1:9"}}
"""

PLAYBOOK = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: more-workers
version: "1"
title: More workers
match: {names: [Slow]}
steps:
  - name: Raise the number of workers
    action: git_patch.apply
    target: config
    params:
      who: team shop
      why: four were too few
      diff: |
        --- a/app.conf
        +++ b/app.conf
        @@ -1 +1 @@
        -workers = 4
        +workers = 8
    tier: 2
    expect: {within: 2s, clauses: [{subject: state.clean, equals: true}]}
verify: {within: 1s, clauses: [{subject: metric.error_ratio, at_most: 0.02}]}
"""


def _git(folder: Path, *argv: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *argv], cwd=folder, check=True, capture_output=True)


def test_a_patch_is_told_with_its_incident_its_promise_and_its_end(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "app.conf").write_text("workers = 4\n")
    _git(repository, "init", "-q")
    _git(repository, "add", ".")
    _git(repository, "commit", "-qm", "first")
    settings = SETTINGS + "autonomy: {{start: autonomous}}\ntwin: {{enabled: false}}\n"
    server = start(tmp_path, services=SERVICES, playbook=PLAYBOOK, settings=settings)
    try:
        server.wait_until_ready()
        server.key = server.run("keys", "create", "anna", "--scope=read", "--scope=write").stdout.strip()
        assert server.run("patches", "log", "shop", "config").stdout == "No patch was made here.\n"
        incident = server.open(id="slow", type="Slow")
        server.wait_for(incident, "escalated")
        shown = server.run("patches", "log", "shop", "config")
        ((found),) = json.loads(server.run("patches", "log", "shop", "config", "--json").stdout)
        strange = server.run("patches", "log", "shop", "admin")
    finally:
        server.stop()
    assert (repository / "app.conf").read_text() == "workers = 4\n"
    assert re.search(rf"{found['commit'][:12]}.*kept +no, {found['compensated_by'][:12]}", shown.stdout)
    assert (found["incident"], found["playbook"]) == (incident, "more-workers")
    assert (found["who"], found["why"]) == ("team shop", "four were too few")
    assert (found["status"], found["verdict"], found["score"]) == ("compensated", "passed", 1.0)
    assert found["contract"] == ["state.clean equals true"]
    assert strange.exit_code == 1
    assert "has no git_patch target 'admin'" in strange.stderr
