"""Finds secrets, with the detectors of detect-secrets that know a form rather than guess by entropy."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detect_secrets.plugins.base import RegexBasedDetector

_WINDOW, _OVERLAP = 2000, 200
"""Characters that a pattern sees at once, for some take quadratic time, and how far windows overlap."""

_GUESSES = frozenset({"Public IP (ipv4)", "Secret Keyword"})
_NAMED = re.compile(
    r"(?i)\b[\w.-]{0,40}(?:passw(?:or)?d|passphrase|secret|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token|token)"
    r"\b[\"']?\s{0,3}[:=]\s{0,3}[\"']?([^\s\"'${}<>,;&|]{6,200})"
)
_BEARER = re.compile(r"(?i)\bauthorization\s{0,3}:\s{0,3}(?:bearer|basic|token)\s{1,3}([^\s\"'${}]{8,400})")
_KEY = re.compile(
    r"(?i)(^|[_.\s-]|(?<=[a-z])(?-i:(?=[A-Z])))(passwords?|passwd|pwd|passphrase|secrets?|credentials?|(api|access|private|secret|signing|encryption)[_-]?key|token|authorization)$"
)
_LONG_TOKEN = re.compile(r"[A-Za-z0-9+/_=-]{20,}")
_EXCERPT = 80


def secrets(text: str) -> Iterator[tuple[str, str]]:
    """Kind and value of each secret in a text."""
    for start in range(0, max(len(text), 1), _WINDOW - _OVERLAP):
        window = text[start : start + _WINDOW]
        for detector in _detectors():
            for value in detector.analyze_string(window):
                yield detector.secret_type, value
        for pattern, kind in ((_NAMED, "named secret"), (_BEARER, "authorization header")):
            for found in pattern.finditer(window):
                yield kind, found[1]


def names_a_secret(key: str, value: str) -> bool:
    """Whether a key such as ``db_password`` holds a literal, and no placeholder or reference."""
    reference = re.fullmatch(r"\$\{?[\w.]+\}?|.*(\$\{|\{\{).*|/[\w.-]+(/[\w.-]+)*", value, re.DOTALL)
    return len(value) >= 6 and reference is None and _KEY.search(key) is not None


def redacted(text: str, longest: int = _EXCERPT) -> str:
    """An excerpt with everything masked that is, or could be, a secret."""
    shown = text
    for _, value in secrets(text):
        shown = shown.replace(value, "***")
    shown = re.sub(r"://[^\s/@]{1,300}@", "://***@", shown)
    shown = masked(shown)
    return shown if len(shown) <= longest else f"{shown[:longest]}..."


def masked(text: str) -> str:
    """The text without long words that could be keys, and without what a screen would not show."""
    return "".join(item if item.isprintable() else "?" for item in _LONG_TOKEN.sub("***", text))


@cache
def _detectors() -> "tuple[RegexBasedDetector, ...]":
    # They come with an HTTP client, which is 40 ms of every start.
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class  # noqa: PLC0415 - loaded late on purpose
    from detect_secrets.plugins.base import RegexBasedDetector  # noqa: PLC0415 - loaded late on purpose

    classes: Mapping[str, type] = get_mapping_from_secret_type_to_class()
    return tuple(
        kind()
        for name, kind in sorted(classes.items())
        if issubclass(kind, RegexBasedDetector) and name not in _GUESSES
    )
