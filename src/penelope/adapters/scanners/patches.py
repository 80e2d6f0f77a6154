"""Reads unified diffs line by line: the paths and modes that they touch, and the lines that they add."""

import re
from collections.abc import Iterator

from penelope.adapters.scanners.commands import CRITICAL, WARNING
from penelope.rooms.gate.ports import Danger

_HEADER = re.compile(r"(?m)^(diff --git |--- \S|\+\+\+ \S|@@ -\d)")
_PATH = re.compile(r"^(?:\+\+\+|---|rename to|copy to) (?:[ab]/)?(.+?)\s*$")


class Patch(str):
    """A whole patch, whose paths and modes are judged together; its lines are judged one by one."""

    __slots__ = ()


def is_patch(text: str) -> bool:
    return "\n" in text and len(_HEADER.findall(text[:20_000])) >= 2


def of_patch(text: str) -> Iterator[tuple[str, Danger, int]]:
    """Rule, danger and line of what a patch does to paths and modes."""
    for number, line in enumerate(text.splitlines(), start=1):
        if (found := _PATH.match(line)) and found[1] != "/dev/null":
            path = found[1].strip('"')
            if (
                path.startswith(("/", "~"))
                or ".." in re.split(r"[/\\]", path)
                or path.split("/")[0] == ".git"
            ):
                yield "path-escape", CRITICAL, number
        elif re.match(r"(new file|new) mode 120000", line):
            yield "symbolic-link", CRITICAL, number
        elif re.match(r"(new file|new) mode 1(04|02|06)", line):
            yield "privilege-change", CRITICAL, number
        elif line.startswith("GIT binary patch"):
            yield "binary-content", WARNING, number


def added(text: str) -> Iterator[tuple[int, str]]:
    """Number and content of every added line; what a patch removes does no harm by its words."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("+") and not line.startswith("+++ "):
            yield number, line[1:].strip()
