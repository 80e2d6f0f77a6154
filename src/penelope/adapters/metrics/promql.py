"""PromQL written by us and by people: values enter it as values, whatever is in them. No I/O."""

import re
from collections.abc import Iterable, Mapping

from penelope.errors import InvalidCatalogue

LONGEST = 4000
"""Characters of a template."""

PLACEHOLDERS = ("arm", "service")
"""What may stand in quoted strings."""

_PLACEHOLDER = re.compile(r"\{\{ *([a-z_]+) *\}\}")
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
_QUOTES = "\"'`"
_REGEX_MATCHER = re.compile(r"[=!]~\s*$")
_WINDOW = "window"


def quoted(value: str) -> str:
    """A text as a PromQL string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def one_of(values: Iterable[str]) -> str:
    """A PromQL string with a regular expression (RE2) that matches these texts and no other."""
    return quoted("|".join(_SPECIAL.sub(r"\\\g<0>", value) for value in values))


def selector(names: Iterable[str], match: Mapping[str, str], label: str, values: Iterable[str]) -> str:
    """Selects the series of these names whose `label` has one of the values, and that bear the labels of `match`."""
    matchers = [f"__name__=~{one_of(names)}", f"{label}=~{one_of(values)}"]
    matchers += [f"{name}={quoted(value)}" for name, value in sorted(match.items())]
    return "{" + ",".join(matchers) + "}"


def rendered(template: str, values: Mapping[str, str], window_seconds: int) -> str:
    """A person's query with its placeholders filled in.

    ``{{ name }}`` stands inside a string, where the value is escaped for the string, and for the regular expression where
    the string is one; ``{{ window }}`` stands outside of strings and is a duration. Raises InvalidCatalogue for any other
    placeholder, for one at another place, and for strings in backquotes with one, which nothing can be escaped in.
    """
    if len(template) > LONGEST:
        raise InvalidCatalogue(f"a query is longer than {LONGEST} characters")
    done: list[str] = []
    quote, at, opened = "", 0, 0
    while at < len(template):
        character = template[at]
        found = _PLACEHOLDER.match(template, at)
        if found:
            regex = bool(quote) and _REGEX_MATCHER.search(template, 0, opened) is not None
            done.append(_filled(found[1], values, window_seconds, quote, regex=regex))
            at = found.end()
            continue
        if template.startswith("{{", at):
            raise InvalidCatalogue("a query has '{{' that begins no placeholder such as {{ arm }}")
        if quote and quote != "`" and character == "\\":
            done.append(template[at : at + 2])
            at += 2
            continue
        if not quote and character == "#":
            end = template.find("\n", at)
            at = len(template) if end < 0 else end
            continue
        if character in _QUOTES and quote in {"", character}:
            quote, opened = ("" if quote else character), at
        done.append(character)
        at += 1
    if quote:
        raise InvalidCatalogue("a query has a string without an end")
    return "".join(done)


def flaw_of(template: str) -> str:
    """What is wrong with a person's query before it is ever asked; empty where nothing is. The query is not repeated."""
    if not template.strip():
        return "is empty: write a PromQL expression, or leave the query out"
    try:
        rendered(template, dict.fromkeys(PLACEHOLDERS, "x"), 1)
    except InvalidCatalogue as error:
        return f"cannot be used: {error.message} (docs/metric-sources.md)"
    return ""


def _filled(name: str, values: Mapping[str, str], window_seconds: int, quote: str, *, regex: bool) -> str:
    if name == _WINDOW and not quote:
        return f"{max(1, window_seconds)}s"
    if name not in values:
        known = ", ".join(sorted([*values, _WINDOW]))
        raise InvalidCatalogue(f"a query has a placeholder that is none here; there are {known}")
    if not quote or quote == "`":
        raise InvalidCatalogue(f"the placeholder {name!r} of a query must stand inside a quoted string")
    value = _SPECIAL.sub(r"\\\g<0>", values[name]) if regex else values[name]
    inner = quoted(value)[1:-1]
    return inner.replace('\\"', '"').replace("'", "\\'") if quote == "'" else inner
