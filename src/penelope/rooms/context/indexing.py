"""What becomes of a document on the shelf: whether it is made anew, and who may know it."""

from collections.abc import Iterable, Mapping

from penelope.domain.access import Classification

_STRICTNESS = tuple(Classification)
_FORM = 1
"""Of the pieces: raised whenever their making changes, so that every document is made anew."""


def recipe(classification: Classification, tokens: int, overlap: int, model: str) -> str:
    """How pieces are made, as text: a document whose recipe is another is made anew though its content is the same.

    `classification` is that of documents that say none; `model` is empty where nothing embeds them.
    """
    return f"{_FORM}/{classification.value}/{tokens}/{overlap}/{model}"


def strictest(*levels: Classification) -> Classification:
    return max(levels, key=_STRICTNESS.index)


def proposed(personal: Mapping[str, int]) -> Classification | None:
    """What personal data in a text proposes: whatever there is of it makes the document personal. None for none."""
    return Classification.PII if any(personal.values()) else None


def is_below(source: str, roots: Iterable[str]) -> bool:
    """Whether a path is one of the roots, or below one."""
    return any(source == root or source.startswith(f"{root.rstrip('/')}/") for root in roots)
