"""Reads unified diffs line by line: the paths and modes that they touch, and the lines that they add."""

import re
from collections.abc import Iterator

from penelope.adapters.scanners.programs import CRITICAL, WARNING
from penelope.rooms.gate.ports import Danger

_HEADER = re.compile(r"(?m)^(diff --git |--- \S|\+\+\+ \S|@@ -\d)")
_PATH = re.compile(r"^(?:(?:\+\+\+|---|rename to|copy to) (?:[ab]/)?|diff --git .* b/)(.+?)\s*$")


class Patch(str):
    """A whole patch, whose paths and modes are judged together; its lines are judged one by one."""

    __slots__ = ()


def is_patch(text: str) -> bool:
    return "\n" in text and len(_HEADER.findall(text)) >= 2


def of_patch(text: str) -> Iterator[tuple[str, Danger, int]]:
    """Rule, danger and line of what a patch does to paths and modes."""
    for number, line in enumerate(text.splitlines(), start=1):
        if (found := _PATH.match(line)) and found[1] != "/dev/null":
            path = found[1].strip('"')
            if (
                path.startswith(("/", "~"))
                or ".." in re.split(r"[/\\]", path)
                or ".git" in path.lower().split("/")
            ):
                yield "path-escape", CRITICAL, number
        elif re.match(r"(new file|new) mode 120000", line):
            yield "symbolic-link", CRITICAL, number
        elif re.match(r"(new file|new) mode 1(04|02|06)", line):
            yield "privilege-change", CRITICAL, number
        elif line.startswith("GIT binary patch"):
            yield "binary-content", WARNING, number


def added(text: str) -> Iterator[tuple[int, str]]:
    """The blocks of added lines, each with the number of its first, for a command may go on in the next line; what a
    patch removes does no harm by its words.
    """
    block: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("+") and not line.startswith("+++ "):
            block.append(line[1:].strip())
        elif block:
            yield number - len(block), "\n".join(block)
            block = []
    if block:
        yield len(text.splitlines()) - len(block) + 1, "\n".join(block)
