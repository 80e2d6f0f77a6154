"""Reads YAML 1.2 written by strangers: plain data only, with the line and column of every part of it."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import Node, ScalarNode, SequenceNode

from penelope.kit.canonical import Json

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40

Where = tuple[str | int, ...]
"""The way to a part of a document: keys and indices from the root."""

_SAFE_INTEGER = 2**53 - 1
_UNWELCOME = re.compile("[\x00\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Mapping[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file; line and column count from 1. As text ``file:line:column: message``."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


Position = tuple[int, int]


@dataclass(slots=True)
class Document:
    """A file's data, where each part of it stands, and what is wrong with it as YAML.

    `data` is None where the file could not be read as YAML at all; `problems` says why then.
    """

    file: str
    data: Json = None
    problems: list[Problem] = field(default_factory=list)
    values: dict[Where, Position] = field(default_factory=dict)
    keys: dict[Where, Position] = field(default_factory=dict)

    def problem(self, where: Where, message: str, *, at_key: bool = False) -> Problem:
        """A problem at a part of the document, or at the nearest part around it that exists."""
        for length in range(len(where), -1, -1):
            part = where[:length]
            found = self.keys.get(part) if at_key else None
            position = found or self.values.get(part)
            if position is not None:
                return Problem(self.file, *position, message)
        return Problem(self.file, 1, 1, message)


def read(path: Path) -> Document:
    """The document in a file. Never raises: what cannot be read is a problem of the document."""
    document = Document(file=str(path))
    try:
        text = _text(path)
        root = _compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        document.problems.append(Problem(document.file, line, column, _reason(error)))
    except (OSError, UnicodeDecodeError, YAMLError, ValueError) as error:
        document.problems.append(Problem(document.file, 1, 1, _reason(error)))
    else:
        if root is not None:
            document.data = _Reader(document).value(root, ())
    return document


def _text(path: Path) -> str:
    if not path.is_file():
        raise ValueError("no such file")
    with path.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"the file is larger than {MAX_BYTES // 1024} KiB")
    return content.decode("utf-8-sig")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: byte {error.start} is not part of a character"
    if isinstance(error, MarkedYAMLError):
        return f"not YAML: {error.problem or error.context}"
    return str(error).splitlines()[0]


class _PlainComposer(Composer):
    """Composes no graph, only a tree of plain nodes, so that a small file stays small in memory."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if event.anchor is not None:
            raise ComposerError(
                None, None, "anchors and aliases are refused; write the value out", event.start_mark
            )
        if event.ctag is not None:
            raise ComposerError(None, None, "tags are refused; quote a text instead", event.start_mark)
        if self.depth >= MAX_DEPTH:
            raise ComposerError(None, None, f"nested more than {MAX_DEPTH} deep", event.start_mark)
        return super().compose_node(parent, index)


def _compose(text: str) -> Node | None:
    loader = YAML(typ="safe", pure=True)
    loader.Composer = _PlainComposer
    node: Node | None = loader.compose(text)
    return node


class _Reader:
    """Turns nodes into plain values and notes in the document where each of them stands."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def value(self, node: Node, where: Where) -> Json:
        self._document.values[where] = _position(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*where, index)) for index, item in enumerate(node.value)]
        return dict(self._items(node, where))

    def _items(self, node: Node, where: Where) -> Iterator[tuple[str, Json]]:
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str) or _UNWELCOME.search(key):
                self._complain(key_node, "a key must be a plain text")
            elif key_node.style is None and key == "<<":
                self._complain(key_node, "merge keys are refused; write the values out")
            elif key in seen:
                self._complain(key_node, f"the key '{key}' stands here twice")
            else:
                seen.add(key)
                self._document.keys[*where, key] = _position(key_node)
                yield key, self.value(value_node, (*where, key))

    def _scalar(self, node: ScalarNode) -> Json:
        text: str = node.value
        if node.style is not None:
            if _UNWELCOME.search(text):
                self._complain(
                    node, "the text holds a character that no text may hold (NUL or a lone surrogate)"
                )
            return text
        try:
            return _core_schema(text)
        except ValueError as error:
            self._complain(node, str(error))
            return None

    def _complain(self, node: Node, message: str) -> None:
        self._document.problems.append(Problem(self._document.file, *_position(node), message))


def _position(node: Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _core_schema(text: str) -> Json:
    """The value of an unquoted scalar by YAML 1.2's core schema; ValueError where JSON has no such number."""
    if text in _WORDS:
        return _WORDS[text]
    if _INFINITE.fullmatch(text):
        raise ValueError("infinity and NaN are not numbers that can be used here")
    if _INTEGER.fullmatch(text):
        whole = int(text, 0) if text[:2] in {"0o", "0x"} else _decimal(text)
        if abs(whole) > _SAFE_INTEGER:
            raise ValueError("the number is too large; quote it if it is a text")
        return whole
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError("the number is too large; quote it if it is a text")
        return number
    return text


def _decimal(text: str) -> int:
    # Python refuses to convert very long texts, with a message of its own; such a number is too large anyway.
    digits = text.lstrip("+-").lstrip("0")
    return int(text) if len(digits) <= len(str(_SAFE_INTEGER)) else _SAFE_INTEGER + 1


def read_all(text: str, file: str) -> list[Document]:
    """The documents of a text, one after the other. What cannot be read is a problem of the last one."""
    loader = YAML(typ="safe", pure=True)
    loader.Composer = _PlainComposer
    found: list[Document] = []
    try:
        for root in loader.compose_all(text):
            document = Document(file=file)
            document.data = None if root is None else _Reader(document).value(root, ())
            found.append(document)
    except (YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        position = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        line, column = position
        found.append(Document(file=file, problems=[Problem(file, line, column, _reason(error))]))
    return found
