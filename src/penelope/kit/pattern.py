"""Regular expressions from outside: matched in time linear in the text, whatever the pattern (RE2)."""

from functools import lru_cache

import re2

LONGEST_PATTERN = 1000
"""Characters of a pattern."""

LONGEST_TEXT = 65_536
"""Characters of a text that is matched."""

_MEMORY = 1 << 20
"""Bytes that a compiled pattern may take: a counted repetition of repetitions is small to write and vast to compile."""


class BadPattern(ValueError):
    """A pattern that cannot be used, and why."""


class Pattern:
    """A pattern that texts match in full, or not. It knows no look-around and no back references."""

    def __init__(self, compiled: re2._Regexp) -> None:
        self._compiled = compiled

    def matches(self, text: str) -> bool:
        """Whether the whole text is what the pattern says; one that is no Unicode, or beyond LONGEST_TEXT, never is."""
        if len(text) > LONGEST_TEXT:
            return False
        try:
            return self._compiled.fullmatch(text) is not None
        except UnicodeError:
            return False


@lru_cache(maxsize=256)
def pattern(source: str) -> Pattern:
    """Raises BadPattern."""
    if len(source) > LONGEST_PATTERN:
        raise BadPattern(f"is longer than {LONGEST_PATTERN} characters")
    try:
        source.encode()
    except UnicodeError:
        raise BadPattern("holds characters that are none") from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return Pattern(re2.compile(source, options))
    except re2.error as error:
        why = error.args[0] if error.args else ""
        raise BadPattern(why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from None
