"""Judges commands in their place: what feeds them, where their output goes, and what they run in turn."""

import fnmatch
import re
from collections.abc import Iterator, Sequence

from penelope.adapters.scanners.programs import (
    CHECKS,
    CRITICAL,
    DEADLY,
    INTERPRETERS,
    WARNING,
    Check,
    Judged,
    flags,
    plain,
    written,
)
from penelope.adapters.scanners.shell import UNKNOWN, Command, Unreadable, basename

_SHELLS = frozenset({"sh", "bash", "zsh", "dash", "ksh", "ash", "fish", "busybox", "rbash"})
_SAYS = frozenset({"echo", "printf", "cat"})
_ONLY_TEXT = _SAYS | {"grep", "man", "logger", "which", "type"}
_HANDS_ON = frozenset({"xargs", "parallel"})
"""Commands that give another one arguments that nobody knows yet."""
_LOADERS = frozenset({"curl", "wget", "fetch", "aria2c", "http", "nc", "ncat"})
_DECODERS = frozenset(
    {"base64", "base32", "xxd", "openssl", "gunzip", "zcat", "uudecode", "rev", "tr", "printf"}
)
_READABLE = frozenset({"echo", "cat", "tee", "cd", "true", "sleep"})
"""Commands whose output is read where it is written, or no more hidden than a script that a command names."""
_ESCAPED = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|0?([0-7]{3}))")
_PROGRAM = re.compile(r"(/usr)?(/local)?/s?bin/")

_MOST_CHECKS = 120
"""Checks of one command: each looks at all words behind it. A pattern such as ``/bin/*`` stands for some hundred."""


def judged(command: Command) -> Iterator[Judged]:
    """All that is to be said of one command, and of those that it would run in turn. Raises Unreadable for too many."""
    yield from _flow(command)
    if command.name in _ONLY_TEXT:
        return
    words, checked = _handed_on(command.words), 0
    for index, word in enumerate(words):
        # Further on, a path outside of the folders of programs is a file and no command.
        if index and "/" in word and not _PROGRAM.match(word):
            continue
        for check in _checks(word, first=index == 0):
            checked += 1
            if checked > _MOST_CHECKS:
                raise Unreadable("more commands in one than can be followed")
            yield from check(words[index + 1 :])
    if command.name == "eval" and UNKNOWN in "".join(words):
        yield Judged("unknown-command", WARNING)
    if words[0].startswith(UNKNOWN) and len(words) > 1:
        # Whatever it is, with these arguments it may be the worst.
        yield from CHECKS["rm"](words[1:])
        yield Judged("unknown-command", WARNING)


_PROGRAMS_END = re.compile(
    r".*[*?[\]].*|[\d.]+|[a-z]*fs\d*|ext\d|v?fat|msdos|minix|exe|com|sh|py|pl|rb|static|distrib"
)
"""What may follow the dot in the name of a program: ``mkfs.ext4``, ``python3.11``, ``rm.exe``."""


def _handed_on(words: Sequence[str]) -> tuple[str, ...]:
    """The words with what ``xargs`` and its like will put there."""
    names = set(map(basename, words))
    if "find" in names:
        return tuple(words)
    known = tuple(UNKNOWN if word == "{}" else word for word in words)
    return (*known, UNKNOWN) if names & _HANDS_ON else known


def _checks(word: str, *, first: bool) -> Iterator[Check]:
    """The checks of a command's name; a pattern of one, such as ``/bin/r?``, has those of all that it may stand for."""
    # What is unset is nothing: r$@m is rm.
    whole = basename(word).replace(UNKNOWN, "")
    name, _, ending = whole.partition(".")
    if re.search(r"[*?[]", name) and ending and not _PROGRAMS_END.fullmatch(ending):
        return  # such as *.tmp, which no program's name is
    if re.search(r"[*?[]", name) and (first or _PROGRAM.match(word)):
        yield from {CHECKS[item] for item in fnmatch.filter(CHECKS, name)}
    check = CHECKS.get(name) or CHECKS.get(name.rstrip("0123456789"))
    if check is not None:
        yield check


def texts_to_run(command: Command) -> Iterator[str]:
    """Arguments and inputs that may be commands themselves, such as that of ``bash -c``.

    No list of the commands that run what they are given is ever complete, so that each of them may.
    """
    yield from command.given
    arguments = command.words[1:]
    if command.name in _SAYS and command.goes_on:
        said = " ".join(arguments)
        yield from {said, _ESCAPED.sub(_character, said)}
    if command.name in _ONLY_TEXT:
        return
    if command.name == "eval":
        yield " ".join(arguments)
    for word in arguments:
        if re.search(r"[\s;|&]", word):
            # Behind an option's name there may be one as well: --action=exec='rm -rf /'.
            yield from {word, re.sub(r"^([\w.-]+=)+", "", word)}
            if {command.name} & INTERPRETERS:
                yield from re.findall(r"[\"']([^\"']+\s[^\"']+)[\"']", word)


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 16) if found[1] else int(found[2], 8))


def runs_what_was_loaded(commands: Sequence[Command]) -> Iterator[Judged]:
    """What loads or decodes a file, or an unknown text, and then runs it."""
    loaded: dict[str, str] = {}
    for command in commands:
        names = {basename(word).partition("?")[0] for word in command.words}
        if command.name in _SHELLS | INTERPRETERS | {"eval", "source", "."} or command.words[0].startswith(
            "./"
        ):
            yield from (Judged(loaded[name], CRITICAL) for name in names & loaded.keys())
        sources = {command.name, *command.upstream}
        rule = "remote-code" if sources & _LOADERS else "hidden-command" if sources & _DECODERS else ""
        if rule:
            files = names if command.name in _LOADERS else set[str]()
            loaded |= dict.fromkeys({*files, *map(basename, command.writes), UNKNOWN}, rule)


def _flow(command: Command) -> Iterator[Judged]:
    """What comes in through pipes and substitutions, and where output goes."""
    names = set(map(basename, command.words)) if command.name not in _ONLY_TEXT else set[str]()
    runs = names & _SHELLS or command.name in {"eval", "source", "."} or command.words[0].startswith(UNKNOWN)
    sources = command.upstream | command.inside
    if (runs or names & INTERPRETERS) and sources & _LOADERS:
        yield Judged("remote-code", CRITICAL)
    if runs and (sources & _DECODERS or (_reads_script(command.words) and command.upstream - _READABLE)):
        yield Judged("hidden-command", CRITICAL)
    if names & INTERPRETERS and any(map(DEADLY.search, command.given)):
        yield Judged("inline-program", CRITICAL)
    if command.upstream & _SHELLS and command.name in _LOADERS | {"netcat", "socat", "telnet", "openssl"}:
        yield Judged("network-shell", CRITICAL)
    yield from (item for file in command.writes for item in written(file))


def _reads_script(words: Sequence[str]) -> bool:
    """Whether a shell among these words takes its commands from its input."""
    shells = [index for index, word in enumerate(words) if basename(word) in _SHELLS]
    arguments = words[shells[-1] + 1 :] if shells else ["-c"]
    given = flags(arguments)
    return "c" not in given and ("s" in given or not plain(arguments))
