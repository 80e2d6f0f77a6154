"""What the interface answers with; from these the OpenAPI document and its clients are made."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict

from penelope.domain.approval import ApprovalStatus
from penelope.domain.incident import IncidentState
from penelope.domain.signal import Severity
from penelope.entry.api.decision_models import Briefing
from penelope.kit.described import Described

_INCIDENT = "inc_01k9vd3q7w8r2n5tbxyz"
_DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def _with(**example: Any) -> ConfigDict:
    """Docstrings become descriptions, and the OpenAPI document shows an example."""
    return ConfigDict(json_schema_extra={"examples": [example]})


class Problem(Described):
    """Problem details (RFC 9457). Match on `code`, never on the texts."""

    model_config = _with(
        type="urn:penelope:problem:already_decided",
        title="Already decided",
        status=409,
        detail="the plan was approved by key:anna",
        instance=f"/api/v1/incidents/{_INCIDENT}/approve",
        code="already_decided",
        hint="Look at the incident: it shows who decided what, and when.",
        retryable=False,
        request_id="5f2b6c0e9a7d4e8b",
    )

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    hint: str
    """What to do now."""
    retryable: bool
    """Whether the same request may succeed later."""
    request_id: str
    """Stands in the server's log, too."""


class Received(Described):
    """What became of the signals of one request."""

    model_config = _with(accepted=2, duplicates=1, incidents=[_INCIDENT], opened=[_INCIDENT])

    accepted: int
    """Signals that were new."""
    duplicates: int
    """Signals that were taken in before; nothing changed by them."""
    incidents: list[str]
    """The incidents that new signals belong to."""
    opened: list[str]
    """Those of them that did not exist before."""


class Incident(Described):
    """One problem of one service, from its first signal to its outcome."""

    model_config = _with(
        id=_INCIDENT,
        service="shop",
        name="HighErrorRate",
        severity="critical",
        state="acting",
        opened_at="2026-11-21T07:00:00Z",
        updated_at="2026-11-21T07:00:02Z",
        signal_count=3,
        fingerprint="3c6e0b8a9c15224a8228b9a98ca1531d",
        labels={"alertname": "HighErrorRate", "service": "shop"},
        summary="12 % of requests fail",
        resolved_at=None,
        ended_at=None,
        lapsed=False,
    )

    id: str
    service: str
    name: str
    severity: Severity
    state: IncidentState
    opened_at: datetime
    updated_at: datetime
    signal_count: int
    fingerprint: str
    """What the problem is known by; signals about the same service with the same one belong together."""
    labels: dict[str, str]
    """The labels of its first signal."""
    summary: str
    resolved_at: datetime | None
    """When its source said that the condition ended."""
    ended_at: datetime | None
    """When Penelope was done with it."""
    lapsed: bool
    """Whether it was handed to people so long ago that the same problem would be a new incident."""


class IncidentPage(Described):
    """Incidents, newest first."""

    incidents: list[Incident]
    next: str | None
    """What to send as `before` for the next page; null on the last one."""


class Unit(Described):
    """One unit of work of an incident: a decision, plan, gate verdict, action, verdict, approval, rollout or outcome."""

    model_config = _with(
        id=f"{_INCIDENT}:decision",
        kind="decision",
        status="intervene",
        version=1,
        updated_at="2026-11-21T07:00:00Z",
        attributes={"judgement": "intervene", "playbook": "rollback-release"},
    )

    id: str
    kind: str
    status: str
    version: int
    """How often it was saved."""
    updated_at: datetime
    attributes: dict[str, Any]
    """Its present state; the fields depend on the kind."""


class IncidentDetail(Described):
    """An incident and everything that was done about it, in order of creation."""

    incident: Incident
    units: list[Unit]
    briefing: Briefing | None = None
    """What its latest decision prepared for whoever has to take it over."""


class Entry(Described):
    """One line of the ledger."""

    model_config = _with(
        seq=17,
        unit=f"{_INCIDENT}:decision",
        version=1,
        kind="decision",
        incident=_INCIDENT,
        event="DecisionMade",
        actor="penelope",
        reason="risk 0.42 is at most 0.70",
        status_before=None,
        status_after="intervene",
        state_hash=_DIGEST,
        details={"judgement": "intervene", "playbook": "rollback-release"},
        recorded_at="2026-11-21T07:00:00.012345Z",
        previous_hash="0" * 64,
        hash=_DIGEST,
    )

    seq: int
    """Its place in the whole log, which has gaps where a transaction was taken back."""
    unit: str
    version: int
    """Its place in the history of its unit, from 1."""
    kind: str
    incident: str
    event: str
    actor: str
    """`penelope`, or `key:` and the name of an API key."""
    reason: str
    status_before: str | None
    status_after: str
    state_hash: str
    details: dict[str, Any]
    recorded_at: datetime
    previous_hash: str
    hash: str


class Timeline(Described):
    """What happened to an incident, in order."""

    entries: list[Entry]
    next: int
    """What to send as `after` to go on from here, now or later."""


class Approval(Described):
    """A request to agree to a plan, and the answer."""

    model_config = _with(
        id="0cc175b9c0f1b6a831c399e269772661",
        incident=_INCIDENT,
        plan_digest=_DIGEST,
        reasons=["approval: a step of tier 3 needs a person"],
        status="approved",
        requested_at="2026-11-21T07:00:00Z",
        expires_at="2026-11-22T07:00:00Z",
        decided_at="2026-11-21T07:03:11Z",
        decided_by="key:anna",
        comment="the window is open",
    )

    id: str
    incident: str
    plan_digest: str
    """The plan that was agreed to; another plan would need another approval."""
    reasons: list[str]
    status: ApprovalStatus
    requested_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    comment: str


class Flaw(Described):
    """Something about stored history that does not fit."""

    model_config = _with(
        unit=f"{_INCIDENT}:decision", version=1, problem="was altered: its hash differs", seq=17
    )

    unit: str
    """A unit of work, or `log` or `database` for what is about all of them."""
    version: int
    problem: str
    seq: int
    """The line of history that it is about; 0 if none."""


class Verification(Described):
    """Whether all stored history hashes to what was recorded."""

    model_config = _with(ok=True, size=214, root=_DIGEST, flaws=[])

    ok: bool
    size: int
    root: str
    flaws: list[Flaw]
    """The first flaws that were found, at most 100."""


class ServiceSummary(Described):
    """A service of the catalogue."""

    name: str
    owner: str
    tier: int
    """From 1, the most critical, to 4."""


class Status(Described):
    """What this server is and what it has to do."""

    model_config = _with(
        version="0.1.0",
        incidents={"acting": 1, "healed": 7},
        services=[{"name": "shop", "owner": "team-shop", "tier": 1}],
        playbooks=["rollback-release"],
    )

    version: str
    incidents: dict[IncidentState, int]
    """How many incidents there are in each state."""
    services: list[ServiceSummary]
    playbooks: list[str]
    """The playbooks in force, in order of preference."""


class PlaybookSummary(Described):
    """A playbook in force."""

    model_config = _with(
        name="rollback-release",
        version="1",
        title="Go back to the previous release, behind a canary",
        tier=2,
        approval=False,
        names=["HighErrorRate"],
        labels={},
        services=[],
        steps=["Switch instance b back to ${release}"],
        rollout=True,
    )

    name: str
    version: str
    title: str
    tier: int
    """The tier of its hardest step: 1 local, 2 needs a snapshot, 3 hard to reverse, 4 irreversible."""
    approval: bool
    """Whether a person must always agree."""
    names: list[str]
    """The signals that it is for; empty means any."""
    labels: dict[str, str]
    """The labels that an incident must have."""
    services: list[str]
    """The services that it is for; empty means all."""
    steps: list[str]
    rollout: bool
    """Whether traffic moves to the changed arm in steps."""


class PlaybookList(Described):
    """The playbooks in force, in order of preference."""

    playbooks: list[PlaybookSummary]


class Health(Described):
    """The answer of a healthy server."""

    model_config = _with(status="ok")

    status: str
