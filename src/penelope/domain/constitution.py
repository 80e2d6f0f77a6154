"""The articles by which every decision is weighed."""

from dataclasses import dataclass
from enum import StrEnum


class Article(StrEnum):
    """The articles by the names on their pages. Their order is stored: a new one goes to the end."""

    SOPHIA = "Sophia"
    PRAOTES = "Praotes"
    TAPEINOPHROSYNE = "Tapeinophrosyne"
    STEWARDSHIP = "Stewardship"
    AGAPE = "Agape"
    SABBATH = "Sabbath"
    ALETHEIA = "Aletheia"
    PRUDENCE = "Prudence"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What one article came to. `principle` is what was checked; what a measure means, and on which side of `limit` it
    is kept, is the principle's own.
    """

    article: Article
    principle: str
    measure: float
    limit: float
    kept: bool
    reason: str


_BITS = {article: 1 << number for number, article in enumerate(Article)}


def bit(article: Article) -> int:
    """The article's place in a sum of those that were broken."""
    return _BITS[article]
