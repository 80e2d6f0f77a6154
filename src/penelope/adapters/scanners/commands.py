"""Judges commands: what destroys, what takes power, what leads outside or lets it in."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from penelope.adapters.scanners.shell import Command, basename
from penelope.rooms.gate.ports import Danger

CRITICAL, WARNING, INFO = Danger.CRITICAL, Danger.WARNING, Danger.INFO

SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "ash", "fish", "busybox", "rbash"})
_RUN_TEXT = SHELLS | {"eval", "source", ".", "ssh", "su", "sudo", "watch", "parallel", "xargs", "env", "exec", "nohup", "timeout", "script", "kubectl", "docker", "podman", "nsenter", "chroot", "trap"}  # fmt: skip
"""Commands whose arguments may be commands."""
_ONLY_TEXT = frozenset({"echo", "printf", "grep", "man", "logger", "which", "type"})
_LOADERS = frozenset({"curl", "wget", "fetch", "aria2c", "http", "nc", "ncat"})
_DECODERS = frozenset(
    {"base64", "base32", "xxd", "openssl", "gunzip", "zcat", "uudecode", "rev", "tr", "printf"}
)
_INTERPRETERS = frozenset({"python", "python3", "perl", "ruby", "node", "php", "lua"})
_DEVICE = re.compile(r"/dev/(sd|hd|vd|xvd|nvme|mmcblk|mapper/|md|disk/|loop|dm-)")
_POWER_FILES = re.compile(
    r"^/etc/(sudoers|passwd|shadow|group|pam\.d|ssh|ld\.so)|authorized_keys$|^/etc/cron"
)
_PROGRAM = re.compile(r"(/usr)?(/local)?/s?bin/")
_REMOTE = re.compile(r"^([\w.-]+@)?[\w.-]+:|^\w+://")


class Judged(NamedTuple):
    """What a command does that it should not."""

    rule: str
    danger: Danger


Check = Callable[[Sequence[str]], Iterator[Judged]]


def judged(command: Command) -> Iterator[Judged]:
    """All that is to be said of one command, and of those that it would run in turn."""
    yield from _flow(command)
    if command.name in _ONLY_TEXT:
        return
    for index, word in enumerate(command.words):
        # Further on, a path outside of the folders of programs is a file and no command.
        if index and "/" in word and not _PROGRAM.match(word):
            continue
        check = _CHECKS.get(basename(word).partition(".")[0])
        if check is not None:
            yield from check(command.words[index + 1 :])
    if command.words[0].startswith("$") and len(command.words) > 1:
        yield Judged("unknown-command", WARNING)


def texts_to_run(command: Command) -> Iterator[str]:
    """Arguments that are commands themselves, such as that of ``bash -c``."""
    if any(basename(word) in _RUN_TEXT for word in command.words):
        yield from (word for word in command.words[1:] if re.search(r"[\s;|&]", word))
    if command.name == "eval":
        yield " ".join(command.words[1:])


def _flow(command: Command) -> Iterator[Judged]:
    """What comes in through pipes and substitutions, and where output goes."""
    runs = command.name in SHELLS | {"eval", "source", "."} or (
        command.name in {"sudo", "xargs", "env"}
        and any(basename(item) in SHELLS for item in command.words[1:])
    )
    sources = {*command.upstream, *command.inside}
    if (runs or command.name in _INTERPRETERS) and sources & _LOADERS:
        yield Judged("remote-code", CRITICAL)
    if runs and sources & _DECODERS:
        yield Judged("hidden-command", CRITICAL)
    for file in command.writes:
        if _DEVICE.match(file):
            yield Judged("destroys-disk", CRITICAL)
        if _POWER_FILES.search(file):
            yield Judged("privilege-change", CRITICAL)
    if any("/dev/tcp/" in item or "/dev/udp/" in item for item in (*command.words, *command.writes)):
        yield Judged("network-shell", CRITICAL)


def _flags(arguments: Sequence[str]) -> set[str]:
    """Long options, and the letters of short ones: ``-rf --force`` gives r, f and --force."""
    found = set[str]()
    for item in arguments:
        if item.startswith("--"):
            found.add(item.partition("=")[0])
        elif item.startswith("-"):
            found |= set(item[1:])
    return found


def _plain(arguments: Sequence[str]) -> list[str]:
    return [item for item in arguments if not item.startswith("-")]


def _is_wide(path: str) -> bool:
    """Whether a path is a whole system, home or top folder, or nobody knows what it is."""
    path = re.sub(r"/+", "/", path.strip())
    parts = [item for item in path.split("/") if item not in {"", ".", "*"}]
    return (
        path in {"*", ".", "./", "..", "~", "~/", "./*"}
        or path.startswith(("~/*", "$"))
        or ".." in parts
        or (path.startswith("/") and len(parts) <= 1)
    )


def _rm(arguments: Sequence[str]) -> Iterator[Judged]:
    flags = _flags(arguments)
    recursive = flags & {"r", "R", "--recursive", "--dir"}
    if "--no-preserve-root" in flags or (recursive and any(map(_is_wide, _plain(arguments)))):
        yield Judged("destroys-files", CRITICAL)
    elif recursive:
        yield Judged("removes-folder", WARNING)


def _find(arguments: Sequence[str]) -> Iterator[Judged]:
    if "-delete" in arguments or (
        {"-exec", "-execdir", "-ok"} & {*arguments} and "rm" in map(basename, arguments)
    ):
        start = next(iter(_plain(arguments)), ".")
        yield Judged("destroys-files", CRITICAL) if _is_wide(start) else Judged("removes-folder", WARNING)


def _dd(arguments: Sequence[str]) -> Iterator[Judged]:
    if any(item.startswith("of=/dev/") and item != "of=/dev/null" for item in arguments):
        yield Judged("destroys-disk", CRITICAL)


def _chmod(arguments: Sequence[str]) -> Iterator[Judged]:
    for mode in arguments:
        octal = re.fullmatch(r"[0-7]{3,4}", mode)
        symbolic = re.fullmatch(r"([ugoa]*)[+=][rxst]*w\w*", mode)
        if (octal and int(mode[-1]) & 2) or (symbolic and (not symbolic[1] or set(symbolic[1]) & {"a", "o"})):
            yield Judged("open-to-all", CRITICAL)
            break
    if any(re.fullmatch(r"[ugoa]*[+=][rwxt]*s[rwxt]*|[246][0-7]{3}", mode) for mode in arguments):
        yield Judged("privilege-change", CRITICAL)


def _chown(arguments: Sequence[str]) -> Iterator[Judged]:
    if _flags(arguments) & {"R", "--recursive"} and any(map(_is_wide, _plain(arguments)[1:])):
        yield Judged("destroys-files", CRITICAL)


def _kubectl(arguments: Sequence[str]) -> Iterator[Judged]:
    plain = _plain(arguments)
    if "delete" in plain:
        kinds = ",".join(plain[plain.index("delete") + 1 :][:1]).split(",")
        kinds = [item.partition("/")[0].partition(".")[0] for item in kinds]
        wide = {"ns", "namespace", "namespaces", "node", "nodes", "pv", "pvc", "persistentvolume", "persistentvolumes", "persistentvolumeclaim", "persistentvolumeclaims", "crd", "customresourcedefinition", "all"}  # fmt: skip
        if wide & set(kinds) or "--all" in arguments or "-A" in arguments:
            yield Judged("destroys-cluster", CRITICAL)
        else:
            yield Judged("deletes-resource", WARNING)
    if "cluster-admin" in " ".join(arguments):
        yield Judged("privilege-change", CRITICAL)


def _git(arguments: Sequence[str]) -> Iterator[Judged]:
    if "push" in arguments:
        after = arguments[list(arguments).index("push") + 1 :]
        forced = "--force" in after or "f" in _flags([item for item in after if not item.startswith("--")])
        if (
            forced
            or "--mirror" in after
            or "--delete" in after
            or any(item.startswith("+") for item in after)
        ):
            yield Judged("rewrites-history", CRITICAL)
        elif any(item.startswith("--force-with-lease") for item in after):
            yield Judged("rewrites-history", WARNING)
    if "reset" in arguments and "--hard" in arguments:
        yield Judged("discards-changes", WARNING)
    if "clean" in arguments and _flags(arguments) & {"f", "--force"}:
        yield Judged("discards-changes", WARNING)


def _nc(arguments: Sequence[str]) -> Iterator[Judged]:
    runs = _flags(arguments) & {"e", "c", "--exec", "--sh-exec"}
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
    if _flags([item for item in arguments if not item.startswith("--")]) & {"k"} or "--insecure" in arguments:
        yield Judged("unchecked-certificate", WARNING)


def _copy(arguments: Sequence[str]) -> Iterator[Judged]:
    plain = _plain(arguments)
    if plain and _REMOTE.match(plain[-1]):
        yield Judged("uploads-file", CRITICAL)


def _account(arguments: Sequence[str]) -> Iterator[Judged]:
    groups = re.search(r"\b(sudo|wheel|root|docker|admin)\b", " ".join(arguments))
    yield Judged("privilege-change", CRITICAL if groups else WARNING)


def _docker(arguments: Sequence[str]) -> Iterator[Judged]:
    text = " ".join(arguments)
    if re.search(
        r"--privileged|--cap-add[= ](ALL|SYS_ADMIN)|--pid[= ]host|docker\.sock|(-v|--volume)[= ]?/:", text
    ):
        yield Judged("privilege-change", CRITICAL)
    if "prune" in arguments or re.search(r"\bvolume rm\b", text):
        yield Judged("deletes-resource", WARNING)


def _kill(arguments: Sequence[str]) -> Iterator[Judged]:
    if list(arguments)[-1:] in (["-1"], ["1"]):
        yield Judged("stops-system", CRITICAL)


def _redis(arguments: Sequence[str]) -> Iterator[Judged]:
    if {"FLUSHALL", "FLUSHDB"} & {item.upper() for item in arguments}:
        yield Judged("destroys-data", CRITICAL)


def _cloud(arguments: Sequence[str]) -> Iterator[Judged]:
    text = " ".join(arguments)
    if re.search(r"\b(destroy|terminate-instances|delete-\w+|rb\b.*--force|rm\b.*--recursive)", text):
        yield Judged("destroys-cloud", CRITICAL)


def _inline(arguments: Sequence[str]) -> Iterator[Judged]:
    if not _flags(arguments) & {"c", "e", "r", "--eval"}:
        return
    text = " ".join(arguments)
    deadly = re.search(
        r"rmtree|os\.system|subprocess|exec\(|eval\(|child_process|unlink|socket|remove\(", text
    )
    yield Judged("inline-program", CRITICAL if deadly else WARNING)


def _always(rule: str, danger: Danger) -> Check:
    def check(arguments: Sequence[str]) -> Iterator[Judged]:  # noqa: ARG001 - whatever it is called with
        yield Judged(rule, danger)

    return check


def _only_with(rule: str, danger: Danger, pattern: str) -> Check:
    def check(arguments: Sequence[str]) -> Iterator[Judged]:
        if re.search(pattern, " ".join(arguments)):
            yield Judged(rule, danger)

    return check


_CHECKS: Mapping[str, Check] = {
    "rm": _rm,
    "find": _find,
    "dd": _dd,
    "chmod": _chmod,
    "chown": _chown,
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
    **dict.fromkeys(("terraform", "tofu", "aws", "gcloud", "az", "pulumi"), _cloud),
    **dict.fromkeys(sorted(_INTERPRETERS), _inline),
    **dict.fromkeys(
        ("mkfs", "wipefs", "fdisk", "parted", "sfdisk", "shred", "blkdiscard"),
        _always("destroys-disk", CRITICAL),
    ),
    **dict.fromkeys(("shutdown", "reboot", "halt", "poweroff"), _always("stops-system", CRITICAL)),
    **dict.fromkeys(("sudo", "doas", "su", "pkexec"), _always("privilege-change", WARNING)),
    **dict.fromkeys(("visudo", "setcap", "nsenter"), _always("privilege-change", CRITICAL)),
    **dict.fromkeys(("userdel", "dropdb", "mysqladmin"), _always("destroys-data", CRITICAL)),
    "init": _only_with("stops-system", CRITICAL, r"^[06]$"),
    "crontab": _only_with("destroys-data", CRITICAL, r"-\w*r"),
    **dict.fromkeys(
        ("iptables", "ip6tables", "nft"),
        _only_with("opens-network", CRITICAL, r"-F|--flush|flush ruleset|-P \w+ ACCEPT"),
    ),
    "systemctl": _only_with("stops-system", WARNING, r"\b(disable|mask|isolate|poweroff|reboot)\b"),
    "helm": _only_with("deletes-resource", WARNING, r"\b(uninstall|delete)\b"),
    "truncate": _only_with("destroys-data", WARNING, r"-s ?0|--size"),
    "ssh": _only_with("network-connection", WARNING, r"-\w*R"),
    "history": _only_with("hides-traces", WARNING, r"-c"),
    "setenforce": _always("privilege-change", CRITICAL),
}
"""By the name of the command, without an ending such as that of ``mkfs.ext4``."""
