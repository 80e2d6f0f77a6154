"""Text from outside, made fit to be stored and shown."""

_CUT = "…"


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
