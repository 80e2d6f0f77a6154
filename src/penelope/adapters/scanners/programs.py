"""What each program does with its arguments that no plan should do."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from penelope.adapters.scanners.shell import UNKNOWN
from penelope.rooms.gate.ports import Danger

CRITICAL, WARNING, INFO = Danger.CRITICAL, Danger.WARNING, Danger.INFO

INTERPRETERS = frozenset({"python", "python3", "perl", "ruby", "node", "php", "lua"})
DEADLY = re.compile(
    r"rm_?(tree|rf|Sync)|os\.(system|exec|fork)|subprocess|system\s*\(|spawn|exec\s*\(|eval\s*\(|child_process|unlink|socket|fork|remove\("
)
_DEVICE = re.compile(r"/dev/(sd|hd|vd|xvd|nvme|mmcblk|mapper/|md|disk/|loop|dm-)")
_POWER_FILES = re.compile(
    r"^/etc/(sudoers|passwd|shadow|group|gshadow|pam\.d|ssh|ld\.so)|authorized_keys$|^/etc/cron|^/var/spool/cron"
)
_SYSTEM = re.compile(r"^/(bin|boot|dev|etc|lib\w*|proc|root|sbin|sys|usr)(/|$)")
_REMOTE = re.compile(r"^([\w.-]+@)?[\w.-]+:|^\w+://")


class Judged(NamedTuple):
    """What a command does that it should not."""

    rule: str
    danger: Danger


Check = Callable[[Sequence[str]], Iterator[Judged]]


def written(file: str) -> Iterator[Judged]:
    if _DEVICE.match(file):
        yield Judged("destroys-disk", CRITICAL)
    if _POWER_FILES.search(file):
        yield Judged("privilege-change", CRITICAL)
    if file.startswith("/proc/sysrq"):
        yield Judged("stops-system", CRITICAL)


def flags(arguments: Sequence[str]) -> set[str]:
    """Long options, and the letters of short ones: ``-rf --force`` gives r, f and --force."""
    found = set[str]()
    for item in arguments:
        if item.startswith("--"):
            found.add(item.partition("=")[0])
        elif item.startswith("-"):
            found |= set(item[1:])
    return found


def plain(arguments: Sequence[str]) -> list[str]:
    return [item for item in arguments if not item.startswith("-")]


def _is_wide(path: str) -> bool:
    """Whether a path is a whole system, home or top folder, or nobody knows what it is."""
    path = re.sub(r"/+", "/", path.strip())
    parts = [item for item in path.split("/") if item not in {"", ".", "*"}]
    return (
        path in {"*", ".", "./", "..", "~", "~/", "./*"}
        or path.startswith(("~/*", UNKNOWN))
        or re.fullmatch(r"~[\w-]*|\.\*", path) is not None
        or ".." in parts
        or _SYSTEM.match(path) is not None
        or (path.startswith("/") and len([item for item in parts if item != UNKNOWN]) <= 1)
        or path.rstrip("/*") in {"/var/lib", "/var/log", "/var/spool"}
    )


def _rm(arguments: Sequence[str]) -> Iterator[Judged]:
    given = flags(arguments)
    # Long options may be shortened.
    recursive = given & {"r", "R"} or any(len(item) > 2 and "--recursive".startswith(item) for item in given)
    yield from _touches(arguments)
    if "--no-preserve-root" in given or (recursive and any(map(_is_wide, plain(arguments)))):
        yield Judged("destroys-files", CRITICAL)
    elif recursive:
        yield Judged("removes-folder", WARNING)


def _touches(arguments: Sequence[str]) -> Iterator[Judged]:
    for item in plain(arguments):
        yield from written(item)


def _move(arguments: Sequence[str]) -> Iterator[Judged]:
    """The last of its paths is written; a whole folder of the system goes away."""
    paths = plain(arguments)
    yield from _touches(paths[-1:])
    if any(item.startswith("/") and _is_wide(item) for item in paths[:-1]):
        yield Judged("destroys-files", CRITICAL)


def _copied(arguments: Sequence[str]) -> Iterator[Judged]:
    yield from _touches(plain(arguments)[-1:])
    if any(re.fullmatch(r"-?m?=?[2467][0-7]{3}", item.removeprefix("--mode")) for item in arguments):
        yield Judged("privilege-change", CRITICAL)


def _sed(arguments: Sequence[str]) -> Iterator[Judged]:
    if any(item.startswith(("-i", "--in-place")) for item in arguments):
        yield from _touches(arguments)
    if any(re.match(r"[\d$,]*e\s", item) for item in arguments):
        yield Judged("inline-program", CRITICAL)


def _find(arguments: Sequence[str]) -> Iterator[Judged]:
    if "-delete" in arguments or (
        {"-exec", "-execdir", "-ok"} & {*arguments}
        and any(re.search(r"\b(rm|shred|unlink)\b", item) for item in arguments)
    ):
        start = next(iter(plain(arguments)), ".")
        yield Judged("destroys-files", CRITICAL) if _is_wide(start) else Judged("removes-folder", WARNING)


def _dd(arguments: Sequence[str]) -> Iterator[Judged]:
    if any(item.startswith("of=/dev/") and item != "of=/dev/null" for item in arguments):
        yield Judged("destroys-disk", CRITICAL)


def _chmod(arguments: Sequence[str]) -> Iterator[Judged]:
    for mode in arguments:
        octal = re.fullmatch(r"[0-7]{3,5}", mode)
        symbolic = re.fullmatch(r"([ugoa]*)[+=][rxst]*w\w*", mode)
        if (octal and int(mode[-1]) & 2) or (symbolic and (not symbolic[1] or set(symbolic[1]) & {"a", "o"})):
            yield Judged("open-to-all", CRITICAL)
            break
    if any(re.fullmatch(r"[ugoa]*[+=][rwxt]*s[rwxt]*|0*[2467][0-7]{3}", mode) for mode in arguments):
        yield Judged("privilege-change", CRITICAL)


def _chown(arguments: Sequence[str]) -> Iterator[Judged]:
    if flags(arguments) & {"R", "--recursive"} and any(map(_is_wide, plain(arguments)[1:])):
        yield Judged("destroys-files", CRITICAL)


def _kubectl(arguments: Sequence[str]) -> Iterator[Judged]:
    paths = plain(arguments)
    if "delete" in paths:
        kinds = ",".join(paths[paths.index("delete") + 1 :][:1]).split(",")
        kinds = [item.lower().partition("/")[0].partition(".")[0] for item in kinds]
        wide = {"ns", "namespace", "namespaces", "node", "nodes", "pv", "pvc", "persistentvolume", "persistentvolumes", "persistentvolumeclaim", "persistentvolumeclaims", "crd", "customresourcedefinition", "all", "project", "projects"}  # fmt: skip
        every = {"--all", "--all-namespaces", "-A"} & {item.partition("=")[0] for item in arguments}
        if wide & set(kinds) or every:
            yield Judged("destroys-cluster", CRITICAL)
        else:
            yield Judged("deletes-resource", WARNING)
    if "cluster-admin" in " ".join(arguments):
        yield Judged("privilege-change", CRITICAL)


def _git(arguments: Sequence[str]) -> Iterator[Judged]:
    if "push" in arguments:
        after = arguments[list(arguments).index("push") + 1 :]
        forced = any(item.partition("=")[0] == "--force" for item in after) or "f" in flags(
            [item for item in after if not item.startswith("--")]
        )
        if (
            forced
            or "--mirror" in after
            or {"--delete", "-d", "--prune"} & {*after}
            or any(item.startswith(("+", ":")) for item in after)
        ):
            yield Judged("rewrites-history", CRITICAL)
        elif any(item.startswith("--force-with-lease") for item in after):
            yield Judged("rewrites-history", WARNING)
    if {"filter-branch", "filter-repo"} & {*arguments} or {"update-ref", "-d"} <= {*arguments}:
        yield Judged("rewrites-history", CRITICAL)
    if "reset" in arguments and "--hard" in arguments:
        yield Judged("discards-changes", WARNING)
    if "clean" in arguments and flags(arguments) & {"f", "--force"}:
        yield Judged("discards-changes", WARNING)


def _nc(arguments: Sequence[str]) -> Iterator[Judged]:
    runs = flags(arguments) & {"e", "c", "--exec", "--sh-exec"}
    yield Judged("network-shell", CRITICAL) if runs else Judged("network-connection", WARNING)


def _socat(arguments: Sequence[str]) -> Iterator[Judged]:
    if any(re.match(r"(?i)(exec|system|shell):", item) for item in arguments):
        yield Judged("network-shell", CRITICAL)


def _curl(arguments: Sequence[str]) -> Iterator[Judged]:
    takes = ("-T", "--upload-file", "--post-file", "--body-file")
    sends_file = any(
        item.startswith(takes)
        or re.match(r"@[^/]|@/|.*=@|.*=<", item)
        or re.match(r"(-d|-F|--data\S*)[= ]?@", item)
        for item in arguments
    )
    if sends_file:
        yield Judged("uploads-file", CRITICAL)
    if flags([item for item in arguments if not item.startswith("--")]) & {"k"} or "--insecure" in arguments:
        yield Judged("unchecked-certificate", WARNING)


def _copy(arguments: Sequence[str]) -> Iterator[Judged]:
    paths = plain(arguments)
    if paths and _REMOTE.match(paths[-1]):
        yield Judged("uploads-file", CRITICAL)


def _account(arguments: Sequence[str]) -> Iterator[Judged]:
    groups = re.search(r"\b(sudo|wheel|root|docker|admin)\b", " ".join(arguments))
    yield Judged("privilege-change", CRITICAL if groups else WARNING)


def _docker(arguments: Sequence[str]) -> Iterator[Judged]:
    text = " ".join(arguments)
    if re.search(
        r"--privileged|--cap-add[= ](ALL|SYS_ADMIN)|--pid[= ]host|docker\.sock|(-v|--volume)[= ]?/:|(source|src)=/(,|$|\s)|unconfined",
        text,
    ):
        yield Judged("privilege-change", CRITICAL)
    if "prune" in arguments or re.search(r"\bvolume rm\b", text):
        yield Judged("deletes-resource", WARNING)


def _kill(arguments: Sequence[str]) -> Iterator[Judged]:
    if list(arguments)[-1:] in (["-1"], ["1"], ["."]) or {"-u", "root"} <= {*arguments}:
        yield Judged("stops-system", CRITICAL)


def _redis(arguments: Sequence[str]) -> Iterator[Judged]:
    if {"FLUSHALL", "FLUSHDB"} & {item.upper() for item in arguments}:
        yield Judged("destroys-data", CRITICAL)


def _cloud(arguments: Sequence[str]) -> Iterator[Judged]:
    text = " ".join(arguments)
    if re.search(r"\b(destroy|terminate-instances|delete-\w+|rb\b.*--force|rm\b.*--recursive)", text):
        yield Judged("destroys-cloud", CRITICAL)


def _inline(arguments: Sequence[str]) -> Iterator[Judged]:
    if not flags(arguments) & {"c", "e", "r", "--eval"}:
        return
    yield Judged("inline-program", CRITICAL if DEADLY.search(" ".join(arguments)) else WARNING)


def _always(rule: str, danger: Danger) -> Check:
    def check(arguments: Sequence[str]) -> Iterator[Judged]:  # noqa: ARG001 - whatever it is called with
        yield Judged(rule, danger)

    return check


def _only_with(rule: str, danger: Danger, pattern: str) -> Check:
    def check(arguments: Sequence[str]) -> Iterator[Judged]:
        if re.search(pattern, " ".join(arguments)):
            yield Judged(rule, danger)

    return check


CHECKS: Mapping[str, Check] = {
    "rm": _rm,
    "find": _find,
    "dd": _dd,
    "mv": _move,
    **dict.fromkeys(("cp", "install", "ln"), _copied),
    **dict.fromkeys(("tee", "unlink", "truncate", "chattr", "setfacl"), _touches),
    "sed": _sed,
    "chmod": _chmod,
    **dict.fromkeys(("chown", "chgrp"), _chown),
    "kubectl": _kubectl,
    "oc": _kubectl,
    "git": _git,
    **dict.fromkeys(("nc", "ncat", "netcat"), _nc),
    "socat": _socat,
    **dict.fromkeys(("curl", "wget"), _curl),
    **dict.fromkeys(("scp", "rsync", "sftp", "rclone"), _copy),
    **dict.fromkeys(("usermod", "useradd", "adduser", "gpasswd", "passwd", "chpasswd"), _account),
    **dict.fromkeys(("docker", "podman", "nerdctl"), _docker),
    **dict.fromkeys(("kill", "pkill"), _kill),
    "redis-cli": _redis,
    **dict.fromkeys(("terraform", "tofu", "aws", "pulumi"), _cloud),
    **dict.fromkeys(sorted(INTERPRETERS), _inline),
    **dict.fromkeys(
        (
            "mkfs",
            "wipefs",
            "fdisk",
            "parted",
            "sfdisk",
            "shred",
            "blkdiscard",
            "sgdisk",
            "lvremove",
            "vgremove",
            "pvremove",
        ),
        _always("destroys-disk", CRITICAL),
    ),
    **dict.fromkeys(("shutdown", "reboot", "halt", "poweroff"), _always("stops-system", CRITICAL)),
    **dict.fromkeys(("sudo", "doas", "su", "pkexec"), _always("privilege-change", WARNING)),
    **dict.fromkeys(("visudo", "setcap", "nsenter"), _always("privilege-change", CRITICAL)),
    **dict.fromkeys(("userdel", "dropdb", "dropuser", "mysqladmin"), _always("destroys-data", CRITICAL)),
    **dict.fromkeys(("zpool", "zfs"), _only_with("destroys-disk", CRITICAL, r"\bdestroy\b")),
    "cryptsetup": _only_with("destroys-disk", CRITICAL, r"(?i)\b(luksFormat|luksErase|erase)\b"),
    **dict.fromkeys(
        ("mongo", "mongosh"), _only_with("destroys-data", CRITICAL, r"(drop|dropDatabase|deleteMany)\(")
    ),
    **dict.fromkeys(
        ("gcloud", "az", "eksctl", "doctl"), _only_with("destroys-cloud", CRITICAL, r"\bdelete\b")
    ),
    **dict.fromkeys(("dig", "nslookup", "host", "ping"), _only_with("uploads-file", WARNING, r"\$")),
    "ufw": _only_with("opens-network", CRITICAL, r"\bdisable\b"),
    **dict.fromkeys(("init", "telinit"), _only_with("stops-system", CRITICAL, r"^[06]$")),
    "crontab": _only_with("destroys-data", CRITICAL, r"-\w*r"),
    **dict.fromkeys(
        ("iptables", "ip6tables", "nft"),
        _only_with("opens-network", CRITICAL, r"-F|--flush|flush ruleset|-P \w+ ACCEPT"),
    ),
    "systemctl": _only_with("stops-system", WARNING, r"\b(disable|mask|isolate|poweroff|reboot)\b"),
    "helm": _only_with("deletes-resource", WARNING, r"\b(uninstall|delete)\b"),
    "ssh": _only_with("network-connection", WARNING, r"-\w*R"),
    "history": _only_with("hides-traces", WARNING, r"-c"),
    "setenforce": _always("privilege-change", CRITICAL),
}
"""By the name of the command, without an ending such as that of ``mkfs.ext4``."""
