"""Patterns over texts of strangers: a plain part of regular expressions, matched in time linear in the text.

A backtracking engine can be brought to a stand by a short text; here a text costs at most its length times the size
of the pattern, whatever both are.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

LONGEST, MOST_GROUPS = 500, 50
"""Characters of a pattern, and groups in it."""

MOST_STATES = 2000
"""Places of a pattern once its counted repeats are written out."""

_COUNTED = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_KINDS = "dDwWsS"
_SPECIAL = ".^$*+?{}[]()|\\"

Fits = Callable[[str], bool]


@dataclass(slots=True)
class _Place:
    """A state: takes one character that fits and goes on, or (without `fits`) goes on at once."""

    fits: Fits | None = None
    after: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that was read."""

    source: str
    _places: tuple[_Place, ...] = field(repr=False, compare=False)

    def matches(self, text: str) -> bool:
        """Whether the whole text follows the pattern."""
        here = self._reached([0])
        for character in text:
            ahead: list[int] = []
            for number in here:
                place = self._places[number]
                if place.fits is not None and place.fits(character):
                    ahead += place.after
            if not ahead:
                return False
            here = self._reached(ahead)
        return len(self._places) - 1 in here

    def _reached(self, begin: list[int]) -> set[int]:
        """Those places and all that lie behind them without a character."""
        seen: set[int] = set()
        while begin:
            number = begin.pop()
            if number not in seen:
                seen.add(number)
                if self._places[number].fits is None:
                    begin += self._places[number].after
        return seen


@lru_cache(maxsize=512)
def pattern(source: str) -> Pattern:
    r"""Reads a pattern: characters, ``.``, classes ``[a-z]``, ``\d \w \s``, groups, ``|`` and the repeats ``* + ? {2,5}``.

    ASCII is meant by ``\d``, ``\w`` and ``\s``; ``.`` is any character but the end of a line. Raises ValueError that says
    what is not admitted.
    """
    if len(source) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    if source.count("(") > MOST_GROUPS:
        raise ValueError(f"has more than {MOST_GROUPS} groups")
    reader = _Reader(source)
    tree = reader.alternatives()
    if reader.at < len(source):
        raise ValueError(f"has a closing parenthesis too many, at character {reader.at + 1}")
    places: list[_Place] = []
    open_ends = _lay(places, tree)
    places.append(_Place())
    for number in open_ends:
        places[number].after.append(len(places) - 1)
    return Pattern(source, tuple(places))


@dataclass(frozen=True, slots=True)
class _One:
    fits: Fits


@dataclass(frozen=True, slots=True)
class _Row:
    parts: "tuple[_Tree, ...]"


@dataclass(frozen=True, slots=True)
class _Any:
    options: "tuple[_Tree, ...]"


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: "_Tree"
    least: int
    most: int | None


_Tree = _One | _Row | _Any | _Repeat


class _Reader:
    """Reads the source from left to right."""

    def __init__(self, source: str) -> None:
        self._source = source
        self.at = 0

    def alternatives(self) -> _Tree:
        options = [self._row()]
        while self._take("|"):
            options.append(self._row())
        return options[0] if len(options) == 1 else _Any(tuple(options))

    def _row(self) -> _Tree:
        return _Row(tuple(self._parts()))

    def _parts(self) -> Iterator[_Tree]:
        while self.at < len(self._source) and self._source[self.at] not in "|)":
            yield self._repeated(self._part())

    def _repeated(self, part: _Tree) -> _Tree:
        sign = self._source[self.at : self.at + 1]
        if sign and sign in "*+?":
            self.at += 1
            part = _Repeat(part, 1 if sign == "+" else 0, 1 if sign == "?" else None)
        elif sign == "{":
            part = self._counted(part)
        if self._source[self.at : self.at + 1] in {"*", "+", "?", "{"}:
            raise ValueError(f"repeats a repeat, at character {self.at + 1}; put it in parentheses")
        return part

    def _counted(self, part: _Tree) -> _Tree:
        found = _COUNTED.match(self._source, self.at)
        if found is None:
            raise ValueError(
                rf"has a brace that is no count, at character {self.at + 1}; write \{{ for itself"
            )
        self.at = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if most is not None and most < least:
            raise ValueError(f"counts from {least} to {most}")
        return _Repeat(part, least, most)

    def _part(self) -> _Tree:
        character = self._source[self.at]
        if character == "(":
            return self._group()
        if character == "[":
            return self._class()
        if character == "\\":
            return self._escaped()
        if character == ".":
            self.at += 1
            return _One(lambda found: found != "\n")
        if character in "^$":
            raise ValueError(f"needs no {character}: the whole text must follow it")
        if character in "*+?{":
            raise ValueError(f"repeats nothing, at character {self.at + 1}")
        if character in "]}":
            raise ValueError(f"has a {character} that closes nothing, at character {self.at + 1}")
        self.at += 1
        return _One(character.__eq__)

    def _group(self) -> _Tree:
        begun, self.at = self.at + 1, self.at + 1
        if self._source.startswith("?", self.at) and not self._take("?:"):
            raise ValueError(f"may not look around, name a group or set a flag, at character {begun}")
        inner = self.alternatives()
        if not self._take(")"):
            raise ValueError(f"does not close the parenthesis at character {begun}")
        return inner

    def _class(self) -> _Tree:
        found = _CLASS.match(self._source, self.at)
        if found is None:
            raise ValueError(f"does not close the bracket at character {self.at + 1}")
        self.at = found.end()
        if "[" in found[0][1:] and not re.search(r"\\\[", found[0]):
            raise ValueError(
                rf"has a bracket in a bracket, at character {found.start() + 2}; write \[ for itself"
            )
        try:
            fits = re.compile(found[0], re.ASCII).fullmatch
        except re.error as error:
            raise ValueError(f"has a class that cannot be read, {found[0]}: {error.msg}") from None
        return _One(lambda character: fits(character) is not None)

    def _escaped(self) -> _Tree:
        character = self._source[self.at + 1 : self.at + 2]
        if character and character in _KINDS:
            fits = re.compile("\\" + character, re.ASCII).fullmatch
            self.at += 2
            return _One(lambda found: fits(found) is not None)
        if not character or not (character in _SPECIAL or not character.isalnum()):
            raise ValueError(rf"has \{character}, which is not admitted, at character {self.at + 1}")
        self.at += 2
        return _One(character.__eq__)

    def _take(self, text: str) -> bool:
        if not self._source.startswith(text, self.at):
            return False
        self.at += len(text)
        return True


def _lay(places: list[_Place], tree: _Tree) -> list[int]:
    """Lays a tree out as places, the first of them the next number; returns those that lead out of it."""
    if len(places) > MOST_STATES:
        raise ValueError("is too large once its repeats are written out")
    number = len(places)
    match tree:
        case _One(fits):
            places.append(_Place(fits))
            return [number]
        case _Row(parts):
            places.append(_Place())
            ends = [number]
            for part in parts:
                ends = _follow(places, ends, part)
            return ends
        case _Any(options):
            places.append(_Place())
            return [end for option in options for end in _follow(places, [number], option)]
        case _Repeat(part, least, most):
            return _lay_repeat(places, part, least, most)


def _lay_repeat(places: list[_Place], part: _Tree, least: int, most: int | None) -> list[int]:
    number = len(places)
    places.append(_Place())
    ends = [number]
    for _ in range(least):
        ends = _follow(places, ends, part)
    if most is None:
        loop = len(places)
        places.append(_Place())
        for end in [*ends, *_follow(places, [loop], part)]:
            places[end].after.append(loop)
        return [loop]
    out = list(ends)
    for _ in range(most - least):
        ends = _follow(places, ends, part)
        out += ends
    return out


def _follow(places: list[_Place], ends: list[int], part: _Tree) -> list[int]:
    """Lays a part behind open ends."""
    begin = len(places)
    out = _lay(places, part)
    for end in ends:
        places[end].after.append(begin)
    return out
