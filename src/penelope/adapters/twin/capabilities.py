"""What isolation this machine really gives: found by running a sandbox, not by reading versions."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from penelope.adapters.twin import cgroups, layout
from penelope.adapters.twin.limits import Limits
from penelope.adapters.twin.sandbox import Job, Sandbox, bubblewrap
from penelope.errors import PenelopeError
from penelope.kit.spawn import spawn

_PROCESSES = 12
_LOOK = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
def refused(action):
    try:
        action()
    except OSError:
        return True
    return False
def crowd():
    born = []
    try:
        for _ in range(LIMIT * 2):
            born.append(os.fork())
            if not born[-1]:
                import time
                time.sleep(20)
                os._exit(0)
    finally:
        for pid in born:
            os.kill(pid, 9)
def fill():
    with open("/tmp/fill", "wb") as stream:
        for _ in range(64):
            stream.write(bytes(1 << 20))
found = {
    "no capabilities": int(status["CapEff"], 16) == 0 and int(status["CapBnd"], 16) == 0,
    "no new privileges": status["NoNewPrivs"].strip() == "1",
    "system call filter": status["Seccomp"].strip() == "2",
    "own network": {line.split(":")[0].strip() for line in open("/proc/net/dev").readlines()[2:]} <= {"lo"},
    "own processes": len([name for name in os.listdir("/proc") if name.isdigit()]) <= 4,
    "read-only outside": all(refused(lambda path=path: open(path, "w")) for path in ("/x", "/usr/x", "/etc/passwd", "/dev/x")),
    "no mounts": refused(lambda: os.chroot("/tmp")),
    "process limit": refused(crowd),
    "disk limit": refused(fill),
    "empty environment": not set(os.environ) - {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE", "PWD", "LC_CTYPE"},
}
print(json.dumps(found))
""".replace("LIMIT", str(_PROCESSES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What was found: `missing` is empty where a sandbox holds all that it must."""

    missing: str
    landlock: int
    cgroups: str
    walls: Mapping[str, bool]

    def words(self) -> tuple[str, ...]:
        """What holds beside the limits, and what does not, for people."""
        groups = (
            f"control groups {self.cgroups}"
            if self.cgroups
            else "no control groups: memory is looked at 20 times a second"
        )
        landlock = f"Landlock {self.landlock}" if self.landlock else "no Landlock"
        return ("no network; read-only outside", groups, landlock)


_known: list[Isolation] = []


async def isolation() -> Isolation:
    """What sandboxes hold here. Walls that held once are not tried again; missing ones are, for a busy machine misses some."""
    if not _known:
        found = await look()
        if found.missing:
            return found
        _known.append(found)
    return _known[0]


async def look() -> Isolation:
    """Runs a sandbox that tries its own walls. Never raises."""
    abi = landlock()
    limits = replace(Limits(), seconds=15, processes=_PROCESSES, disk=64 << 20)
    command = (layout.interpreter(), "-I", "-S", "-B", "-c", _LOOK)
    walls: dict[str, bool] = {}
    try:
        ended = await Sandbox(limits, landlock=bool(abi)).run(Job(argv=command))
        told: Any = json.loads(ended.out) if ended.code == 0 else {}
        walls = {str(name): held is True for name, held in told.items()}
        missing = ", ".join(name for name, held in walls.items() if not held)
        if not walls:
            said = ended.complaints.decode("utf-8", "replace").strip()[-200:]
            missing = f"a sandbox was made, and nothing runs in it ({ended.stopped or ended.code}): {said}"
    except PenelopeError as error:
        missing = error.message
    except (OSError, ValueError) as error:
        missing = f"a sandbox cannot be tried: {error}"
    return Isolation(missing=missing, landlock=abi, cgroups=cgroups.usable(), walls=walls)


def landlock() -> int:
    """The version of Landlock that the kernel offers; 0 for none."""
    import ctypes  # noqa: PLC0415 - an interpreter may be built without it

    try:
        return max(0, int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))
    except (OSError, AttributeError):
        return 0


async def user_namespaces() -> str:
    """Why an ordinary user's sandbox cannot be made here; nothing where it can."""
    try:
        program = bubblewrap()
        process = await spawn(
            str(program), "--unshare-user", "--ro-bind", "/", "/", "--", "/bin/true",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except PenelopeError as error:
        return error.message
    except OSError as error:
        return f"bubblewrap cannot be run: {error.strerror}"
    _, complaint = await process.communicate()
    return "" if process.returncode == 0 else complaint.decode("utf-8", "replace").strip()[:200]
