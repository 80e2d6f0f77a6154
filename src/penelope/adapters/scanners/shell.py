"""Reads shell text as a shell would: quoting, escapes, variables, substitutions, pipes, commands inside of commands."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

MOST_NODES = 20_000
"""Nodes of a syntax tree that are looked at."""

LONGEST = 16_000
MOST_HERE_DOCUMENTS = 20
"""Characters of a text, and documents within it, which take the parser quadratic time."""


_STRANGE = re.compile(r"[^\t\n\x20-\x7e]")


class Unreadable(Exception):
    """A text that cannot be followed, and so cannot be passed."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its words as the shell would pass them; what cannot be known begins with ``$``.

    `upstream` are the names of the commands that it reads from through pipes, `inside` those whose output it is
    given as an argument or a file, `writes` the files that it is redirected to.
    """

    words: tuple[str, ...]
    upstream: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return basename(self.words[0])


@dataclass(slots=True)
class Script:
    """What a text does as shell: its commands in order, functions that call themselves, and whether it changes how words split.

    `flawed` says that the grammar could not follow all of it.
    """

    commands: list[Command] = field(default_factory=list)
    self_calling: list[str] = field(default_factory=list)
    splits_words: bool = False
    flawed: bool = False


def basename(word: str) -> str:
    return word.rsplit("/", 1)[-1]


def read(text: str) -> Script:
    """The script in a text. Raises Unreadable for one that is too large to follow."""
    if len(text) > LONGEST or text.count("<<") > MOST_HERE_DOCUMENTS:
        raise Unreadable("longer than can be followed")
    script = Script()
    variables: dict[str, str] = {}
    # The grammar's C code looks letters up in a table of bytes, and crashes the process over some beyond it. Such
    # letters mean nothing to a shell, so that any other letter does as well.
    root = _parser().parse(_STRANGE.sub("_", text).encode("ascii")).root_node
    script.flawed = root.has_error
    for count, node in enumerate(_nodes(root)):
        if count > MOST_NODES:
            raise Unreadable("more commands than can be followed")
        if node.type == "variable_assignment":
            _assign(node, variables)
            script.splits_words |= "IFS" in variables
        elif node.type == "command":
            command = _command(node, variables)
            if command is not None:
                script.commands.append(command)
        elif node.type == "redirected_statement" and not _has(node, "command"):
            script.commands.append(Command((":",), writes=_writes(node, variables)))
        elif node.type == "function_definition" and _calls_itself(node):
            script.self_calling.append(_text(node.child_by_field_name("name")))
    return script


def _nodes(root: Node) -> Iterator[Node]:
    """All nodes in the order of the text, without recursion: nesting may be as deep as the text is long."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def _command(node: Node, variables: Mapping[str, str]) -> Command | None:
    name = node.child_by_field_name("name")
    if name is None:
        return None
    words = [
        _value(name, variables),
        *(_value(item, variables) for item in node.children_by_field_name("argument")),
    ]
    # What a variable gives without quotes is split into words again.
    split = [*words[0].split(), *words[1:]]
    if not split or not split[0]:
        return None
    inside = tuple(
        basename(_value(inner, variables))
        for part in _nodes(node)
        if part.type == "command"
        and part.id != node.id
        and (inner := part.child_by_field_name("name")) is not None
    )
    parent = node.parent
    outer = parent if parent is not None and parent.type == "redirected_statement" else None
    return Command(tuple(split), _upstream(outer or node, variables), inside, _writes(outer, variables))


def _upstream(node: Node, variables: Mapping[str, str]) -> tuple[str, ...]:
    parent = node.parent
    if parent is None or parent.type != "pipeline":
        return ()
    before = [item for item in parent.children if item.start_byte < node.start_byte]
    return tuple(
        basename(_value(name, variables))
        for item in before
        for part in _nodes(item)
        if part.type == "command" and (name := part.child_by_field_name("name")) is not None
    )


def _writes(node: Node | None, variables: Mapping[str, str]) -> tuple[str, ...]:
    if node is None:
        return ()
    found = [item for item in node.children if item.type == "file_redirect"]
    targets = [item.child_by_field_name("destination") for item in found]
    return tuple(_value(item, variables) for item in targets if item is not None)


def _assign(node: Node, variables: dict[str, str]) -> None:
    name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    if name is not None:
        variables[_text(name)] = "" if value is None else _value(value, variables)


def _value(node: Node, variables: Mapping[str, str], depth: int = 0) -> str:  # noqa: PLR0911 - one for each kind of word
    """A word as the shell would make it of its parts."""
    if depth > 20:
        raise Unreadable("nested too deeply")
    parts = node.named_children
    match node.type:
        case "word" | "number" | "string_content" | "variable_name" if not parts:
            return re.sub(r"\\(.)", r"\1", _text(node)).replace("\\\n", "")
        case "raw_string":
            return _text(node)[1:-1]
        case "ansi_c_string":
            return _text(node)[2:-1].encode("latin-1", "replace").decode("unicode_escape", "replace")
        case "simple_expansion" | "expansion":
            return variables.get(_text(parts[0]), f"${_text(parts[0])}") if parts else "$"
        case "command_substitution":
            return _echoed(node, variables, depth)
        case "command_name" | "concatenation" | "string" | "word" | "translated_string":
            return "".join(_value(item, variables, depth + 1) for item in parts) if parts else ""
        case _:
            return _text(node)


def _echoed(node: Node, variables: Mapping[str, str], depth: int) -> str:
    """What ``$(echo rm)`` gives; of any other command nobody knows."""
    inner = next((item for item in node.named_children if item.type == "command"), None)
    name = None if inner is None else inner.child_by_field_name("name")
    if inner is None or name is None or _value(name, variables, depth + 1) not in {"echo", "printf"}:
        return "$()"
    arguments = inner.children_by_field_name("argument")
    return " ".join(_value(item, variables, depth + 1) for item in arguments)


def _calls_itself(node: Node) -> bool:
    name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
    if name is None or body is None:
        return False
    called = [item.child_by_field_name("name") for item in _nodes(body) if item.type == "command"]
    return any(item is not None and _text(item) == _text(name) for item in called)


def _has(node: Node, kind: str) -> bool:
    return any(item.type == kind for item in node.children)


def _text(node: Node | None) -> str:
    return "" if node is None or node.text is None else node.text.decode(errors="replace")


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))
