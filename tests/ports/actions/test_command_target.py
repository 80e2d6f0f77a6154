"""What is special about commands: what they get to see, what they may take, and what is known after a crash."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bench_command import options
from benching import an_action, with_options

from penelope.adapters.actions.command import CommandAdapter
from penelope.domain.action import Action, Progress, Snapshot
from penelope.errors import ActionFailed, CompensationFailed, OutcomeUnknown, Unavailable
from penelope.rooms.act.run import perform, undo


def run(steps: Any) -> Any:
    return asyncio.run(steps)


def program(folder: Path, body: str, name: str = "it") -> str:
    path = folder / name
    path.write_text(f"#!{sys.executable} -IS\n{body}\n")
    path.chmod(0o755)
    return str(path)


def act(folder: Path, body: str, timeout: float = 8.0, **rule: Any) -> Action:
    command = {"program": program(folder, body), "folder": str(folder), **rule}
    action = an_action(
        "command",
        "run",
        {"commands": {"it": command}, "receipts": str(folder / "receipts")},
        {"command": "it"},
    )
    return Action(
        **{**{name: getattr(action, name) for name in action.__slots__}, "timeout_seconds": timeout}
    )


def adapter(folder: Path) -> CommandAdapter:
    return CommandAdapter(folder / "kept")


def performed(folder: Path, action: Action) -> Any:
    made = adapter(folder)
    return run(perform(made, action, run(made.snapshot(action)), first_attempt=True))


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_for(path: Path) -> str:
    until = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < until
        time.sleep(0.01)
    return path.read_text().strip()


def test_nothing_of_our_environment_leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "planted-s3cret-value")
    monkeypatch.setenv("WANTED", "wanted")
    body = "import os, json; open('seen', 'w').write(json.dumps(dict(os.environ)))"
    action = act(tmp_path, body, inherit=["WANTED"], environment={"FIXED": "fixed"})
    performed(tmp_path, action)
    seen = json.loads((tmp_path / "seen").read_text())
    assert "planted-s3cret-value" not in seen.values()
    assert seen.pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"
    assert seen == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "FIXED": "fixed",
        "WANTED": "wanted",
        "PENELOPE_ACTION_KEY": action.key,
    }


def test_it_reads_nothing_and_inherits_no_open_file_but_its_lock(tmp_path: Path) -> None:
    body = (
        "import os, sys; open('seen', 'w').write(sys.stdin.read() + '|'"
        " + ' '.join(sorted({os.readlink(f'/proc/self/fd/{n}') for n in range(3, 64)"
        " if os.path.exists(f'/proc/self/fd/{n}')})))"
    )
    performed(tmp_path, act(tmp_path, body))
    said, _, files = (tmp_path / "seen").read_text().partition("|")
    assert said == ""
    assert [name for name in files.split() if not name.endswith((".lock", "/seen"))] == []


def test_a_run_that_takes_too_long_is_killed_with_all_it_started(tmp_path: Path) -> None:
    body = (
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    open('daemon', 'w').write(f'{os.getpid()}\\n')\n    time.sleep(60)\n"
        "time.sleep(60)"
    )
    action = act(tmp_path, body, timeout=1.0)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="within 1 s"):
        performed(tmp_path, action)
    assert time.monotonic() - began < 8
    assert gone(int(wait_for(tmp_path / "daemon")))


def test_what_it_started_in_the_background_ends_with_it(tmp_path: Path) -> None:
    body = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        "    open('daemon', 'w').write(f'{os.getpid()}\\n')\n    time.sleep(60)\n"
        "while not os.path.exists('daemon'):\n    time.sleep(0.01)"
    )
    performed(tmp_path, act(tmp_path, body))
    assert gone(int(wait_for(tmp_path / "daemon")))


_MORTAL = """
import asyncio, sys, pickle
from penelope.adapters.actions.command import CommandAdapter
action, folder = pickle.load(open(sys.argv[1], "rb"))
async def main():
    made = CommandAdapter(folder)
    snapshot = await made.snapshot(action)
    await made.execute(action, snapshot)
asyncio.run(main())
"""


def test_it_dies_with_penelope_and_nobody_claims_to_know_more(tmp_path: Path) -> None:
    import pickle  # noqa: PLC0415 - a vehicle of this test only

    body = "import os, time\nopen('pid', 'w').write(f'{os.getpid()}\\n')\ntime.sleep(60)\nopen('done', 'w').close()"
    action = act(tmp_path, body, timeout=50.0)
    (tmp_path / "order").write_bytes(pickle.dumps((action, tmp_path / "kept")))
    penelope = subprocess.Popen([sys.executable, "-c", _MORTAL, str(tmp_path / "order")])
    pid = int(wait_for(tmp_path / "pid"))
    penelope.send_signal(signal.SIGKILL)
    penelope.wait()
    until = time.monotonic() + 10
    while not gone(pid):
        assert time.monotonic() < until
        time.sleep(0.01)
    made = adapter(tmp_path)
    snapshot = run(made.snapshot(action))
    assert run(made.probe(action, snapshot)) is Progress.UNKNOWN
    with pytest.raises(OutcomeUnknown):
        run(perform(made, action, snapshot, first_attempt=False))
    with pytest.raises(CompensationFailed, match="no command that takes it back"):
        run(undo(made, action, snapshot))
    assert not (tmp_path / "done").exists()


def test_output_is_bounded_and_decoded_and_secrets_are_masked(tmp_path: Path) -> None:
    body = "import sys, os; os.write(1, b'password=hunter2secret \\xff\\n' + b'x y ' * 500000)"
    effect = performed(tmp_path, act(tmp_path, body))
    assert effect.details["cut"] is True
    assert "hunter2secret" not in effect.details["output"]
    assert len(effect.details["output"]) <= 2000


@pytest.mark.parametrize(
    ("body", "limits", "said"),
    [
        ("x = bytearray(512 * 1024 * 1024)", {"memory_bytes": 128 * 1024 * 1024}, "status 1: MemoryError"),
        ("while True: pass", {"cpu_seconds": 1}, "status -9"),
        ("f = open('big', 'wb')\nwhile True: f.write(bytes(65536))", {"file_bytes": 1024 * 1024}, "File too large"),
        ("import os, time\nfor _ in range(30):\n    if os.fork() == 0:\n        break\ntime.sleep(30)", {"processes": 5}, "more processes"),
    ],
)  # fmt: skip
def test_it_takes_no_more_than_it_may(tmp_path: Path, body: str, limits: dict[str, int], said: str) -> None:
    with pytest.raises(OutcomeUnknown, match=said):
        performed(tmp_path, act(tmp_path, body, limits=limits))


@pytest.mark.parametrize("code", [0, 3, 4, 5])
def test_its_status_says_what_became_of_it(tmp_path: Path, code: int) -> None:
    action = act(
        tmp_path,
        f"import sys; print('a word'); sys.exit({code})",
        succeeded=[0],
        changed_nothing=[3],
        refused=[4],
    )
    made = adapter(tmp_path)
    snapshot = run(made.snapshot(action))
    if code == 4:
        with pytest.raises(ActionFailed, match="status 4: a word"):
            run(made.execute(action, snapshot))
    elif code == 5:
        with pytest.raises(OutcomeUnknown, match="status 5: a word; it may have done a part"):
            run(made.execute(action, snapshot))
    else:
        run(made.execute(action, snapshot))
    after = {0: Progress.APPLIED, 3: Progress.APPLIED, 4: Progress.NOT_APPLIED, 5: Progress.UNKNOWN}
    assert run(made.probe(action, snapshot)) is after[code]
    assert bool(run(made.differences(action, snapshot))) is (code in {0, 5})


def test_a_refusal_can_be_tried_again(tmp_path: Path) -> None:
    action = act(tmp_path, "import os, sys; sys.exit(0 if os.path.exists('now') else 4)", refused=[4])
    made = adapter(tmp_path)
    snapshot = run(made.snapshot(action))
    with pytest.raises(ActionFailed):
        run(made.execute(action, snapshot))
    (tmp_path / "now").touch()
    run(perform(made, action, snapshot, first_attempt=False))
    assert run(made.probe(action, snapshot)) is Progress.APPLIED


def test_receipts_that_were_lost_are_not_taken_for_nothing_done(tmp_path: Path) -> None:
    action = act(tmp_path, "pass")
    made = adapter(tmp_path)
    snapshot = run(made.snapshot(action))
    run(made.execute(action, snapshot))
    (tmp_path / "receipts").rename(tmp_path / "moved")
    with pytest.raises(Unavailable, match="not those of before"):
        run(made.probe(action, snapshot))


def test_two_at_once_are_one_run(tmp_path: Path) -> None:
    action = act(tmp_path, "import time; open('runs', 'a').write('x'); time.sleep(1)")
    made = adapter(tmp_path)
    snapshot: Snapshot = run(made.snapshot(action))

    async def both() -> list[Any]:
        return await asyncio.gather(
            made.execute(action, snapshot), made.execute(action, snapshot), return_exceptions=True
        )

    outcomes = run(both())
    assert (tmp_path / "runs").read_text() == "x"
    assert sorted(type(item).__name__ for item in outcomes) == ["Effect", "OutcomeUnknown"]


def test_a_program_that_anybody_may_change_is_not_run(tmp_path: Path) -> None:
    action = act(tmp_path, "open('ran', 'w')")
    (tmp_path / "it").chmod(0o777)
    with pytest.raises(ActionFailed, match="can be changed by anybody"):
        performed(tmp_path, action)
    (tmp_path / "it").unlink()
    with pytest.raises(ActionFailed, match="cannot be run: No such file"):
        performed(tmp_path, action)
    assert not (tmp_path / "ran").exists()


def test_what_leaves_nothing_needs_no_way_back(tmp_path: Path) -> None:
    action = act(tmp_path, "pass", lasting=False)
    made = adapter(tmp_path)
    snapshot = run(made.snapshot(action))
    run(made.execute(action, snapshot))
    assert run(made.differences(action, snapshot)) == []
    assert "nothing that could be taken back" in run(undo(made, action, snapshot)).summary


def test_an_undo_that_fails_is_loud(tmp_path: Path) -> None:
    failing = program(tmp_path, "import sys; sys.exit('it is stuck')", "undo")
    action = act(tmp_path, "pass", undo={"program": failing})
    made = adapter(tmp_path)
    snapshot = run(made.snapshot(action))
    run(made.execute(action, snapshot))
    with pytest.raises(CompensationFailed, match="status 1: it is stuck"):
        run(undo(made, action, snapshot))


def test_values_of_its_environment_are_never_shown(tmp_path: Path) -> None:
    body = "import os; print('with', os.environ['WORD'])"
    effect = performed(tmp_path, act(tmp_path, body, environment={"WORD": "correct horse"}))
    assert effect.details["output"] == "with ***"
    assert os.environ.get("WORD") is None


def test_its_receipts_are_its_own_where_none_are_named(tmp_path: Path) -> None:
    action = an_action(
        "command",
        "run",
        {"commands": options(tmp_path)["commands"]},
        {"command": "set", "arguments": {"value": "new"}},
    )
    made = adapter(tmp_path)
    run(made.execute(action, run(made.snapshot(action))))
    assert len(list((tmp_path / "kept").glob("*.json"))) == 1
    assert with_options(action).target == action.target


def test_a_guard_that_is_killed_takes_its_command_with_it(tmp_path: Path) -> None:
    body = "import os, time\nopen('pid', 'w').write(f'{os.getpid()}\\n')\ntime.sleep(60)\nopen('done', 'w').close()"
    action = act(tmp_path, body, timeout=50.0)
    made = adapter(tmp_path)

    async def steps() -> Snapshot:
        snapshot = await made.snapshot(action)
        running = asyncio.ensure_future(made.execute(action, snapshot))
        pid = int(await asyncio.to_thread(wait_for, tmp_path / "pid"))
        os.kill(parent_of(pid), signal.SIGKILL)
        with pytest.raises(Unavailable, match="has died"):
            await running
        while not gone(pid):  # noqa: ASYNC110 - another process ends
            await asyncio.sleep(0.01)
        return snapshot

    snapshot = run(steps())
    assert run(made.probe(action, snapshot)) is Progress.UNKNOWN
    assert not (tmp_path / "done").exists()


def test_receipts_are_opened_by_two_at_once(tmp_path: Path) -> None:
    action = act(tmp_path, "pass")
    made = adapter(tmp_path)

    async def both() -> list[Snapshot]:
        return await asyncio.gather(*(made.snapshot(action) for _ in range(8)))

    assert len({snapshot.state["store"] for snapshot in run(both())}) == 1
    assert [path.name for path in (tmp_path / "receipts").iterdir()] == ["store"]


def test_what_still_runs_is_not_taken_for_nothing_done(tmp_path: Path) -> None:
    """A guard that was killed cannot end what its command had started: that holds the lock, whatever a probe says."""
    child = f"open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}} {{guard}}\\n'); time.sleep(60)"
    body = (
        f"import os, time\nguard = os.getppid()\nif os.fork() == 0:\n    os.setsid(); {child}\ntime.sleep(60)"
    )
    probe = {"program": program(tmp_path, "raise SystemExit(1)", "probe")}
    action, made = act(tmp_path, body, probe=probe), adapter(tmp_path)
    snapshot = run(made.snapshot(action))

    async def torn_off() -> None:
        running = asyncio.create_task(made.execute(action, snapshot))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():  # noqa: ASYNC110 - a process that tells nothing is waited for
            await asyncio.sleep(0.02)
        os.kill(int((tmp_path / "pid").read_text().split()[1]), signal.SIGKILL)
        with pytest.raises(Unavailable, match="has died"):
            await running

    run(torn_off())
    orphan = int((tmp_path / "pid").read_text().split()[0])
    try:
        assert not gone(orphan)
        assert run(made.probe(action, snapshot)) is Progress.PARTIAL
        assert run(made.differences(action, snapshot))
        with pytest.raises(CompensationFailed, match="still running"):
            run(undo(made, action, snapshot))
    finally:
        os.kill(orphan, signal.SIGKILL)
    while not gone(orphan):
        time.sleep(0.01)
    run(undo(made, action, snapshot))
    assert run(made.differences(action, snapshot)) == []
