"""Sections cut into pieces that the embedder reads whole: at most so many tokens, each beginning a little before the last
one's end.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any

from penelope.adapters.documents.parsed import LeftOut, Section

_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"[.!?;:]\s"), re.compile(r"\s"))
"""Where a piece may end, the best first."""
_LATEST = 0.5
"""A piece ends in the second half of its room at the soonest."""
_LONGEST = 3000
"""Characters: what has no spaces is few tokens however long it is, and the embedder reads 4,096 characters."""


def cut(sections: tuple[Section, ...], *, tokens: int, overlap: int, most: int) -> list[Section]:
    """The pieces of a document. Raises LeftOut for one of more than `most`."""
    made: list[Section] = []
    for section in sections:
        for text in _cut(section.text, tokens, overlap):
            parts = [text[at : at + _LONGEST] for at in range(0, len(text), _LONGEST)]
            made += [Section(heading=section.heading, text=each) for each in parts]
        if len(made) > most:
            raise LeftOut(f"it has more than {most:,} passages")
    return made


def _cut(text: str, tokens: int, overlap: int) -> list[str]:
    sound = text.encode("utf-8", "replace").decode()
    offsets = _tokenizer().encode(sound, add_special_tokens=False).offsets
    if len(offsets) <= tokens:
        return [sound]
    pieces, first = [], 0
    while first < len(offsets):
        last = min(first + tokens, len(offsets))
        begin, end = offsets[first][0], offsets[last - 1][1]
        if last < len(offsets):
            end = _break(sound, begin, end)
        piece = sound[begin:end].strip()
        if piece:
            pieces.append(piece)
        if last == len(offsets):
            break
        # The next piece begins at a word, `overlap` tokens before this one's end, and always further on than this one.
        ended = next((at for at in range(last - 1, first, -1) if offsets[at][0] < end), first)
        after = max(first + 1, ended + 1 - overlap)
        first = next((at for at in range(after, ended + 1) if sound[offsets[at][0] - 1].isspace()), ended + 1)
    return pieces


def _break(text: str, begin: int, end: int) -> int:
    soonest = begin + int((end - begin) * _LATEST)
    for pattern in _BREAKS:
        ends = [found.end() for found in pattern.finditer(text, soonest, end)]
        if ends:
            return ends[-1]
    return end


@cache
def _tokenizer() -> Any:
    """The embedder's own, so that a bound in tokens is one that it knows."""
    import tokenizers  # noqa: PLC0415 - loaded late on purpose: it takes 0.1 s

    made = tokenizers.Tokenizer.from_file(
        str(Path(__file__).parents[1] / "vector" / "data" / "tokenizer.json")
    )
    made.no_padding()
    made.no_truncation()
    return made
