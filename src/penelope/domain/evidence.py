"""What `context` resolved, with source, age and confidence."""

from dataclasses import dataclass
from datetime import datetime

from penelope.kit.canonical import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One answer to "what is X?". A `value` of None with confidence 0 says "could not be seen", and why."""

    concept: str
    value: Json
    source: str
    observed_at: datetime
    confidence: float
    note: str = ""

    @property
    def known(self) -> bool:
        return self.value is not None

    def age_seconds(self, now: datetime) -> float:
        return max(0.0, (now - self.observed_at).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """All evidence about one incident at one moment."""

    service: str
    gathered_at: datetime
    evidence: tuple[Evidence, ...]

    def get(self, concept: str) -> Evidence | None:
        return next((item for item in self.evidence if item.concept == concept), None)

    def value(self, concept: str) -> Json:
        """The value of a concept, or None where it is unknown."""
        found = self.get(concept)
        return None if found is None else found.value

    @property
    def confidence(self) -> float:
        """Mean confidence; 0 where nothing was asked, for nothing is known then."""
        if not self.evidence:
            return 0.0
        return sum(item.confidence for item in self.evidence) / len(self.evidence)
