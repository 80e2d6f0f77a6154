"""What is particular to Ansible: hostile variables, an environment without secrets, crashes, and what was there before."""

import asyncio
import fcntl
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_ansible import Site, a_site
from benching import with_options

from penelope.adapters.actions import ansible_run
from penelope.adapters.actions.ansible_job import Run
from penelope.domain.action import Action, Progress, Snapshot
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidCatalogue,
    InvalidPlaybook,
    OutcomeUnknown,
    Unavailable,
)
from penelope.rooms.act.run import perform, undo

NOTHING = Snapshot(state={"pending": None})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return a_site(tmp_path)


def unchecked(site: Site, text: str, **options: Any) -> Action:
    """An action on a playbook of one's own, without check mode, so that each step costs one run at most."""
    (site.root / "playbooks" / "limit.yml").write_text(text)
    return with_options(site.action(), check=False, **options)


def tasks(*lines: str) -> str:
    return "- hosts: all\n  gather_facts: false\n  tasks:\n" + "".join(f"    - {line}\n" for line in lines)


def run(steps: Any) -> Any:
    return asyncio.run(steps)


def test_what_was_in_effect_before_is_neither_ours_nor_taken_back(site: Site) -> None:
    adapter, action = site.adapter(), site.action()
    play = site.root / "playbooks" / "limit.yml"
    play.write_text(play.read_text().partition("    - name: Note the end")[0])
    site.limit.write_text("limit = 7\n")
    snapshot = run(adapter.snapshot(action))
    assert snapshot.state == {"pending": []}
    assert not run(perform(adapter, action, snapshot, first_attempt=True)).repeated
    run(undo(adapter, action, snapshot))
    assert site.limit.read_text() == "limit = 7\n"
    assert run(adapter.differences(action, snapshot)) == []


def test_secrets_go_by_file_and_nothing_of_our_environment_goes_along(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_DB", "hunter22-in-the-environment")
    play = tasks(
        f"shell: 'env; cat /proc/$PPID/cmdline /proc/*/cmdline; echo {{{{ password | length }}}} > {site.root}/length'"
    )
    action = unchecked(site, play)
    adapter = site.adapter()
    run(perform(adapter, action, NOTHING, first_attempt=True))
    assert (site.root / "length").read_text() == "12\n"
    for file in (site.root / "kept").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"hunter22" not in content, file
            assert b"s3cret-fixed" not in content, file
    assert (next((site.root / "kept").iterdir()) / "run").stat().st_mode & 0o077 == 0


def test_a_run_outlives_penelope_and_is_waited_for(site: Site) -> None:
    """A process that stands for Penelope begins a run and is killed; the next one finds it going on, then done."""
    action = unchecked(site, tasks(f"shell: 'sleep 3; echo x >> {site.root}/ends'"))
    adapter = site.adapter()
    script = (
        "import asyncio, pickle, sys\n"
        "from penelope.adapters.actions.ansible import AnsibleAdapter\n"
        "from penelope.domain.action import Snapshot\n"
        "from pathlib import Path\n"
        "action = pickle.loads(bytes.fromhex(sys.argv[2]))\n"
        "asyncio.run(AnsibleAdapter(Path(sys.argv[1])).execute(action, Snapshot()))\n"
    )
    arguments = [sys.executable, "-c", script, str(site.root / "kept"), pickle.dumps(action).hex()]
    with subprocess.Popen(arguments) as process:
        deadline = time.monotonic() + 60
        while run(adapter.probe(action, NOTHING)) is not Progress.PARTIAL:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.kill()
    assert run(perform(adapter, action, NOTHING, first_attempt=False)).repeated is False
    assert site.ends() == 1
    assert run(adapter.probe(action, NOTHING)) is Progress.APPLIED


def test_a_timeout_ends_all_processes(site: Site) -> None:
    action = unchecked(site, tasks(f"shell: 'touch {site.limit}; sleep 3600'"), undo={})
    adapter = site.adapter()
    action = replace(action, timeout_seconds=60.0)

    async def story() -> None:
        executing = asyncio.create_task(adapter.execute(action, NOTHING))
        while not site.limit.exists():  # noqa: ASYNC110 - a process that tells nothing is waited for
            await asyncio.sleep(0.05)
        executing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await executing

    run(story())
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(site.root) not in left
    assert run(adapter.probe(action, NOTHING)) is Progress.PARTIAL
    with pytest.raises(CompensationFailed, match="no playbook that does"):
        run(undo(adapter, action, NOTHING))


def test_a_run_that_was_ended_leaves_no_secret_behind(site: Site) -> None:
    """It cannot take its own variables away any more: whoever ends it does."""
    run(site.torn_off(site.adapter(), NOTHING))
    kept = [path for path in (site.root / "kept").rglob("*") if path.is_file()]
    assert kept
    assert [path.name for path in kept if b"s3cret-fixed" in path.read_bytes()] == []


def test_a_playbook_that_fails_is_told_by_what_it_did(site: Site) -> None:
    adapter = site.adapter()
    action = unchecked(site, tasks(f"shell: touch {site.limit}", "name: Break\n      shell: exit 3"))
    with pytest.raises(ActionFailed, match="here: Break"):
        run(perform(adapter, action, NOTHING, first_attempt=True))
    assert run(adapter.probe(action, NOTHING)) is Progress.PARTIAL
    assert run(adapter.differences(action, NOTHING))
    run(undo(adapter, action, NOTHING))
    assert not site.limit.exists()
    assert run(adapter.differences(action, NOTHING)) == []
    assert run(adapter.probe(action, NOTHING)) is Progress.NOT_APPLIED


def test_a_host_out_of_reach_is_unavailable(site: Site) -> None:
    action = unchecked(site, tasks("ping:"))
    (site.root / "inventory").write_text(
        "far ansible_host=127.0.0.1 ansible_port=9 ansible_connection=ssh ansible_ssh_timeout=2\n"
    )
    with pytest.raises((ActionFailed, OutcomeUnknown)):
        run(perform(site.adapter(), action, NOTHING, first_attempt=True))
    assert run(site.adapter().probe(action, NOTHING)) is Progress.NOT_APPLIED


@pytest.mark.parametrize(
    "params",
    [
        {"playbook": "../evil.yml"},
        {"playbook": "/etc/evil.yml"},
        {"playbook": "-e.yml"},
        {"playbook": "a/../../b.yml"},
        {"playbook": "a.py"},
        {"playbook": "a.yml\n"},
        {"playbook": "a.yml", "limit": "@/etc/passwd"},
        {"playbook": "a.yml", "limit": "--module-path=x"},
        {"playbook": "a.yml", "limit": "a b"},
        {"playbook": "a.yml", "variables": {"ansible_connection": "local"}},
        {"playbook": "a.yml", "variables": {"ansible_python_interpreter": "/tmp/evil"}},
        {"playbook": "a.yml", "variables": {"hostvars": "x"}},
        {"playbook": "a.yml", "variables": {"Limit": 1}},
        {"playbook": "a.yml", "variables": {"limit": "{{ lookup('pipe', 'id') }}"}},
        {"playbook": "a.yml", "variables": {"limit": "{% for x in y %}"}},
        {"playbook": "a.yml", "variables": {"limit": "x" * 5000}},
        {"playbook": "a.yml", "variables": {"limit": ["a"]}},
        {"playbook": "a.yml", "variables": {"limit": {"a": 1}}},
        {"playbook": "a.yml", "cmdline": "--become"},
        {},
    ],
)
def test_hostile_parameters_are_refused(site: Site, params: dict[str, Any]) -> None:
    with pytest.raises(InvalidPlaybook):
        site.adapter().validate("play", params)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"params": {"playbook": "unlimit.yml"}}, InvalidPlaybook),
        ({"params": {"playbook": "limit.yml", "variables": {"limit": "seven"}}}, InvalidPlaybook),
        ({"params": {"playbook": "limit.yml", "variables": {"limit": True}}}, InvalidPlaybook),
        ({"params": {"playbook": "limit.yml", "variables": {"other": 1}}}, InvalidPlaybook),
        ({"params": {"playbook": "limit.yml", "variables": {"password": "mine"}}}, InvalidPlaybook),
        ({"options": {"folder": "playbooks"}}, InvalidCatalogue),
        ({"options": {"folder": "/nowhere"}}, Unavailable),
        ({"options": {"inventory": "/nowhere"}}, Unavailable),
        ({"options": {"become": True}}, InvalidCatalogue),
    ],
)
def test_a_step_sets_only_what_its_target_lets_it(
    site: Site, change: dict[str, Any], error: type[Exception]
) -> None:
    action = with_options(site.action(), **change.get("options", {}))
    action = replace(action, params=change.get("params", action.params))
    with pytest.raises(error) as caught:
        run(site.adapter().execute(action, NOTHING))
    assert "s3cret" not in str(caught.value)
    assert not (site.root / "kept").exists()


def test_a_playbook_that_links_out_of_its_folder_is_refused(site: Site) -> None:
    outside = site.root / "outside.yml"
    outside.write_text(tasks("ping:"))
    play = site.root / "playbooks" / "limit.yml"
    play.unlink()
    play.symlink_to(outside)
    with pytest.raises(InvalidCatalogue, match="out of its folder"):
        run(site.adapter().execute(site.action(), NOTHING))


def test_a_second_run_of_the_same_action_is_refused_while_the_first_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert Run(folder).alive
        done = subprocess.run([sys.executable, "-I", ansible_run.__file__, str(folder)], check=False)
        assert done.returncode == ansible_run.RUNS_ALREADY
    assert not Run(folder).alive
    assert Run(folder).outcome is None


def test_what_the_events_tell_is_bounded_and_readable() -> None:
    def event(kind: str, **data: Any) -> dict[str, Any]:
        return {"event": kind, "event_data": {"host": "h", "task": "t" * 500, **data}}

    events = [
        *(
            event("runner_on_ok", res={"changed": True, "diff": {"before": "a\n", "after": "b\n"}})
            for _ in range(300)
        ),
        event("runner_on_ok", res={"changed": True, "diff": [{"prepared": "- x\n+ y"}, 7]}),
        event("runner_on_ok", res={"changed": False}),
        event("runner_on_ok"),
        event("runner_on_failed", res={}, ignore_errors=True),
        event("runner_on_failed", res={}),
        event("runner_on_unreachable"),
        event("playbook_on_stats"),
        {},
    ]
    told = ansible_run.told(events)
    assert (len(told["changed"]), told["count"]) == (ansible_run.MOST_TASKS, 301)
    assert (len(told["failed"]), len(told["unreachable"])) == (1, 1)
    assert len(told["changed"][0][1]) == 200
    assert "-a\n+b\n" in told["diff"]
    assert len(told["diff"]) <= 16_000
