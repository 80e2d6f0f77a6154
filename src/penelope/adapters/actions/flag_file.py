"""A flagd file of feature flags, changed a token at a time: all else in it stays byte for byte."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from penelope.errors import ActionFailed, InvalidCatalogue, Unavailable
from penelope.kit.canonical import Json

_LARGEST_BYTES = 4 * 1024 * 1024
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Span:
    """Where the text of a value begins and ends."""

    start: int
    end: int


class FlagText:
    """The text of a flagd file. Raises ActionFailed where it is no JSON, or says the same key twice."""

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            self._root = _members(text, _skip(text, 0))
            self._flags = _members(text, self._root["flags"].start)
        except (ValueError, RecursionError):
            raise ActionFailed("the file of flags does not parse, or says a key twice") from None
        except KeyError:
            raise ActionFailed("the file of flags has no `flags`") from None

    def names(self) -> list[str]:
        return list(self._flags)

    def flag(self, name: str) -> "FlagPart":
        """Raises ActionFailed unless the file holds the flag, as an object."""
        if name not in self._flags:
            raise ActionFailed(f"the file holds no flag {name[:80]!r}")
        span = self._flags[name]
        try:
            return FlagPart(self.text, span, _members(self.text, span.start))
        except (ValueError, RecursionError):
            raise ActionFailed(f"the flag {name[:80]!r} is no object, or says a key twice") from None


@dataclass(frozen=True, slots=True)
class FlagPart:
    """One flag within the text."""

    text: str
    span: Span
    members: dict[str, Span]

    @property
    def raw(self) -> str:
        return self.text[self.span.start : self.span.end]

    @property
    def digest(self) -> str:
        """Tells one state of the flag from another, to the byte."""
        return hashlib.sha256(self.raw.encode("utf-8", "surrogatepass")).hexdigest()

    def value(self, key: str) -> Json:
        span = self.members.get(key)
        return None if span is None else json.loads(self.text[span.start : span.end])

    def with_value(self, key: str, value: Json) -> str:
        """The whole text with one member of the flag set; as it was where the member says so already."""
        if key in self.members and self.value(key) == value:
            return self.text
        new = json.dumps(value)
        if key in self.members:
            span = self.members[key]
            return self.text[: span.start] + new + self.text[span.end :]
        inside = self.span.start + 1
        comma = ", " if self.members else ""
        return f"{self.text[:inside]}{json.dumps(key)}: {new}{comma}{self.text[inside:]}"

    def with_raw(self, raw: str) -> str:
        """The whole text with the flag as it stood somewhere before."""
        return self.text[: self.span.start] + raw + self.text[self.span.end :]


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _members(text: str, at: int) -> dict[str, Span]:
    """The members of the object that begins at a place. Raises ValueError."""
    if text[at : at + 1] != "{":
        raise ValueError("no object")
    decoder, members = json.JSONDecoder(), dict[str, Span]()
    at = _skip(text, at + 1)
    if text[at : at + 1] == "}":
        return members
    while True:
        key, end = decoder.raw_decode(text, at)
        at = _skip(text, end)
        if not isinstance(key, str) or key in members or text[at : at + 1] != ":":
            raise ValueError("no member")
        start = _skip(text, at + 1)
        _, end = decoder.raw_decode(text, start)
        members[key] = Span(start, end)
        at = _skip(text, end)
        if text[at : at + 1] == "}":
            return members
        if text[at : at + 1] != ",":
            raise ValueError("no comma")
        at = _skip(text, at + 1)


class FlagFile:
    """The file on the disk. Every method may raise Unavailable."""

    def __init__(self, path: Path) -> None:
        if path.suffix != ".json":
            raise InvalidCatalogue("the file of flags must be JSON, with a name that ends in .json")
        self._path = path

    def read(self) -> FlagText:
        return FlagText(self._content())

    @contextmanager
    def changing(self) -> Iterator[FlagText]:
        """What the file says, while no other process of Penelope changes a file of its folder."""
        try:
            folder = os.open(self._path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise Unavailable(f"the file of flags cannot be read: {error.strerror}") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # let go by the system when the process dies
            yield self.read()
        finally:
            os.close(folder)

    def replace(self, before: FlagText, text: str) -> None:
        """Puts a text in the place of the one that was read, in one step. Raises Unavailable where somebody wrote
        meanwhile, so that nothing of theirs is lost.
        """
        path = self._path.resolve()
        aside = path.with_name(f".{path.name}.penelope")
        try:
            status = path.stat()
            aside.unlink(missing_ok=True)
            with aside.open("x", encoding="utf-8", newline="") as stream:
                os.fchmod(stream.fileno(), status.st_mode & 0o7777)
                _own(stream.fileno(), status)
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            if self._content() != before.text:
                aside.unlink()
                raise Unavailable("somebody else is changing the file of flags")
            aside.replace(path)
            _sync(path.parent)
        except OSError as error:
            raise Unavailable(f"the file of flags cannot be written: {error.strerror}") from error

    def _content(self) -> str:
        try:
            with self._path.open("rb") as stream:
                content = stream.read(_LARGEST_BYTES + 1)
            if len(content) > _LARGEST_BYTES:
                raise Unavailable(f"the file of flags is larger than {_LARGEST_BYTES // 1024 // 1024} MiB")
            return content.decode("utf-8")
        except OSError as error:
            raise Unavailable(f"the file of flags cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise Unavailable("the file of flags is no text in UTF-8") from None


def _own(descriptor: int, status: os.stat_result) -> None:
    if (os.geteuid(), os.getegid()) != (status.st_uid, status.st_gid):
        os.fchown(descriptor, status.st_uid, status.st_gid)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
