"""Programs that try to break out of a sandbox or to wear its machine down, and what must stop each of them.

Run as a script it carries them all out and prints what came of them: so it can be run by another user.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from penelope.adapters.twin import layout
from penelope.adapters.twin.limits import Limits, Stopped
from penelope.adapters.twin.sandbox import Job, Sandbox, new_identity

MIB = 1 << 20
LIMITS = Limits(
    seconds=5,
    cpu_seconds=1,
    memory=128 * MIB,
    process_memory=512 * MIB,
    processes=32,
    open_files=64,
    file_size=4 * MIB,
    disk=32 * MIB,
    files=800,
    output=64 * 1024,
)
SECRET = "planted-7Kq2"

PRELUDE = """
import ctypes, errno, json, os, signal, socket, stat, sys, time
libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
world = json.loads(os.environ["WORLD"])
def attempt(action, *args):
    try:
        result = action(*args)
        print("ESCAPED", action, args, result)
    except OSError as error:
        print("stopped:", errno.errorcode.get(error.errno, error))
    except (MemoryError, RuntimeError, ValueError) as error:
        print("stopped:", type(error).__name__)
def call(*args):
    result = libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result
def write(path):
    with open(path, "a") as stream:
        stream.write("CHANGED")
def connect(family, kind, address):
    with socket.socket(family, kind) as s:
        s.settimeout(2)
        s.connect(address)
        s.send(b"hello")
"""


@dataclass(frozen=True)
class Attack:
    name: str
    script: str
    by: tuple[str, ...]
    """What is accepted as having stopped it: the limit that ended the run, or an error that it got."""
    server: bool = False
    """Whether it has what a database server has there: a number that is not root's, and tiny pieces of shared memory."""


ATTACKS = (
    Attack("fork bomb that goes on", "\nwhile True:\n try: os.fork()\n except OSError: pass", ("time", "processor time")),
    Attack("fork flood", "\ndef f():\n while True:\n  if not os.fork(): time.sleep(60)\nattempt(f)", ("EAGAIN",)),
    Attack("thread flood", "import threading\ndef f():\n while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nattempt(f)\nsys.stdout.flush()\nos._exit(0)", ("RuntimeError",)),
    Attack("memory hog", "\ndef f():\n kept = []\n while True: kept.append(bytearray(16 << 20))\nattempt(f)", ("MemoryError", "memory")),
    Attack("memory hogs, each small", "\nfor _ in range(16):\n if not os.fork():\n  kept = b'x' * (40 << 20); time.sleep(60)\ntime.sleep(60)", ("memory",)),
    Attack("busy loop", "\nwhile True: pass", ("processor time", "time")),
    Attack("busy loops, each short", "\nwhile True:\n if not os.fork():\n  t = time.time()\n  while time.time() < t + 0.3: pass\n  os._exit(0)\n os.wait()", ("processor time", "time")),
    Attack("sleep for ever, deaf to signals", "\nfor s in range(1, 32):\n try: signal.signal(s, signal.SIG_IGN)\n except OSError: pass\nwhile True: time.sleep(60)", ("time",)),
    Attack("TCP to this machine", "attempt(connect, socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', world['tcp']))", ("ECONNREFUSED",)),
    Attack("TCP to the world", "attempt(connect, socket.AF_INET, socket.SOCK_STREAM, ('192.0.2.1', 80))", ("ENETUNREACH",)),
    Attack("TCP over IPv6", "attempt(connect, socket.AF_INET6, socket.SOCK_STREAM, ('2001:db8::1', 80))", ("ENETUNREACH", "EADDRNOTAVAIL", "EAFNOSUPPORT")),
    Attack("UDP to the world", "attempt(connect, socket.AF_INET, socket.SOCK_DGRAM, ('192.0.2.1', 53))", ("ENETUNREACH",)),
    Attack("UDP to this machine", "\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.sendto(b'hello', ('127.0.0.1', world['udp']))\nprint('stopped: own loopback')", ("own loopback",)),
    Attack("name lookup", "\ntry: print('ESCAPED', socket.getaddrinfo('example.com', 80))\nexcept socket.gaierror: print('stopped: no resolver')", ("no resolver",)),
    Attack("unix socket by path", "attempt(connect, socket.AF_UNIX, socket.SOCK_STREAM, world['unix'])", ("ENOENT",)),
    Attack("abstract unix socket", "attempt(connect, socket.AF_UNIX, socket.SOCK_STREAM, '\\0' + world['abstract'])", ("ECONNREFUSED", "EPERM")),
    Attack("raw socket", "attempt(socket.socket, socket.AF_INET, socket.SOCK_RAW, 1)", ("EPERM",)),
    Attack("packet socket", "attempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)", ("EAFNOSUPPORT",)),
    Attack("netlink socket", "attempt(socket.socket, socket.AF_NETLINK, socket.SOCK_RAW, 0)", ("EAFNOSUPPORT",)),
    Attack("vsock to the host", "attempt(socket.socket, 40, socket.SOCK_STREAM, 0)", ("EAFNOSUPPORT",)),
    Attack("write outside by path", "attempt(write, world['canary'])", ("ENOENT",)),
    Attack("write into programs", "attempt(write, '/usr/bin/env')", ("EROFS", "EACCES")),
    Attack("write outside by symlink", "\nos.symlink(world['canary'], '/tmp/l')\nattempt(write, '/tmp/l')", ("ENOENT",)),
    Attack("write outside by a link in the copy", "attempt(write, '/twin/copy/leaves')", ("ENOENT",)),
    Attack("write outside by hard link", "attempt(os.link, '/usr/bin/env', '/tmp/env')", ("EXDEV", "EPERM")),
    Attack("write to what the copy is filled from", "attempt(write, '/.penelope/source/2/file')", ("EROFS", "EACCES")),
    Attack("/proc/self/root", "attempt(write, '/proc/self/root' + world['canary'])", ("ENOENT",)),
    Attack("/proc/1/root", "attempt(write, '/proc/1/root' + world['canary'])", ("EACCES", "EPERM", "ENOENT")),
    Attack("/proc/1/cwd/..", "attempt(write, '/proc/1/cwd/..' + world['canary'])", ("EACCES", "EPERM", "ENOENT")),
    Attack("files that were open outside", "\nfor n in range(3, 64):\n try:\n  if stat.S_ISREG(os.fstat(n).st_mode): os.write(n, b'CHANGED'); print('ESCAPED', n)\n except OSError: pass\nattempt(os.fstat, 63)", ("EBADF",)),
    Attack("mount", "attempt(lambda: call(165 if X86 else 40, b'none', b'/tmp', b'tmpfs', 0, 0))", ("EPERM",)),
    Attack("make programs writable again", "attempt(lambda: call(165 if X86 else 40, b'none', b'/usr', b'', 32 | 4096, 0))", ("EPERM",)),
    Attack("new mount API", "attempt(lambda: call(428, -100, b'/', 1))", ("EPERM",)),
    Attack("new user namespace", "attempt(lambda: call(272 if X86 else 97, 0x10000000))", ("EPERM",)),
    Attack("clone into a new namespace", "attempt(lambda: call(56 if X86 else 220, 0x10000000 | 17, 0, 0, 0, 0))", ("EPERM",)),
    Attack("join another namespace", "\nattempt(lambda: call(308 if X86 else 268, os.open('/proc/self/ns/user', 0), 0))", ("EPERM",)),
    Attack("chroot", "attempt(os.chroot, '/tmp')", ("EPERM",)),
    Attack("ptrace of the init", "attempt(lambda: call(101 if X86 else 117, 16, 1, 0, 0))", ("EPERM",)),
    Attack("memory of the init", "attempt(open, '/proc/1/mem', 'r+b')", ("EACCES", "EPERM")),
    Attack("kill a process outside", "attempt(os.kill, world['victim'], 9)", ("ESRCH",)),
    Attack("kill everything", "\nattempt(os.kill, 1, 9)\nos.kill(-1, 9)", ("EPERM",)),
    Attack("become another user", "attempt(os.setuid, 0 if os.getuid() else 1)", ("EPERM", "EINVAL")),
    Attack("set-uid program", "\nimport shutil, subprocess\nshutil.copy('/usr/bin/id', '/tmp/id'); os.chmod('/tmp/id', 0o6755)\nout = subprocess.run(['/usr/bin/su', '-c', 'id'], capture_output=True, stdin=subprocess.DEVNULL, timeout=3)\nprint('ESCAPED' if out.returncode == 0 and os.getuid() else 'stopped: no rights', out.returncode)", ("no rights",)),
    Attack("device node", "attempt(os.mknod, '/tmp/disk', stat.S_IFBLK | 0o600, os.makedev(254, 0))", ("EPERM",)),
    Attack("raw memory", "attempt(open, '/dev/mem', 'r+b')", ("ENOENT",)),
    Attack("huge file", "\ndef f():\n with open('/tmp/huge', 'wb') as s:\n  while True: s.write(bytes(1 << 20))\nattempt(f)", ("EFBIG",)),
    Attack("huge sparse file", "open('/tmp/s', 'w').close()\nattempt(os.truncate, '/tmp/s', 1 << 40)", ("EFBIG",)),
    Attack("many large files", "\ndef f():\n for n in range(100):\n  with open(f'/twin/copy/{n}', 'wb') as s: s.write(bytes(3 << 20))\nattempt(f)", ("ENOSPC",)),
    Attack("flood of files", "\ndef f():\n for n in range(100000): open(f'/tmp/{n}', 'w').close()\nattempt(f)", ("ENOSPC",)),
    Attack("shared memory flood", "\ndef f():\n for n in range(100):\n  with open(f'/dev/shm/{n}', 'wb') as s: s.write(bytes(1 << 20))\nattempt(f)", ("ENOSPC",)),
    Attack("System V shared memory", "attempt(lambda: call(29 if X86 else 194, 0, 1 << 20, 0o1600))", ("EPERM",)),
    Attack("shared memory of a server, two pages", "attempt(lambda: call(29 if X86 else 194, 0, 4097, 0o1600))", ("EPERM",), server=True),
    Attack("shared memory of a server, more than 4 GiB", "attempt(lambda: call(29 if X86 else 194, 0, (1 << 32) + 1, 0o1600))", ("EPERM",), server=True),
    Attack("flood of shared memory of a server", "\ndef f():\n for n in range(100000): call(29 if X86 else 194, 0, 4096, 0o1600)\nattempt(f)", ("ENOSPC",), server=True),
    Attack("server becomes root", "\nassert os.getuid() >= 1_900_000_000\nattempt(os.setresuid, 0, 0, 0)", ("EPERM", "EINVAL"), server=True),
    Attack("server takes another number", "\nattempt(lambda: call(272 if X86 else 97, 0x10000000))\nattempt(lambda: open('/proc/self/uid_map', 'w').write('0 0 1'))", ("EPERM",), server=True),
    Attack("server mounts", "attempt(lambda: call(165 if X86 else 40, b'none', b'/tmp', b'tmpfs', 0, 0))", ("EPERM",), server=True),
    Attack("memory file outside of limits", "attempt(lambda: call(319 if X86 else 279, b'x', 0))", ("ENOSYS",)),
    Attack("io_uring", "attempt(lambda: call(425, 8, ctypes.create_string_buffer(256)))", ("ENOSYS",)),
    Attack("BPF program", "attempt(lambda: call(321 if X86 else 280, 0, 0, 0))", ("EPERM",)),
    Attack("kernel keyring", "attempt(lambda: call(250 if X86 else 219, 0, -3, 0))", ("EPERM",)),
    Attack("flood of open files", "\ndef f():\n kept = []\n while True: kept.append(os.open('/dev/null', 0))\nattempt(f)", ("EMFILE",)),
    Attack("flood of output", "\nwhile True: os.write(1, b'x' * 65536)", ("output",)),
    Attack("flood of complaints", "\nwhile True: os.write(2, b'x' * 65536)", ("output",)),
    Attack("secret in the environment", "\nfound = world['word'][::-1] in str(dict(os.environ))\nfor pid in filter(str.isdigit, os.listdir('/proc')):\n try: found |= world['word'][::-1].encode() in open(f'/proc/{pid}/environ', 'rb').read()\n except OSError: pass\nprint('ESCAPED' if found else 'stopped: cleared')", ("cleared",)),
    Attack("read a secret outside", "attempt(lambda: open(world['canary']).read())", ("ENOENT",)),
    Attack("read the passwords of the host", "attempt(lambda: open('/etc/shadow').read())", ("ENOENT",)),
    Attack("leave a daemon behind", "\nif os.fork() == 0:\n os.setsid()\n if os.fork() == 0:\n  os.close(1); os.close(2)\n  while True: time.sleep(60)\n os._exit(0)\nprint('stopped: dies with the sandbox')", ("dies with the sandbox",)),
    Attack("type into the terminal", "\nimport fcntl, pty\nmaster, slave = os.openpty()\nattempt(fcntl.ioctl, slave, 0x5412, b'x')", ("EPERM",)),
    Attack("core dump", "\nimport resource\nprint('stopped: limit', resource.getrlimit(resource.RLIMIT_CORE)[1]); sys.stdout.flush()\nos.abort()", ("limit 1",)),
    Attack("raise the limits again", "\nimport resource\nattempt(resource.setrlimit, resource.RLIMIT_NPROC, (4096, 4096))", ("ValueError", "EPERM")),
    Attack("kernel settings", "attempt(write, '/proc/sys/kernel/core_pattern')", ("EROFS", "EACCES", "EPERM")),
    Attack("archive with paths and links that lead out", "\nimport io, tarfile\ntar = tarfile.open('/tmp/a.tar', 'w')\nl = tarfile.TarInfo('x'); l.type = tarfile.SYMTYPE; l.linkname = world['canary']; tar.addfile(l)\nf = tarfile.TarInfo('x'); f.size = 3; tar.addfile(f, io.BytesIO(b'BAD'))\ng = tarfile.TarInfo('../../..' + world['canary']); g.size = 3; tar.addfile(g, io.BytesIO(b'BAD'))\ntar.close()\nos.system('cd /tmp && tar -xPf a.tar 2>/dev/null')\nattempt(os.lstat, world['folder'] + '/copy')", ("ENOENT",)),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    name: str
    stopped_by: str
    seconds: float
    contained: bool
    evidence: str


class World:
    """What lies outside: a file, sockets, a process, a secret; whoever changes, reaches or kills it has escaped."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="outside-"))
        self.canary = self.folder / "canary"
        self.canary.write_text(SECRET)
        self.copy = self.folder / "copy"
        self.copy.mkdir()
        (self.copy / "file").write_text("source")
        (self.copy / "leaves").symlink_to(self.canary)
        self.open = os.open(self.canary, os.O_RDWR)
        os.set_inheritable(self.open, True)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.folder / "socket"))
        self.unix.listen()
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind("\0" + self.folder.name)
        self.abstract.listen()
        self.victim = subprocess.Popen(["/bin/sleep", "600"])
        os.environ["PLANTED"] = SECRET

    def told(self) -> str:
        return json.dumps(
            {
                "canary": str(self.canary),
                "folder": str(self.folder),
                "tcp": self.tcp.getsockname()[1],
                "udp": self.udp.getsockname()[1],
                "unix": str(self.folder / "socket"),
                "abstract": self.folder.name,
                "victim": self.victim.pid,
                "word": SECRET[::-1],
            }
        )

    def harmed(self) -> str:
        """What has been done to it; nothing where it is whole."""
        if self.canary.read_text() != SECRET or (self.copy / "file").read_text() != "source":
            return "a file was changed"
        if sorted(path.name for path in self.copy.iterdir()) != ["file", "leaves"]:
            return "the copy's source was changed"
        if self.victim.poll() is not None:
            return "a process was killed"
        for listener in (self.tcp, self.unix, self.abstract):
            listener.setblocking(False)
            try:
                listener.accept()
            except BlockingIOError:
                continue
            return "a socket was reached"
        try:
            self.udp.recv(10)
        except BlockingIOError:
            return ""
        return "a datagram came through"

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        os.close(self.open)
        for each in (self.tcp, self.udp, self.unix, self.abstract):
            each.close()
        subprocess.run(["rm", "-rf", str(self.folder)], check=True)
        del os.environ["PLANTED"]


async def attacked(attack: Attack, world: World) -> Result:
    command = (layout.interpreter(), "-I", "-S", "-B", "-c", PRELUDE + attack.script)
    job = Job(
        argv=command,
        folder="/twin/copy",
        copies={"/twin/copy": world.copy},
        environment={"WORLD": world.told()},
        identity=new_identity() if attack.server else None,
        tiny_shared_memory=attack.server,
    )
    ended = await Sandbox(LIMITS).run(job)
    out = ended.out.decode("utf-8", "replace")[:4000]
    said = [line.removeprefix("stopped: ") for line in out.splitlines() if line.startswith("stopped: ")]
    by = ended.stopped.value if ended.stopped is not Stopped.NOTHING else ", ".join(dict.fromkeys(said))
    harm = world.harmed()
    fits = any(word in by for word in attack.by) and "ESCAPED" not in out
    evidence = (
        f"code {ended.code}; {harm}; {out[-200:]}; {ended.complaints.decode('utf-8', 'replace')[-300:]}"
    )
    return Result(attack.name, by, round(ended.seconds, 2), fits and not harm, evidence)


async def all_attacks() -> list[Result]:
    world = World()
    try:
        return [await attacked(attack, world) for attack in ATTACKS]
    finally:
        world.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("usage: attacking.py")
    print(json.dumps([asdict(result) for result in asyncio.run(all_attacks())]))
