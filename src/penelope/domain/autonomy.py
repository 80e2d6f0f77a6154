"""How far a playbook may go on a service by itself, and by what it earned that."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from functools import total_ordering


@total_ordering
class Level(Enum):
    """In order: it decides and records; it asks; it acts, but asks above low risk; it acts."""

    SHADOW = "shadow"
    SUGGEST = "suggest"
    SUPERVISED = "supervised"
    AUTONOMOUS = "autonomous"

    @property
    def rank(self) -> int:
        """0 for shadow … 3 for autonomous."""
        return _ORDER[self]

    def __lt__(self, other: object) -> bool:
        return self.rank < other.rank if isinstance(other, Level) else NotImplemented

    def up(self) -> "Level":
        """The next level; the highest one has none above it."""
        return LEVELS[min(self.rank + 1, len(LEVELS) - 1)]

    def down(self, steps: int) -> "Level":
        """So many levels lower, at the least shadow."""
        return LEVELS[max(self.rank - steps, 0)]


LEVELS = tuple(Level)
_ORDER = {level: number for number, level in enumerate(LEVELS)}


class Comparison(StrEnum):
    """What a report of people says about a playbook: the same was done, something else, it was overridden, or nothing."""

    AGREED = "agreed"
    DIFFERED = "differed"
    OVERRIDDEN = "overridden"
    NOTED = "noted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a playbook stands on one service.

    `level` is what it has earned; `cap` the highest level that policy allows, of which `in_force` takes the lower one.
    Successes and failures are those of plans that acted, agreements and disagreements those of decisions that did not
    act with what people then did; all are counted from `since`, when it last fell or a person placed it. What made it
    fall is counted in. `reason` is why it stands where it stands.
    """

    playbook: str
    service: str
    level: Level
    cap: Level = Level.AUTONOMOUS
    successes: int = 0
    failures: int = 0
    agreements: int = 0
    disagreements: int = 0
    reason: str = ""
    since: datetime

    @property
    def in_force(self) -> Level:
        return min(self.level, self.cap)
