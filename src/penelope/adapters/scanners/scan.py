"""Walks through the values of a plan and asks every detector, in bounded time and depth."""

import base64
import binascii
import math
import re
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import orjson

from penelope.adapters.scanners.commands import judged, runs_what_was_loaded, texts_to_run
from penelope.adapters.scanners.content import of_key, of_text
from penelope.adapters.scanners.patches import Patch, added, is_patch, of_patch
from penelope.adapters.scanners.programs import CRITICAL, Judged
from penelope.adapters.scanners.secrets import names_a_secret, redacted, secrets
from penelope.adapters.scanners.shell import LONGEST, Script, Unreadable, read
from penelope.kit.canonical import Json
from penelope.rooms.gate.ports import Danger, Finding

MOST_CHARACTERS = 256 * 1024
"""Of all texts of one scan together."""

MOST_VALUES = 5000
DEEPEST = 20
"""How many values there may be, and how deep in each other."""

_MOST_WRAPPED = 4
"""How often a command may hold another as a text, or a text hold another in Base64."""

_MOST_FINDINGS = 200
_CACHED = 1000
"""Characters of texts whose findings are remembered: the same parameters come again and again."""

_WRAPPED = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_BRACES = re.compile(r"\{([^{}\s]*,[^{}\s]*)\}")
_SPACES = re.compile(r"\$IFS\b|\$\{IFS[^}]*\}")
_ODD_QUOTES = re.compile(r"\\[A-Za-z'\"]|[A-Za-z]['\"][A-Za-z'\"\\]|['\"]['\"\\]")
_QUOTES = re.compile(r"[\\'\"]")
_WORD = re.compile(r"[\w./-]+")


class ThoroughScanner:
    """Fulfils Scanner. `seconds` of processor time is what one scan may take; what is left then counts as critical."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def scan(self, values: Mapping[str, Json]) -> Sequence[Finding]:
        deadline = time.thread_time() + self._seconds
        found: dict[Finding, None] = {}
        characters = 0
        for count, (place, key, value) in enumerate(_pieces(values)):
            characters += len(value) if isinstance(value, str) else 0
            if count > MOST_VALUES or characters > MOST_CHARACTERS or value is _TOO_DEEP:
                found[
                    _finding("too-much-to-scan", CRITICAL, place, "it is too large, or nested too deeply")
                ] = None
                break
            try:
                found |= dict.fromkeys(_of_leaf(place, key, value, deadline))
            except _TooSlow:
                found[_finding("too-slow-to-scan", CRITICAL, place, f"after {self._seconds:g} s")] = None
                break
            if len(found) > _MOST_FINDINGS:
                break
        return list(found)


_TOO_DEEP = object()
_PATCH_KEYS = frozenset({"diff", "patch"})


class _TooSlow(Exception):
    """The deadline is over, perhaps within one text: what a text hides within another makes work that grows."""


def _pieces(values: Mapping[str, Json]) -> Iterator[tuple[str, str, Json]]:
    """The leaves, patches as a whole and then line by line, long texts in pieces, so that no single look takes long."""
    for place, key, value in _leaves(values):
        if isinstance(value, str) and is_patch(value):
            yield place, key, Patch(value)
            for number, block in added(value):
                yield from ((f"{place}, line {number}", "", piece) for piece in _lines_of(block))
            if key.lower() in _PATCH_KEYS:
                continue
        # What only looks like a patch may be run as well.
        if isinstance(value, str) and len(value) > LONGEST:
            yield from ((place, key, piece) for piece in _lines_of(value))
        else:
            yield place, key, value


def _lines_of(text: str) -> Iterator[Json]:
    piece = ""
    for line in text.splitlines(keepends=True):
        if len(line) > LONGEST:
            yield _TOO_DEEP
            return
        if len(piece) + len(line) > LONGEST and not piece.endswith("\\\n"):
            yield piece
            piece = ""
        piece += line
    yield piece


def _leaves(values: Mapping[str, Json]) -> Iterator[tuple[str, str, Json]]:
    """Every value and every key that is no mapping or list, with its place; without recursion."""
    waiting: list[tuple[str, str, Json, int]] = [
        (place, "", value, 0) for place, value in reversed(list(values.items()))
    ]
    while waiting:
        place, key, value, depth = waiting.pop()
        if depth > DEEPEST:
            yield place, key, _TOO_DEEP
            return
        if isinstance(value, Mapping):
            for name in value:
                yield f"{place}, a key", "", str(name)
            waiting += [
                (f"{place}, {str(name)[:60]}", name, item, depth + 1)
                for name, item in reversed(list(value.items()))
            ]
        elif isinstance(value, list | tuple):
            waiting += [
                (f"{place}[{index}]", key, item, depth + 1)
                for index, item in reversed(list(enumerate(value)))
            ]
            # A command may come as a list of its words.
            if value and all(isinstance(item, str) for item in value):
                yield place, key, " ".join(value)
        else:
            yield place, key, value
            if isinstance(value, str) and (inner := _json_in(value)) is not None:
                waiting.append((f"{place} (JSON)", key, inner, depth + 1))


def _json_in(text: str) -> Json:
    """The object or list that a text holds as JSON; None if it holds none."""
    if not text.lstrip().startswith(("{", "[")) or len(text) > MOST_CHARACTERS:
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _of_leaf(place: str, key: str, value: Json, deadline: float) -> Iterator[Finding]:
    if time.thread_time() > deadline:
        raise _TooSlow
    for rule, danger in of_key(key, value):
        yield _finding(rule, danger, place, redacted(f"{key}: {value}"))
    if not isinstance(value, str):
        return
    if names_a_secret(key, value):
        yield _finding("secret", CRITICAL, place, f"a literal of {len(value)} characters")
    if isinstance(value, Patch):
        for rule, danger, line in of_patch(value):
            yield _finding(rule, danger, f"{place}, line {line}", "in the patch")
        return
    yield from _of_text(place, value, deadline)


def _of_text(place: str, text: str, deadline: float) -> Iterator[Finding]:
    findings = _remembered(text) if len(text) <= _CACHED else tuple(_judgements(text, deadline))
    for rule, danger, excerpt in findings:
        yield _finding(rule, danger, place, excerpt)


@lru_cache(maxsize=4096)
def _remembered(text: str) -> tuple[tuple[str, Danger, str], ...]:
    return tuple(_judgements(text, math.inf))


def _judgements(text: str, deadline: float) -> Iterator[tuple[str, Danger, str]]:
    for kind, value in secrets(text):
        yield "secret", CRITICAL, f"{kind}, {len(value)} characters"
    found = dict.fromkeys(_all_of(text, 0, deadline))
    excerpt = redacted(text) if found else ""
    for rule, danger in found:
        yield rule, danger, excerpt


def _all_of(text: str, depth: int, deadline: float) -> Iterator[Judged]:
    if time.thread_time() > deadline:
        raise _TooSlow
    if depth > _MOST_WRAPPED:
        yield Judged("wrapped-too-often", CRITICAL)
        return
    yield from of_text(text)
    plain = unicodedata.normalize("NFKC", text)
    inner: list[str] = list(_unwrapped(plain))
    # A single word can be run, but it has no arguments with which it could do harm.
    if _WORD.fullmatch(plain) is None:
        try:
            for script in _scripts(plain):
                yield from _of_script(script)
                inner += script.assigned
                inner += (text for command in script.commands for text in texts_to_run(command))
        except Unreadable:
            yield Judged("unreadable-command", CRITICAL)
    for hidden in dict.fromkeys(inner):
        if next(secrets(hidden), None):
            yield Judged("secret", CRITICAL)
        found = _all_of(hidden, depth + 1, deadline)
        yield from (item for item in found if item.danger is CRITICAL)


def _scripts(text: str) -> Iterator[Script]:
    """The script in a text; once more with joined lines, for a comment does not go on in the next; and without quotes,
    where the grammar may have lost its way over those within words.
    """
    visible = _spread(_SPACES.sub(" ", _without_invisible(text)))
    joined = visible.replace("\\\n", "")
    script = read(visible)
    yield script
    if joined != visible:
        yield read(joined)
    if script.flawed or _ODD_QUOTES.search(visible):
        yield read(_QUOTES.sub("", joined))
    if script.flawed:
        # What the grammar cannot follow may have swallowed the lines behind it.
        yield from (read(line) for line in joined.splitlines() if " " in line.strip())


def _of_script(script: Script) -> Iterator[Judged]:
    if script.splits_words:
        yield Judged("hidden-command", CRITICAL)
    if script.self_calling:
        yield Judged("fork-bomb", CRITICAL)
    yield from runs_what_was_loaded(script.commands)
    for command in script.commands:
        yield from judged(command)


def _unwrapped(text: str) -> Iterator[str]:
    """What lies in Base64 in a text, as far as it is text itself."""
    for found in _WRAPPED.finditer(text):
        token = found[0].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            inner = base64.b64decode(token + "=" * (-len(token) % 4), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            continue
        if sum(item.isprintable() or item.isspace() for item in inner) == len(inner):
            yield inner


def _spread(text: str) -> str:
    """``{rm,-rf,/}`` as the words that a shell makes of it, and what is in such braces again."""
    for _ in range(_MOST_WRAPPED):
        text = _BRACES.sub(lambda found: found[1].replace(",", " "), text)
    return text


def _without_invisible(text: str) -> str:
    return "".join(item for item in text if unicodedata.category(item) not in {"Cf", "Cc"} or item in "\n\t")


def _finding(rule: str, danger: Danger, place: str, excerpt: str) -> Finding:
    return Finding(rule=rule, danger=danger, place=redacted(place, longest=len(place)), excerpt=excerpt)
