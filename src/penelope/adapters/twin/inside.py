"""Runs inside a sandbox, before what is untrusted: makes the places to write in, gives up all rights, starts the program.

A script of its own, run by the bare interpreter: it imports the standard library only. It is called with one argument, a
JSON object (see `sandbox.py`), and holds the capabilities to mount and to change its identity until it has done so.
"""

import base64
import ctypes
import errno
import json
import os
import resource
import shutil
import struct
import sys
from typing import Any

_SET_SECCOMP, _FILTER = 22, 2
_NOSUID_NODEV = 0x2 | 0x4
_NEW_USER = 0x1000_0000
_SET_NO_NEW_PRIVS, _CAPBSET_DROP, _SET_SECUREBITS = 38, 24, 28
_NO_ROOT_LOCKED = 0x3F  # noroot, no setuid fix-up, keep no capabilities; all locked
_CAPABILITIES = 64
_CAPABILITY_VERSION = 0x2008_0522
_CAPSET = {"x86_64": 126, "aarch64": 91}
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_ACCESS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_READ_AND_RUN = 0b1101  # execute, read a file, read a folder
_EVERYTHING_OF_A_FILE = 0b1100_0000_0000_0110
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Never returns: the program takes its place. Ends with 97, and the reason on standard error, if it cannot."""
    order: dict[str, Any] = json.loads(sys.argv[1])
    try:
        prepare(order)
        os.chdir(order["folder"])
        os.execvpe(order["argv"][0], order["argv"], dict(os.environ))  # noqa: S606 - this is what it is for
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"{order['mark']} {error.strerror}{where}", file=sys.stderr)  # noqa: T201 - read by sandbox.py
        sys.exit(97)


def prepare(order: dict[str, Any]) -> None:
    """Places first, then identity, then limits; what comes later could not be done with less rights."""
    let_go(order["handed"])
    identity = order["identity"]
    owner = identity if identity is not None else os.getuid()
    os.umask(0o022)
    for place in order["places"]:
        mount(place["path"], place["bytes"], place["files"], owner)
        if place["source"]:
            copy(place["source"], place["path"], owner)
    if order["alias"] is not None:
        take_alias(order["alias"])
    if identity is not None:
        os.setgroups([])
        os.setresgid(identity, identity, identity)
    drop_bounding()
    if identity is not None:
        os.setresuid(identity, identity, identity)
    drop_capabilities()
    must(prctl(_SET_NO_NEW_PRIVS, 1), "no new privileges")
    if order["landlock"]:
        restrict([place["path"] for place in order["places"]])
    install(base64.b64decode(order["filter"]))
    for name, value in order["limits"].items():
        lower(getattr(resource, name), value)


def let_go(handed: list[int]) -> None:
    """Closes whatever else was open outside: whoever started this may have passed on all that could be."""
    for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - no pathlib: it starts slowly
        if number > 2 and number not in handed:
            try:
                os.close(number)
            except OSError as error:
                if error.errno != errno.EBADF:  # as that of the listing is by now
                    raise


def take_alias(alias: int) -> None:
    """Another number for the same user, in a user namespace of its own: an ordinary user can become nobody else, and some
    programs refuse to run as the number that root has.
    """
    ours = (os.getuid(), os.getgid())
    must(libc.unshare(_NEW_USER), "another number")
    for file, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{alias} {ours[0]} 1"),
        ("gid_map", f"{alias} {ours[1]} 1"),
    ):
        with open(f"/proc/self/{file}", "w", encoding="ascii") as stream:  # noqa: PTH123 - no pathlib: it starts slowly
            stream.write(content)


def lower(number: int, value: int) -> None:
    most = resource.getrlimit(number)[1]
    value = value if most == resource.RLIM_INFINITY else min(value, most)
    # Processor time ends with a signal that tells, and only for those who are deaf to it with the one that does not.
    later = (
        value + 1
        if number == resource.RLIMIT_CPU and (most == resource.RLIM_INFINITY or most > value)
        else value
    )
    resource.setrlimit(number, (value, later))


def install(program: bytes) -> None:
    """The filter of system calls; from here on the calls that it names fail."""
    code = ctypes.create_string_buffer(program, len(program))
    filters = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    nought = ctypes.c_ulong(0)
    must(libc.prctl(_SET_SECCOMP, ctypes.c_ulong(_FILTER), filters, nought, nought), "system call filter")


def prctl(option: int, value: int) -> int:
    nought = ctypes.c_ulong(0)
    return int(libc.prctl(option, ctypes.c_ulong(value), nought, nought, nought))


def must(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(path: str, size: int, files: int, owner: int) -> None:
    data = f"size={size},nr_inodes={files},mode=0755,uid={owner},gid={owner}"
    must(libc.mount(b"tmpfs", os.fsencode(path), b"tmpfs", _NOSUID_NODEV, os.fsencode(data)), f"mount {path}")


def copy(source: str, path: str, owner: int) -> None:
    """What was laid out for it, links as links. It was counted before: more than fits is no question here."""
    shutil.copytree(source, path, symlinks=True, dirs_exist_ok=True)
    if owner == os.getuid():
        return
    for folder, folders, files in os.walk(path):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), owner, owner, follow_symlinks=False)  # noqa: PTH118 - no pathlib: it starts slowly


def drop_bounding() -> None:
    must(prctl(_SET_SECUREBITS, _NO_ROOT_LOCKED), "secure bits")
    for number in range(_CAPABILITIES):
        prctl(_CAPBSET_DROP, number)  # beyond the last one the kernel refuses, which is well


def drop_capabilities() -> None:
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITY_VERSION, 0))
    nothing = ctypes.create_string_buffer(struct.pack("=6I", *[0] * 6))
    must(libc.syscall(_CAPSET[os.uname().machine], header, nothing), "give up capabilities")


def restrict(writable: list[str]) -> None:
    """Landlock, where the kernel has it: a second wall behind the read-only mounts."""
    version = libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return
    everything = (1 << _ACCESS_BY_ABI.get(min(version, 5), 16)) - 1
    scoped = 3 if version >= 6 else 0  # abstract sockets and signals to processes outside
    attributes = ctypes.create_string_buffer(struct.pack("=QQQ", everything, 0, scoped))
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = must(
        libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)), "landlock"
    )
    grant(rules, "/", _READ_AND_RUN & everything)
    for path in writable:
        grant(rules, path, everything)
    for name in _DEVICES:
        grant(rules, f"/dev/{name}", _EVERYTHING_OF_A_FILE & everything)
    grant(rules, "/dev/pts", everything)
    grant(rules, "/proc", (_READ_AND_RUN | 0b10) & everything)
    must(libc.syscall(_LANDLOCK_RESTRICT, rules, ctypes.c_uint32(0)), "landlock")
    os.close(rules)


def grant(rules: int, path: str, access: int) -> None:
    try:
        below = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    rule = ctypes.create_string_buffer(struct.pack("=Qi", access, below))
    must(libc.syscall(_LANDLOCK_ADD, rules, 1, rule, ctypes.c_uint32(0)), f"landlock {path}")
    os.close(below)


if __name__ == "__main__":
    main()
