"""Reads shell text as a shell would: quoting, escapes, variables, substitutions, pipes, commands inside of commands."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import tree_sitter_bash
from tree_sitter import Language, Node, Parser

MOST_WORK = 40_000
"""Looks at nodes of a syntax tree, counted again where one is looked at again: commands within commands, long pipes."""

LONGEST = 16_000
MOST_HERE_DOCUMENTS = 20
"""Characters of a text, and documents within it, which take the parser quadratic time."""

SLOWEST_SECONDS = 0.1
"""Processor time that parsing one text may take: some kinds of nonsense take quadratic time."""

UNKNOWN = "$"
"""Stands in a word for what is only known when it runs."""

_STRANGE = re.compile(r"[^\t\n\x20-\x7e]")
_DEFAULTS = frozenset({":-", "-", ":=", "="})
_WRITES = frozenset({">", ">>", ">|", "&>", "&>>", "<>", ">&"})
_REDIRECTS = frozenset({"file_redirect", "heredoc_redirect", "herestring_redirect"})


class Unreadable(Exception):
    """A text that cannot be followed, and so cannot be passed."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command with its words as the shell would pass them, UNKNOWN in the place of what cannot be known.

    `upstream` are the names of the commands that it reads from through pipes and substituted files, `inside` those
    whose output it is given as an argument, `writes` the files that it is redirected to, `given` the texts that stand
    behind it as its input. `goes_on` says that its output goes to a pipe or a file.
    """

    words: tuple[str, ...]
    upstream: frozenset[str] = frozenset()
    inside: frozenset[str] = frozenset()
    writes: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    goes_on: bool = False

    @property
    def name(self) -> str:
        return basename(self.words[0])


@dataclass(slots=True)
class Script:
    """What a text does as shell: its commands in order, functions that call themselves, values that it gives to
    variables, and whether it changes how words split. `flawed` says that the grammar could not follow all of it.
    """

    commands: list[Command] = field(default_factory=list)
    self_calling: list[str] = field(default_factory=list)
    assigned: list[str] = field(default_factory=list)
    splits_words: bool = False
    flawed: bool = False


def basename(word: str) -> str:
    return word.rsplit("/", 1)[-1]


def read(text: str) -> Script:
    """The script in a text. Raises Unreadable for one that is too large to follow."""
    if len(text) > LONGEST or text.count("<<") > MOST_HERE_DOCUMENTS:
        raise Unreadable("longer than can be followed")
    # The grammar's C code looks letters up in a table of bytes, and crashes the process over some beyond it. Such
    # letters mean nothing to a shell, so that any other letter does as well.
    root = _parsed(_STRANGE.sub("_", text).encode("ascii"))
    reader = _Reader()
    reader.read(root)
    reader.script.flawed = root.has_error
    return reader.script


class _Reader:
    """Walks through one syntax tree, with a budget for all looks together."""

    def __init__(self) -> None:
        self.script = Script()
        self._variables: dict[str, str] = {}
        self._left = MOST_WORK
        self._redirected: dict[int, list[Node]] = {}
        self._piped: set[int] = set()

    def read(self, root: Node) -> None:
        waiting: list[tuple[Node, frozenset[str]]] = [(root, frozenset())]
        while waiting:
            node, before = waiting.pop()
            self._spend(1)
            match node.type:
                case "variable_assignment":
                    self._assign(node)
                case "command":
                    self._add(node, before)
                case "redirected_statement":
                    self._redirect(node, before)
                case "function_definition":
                    self._define(node)
            waiting += reversed(self._below(node, before))

    def _spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            raise Unreadable("more commands than can be followed")

    def _nodes(self, root: Node) -> Iterator[Node]:
        """All nodes in the order of the text, without recursion: nesting may be as deep as the text is long."""
        waiting = [root]
        while waiting:
            node = waiting.pop()
            self._spend(1)
            yield node
            waiting += reversed(node.children)

    def _names(self, root: Node) -> frozenset[str]:
        """The names of all commands in a part of the tree."""
        named = (node.child_by_field_name("name") for node in self._nodes(root) if node.type == "command")
        return frozenset(basename(self._value(name)) for name in named if name is not None)

    def _below(self, node: Node, before: frozenset[str]) -> list[tuple[Node, frozenset[str]]]:
        """The children of a node, each with the commands that its input comes from."""
        children = node.children
        if node.type == "redirected_statement":
            from_files = [item for item in children if item.type == "file_redirect" and not _is_write(item)]
            sources = before.union(*map(self._names, from_files))
            said = sources.union(*(self._names(item) for item in children if item.type not in _REDIRECTS))
            # What `cat` passes on is the document itself, which is read.
            return [
                (item, (said - {"cat"}) if item.type == "heredoc_redirect" else sources) for item in children
            ]
        if node.type != "pipeline":
            return [(item, before) for item in children]
        found = []
        stages = [item for item in children if item.is_named]
        self._piped |= {node.id for stage in stages[:-1] for node in (stage, *stage.children[:1])}
        for item in children:
            self._spend(len(before))
            found.append((item, before))
            before |= self._names(item)
        return found

    def _add(self, node: Node, before: frozenset[str]) -> None:
        name = node.child_by_field_name("name")
        if name is None:
            return
        redirects = [*self._redirected.get(node.id, ()), *(i for i in node.children if i.type in _REDIRECTS)]
        arguments = [self._value(item) for item in node.children_by_field_name("argument")]
        self._keep(
            # What a variable gives without quotes is split into words again.
            [*self._value(name).split(), *arguments],
            redirects,
            upstream=before,
            inside=frozenset().union(*(self._names(item) for item in node.children)),
            piped=node.id in self._piped,
        )

    def _redirect(self, node: Node, before: frozenset[str]) -> None:
        """Redirects belong to the command that they follow, or stand alone: ``>file``, ``{ a; b; } >file``."""
        body = node.child_by_field_name("body")
        redirects = [item for item in node.children if item.type in _REDIRECTS]
        if body is not None and body.type == "command":
            self._redirected[body.id] = redirects
            return
        self._keep(
            [] if body is None else [":"],
            redirects,
            upstream=before if body is None else before | self._names(body),
        )

    def _keep(
        self,
        words: list[str],
        redirects: list[Node],
        *,
        upstream: frozenset[str],
        inside: frozenset[str] = frozenset(),
        piped: bool = False,
    ) -> None:
        writes, given = list[str](), list[str]()
        for item in redirects:
            # To the grammar, all words behind a redirect are its files; to a shell only the first is.
            targets = [self._value(target) for target in item.children_by_field_name("destination")]
            writes += targets[:1] if _is_write(item) else []
            words += targets[1:]
            words += [self._value(word) for word in item.children_by_field_name("argument")]
            given += [_text(part) for part in item.children if part.type == "heredoc_body"]
            if item.type == "herestring_redirect":
                given += [self._value(part) for part in item.named_children]
            piped = piped or any(part.type == "pipeline" for part in item.children)
        words = words or [":"]
        if words[0]:
            self.script.commands.append(
                Command(
                    tuple(words), upstream, inside, tuple(writes), tuple(given), goes_on=piped or bool(writes)
                )
            )

    def _assign(self, node: Node) -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        if name is None:
            return
        text = "" if value is None else self._value(value)
        if len(text) > LONGEST:
            raise Unreadable("a variable that grows")
        self._variables[_text(name)] = text
        self.script.assigned.append(text)
        self.script.splits_words |= _text(name) == "IFS"

    def _define(self, node: Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None and _text(name) in self._names(body):
            self.script.self_calling.append(_text(name))

    def _value(self, node: Node, depth: int = 0) -> str:  # noqa: PLR0911 - one for each kind of word
        """A word as the shell would make it of its parts."""
        if depth > 20:
            raise Unreadable("nested too deeply")
        self._spend(1)
        parts = node.named_children
        match node.type:
            case "word" | "number" | "string_content" | "variable_name" if not parts:
                return re.sub(r"\\(.)", r"\1", _text(node)).replace("\\\n", "")
            case "raw_string":
                return _text(node)[1:-1]
            case "ansi_c_string":
                return _text(node)[2:-1].encode("latin-1", "replace").decode("unicode_escape", "replace")
            case "simple_expansion" | "expansion":
                return self._expanded(node, depth)
            case "command_substitution":
                return self._echoed(node, depth)
            case "array":
                return " ".join(self._value(item, depth + 1) for item in parts)
            case "command_name" | "concatenation" | "string" | "word" | "translated_string":
                return "".join(self._value(item, depth + 1) for item in parts) if parts else ""
            case _:
                return _text(node)

    def _expanded(self, node: Node, depth: int) -> str:
        """What a variable holds, or its default; UNKNOWN where it is cut or replaced on the way."""
        parts = node.named_children
        if not parts:
            return UNKNOWN
        variable = parts[0].child_by_field_name("name") if parts[0].type == "subscript" else parts[0]
        known = self._variables.get(_text(variable))
        operator = node.child_by_field_name("operator")
        if operator is not None and _text(operator) not in _DEFAULTS:
            return UNKNOWN
        if known is None and operator is not None and len(parts) > 1:
            return self._value(parts[-1], depth + 1)
        value = UNKNOWN if known is None else known
        self._spend(len(value) // 100)
        return value

    def _echoed(self, node: Node, depth: int) -> str:
        """What ``$(echo rm)`` gives; of any other command nobody knows."""
        inner = next((item for item in node.named_children if item.type == "command"), None)
        name = None if inner is None else inner.child_by_field_name("name")
        if inner is None or name is None or self._value(name, depth + 1) not in {"echo", "printf"}:
            return UNKNOWN
        return " ".join(self._value(item, depth + 1) for item in inner.children_by_field_name("argument"))


def _parsed(text: bytes) -> Node:
    deadline = time.thread_time() + SLOWEST_SECONDS
    try:
        # Only a text that is handed out piece by piece can be given up on.
        tree = _parser().parse(
            lambda offset, _: text[offset : offset + 4096],
            progress_callback=lambda *_: time.thread_time() > deadline,
        )
    except ValueError as error:
        _parser().reset()
        raise Unreadable("too slow to follow") from error
    return tree.root_node


def _is_write(node: Node) -> bool:
    return any(item.type in _WRITES for item in node.children)


def _text(node: Node | None) -> str:
    return "" if node is None or node.text is None else node.text.decode(errors="replace")


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_bash.language()))
