"""Past incidents from JSONL: one JSON object a line, as any incident tool can be made to export."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import Field, Strict, ValidationError, model_validator

from penelope.adapters.sources.body import parse
from penelope.adapters.yaml_model import Duration, Part, json_schema
from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase, Stratum
from penelope.domain.signal import Severity, problem_fingerprint
from penelope.errors import InvalidRequest
from penelope.kit.canonical import canonical
from penelope.kit.codec import to_data
from penelope.kit.ids import digest_id

LONGEST_LINE = 64 * 1024
"""Bytes."""
SCHEMA_PAGE = "docs/reference/past-case.schema.json"

_A_DAY = timedelta(days=1)
_FIRST_YEAR = 1990

Name = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(max_length=4096)]
Labels = Annotated[dict[Name, Text], Field(max_length=64)]
Moment = Annotated[datetime, Strict(False)]


class PastIncident(Part):
    """An incident that ended before Penelope was there. A time without a zone is UTC."""

    service: Name
    """The service that it was about, by its name in `services.yaml`."""
    name: Name
    """What it was called, best as its alert is called today: `HighErrorRate`."""
    summary: Text = ""
    """What was seen, in a sentence or two. Similar incidents are found by its meaning."""
    opened_at: Moment
    """When it began, RFC 3339."""
    ended_at: Moment | None = None
    """When it ended. Either this or `duration` must be there."""
    duration: Duration | None = None
    """How long it lasted: `12m`, `1.5h`, or seconds."""
    severity: Annotated[Severity, Strict(False)] = Severity.ERROR
    labels: Labels = Field(default_factory=dict)
    """Labels, best as its alert has them today."""
    fingerprint: Name | None = None
    """Which problem it was; by default that of `service` and `name`, as with alerts."""
    outcome: Annotated[OutcomeKind, Strict(False)] | None = None
    """`healed` (something that was done ended it), `resolved` (it ended by itself) or `escalated` (people took it over;
    by which means is not known). By default `healed` with a playbook, else `escalated`."""
    playbook: Name | None = None
    """The playbook that was used, or would stand for what people did."""
    verified: bool | None = None
    """Whether that helped; by default it did if the outcome is `healed`."""
    acted_after: Duration | None = None
    """How long it was left alone before anybody did something; by default until its end."""
    reference: Name | None = None
    """Its name elsewhere, such as `INC-4711`; kept as the label `reference`."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.ended_at is None) == (self.duration is None):
            raise ValueError("give either `ended_at` or `duration`")
        if self.ended < _zoned(self.opened_at):
            raise ValueError("`ended_at` lies before `opened_at`")
        if self.opened_at.year < _FIRST_YEAR:
            raise ValueError(f"the year {self.opened_at.year} cannot be right")
        if self.verified is not None and self.playbook is None:
            raise ValueError("`verified` says whether a `playbook` helped: name it")
        if self.kind is OutcomeKind.RESOLVED and self.playbook is not None:
            raise ValueError("`resolved` means that nothing was done: leave `playbook` out, or say `healed`")
        if self.kind is OutcomeKind.RESOLVED and self.acted_after is not None:
            raise ValueError(
                "`resolved` means that nothing was done: leave `acted_after` out, or say `healed`"
            )
        return self

    @property
    def ended(self) -> datetime:
        if self.ended_at is not None:
            return _zoned(self.ended_at)
        return _zoned(self.opened_at) + timedelta(seconds=self.duration or 0.0)

    @property
    def kind(self) -> OutcomeKind:
        if self.outcome is not None:
            return self.outcome
        return OutcomeKind.ESCALATED if self.playbook is None else OutcomeKind.HEALED

    def case(self) -> PastCase:
        """The case that it leaves behind, named by a digest of all that it says."""
        opened, lasted = _zoned(self.opened_at), (self.ended - _zoned(self.opened_at)).total_seconds()
        verified = self.verified
        if self.playbook is not None and verified is None:
            verified = self.kind is OutcomeKind.HEALED
        reference = {} if self.reference is None else {"reference": self.reference}
        fields: dict[str, Any] = {
            "service": self.service,
            "fingerprint": self.fingerprint or problem_fingerprint(self.service, self.name),
            "name": self.name,
            "severity": self.severity,
            "labels": {**reference, **self.labels},
            "summary": self.summary,
            "playbook": self.playbook,
            "kind": self.kind,
            "verified": verified,
            "alone_seconds": lasted if self.acted_after is None else min(lasted, self.acted_after),
            "healed_itself": self.kind is OutcomeKind.RESOLVED,
            "opened_at": opened,
            "ended_at": self.ended,
        }
        digest = digest_id("past", canonical(to_data(fields)).decode())
        return PastCase(
            **fields, incident=f"past_{digest}", stratum=Stratum.UNSEEN, confidence=None, imported=True
        )


def past_case_schema() -> dict[str, Any]:
    """The JSON schema of one line, draft 2020-12."""
    return json_schema(PastIncident, "https://penelope.dev/v1/past-case.schema.json")


def read_line(line: bytes, now: datetime) -> PastCase | None:
    """The case of a line; None for an empty one. Raises InvalidRequest that says what is wrong with it."""
    if len(line) > LONGEST_LINE:
        raise InvalidRequest(f"it has more than {LONGEST_LINE} bytes")
    if not line.strip():
        return None
    try:
        incident = PastIncident.model_validate(parse(line, "it"))
    except ValidationError as error:
        raise InvalidRequest("; ".join(_words(error))) from error
    except OverflowError as error:
        raise InvalidRequest("its times lie beyond all years") from error
    if incident.ended > now + _A_DAY:
        raise InvalidRequest("ended_at: lies ahead of now; past incidents have ended")
    return incident.case()


def _words(error: ValidationError) -> Iterator[str]:
    # What was given is left out: it may be a secret in the wrong place.
    for mistake in error.errors(include_input=False, include_url=False):
        place = ".".join(map(str, mistake["loc"]))
        what = mistake["msg"].removeprefix("Value error, ")
        yield f"{place}: {what}" if place else what


def _zoned(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
