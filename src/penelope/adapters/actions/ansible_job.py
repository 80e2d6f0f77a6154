"""One run of an Ansible playbook in a folder of its own: started, waited for, ended, and told of after a crash."""

import asyncio
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from penelope.adapters.actions import ansible_run
from penelope.errors import Unavailable
from penelope.kit.canonical import Json

_MARK = "PENELOPE_ANSIBLE"
_POLL_SECONDS = 0.05
_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SSH_AUTH_SOCK", "TMPDIR")
"""All that a playbook gets of Penelope's environment, where secrets lie."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run that ended by itself. Tasks are pairs of host and name; `count` are all that changed."""

    status: str
    rc: int | None
    changed: list[tuple[str, str]]
    failed: list[tuple[str, str]]
    unreachable: list[tuple[str, str]]
    count: int
    diff: str

    @property
    def good(self) -> bool:
        return self.status == "successful" and self.rc == 0

    @property
    def harmless(self) -> bool:
        """Whether nothing can have been changed."""
        return self.count == 0 and not self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is run: a playbook of a folder, on an inventory, with variables."""

    folder: Path
    playbook: str
    inventory: str
    variables: Mapping[str, Json]
    limit: str
    check: bool
    timeout_seconds: float


class Run:
    """A folder for one run; files below say whether it goes on, ended, or was torn off."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def begun(self) -> bool:
        """Whether a run was ever begun here."""
        return (self._folder / "lock").exists()

    @property
    def alive(self) -> bool:
        """Whether it goes on: its process holds a lock, which the system lets go of when it dies."""
        try:
            with (self._folder / "lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    @property
    def outcome(self) -> Outcome | None:
        """None while it goes on, and where it was torn off."""
        try:
            return msgspec.json.decode((self._folder / "outcome.json").read_bytes(), type=Outcome)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise Unavailable(f"what came of a playbook cannot be read: {type(error).__name__}") from None

    @property
    def touched(self) -> bool:
        """Whether a task was begun, so that something may have been changed."""
        outcome = self.outcome
        if outcome is not None:
            return not outcome.harmless
        events = self._folder / "artifacts" / ansible_run.IDENT / "job_events"
        try:
            return any(b"playbook_on_task_start" in file.read_bytes() for file in events.glob("*.json"))
        except OSError:
            return True

    async def start(self, job: Job) -> Outcome | None:
        """Runs it in place of what was here, to its end; None says that it was torn off. Where this is cancelled, all
        of its processes are ended.
        """
        if importlib.util.find_spec("ansible_runner") is None:
            raise Unavailable("Ansible is missing", hint="Install penelope-ops[ansible].")
        await self.end()
        try:
            process = self._begin(job)  # not in a thread: a start that is cancelled there would go on unseen
        except OSError as error:
            raise Unavailable(f"no playbook can be run here: {error.strerror}") from error
        try:
            while process.poll() is None:  # noqa: ASYNC110 - a process of which nothing tells when it ends
                await asyncio.sleep(_POLL_SECONDS)
        except asyncio.CancelledError:
            self._kill()
            process.wait()
            raise
        return self.outcome

    async def wait(self) -> Outcome | None:
        """Waits for one that goes on."""
        while self.alive:  # noqa: ASYNC110 - a process of which nothing tells when it ends
            await asyncio.sleep(_POLL_SECONDS)
        return self.outcome

    async def end(self) -> None:
        """Ends what is left of it, wherever it was forked to."""
        await asyncio.to_thread(self._kill)

    def clear(self) -> None:
        """Takes away all that is known of it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _begin(self, job: Job) -> subprocess.Popen[bytes]:
        self.clear()
        self._folder.mkdir(mode=0o700, parents=True)
        content = {
            "folder": str(job.folder),
            "playbook": job.playbook,
            "inventory": job.inventory,
            "variables": dict(job.variables),
            "limit": job.limit,
            "check": job.check,
            "timeout_seconds": job.timeout_seconds,
        }
        file = self._folder / "job.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(content), encoding="utf-8")
        (self._folder / "ansible.cfg").touch()
        (self._folder / "lock").touch()
        with (self._folder / "output").open("wb") as output:
            return subprocess.Popen(  # noqa: S603 - our own script, with a path of ours
                [sys.executable, "-I", ansible_run.__file__, str(self._folder)],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        beside = str(Path(sys.executable).parent)
        return {
            **inherited,
            "PATH": f"{beside}{os.pathsep}{inherited.get('PATH', os.defpath)}",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(self._folder / "ansible.cfg"),
            "ANSIBLE_HOME": str(self._folder / "home"),
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "ANSIBLE_PIPELINING": "True",
            _MARK: str(self._folder),
        }

    def _kill(self) -> None:
        """Repeats until a look finds none: one may fork while the others are ended."""
        while alive := _bearing(f"{_MARK}={self._folder}".encode()):
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        # Its variables may be credentials, and one that was ended could not take them away itself.
        for file in (self._folder / "job.json", self._folder / "env" / "extravars"):
            with suppress(OSError):
                file.unlink()


def _bearing(variable: bytes) -> list[int]:
    """Living processes with a variable in their environment; Ansible's workers leave their process group."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if variable in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # it ended meanwhile, or is somebody else's
            continue
    return found
