"""Where units of work rest, and what kinds of actors there are."""

import pytest

from penelope.domain.approval import ApprovalStatus
from penelope.domain.break_glass import ReviewStatus
from penelope.domain.decision import Judgement
from penelope.domain.deployment import DeploymentStatus
from penelope.domain.gate import Ruling
from penelope.domain.incident import IncidentState
from penelope.domain.outcome import OutcomeKind
from penelope.domain.work import INTERACTIONS, ActorKind, interaction
from penelope.flow.assessment import Next

RESTS = {
    ("incident", IncidentState.RECEIVED): "intake",
    ("incident", IncidentState.OBSERVING): "observe",
    ("incident", IncidentState.AWAITING_APPROVAL): "approve",
    ("incident", IncidentState.ACTING): "act",
    ("incident", IncidentState.VERIFYING): "verify",
    ("incident", IncidentState.ROLLING_OUT): "rollout",
    ("incident", IncidentState.COMPENSATING): "undo",
    ("incident", IncidentState.HEALED): "done",
    ("incident", IncidentState.RESOLVED): "done",
    ("incident", IncidentState.ESCALATED): "done",
    ("decision", Judgement.OBSERVE): "observe",
    ("decision", Judgement.INTERVENE): "done",
    ("decision", Judgement.ESCALATE): "done",
    ("plan", Next.OBSERVE): "plan",
    ("plan", Next.ASK): "plan",
    ("plan", Next.ACT): "plan",
    ("plan", Next.ESCALATE): "done",
    ("gate", Ruling.PASS): "done",
    ("gate", Ruling.REFUSE): "done",
    ("gate", Ruling.WAIT): "done",
    ("gate", Ruling.ASK): "done",
    ("approval", ApprovalStatus.PENDING): "approve",
    ("approval", ApprovalStatus.APPROVED): "done",
    ("approval", ApprovalStatus.REJECTED): "done",
    ("approval", ApprovalStatus.EXPIRED): "done",
    ("approval", ApprovalStatus.CANCELLED): "done",
    ("approval", ApprovalStatus.OVERRIDDEN): "done",
    ("break_glass", ReviewStatus.OPEN): "approve",
    ("break_glass", ReviewStatus.CLOSED): "done",
    ("action", "prepared"): "act",
    ("action", "started"): "act",
    ("action", "unknown"): "act",
    ("action", "done"): "done",
    ("action", "failed"): "done",
    ("action", "compensated"): "done",
    ("action", "compensation_failed"): "done",
    ("deployment", DeploymentStatus.PROGRESSING): "rollout",
    ("deployment", DeploymentStatus.PROMOTING): "rollout",
    ("deployment", DeploymentStatus.ROLLING_BACK): "undo",
    ("deployment", DeploymentStatus.CANCELLING): "undo",
    ("deployment", DeploymentStatus.CONCLUDING): "rollout",
    ("deployment", DeploymentStatus.CONCLUDED): "done",
    ("deployment", DeploymentStatus.PROMOTED): "done",
    ("deployment", DeploymentStatus.ROLLED_BACK): "done",
    ("deployment", DeploymentStatus.CANCELLED): "done",
    ("verdict", "passed"): "done",
    ("verdict", "drifted"): "done",
    ("outcome", OutcomeKind.HEALED): "done",
    ("outcome", OutcomeKind.RESOLVED): "done",
    ("outcome", OutcomeKind.ESCALATED): "done",
}


@pytest.mark.parametrize(("kind", "status"), RESTS)
def test_every_unit_rests_somewhere(kind: str, status: str) -> None:
    found = interaction(kind, str(status))
    assert found == RESTS[kind, status]
    assert found in INTERACTIONS


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("incident", IncidentState),
        ("decision", Judgement),
        ("gate", Ruling),
        ("approval", ApprovalStatus),
        ("break_glass", ReviewStatus),
        ("deployment", DeploymentStatus),
        ("outcome", OutcomeKind),
    ],
)
def test_no_status_was_forgotten_above(kind: str, statuses: type) -> None:
    assert {status for of, status in RESTS if of == kind} >= set(statuses)


@pytest.mark.parametrize("state", IncidentState)
def test_an_incident_is_done_once_it_has_ended(state: IncidentState) -> None:
    assert (interaction("incident", state) == "done") == state.ended


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("penelope", ActorKind.ENGINE),
        ("", ActorKind.ENGINE),
        ("keynes", ActorKind.ENGINE),
        ("key:ada", ActorKind.PERSON),
        ("key:worker:x", ActorKind.PERSON),
        ("oidc:corp:worker:x", ActorKind.PERSON),
        ("agent:oidc:corp:ada", ActorKind.AGENT),
        ("agent:planner", ActorKind.AGENT),
        ("worker:w-1", ActorKind.WORKER),
    ],
)
def test_an_actors_name_tells_its_kind(name: str, kind: ActorKind) -> None:
    assert ActorKind.of(name) is kind
