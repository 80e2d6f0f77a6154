"""Text from outside, made fit to be stored and shown."""

import re

_CUT = "…"
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_OBEYED_OR_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def harmless(text: str, longest: int, *, lines: bool = False) -> str:
    """The text within so many characters, with everything escaped that a screen would obey, that only pretends to be
    something, or that cannot be stored (controls, bidirectional marks, halves of characters).

    `lines` lets line breaks and tabs stand; without it the text is one line.
    """
    kept = "\n\t" if lines else ""
    shown = "".join(
        character
        if character.isprintable() or character in kept
        else character.encode("unicode_escape").decode()
        for character in text[: longest + 1]
    )
    return shown if len(shown) <= longest else shown[: max(0, longest - len(_CUT))] + _CUT


def is_plain(text: str, *, lines: bool = False) -> bool:
    """Whether a database can keep the text as it is, and no terminal obeys it: it has no control characters (C0, DEL, C1)
    and no halves of characters.

    `lines` lets line feeds and tabs stand.
    """
    return (_OBEYED if lines else _OBEYED_OR_BREAK).search(text) is None
