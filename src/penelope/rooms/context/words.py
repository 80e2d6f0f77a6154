"""Cuts a concept into words that can be compared, whatever was typed."""

import re
import unicodedata
from dataclasses import dataclass

from penelope.domain.concept import LONGEST_CONCEPT, MOST_WORDS

# No part of it can match the same text in two ways, so it takes time linear in the text.
_CHUNK = re.compile(r"[^\W_]+(?:[-_./:+'][^\W_]+)*|-")
_JOINT = re.compile(r"([-_./:+'])")
_DATED = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:t\d{1,2}(?::\d{2}){1,2}(?:\.\d{1,6})?(?:z|[-+]\d{2}:\d{2})?)?"
    r"|\d{1,2}[./]\d{1,2}[./]\d{4}|\d{4}-\d{1,2}|\d{4}-?[qhw]\d{1,2}|[qh]\d[-/]\d{4}|\d{1,2}(?::\d{2}){1,2}"
    r"|\d{4}/\d{2}|fy\d{2,4}/\d{2}"
)
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-") | {"\u2019": "'"})
_MONTHS = frozenset(
    [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "sept",
        "oct",
        "nov",
        "dec",
    ]
)


class BadConcept(ValueError):
    """A concept, or a part of it, that cannot be understood, and why; for the person who asked."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it is compared: `text` without case and accents, `stem` also without the ending of a plural.

    `capitals` says that it was written in them within a text that was not: "US" and not "us".
    """

    text: str
    stem: str
    capitals: bool = False


def words_of(text: str) -> tuple[Word, ...]:
    """All words of a text of any length; dates and times of day stay whole."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_DASHES))
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    shouted = plain.isupper()
    found: list[Word] = []
    for match in _CHUNK.finditer(plain.replace("..", " - ")):
        chunk = match.group().casefold()
        capitals = not shouted and match.group().isupper()
        pieces = (chunk,) if chunk == "-" or _DATED.fullmatch(chunk) else _split(chunk)
        found.extend(Word(piece, stem_of(piece), capitals) for piece in pieces)
    return tuple(found)


def words_of_concept(text: str) -> tuple[Word, ...]:
    """The words of what somebody asks. Raises BadConcept where it is empty or too long."""
    if len(text) > LONGEST_CONCEPT:
        raise BadConcept(f"a concept has at most {LONGEST_CONCEPT} characters; this one has {len(text)}")
    found = words_of(text)
    if all(word.text == "-" for word in found):
        raise BadConcept("there is no word in it")
    if len(found) > MOST_WORDS:
        raise BadConcept(f"a concept has at most {MOST_WORDS} words; this one has {len(found)}")
    return found


def _split(chunk: str) -> list[str]:
    """The words of a chunk; of its dashes those that may mean "to" stay."""
    parts = _JOINT.split(chunk)
    kept = [parts[0]]
    for joint, part in zip(parts[1::2], parts[2::2], strict=True):
        if joint == "'" and part in {"s", "t", "re", "ll", "ve", "d", "m"}:
            continue
        if joint == "-" and _may_be_time(kept[-1]) and _may_be_time(part):
            kept.append("-")
        kept.append(part)
    return kept


def _may_be_time(word: str) -> bool:
    return word in _MONTHS or any(character.isdigit() for character in word)


def stem_of(word: str) -> str:
    """The word without the ending of an English plural; nothing cleverer, so that no two words fall together wrongly."""
    if len(word) < 4 or word[-1] != "s" or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word[:-1]
