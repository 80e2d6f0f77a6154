"""What may be asked about decisions, and what is answered."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from penelope.domain.decision import Judgement
from penelope.entry.api.wisdom_models import LeanedOn
from penelope.kit.described import Described

_INCIDENT = "inc_01k9vd3q7w8r2n5tbxyz"
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _reachable(moment: datetime) -> datetime:
    if not _FIRST <= moment <= _LAST:
        raise ValueError("must lie between the years 1970 and 2200")
    return moment


def _wordy(text: str) -> str:
    if not any(map(str.isalnum, text)):
        raise ValueError("must hold a word")
    return text


Moment = Annotated[AwareDatetime, AfterValidator(_reachable)]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
Risk = Annotated[float, Field(ge=0, le=1)]
Cursor = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,256}$")]

_QUESTION = ConfigDict(extra="forbid")
"""Of what comes in a query; FastAPI takes it apart, and the description of each parameter from its field."""


def _with(**example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


# --- questions --------------------------------------------------------------------------------------------


class Stretch(BaseModel):
    """A stretch of time."""

    model_config = _QUESTION

    since: Annotated[
        Moment | None, Field(description="The first moment that counts, with its time zone.")
    ] = None
    until: Annotated[Moment | None, Field(description="The first moment that does not count any more.")] = (
        None
    )

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise ValueError("`since` must lie before `until`")
        return self


class Wanted(Stretch):
    """Which decisions are wanted; all that is asked for must hold."""

    service: Name | None = None
    judgement: Annotated[Judgement | None, Field(description="What was decided.")] = None
    risk_min: Annotated[Risk | None, Field(description="The lowest risk that counts, 0 to 1.")] = None
    risk_max: Annotated[Risk | None, Field(description="The highest risk that counts, 0 to 1.")] = None
    actor: Annotated[Name | None, Field(description="Who decided.")] = None
    playbook: Name | None = None
    incident: Name | None = None
    text: Annotated[
        Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$"), AfterValidator(_wordy)] | None,
        Field(
            description="Words that must all occur in the rationale or in the names of service and playbook, whatever their case."
        ),
    ] = None

    @model_validator(mode="after")
    def _spans_risks(self) -> Self:
        if self.risk_min is not None and self.risk_max is not None and self.risk_min > self.risk_max:
            raise ValueError("`risk_min` must not exceed `risk_max`")
        return self


class WantedPage(Wanted):
    """A page of decisions."""

    cursor: Annotated[Cursor | None, Field(description="`next` of the page before this one.")] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class WantedFile(Wanted):
    """A file of decisions."""

    format: Literal["json", "csv"] = "json"


class WantedRisks(BaseModel):
    """A page of risky decisions."""

    model_config = _QUESTION

    risk_min: Annotated[
        Risk | None,
        Field(
            description="The lowest risk that counts; by default the highest at which Penelope acts without asking."
        ),
    ] = None
    service: Name | None = None
    cursor: Annotated[Cursor | None, Field(description="`next` of the page before this one.")] = None
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class WantedFigures(Stretch):
    """What figures are wanted of; by default the last 30 days of all services."""

    service: Name | None = None


class WantedPrecedents(BaseModel):
    """Which decision about an incident is meant."""

    model_config = _QUESTION

    version: Annotated[
        Annotated[int, Field(ge=1, le=2**31 - 1)] | None,
        Field(description="Which of the decisions about the incident, from 1 on; by default the latest."),
    ] = None


# --- answers ----------------------------------------------------------------------------------------------

_DECISION = {
    "unit": f"{_INCIDENT}:decision",
    "version": 1,
    "incident": _INCIDENT,
    "service": "shop",
    "judgement": "intervene",
    "risk": 0.35,
    "confidence": 0.81,
    "playbook": "rollback-release",
    "actor": "penelope",
    "rationale": "playbook rollback-release fits, risk 0.35 ≤ 0.70, confidence 0.81 ≥ 0.50",
    "precedents": 4,
    "decided_at": "2026-11-21T07:00:00Z",
    "overridden_by": None,
    "overridden_at": None,
}


class Decision(Described):
    """One decision; an incident that was judged anew has several."""

    model_config = _with(**_DECISION)

    unit: str
    """Under which it stands in the ledger."""
    version: int
    incident: str
    service: str
    judgement: Judgement
    risk: float
    confidence: float
    playbook: str | None
    actor: str
    """Who decided."""
    rationale: str
    precedents: int
    """How many earlier uses of the playbook on the service were weighed."""
    decided_at: datetime
    overridden_by: str | None
    """Who refused the plan that followed from it."""
    overridden_at: datetime | None


class DecisionPage(Described):
    """Decisions, in the order that was asked for."""

    decisions: list[Decision]
    next: str | None
    """What to send as `cursor` for the next page; null on the last one."""


class RiskPercentiles(Described):
    """Risks that so many per cent of the decisions do not exceed."""

    p50: float
    p90: float
    p99: float


class DecisionStatistics(Described):
    """Figures of a stretch of time. Rates are 0 to 1, and null where there was no decision."""

    model_config = _with(
        since="2026-10-22T07:00:00Z",
        until="2026-11-21T07:00:00Z",
        service=None,
        decisions=120,
        by_judgement={"observe": 30, "intervene": 80, "escalate": 10},
        risk={"p50": 0.35, "p90": 0.6, "p99": 0.82},
        precedent_rate=0.75,
        override_rate=0.025,
    )

    since: datetime
    until: datetime
    service: str | None
    decisions: int
    by_judgement: dict[Judgement, int]
    risk: RiskPercentiles | None
    precedent_rate: float | None
    """The share of decisions that rested on earlier uses of their playbook."""
    override_rate: float | None
    """The share of decisions whose plan a person refused."""


class PrecedentCase(Described):
    """An earlier incident that the playbook acted upon."""

    incident: str
    verified: bool
    """Whether it was verified to have helped."""
    ended_at: datetime


class Precedent(Described):
    """What earlier uses of a playbook on a service had come to when it was decided."""

    playbook: str
    service: str
    successes: int
    failures: int
    cases: list[PrecedentCase]
    """The newest of them, 50 at most."""


class DecisionPrecedents(Described):
    """A decision and what it rested on."""

    decision: Decision
    precedents: list[Precedent]
    leaned_on: list[LeanedOn]
    """The past cases most like the incident, and whether they speak for the plan."""
