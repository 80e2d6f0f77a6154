"""What a principle is."""

from typing import Protocol

from penelope.domain.constitution import Article, Weighed
from penelope.domain.decision import Decision
from penelope.rooms.decide.facts import Facts


class Principle(Protocol):
    """One article as a check with a name; its limit is its own."""

    @property
    def name(self) -> str:
        """What is checked; stands in decisions, in metrics and on the article's page."""

    @property
    def article(self) -> Article:
        """The article that it belongs to."""

    @property
    def forbids(self) -> bool:
        """Whether nothing is done unasked while it is broken."""

    def weigh(self, facts: Facts, decision: Decision) -> Weighed:
        """The measure, and whether the article is kept. Pure."""
