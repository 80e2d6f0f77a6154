"""The words that passages are found by: the same for documents, questions and databases."""

import re
import unicodedata
from collections.abc import Iterator

MOST_ASKED = 32
"""Different words of a question that are looked for; a question is a line, and a hostile one a book."""

_LONGEST_QUESTION = 4096
_LONGEST = 64
_COMPOUND = re.compile(r"[^\W_]+(?:[-_./:][^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SILENT = frozenset(
    [
        "a",
        "about",
        "above",
        "after",
        "again",
        "all",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "below",
        "between",
        "both",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "doing",
        "down",
        "during",
        "each",
        "few",
        "for",
        "from",
        "further",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "hers",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "itself",
        "just",
        "me",
        "more",
        "most",
        "my",
        "no",
        "nor",
        "not",
        "now",
        "of",
        "off",
        "on",
        "once",
        "only",
        "or",
        "other",
        "our",
        "ours",
        "out",
        "over",
        "own",
        "same",
        "she",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "theirs",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "us",
        "very",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
        "yours",
    ]
)
"""English words that stand everywhere and say nothing (after Lucene's and NLTK's lists)."""


def words_of(text: str) -> Iterator[str]:
    """Every word that says something, in order, without case and plural.

    ``checkout-api`` and ``HighErrorRate`` are found by their parts and, written as one word, as a whole.
    """
    for compound in _COMPOUND.findall(unicodedata.normalize("NFKC", text)):
        parts = [part for piece in _PART.findall(compound) for part in _HUMP.split(piece)]
        if len(parts) > 1:
            yield "".join(parts).casefold()[:_LONGEST]
        for part in parts:
            word = part.casefold()[:_LONGEST]
            if word not in _SILENT:
                yield _singular(word)


def terms_of(text: str) -> tuple[tuple[str, ...], int]:
    """The different words of a document's part, and how many it has in all."""
    words = list(words_of(text))
    return tuple(dict.fromkeys(words)), len(words)


def asked(question: str) -> tuple[str, ...]:
    """The different words of a question, the first ones of very many."""
    return tuple(dict.fromkeys(words_of(question[:_LONGEST_QUESTION])))[:MOST_ASKED]


def _singular(word: str) -> str:
    """Harman's S stemmer (1991): it takes plurals away, and nothing that changes what is meant."""
    if len(word) > 4 and word.endswith("ies") and not word.endswith(("eies", "aies")):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
