"""The system calls that a sandbox refuses, as a program for the kernel's filter (seccomp BPF).

Isolation does not rest on this alone: most of these calls fail in the sandbox anyway, for want of privileges. The filter
keeps them from the kernel's rarely used, often attacked code, and closes what namespaces leave open (TIOCSTI, memory
that no limit counts).
"""

import errno
import platform
import struct

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# Name: (number on x86_64, number on aarch64).
_REFUSED = {
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "shmget": (29, 194),
    "mq_open": (240, 180),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "personality": (135, 92),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
}
# What a program takes for a kernel that has no such call, and then does in another way.
_MISSING = {
    "clone3": (435, 435),  # its flags lie in memory, where no filter can read them
    "io_uring_setup": (425, 425),
    "memfd_create": (319, 279),  # memory that belongs to no file system with a limit
    "memfd_secret": (447, 447),
}
_IOCTL = (16, 29)
_CLONE = (56, 220)
_SOCKET = (41, 198)
_TERMINAL_ORDERS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: they type into a terminal
_NEW_NAMESPACES = 0x7E02_0000
_FAMILIES = (1, 2, 10)  # unix, IPv4, IPv6
_X32 = 0x4000_0000
_PAGE = 4096

_ALLOW, _KILL, _ERROR = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24


def program(machine: str | None = None, *, tiny_shared_memory: bool = False) -> bytes | None:
    """The filter for a machine (by default this one), None for one whose system calls are not known here.

    With `tiny_shared_memory` pieces of System V memory of at most a page are let pass: a PostgreSQL server marks its data
    folder by one. As many as there may be (4096) are 16 MiB.
    """
    if (machine or platform.machine()) not in _ARCHITECTURES:
        return None
    audit, column = _ARCHITECTURES[machine or platform.machine()]
    refused = {
        name: numbers for name, numbers in _REFUSED.items() if not (tiny_shared_memory and name == "shmget")
    }
    code = [
        _one(_LOAD, _ARCHITECTURE),
        _one(_EQUAL, audit, yes=1),
        _one(_RETURN, _KILL),
        _one(_LOAD, _NUMBER),
    ]
    if column == 0:
        code += [_one(_AT_LEAST, _X32, no=1), _one(_RETURN, _KILL)]
    for calls, answer in ((refused, errno.EPERM), (_MISSING, errno.ENOSYS)):
        for numbers in calls.values():
            code += [_one(_EQUAL, numbers[column], no=1), _one(_RETURN, _ERROR | answer)]
    code += _argument(_IOCTL[column], _SECOND, _refuse_equal(_TERMINAL_ORDERS))
    code += _argument(_CLONE[column], _FIRST, [_one(_ANY_BIT, _NEW_NAMESPACES, no=1), _refusal()])
    code += _argument(_SOCKET[column], _FIRST, _allow_equal(_FAMILIES))
    if tiny_shared_memory:
        code += _argument(_REFUSED["shmget"][column], _SECOND, _refuse_above(_PAGE))
    return b"".join([*code, _one(_RETURN, _ALLOW)])


def _one(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def _refusal() -> bytes:
    return _one(_RETURN, _ERROR | errno.EPERM)


def _refuse_equal(values: tuple[int, ...]) -> list[bytes]:
    return [part for value in values for part in (_one(_EQUAL, value, no=1), _refusal())]


def _refuse_above(most: int) -> list[bytes]:
    """For a size, which has 64 bits: the upper half must be nought."""
    return [
        _one(_AT_LEAST, most + 1, no=1),
        _refusal(),
        _one(_LOAD, _SECOND + 4),
        _one(_EQUAL, 0, yes=1),
        _refusal(),
    ]


def _allow_equal(values: tuple[int, ...]) -> list[bytes]:
    allowed = [part for value in values for part in (_one(_EQUAL, value, no=1), _one(_RETURN, _ALLOW))]
    return [*allowed, _one(_RETURN, _ERROR | errno.EAFNOSUPPORT)]


def _argument(number: int, offset: int, test: list[bytes]) -> list[bytes]:
    """Only for the call of that number: the test of the lower half of one argument. The number is loaded again after."""
    inner = [_one(_LOAD, offset), *test, _one(_LOAD, _NUMBER)]
    return [_one(_EQUAL, number, no=len(inner)), *inner]
