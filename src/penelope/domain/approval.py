"""A request to agree to a plan, and what may become of it: a pure state machine.

PENDING is the only state that changes. A word against the rules is no error here but a `Refusal`, and leaves the request
as it was.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from penelope.domain.circumstances import Circumstances
from penelope.domain.decision import Contribution
from penelope.domain.people import AGENT, Voter
from penelope.domain.quorum import ANY_APPROVER, Bench, Quorum, Standing, standing

MOST_COMMENTS = 100
"""Remarks on one request: each word said later stores them again."""


class ApprovalStatus(StrEnum):
    """PENDING is the only state that can change. OVERRIDDEN: somebody broke the glass."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    OVERRIDDEN = "overridden"


class OnTimeout(StrEnum):
    """What silence means: the plan is rejected, or the request stays open as long again for those above."""

    REJECT = "reject"
    ESCALATE = "escalate"


@dataclass(frozen=True, slots=True, kw_only=True)
class BriefStep:
    """One action of the plan, as it is shown; `diff` where it is a patch, `params` are its other parameters as JSON, and
    `when` says in what circumstances it happens, if not in all.

    `preview` and `preview_diff` say what it would have changed when it was tried, or `not_previewed` why nobody knows.
    """

    name: str
    adapter: str
    operation: str
    target: str
    tier: int
    diff: str = ""
    params: str = ""
    when: str = ""
    preview: str = ""
    preview_diff: str = ""
    not_previewed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What is laid before people. Risk and confidence 0…1; `evidence` are sentences; `twin` tells how the plan went on
    the twin, or why it was not rehearsed, and `twin_checks` each thing that was tried there; `previewed_at` is when
    the steps were previewed; `silence` says what happens if nobody answers.
    """

    service: str
    playbook: str
    rationale: str
    tier: int
    risk: float
    confidence: float
    steps: tuple[BriefStep, ...]
    risks: tuple[Contribution, ...]
    evidence: tuple[str, ...]
    silence: str
    twin: str | None = None
    twin_checks: tuple[str, ...] = ()
    previewed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One word. `seat` is the role whose seat it took, `instead_of` the identity that delegated it."""

    voter: str
    actor: str
    approve: bool
    seat: str
    at: datetime
    reason: str = ""
    channel: str = "api"
    instead_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """What somebody had to say without voting."""

    actor: str
    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """A seat handed on: `owner` is whose it was, `by` who hands it on, `to` an identity or, if `to_role`, a role."""

    owner: str
    by: str
    actor: str
    seat: str
    to: str
    to_role: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a word does not count; `forbidden` where it was not the speaker's to say, and not merely too late."""

    reason: str
    forbidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request to agree to one plan, bound to the plan's digest and to the circumstances, with every word so far.

    `requested_by` is the identity that wants the plan carried out.
    """

    id: str
    incident: str
    plan_digest: str
    reasons: tuple[str, ...]
    status: ApprovalStatus
    requested_at: datetime
    expires_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    comment: str = ""
    requested_by: str = "penelope"
    circumstances: Circumstances = field(default_factory=Circumstances)
    quorum: Quorum = ANY_APPROVER
    brief: Brief | None = None
    votes: tuple[Vote, ...] = ()
    comments: tuple[Comment, ...] = ()
    delegations: tuple[Delegation, ...] = ()

    @property
    def standing(self) -> Standing:
        """What the votes come to."""
        return standing(self.quorum, self.ballots)

    @property
    def ballots(self) -> tuple[tuple[str, bool], ...]:
        """The seat of each vote, and whether it is a yes."""
        return tuple((vote.seat, vote.approve) for vote in self.votes)

    @property
    def approvers(self) -> tuple[str, ...]:
        """The actors who said yes."""
        return tuple(vote.actor for vote in self.votes if vote.approve)

    @property
    def objection(self) -> Vote | None:
        """The last no of a person in a request that was rejected; silence and machines reject without one."""
        if self.status is not ApprovalStatus.REJECTED:
            return None
        noes = (vote for vote in reversed(self.votes) if not vote.approve)
        return next((vote for vote in noes if not Bench(role=vote.seat).machine), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """A word that is to be cast."""

    approve: bool
    reason: str = ""
    channel: str = "api"


def vote(approval: Approval, voter: Voter, ballot: Ballot, now: datetime) -> Approval | Refusal:
    """The request after a word. Saying the same again, on whatever channel, changes nothing."""
    before = next((item for item in approval.votes if item.voter == voter.identity), None)
    if before is not None and before.approve == ballot.approve:
        return approval
    if refusal := _closed(approval, now):
        return refusal
    if before is not None:
        return Refusal(reason=f"{before.actor} has voted already, and a vote stands")
    if voter.identity == approval.requested_by:
        return Refusal(reason="whoever asks for a plan may not approve it", forbidden=True)
    seat = _seat(approval, voter)
    if seat is None:
        return Refusal(
            reason=f"{voter.actor} has no seat in this vote ({_shown(approval.quorum)})", forbidden=True
        )
    cast = Vote(
        voter=voter.identity,
        actor=voter.actor,
        approve=ballot.approve,
        seat=seat.role,
        at=now,
        reason=ballot.reason,
        channel=ballot.channel,
        instead_of=seat.owner if seat.owner != voter.identity else None,
    )
    return _counted(replace(approval, votes=(*approval.votes, cast)), cast)


def _counted(approval: Approval, last: Vote) -> Approval:
    match approval.standing:
        case Standing.OPEN:
            return approval
        case Standing.CARRIED:
            status = ApprovalStatus.APPROVED
        case Standing.LOST:
            status = ApprovalStatus.REJECTED
    return replace(approval, status=status, decided_at=last.at, decided_by=last.actor, comment=last.reason)


def comment(approval: Approval, voter: Voter, text: str, now: datetime) -> Approval | Refusal:
    """The request with a remark."""
    if refusal := _closed(approval, now):
        return refusal
    if len(approval.comments) >= MOST_COMMENTS:
        return Refusal(reason=f"there are {MOST_COMMENTS} remarks already")
    remark = Comment(actor=voter.actor, text=text, at=now)
    return replace(approval, comments=(*approval.comments, remark))


def delegate(
    approval: Approval, voter: Voter, to: str, now: datetime, *, to_role: bool = False
) -> Approval | Refusal:
    """The request after somebody handed on their seat: it is spent for them, and the delegate votes as himself."""
    if refusal := _closed(approval, now):
        return refusal
    if voter.machine or voter.identity == approval.requested_by:
        return Refusal(reason=f"{voter.actor} has no seat to hand on", forbidden=True)
    if any(item.voter == voter.identity for item in approval.votes):
        return Refusal(reason=f"{voter.actor} has voted already, and a vote stands")
    seat = _seat(approval, voter)
    if seat is None:
        return Refusal(reason=f"{voter.actor} has no seat to hand on", forbidden=True)
    spent = {voter.identity, approval.requested_by, *(item.by for item in approval.delegations)}
    voted = {item.voter for item in approval.votes}
    if not to_role and (to in spent | voted or to.startswith(AGENT)):
        why = "an agent has no person's seat, and whoever asked, voted or handed on a seat has none any more"
        return Refusal(reason=f"{to} cannot take the seat: {why}")
    handed = Delegation(
        owner=seat.owner,
        by=voter.identity,
        actor=voter.actor,
        seat=seat.role,
        to=to,
        to_role=to_role,
        at=now,
    )
    return replace(approval, delegations=(*approval.delegations, handed))


def close(
    approval: Approval, status: ApprovalStatus, now: datetime, *, actor: str | None = None, reason: str = ""
) -> Approval | Refusal:
    """The request ended otherwise than by votes: expired, cancelled or overridden."""
    if approval.status is not ApprovalStatus.PENDING:
        return _decided(approval)
    return replace(approval, status=status, decided_at=now, decided_by=actor, comment=reason)


@dataclass(frozen=True, slots=True)
class _Seat:
    role: str
    owner: str


def _seat(approval: Approval, voter: Voter) -> _Seat | None:
    """The seat that somebody may take: their own before one that was handed to them, a special one before any's."""
    if voter.identity in {item.by for item in approval.delegations}:
        return None
    free = sorted(_free(approval), key=lambda bench: bench.role == ANY_APPROVER[0].role)
    for bench in free:
        if bench.machine == voter.machine and bench.role in voter.roles:
            return _Seat(bench.role, voter.identity)
    if voter.machine:
        return None
    roles = {bench.role for bench in free}
    held = {item.owner: item for item in approval.delegations}
    used = {item.instead_of for item in approval.votes}
    for owner, item in held.items():
        takes = item.to in voter.roles if item.to_role else item.to == voter.identity
        if takes and owner not in used and item.seat in roles:
            return _Seat(item.seat, owner)
    return None


def _free(approval: Approval) -> list[Bench]:
    taken = [vote.seat for vote in approval.votes]
    return [bench for bench in approval.quorum if taken.count(bench.role) < bench.seats]


def _closed(approval: Approval, now: datetime) -> Refusal | None:
    if approval.status is not ApprovalStatus.PENDING:
        return _decided(approval)
    if now >= approval.expires_at:
        return Refusal(reason=f"the request expired at {approval.expires_at:%Y-%m-%d %H:%M:%S} UTC")
    return None


def _decided(approval: Approval) -> Refusal:
    return Refusal(reason=f"the plan was {approval.status} by {approval.decided_by or 'nobody'}")


def _shown(quorum: Quorum) -> str:
    return ", ".join(map(str, quorum))
