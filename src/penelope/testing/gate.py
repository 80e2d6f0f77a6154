"""Requests to the gate, for tests of its rules."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from penelope.domain.action import Action, Tier
from penelope.domain.approval import Approval, ApprovalStatus, Ballot, vote
from penelope.domain.autonomy import Level, Standing
from penelope.domain.contract import Contract
from penelope.domain.decision import Decision, Judgement, score
from penelope.domain.evidence import Dossier
from penelope.domain.halt import Breaker, ScopeKind, scopes_of
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.intervention import Usage
from penelope.domain.outcome import PlaybookRecord
from penelope.domain.people import Voter
from penelope.domain.plan import Match, Plan, Playbook
from penelope.domain.service import Service, Target
from penelope.domain.signal import Severity, problem_fingerprint
from penelope.rooms.gate.rules import Request


def planned(*actions: Mapping[str, Any], service: str = "shop") -> Plan:
    """A plan of these actions, each given by what differs from a restart of its target."""
    template = Action(
        key="",
        name="Restart it",
        adapter="process",
        operation="restart",
        target=Target(name="one", service=service, adapter="process"),
        params={},
        tier=Tier.LOCAL,
        timeout_seconds=10,
    )
    steps = [replace(template, key=f"key-{number}", **action) for number, action in enumerate(actions)]
    return Plan(
        id="inc_1:plan",
        incident="inc_1",
        service=service,
        playbook="fix",
        playbook_version="1",
        steps=tuple(steps),
        verify=Contract(clauses=(), deadline_seconds=1),
    )


def approval_of(plan: Plan, now: datetime, **changes: Any) -> Approval:
    """A request for exactly this plan to which a person has said yes; `changes` replace fields."""
    asked = Approval(
        id="approval-1",
        incident=plan.incident,
        plan_digest=plan.digest,
        reasons=(),
        status=ApprovalStatus.PENDING,
        requested_at=now,
        expires_at=now + timedelta(hours=1),
    )
    given = vote(asked, Voter(identity="anna", actor="key:anna"), Ballot(approve=True), now)
    assert isinstance(given, Approval)  # noqa: S101 - nothing closes a request that was made just now
    return replace(given, **changes)


def passage(plan: Plan, now: datetime, **changes: Any) -> Request:
    """A request that nothing speaks against: a decision to intervene, no evidence, no past, a playbook that may act;
    `changes` replace fields.
    """
    incident = Incident(
        id=plan.incident,
        service=plan.service,
        fingerprint=problem_fingerprint(plan.service, "Broken"),
        name="Broken",
        severity=Severity.CRITICAL,
        state=IncidentState.RECEIVED,
        opened_at=now,
        updated_at=now,
        signal_count=1,
    )
    made = Request(
        incident=incident,
        service=Service(name=plan.service, owner="", tier=4),
        dossier=Dossier(service=plan.service, gathered_at=now, evidence=()),
        playbook=Playbook(
            name=plan.playbook,
            version=plan.playbook_version,
            title=plan.playbook,
            match=Match(names=("Broken",)),
            steps=(),
            verify=plan.verify,
        ),
        plan=plan,
        decision=_intervention(plan, now),
        record=PlaybookRecord(playbook=plan.playbook, service=plan.service),
        approvals=(),
        now=now,
        standing=Standing(playbook=plan.playbook, service=plan.service, level=Level.AUTONOMOUS, since=now),
        breakers={
            scope: Breaker(scope=scope)
            for scope in scopes_of(plan.service, plan.playbook, incident.fingerprint)
        },
        usage=Usage(actions=dict.fromkeys(ScopeKind, 0), running=dict.fromkeys(ScopeKind, 0)),
        heals=(),
        upstream=(),
    )
    return replace(made, **changes)


def _intervention(plan: Plan, now: datetime) -> Decision:
    return Decision(
        incident=plan.incident,
        judgement=Judgement.INTERVENE,
        risk=score(),
        confidence=score(),
        rationale="nothing speaks against it",
        decided_at=now,
        playbook=plan.playbook,
    )
