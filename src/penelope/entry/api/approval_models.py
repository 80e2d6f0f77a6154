"""What the interface answers about requests for approval and reviews, and what it takes."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from penelope.domain.break_glass import ReviewStatus
from penelope.entry.api.models import Approval
from penelope.kit.described import Described

Reason = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"\S")]
Remark = Annotated[str, Field(max_length=4096)]

_STRICT = ConfigDict(extra="forbid")


class Vote(Described):
    """One word of a person or a machine."""

    voter: str
    """The identity that counts; two keys of one owner are one."""
    actor: str
    approve: bool
    seat: str
    """The role whose seat it took."""
    at: datetime
    reason: str
    channel: str
    instead_of: str | None
    """Who delegated the seat."""


class Comment(Described):
    """A remark without a vote."""

    actor: str
    text: str
    at: datetime


class Delegation(Described):
    """A seat that was handed on."""

    owner: str
    by: str
    to: str
    to_role: bool
    seat: str
    at: datetime


class Bench(Described):
    """Seats of one role, of which `needed` must say yes."""

    role: str
    needed: int
    seats: int


class ApprovalDetail(Approval):
    """A request for approval with all that it rests on, and every word so far."""

    requested_by: str
    quorum: list[Bench]
    brief: dict[str, Any] | None
    """What is laid before people: evidence, steps with their diffs and what they would change when they were tried,
    risks, the twin's result, what silence means.
    """
    circumstances: dict[str, Any]
    """The state of the world that an approval is good for."""
    votes: list[Vote]
    comments: list[Comment]
    delegations: list[Delegation]


class ApprovalPage(Described):
    """Requests, the one that changed last first."""

    approvals: list[ApprovalDetail]
    next: str | None
    """What to send as `before` for the next page; null on the last one."""


class Review(Described):
    """What somebody who looked at a broken glass had to say."""

    reviewer: str
    actor: str
    note: str
    at: datetime


class BrokenGlass(Described):
    """A plan that was run at once, over refusals and unanswered questions."""

    id: str
    incident: str
    """The incident in which the plan is carried out; a new one where the old had ended."""
    service: str
    playbook: str
    actor: str
    reason: str
    lifted: list[str]
    """What stood against the plan."""
    at: datetime
    good_until: datetime
    review_due_at: datetime
    status: ReviewStatus
    overdue: bool
    reviews: list[Review]


class ReviewList(Described):
    """Broken glasses, the one that changed last first."""

    reviews: list[BrokenGlass]


class Approve(Described):
    """A yes."""

    model_config = _STRICT

    reason: Remark = ""


class Reject(Described):
    """A no, which needs a reason."""

    model_config = _STRICT

    reason: Reason


class WithReason(Described):
    """Something that needs to say why."""

    model_config = _STRICT

    reason: Reason


class NewComment(Described):
    """A remark."""

    model_config = _STRICT

    text: Reason


class NewDelegation(Described):
    """To whom a seat is handed: a person or a role, and not both."""

    model_config = _STRICT

    to: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    role: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] | None = None
    reason: Remark = ""


class NewReview(Described):
    """What a reviewer found."""

    model_config = _STRICT

    note: Reason
