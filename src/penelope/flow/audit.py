"""What can be asked about decisions, and what is answered; the store fulfils the port."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penelope.domain.decision import Judgement, Precedent
from penelope.rooms.learn.calibration import Prediction


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionFilter:
    """Which decisions are wanted; what is None does not matter.

    Risks are 0…1, both included; `since` is included, `until` is not. Every word of `text` must occur in the
    rationale or the names of service and playbook, whatever its case; a text without words asks for nothing.
    """

    service: str | None = None
    judgement: Judgement | None = None
    risk_min: float | None = None
    risk_max: float | None = None
    actor: str | None = None
    playbook: str | None = None
    incident: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One decision: an incident that was judged anew has several, told apart by `version`.

    `id` puts all decisions into the order of time. `precedents` is how many earlier uses of the playbook were weighed.
    `overridden_by` is the person who refused what was decided.
    """

    id: int
    unit: str
    version: int
    incident: str
    service: str
    judgement: Judgement
    risk: float
    confidence: float
    playbook: str | None
    actor: str
    rationale: str
    precedents: int
    decided_at: datetime
    overridden_by: str | None
    overridden_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time, `since` included and `until` not, for one service or all."""

    since: datetime
    until: datetime
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskPercentiles:
    """Risks that so many per cent of the decisions do not exceed: each is the risk of a decision, none in between."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionStatistics:
    """Numbers of decisions in a window. `risk` is None where there was none."""

    by_judgement: Mapping[Judgement, int]
    risk: RiskPercentiles | None
    with_precedents: int
    overridden: int

    @property
    def decisions(self) -> int:
        return sum(self.by_judgement.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecedentCase:
    """An earlier incident that a playbook acted upon, and whether that was verified to have helped."""

    incident: str
    verified: bool
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPrecedents:
    """A decision, and each precedent that it weighed with the newest cases behind it."""

    decision: DecisionRow
    precedents: Sequence[tuple[Precedent, Sequence[PrecedentCase]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """Which past cases count: those that ended since a moment, of one service and playbook or of all."""

    since: datetime
    service: str | None = None
    playbook: str | None = None


class DecisionAudit(Protocol):
    """Reads decisions that were committed, a page at a time."""

    async def decisions(
        self, wanted: DecisionFilter, *, before: int | None, limit: int
    ) -> Sequence[DecisionRow]:
        """Decisions, newest first; `before` is the id of the last one of the page before."""

    async def high_risk(
        self, at_least: float, *, service: str | None, below: tuple[float, int] | None, limit: int
    ) -> Sequence[DecisionRow]:
        """Decisions of at least this risk, the riskiest first and the newest of equal ones.

        `below` is risk and id of the last one of the page before.
        """

    async def statistics(self, window: Window) -> DecisionStatistics:
        """Counts and percentiles, all of the same moment."""

    async def located(self, identifier: str, version: int | None) -> DecisionRow | None:
        """One decision, by its `id` or else by its incident; then that version, or by default its latest."""

    async def predictions(self, wanted: Lived) -> Sequence[Prediction]:
        """What was predicted where a playbook acted, and what came of it; imported cases predict nothing."""

    async def precedents(self, incident: str, version: int | None) -> DecisionPrecedents | None:
        """What one decision about an incident rested on; by default its latest."""
