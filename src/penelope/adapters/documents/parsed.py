"""What a file says once it is read, and why one is left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from penelope.domain.access import Classification
from penelope.kit.harmless import harmless

LONGEST_TITLE = 200
_MOST_SERVICES = 50


class LeftOut(Exception):
    """A file that is not indexed; the text says why, in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part under a heading; `heading` is empty where the file has none above it."""

    heading: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A file as text. `classification` is None where the file does not say it."""

    kind: str
    title: str
    sections: tuple[Section, ...]
    classification: Classification | None = None
    owner: str = ""
    services: tuple[str, ...] = ()


def line(value: object, longest: int = LONGEST_TITLE) -> str:
    """A text or number as one harmless line; anything else as nothing."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return harmless(" ".join(str(value).split()), longest)


def prose(value: object, longest: int = 20_000) -> str:
    """A text of several lines, made harmless; anything else as nothing."""
    return harmless(value.strip(), longest, lines=True) if isinstance(value, str) else ""


def names(value: object) -> tuple[str, ...]:
    """Names from a list, or from a text with commas."""
    given: Iterable[Any] = (
        value.split(",") if isinstance(value, str) else value if isinstance(value, list) else ()
    )
    return tuple(dict.fromkeys(name for name in map(line, given) if name))[:_MOST_SERVICES]


def part(value: object, *keys: str) -> Any:
    """What stands below keys, one in the other; None where that is not there."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def items(value: object) -> list[Mapping[str, Any]]:
    """The mappings of a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def entries(value: object) -> list[tuple[str, Any]]:
    """The keys and values of a mapping."""
    return [(str(key), item) for key, item in value.items()] if isinstance(value, Mapping) else []


def said(*lines: str) -> str:
    """The lines that say anything."""
    return "\n".join(text for text in lines if text)


def labelled(label: str, value: object) -> str:
    """``label: value`` where there is a value."""
    shown = ", ".join(value) if isinstance(value, tuple) else line(value, 2000)
    return f"{label}: {shown}" if shown else ""
