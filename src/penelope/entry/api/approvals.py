"""Requests for approval: what waits for an answer, and the answers; breaking the glass, and its reviews."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from penelope.bootstrap import Application
from penelope.domain import approval as domain
from penelope.domain.break_glass import BreakGlass, ReviewStatus
from penelope.domain.people import NOBODY_KNOWN, Voter
from penelope.entry.api.access import Running, requires
from penelope.entry.api.approval_models import (
    ApprovalDetail,
    ApprovalPage,
    Approve,
    BrokenGlass,
    NewComment,
    NewDelegation,
    NewReview,
    Reject,
    ReviewList,
    WithReason,
)
from penelope.entry.api.problems import documented
from penelope.errors import (
    AlreadyDecided,
    AppendConflict,
    Forbidden,
    InvalidRequest,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownApproval,
    UnknownIncident,
    UnknownReview,
)
from penelope.flow.approvals import Word, shown
from penelope.flow.keys import Caller, Scope
from penelope.kit.codec import from_data, to_data

_FORM = r"^[A-Za-z0-9_-]{1,64}$"

Identifier = Annotated[str, Path(pattern=_FORM, description="The id of a request, an incident or a review.")]

router = APIRouter(
    prefix="/api/v1",
    tags=["approvals"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)
_ANSWERED = documented(UnknownApproval, AlreadyDecided, AppendConflict, TooLarge)


def voter_of(application: Application, caller: Caller) -> Voter:
    """Who speaks: whose a key or a token is, and not what it is called, says whose vote is cast.

    Keys without an owner, with names that approval.people does not know, may all be one person's; so they count as one.
    """
    people = application.words.people
    voter = people.voter(caller.holder, caller.actor)
    if voter.machine:
        return replace(voter, actor=caller.as_agent)
    if not caller.known and people.find(caller.holder) is None:
        return replace(voter, identity=NOBODY_KNOWN)
    return voter


async def _approver(application: Running, caller: Annotated[Caller, requires(Scope.APPROVE)]) -> Voter:
    return voter_of(application, caller)


async def _breaker(application: Running, caller: Annotated[Caller, requires(Scope.BREAK_GLASS)]) -> Voter:
    return voter_of(application, caller)


Approver = Annotated[Voter, Depends(_approver)]
Breaker = Annotated[Voter, Depends(_breaker)]


def _person(voter: Approver) -> Voter:
    if voter.machine:
        raise Forbidden(
            "only a person says how far healing may go",
            hint="Ask an approver; an agent may vote on a plan, and stop what goes wrong.",
        )
    return voter


Person = Annotated[Voter, Depends(_person)]


@router.get("/approvals", dependencies=[requires(Scope.READ)])
async def list_approvals(
    application: Running,
    status: Annotated[
        list[domain.ApprovalStatus] | None, Query(description="Only requests in one of these states.")
    ] = None,
    before: Annotated[
        str | None, Query(pattern=_FORM, description="`next` of the page before this one.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> ApprovalPage:
    """Lists requests for approval, the one that changed last first. Needs the scope `read`."""
    units = await application.reader.asked("approval", statuses=status or (), before=before, limit=limit)
    found = [_shown(from_data(domain.Approval, unit.attributes)) for unit in units]
    return ApprovalPage(approvals=found, next=found[-1].id if len(found) == limit else None)


@router.get("/approvals/{id}", dependencies=[requires(Scope.READ)], responses=documented(UnknownApproval))
async def get_approval(application: Running, id: Identifier) -> ApprovalDetail:  # noqa: A002 - its name in the path
    """Shows a request with evidence, plan, risks and every word so far. Needs the scope `read`."""
    return _shown(await shown(application.reader, id))


@router.post("/approvals/{id}/approve", responses=_ANSWERED)
async def approve_request(
    application: Running,
    voter: Approver,
    body: Approve,
    id: Identifier,  # noqa: A002 - its name in the path
) -> ApprovalDetail:
    """Says yes to a plan; saying it again changes nothing. Needs the scope `approve`."""
    word = Word(approve=True, reason=body.reason)
    return _shown(await application.words.approvals.vote(id, voter, word))


@router.post("/approvals/{id}/reject", responses=_ANSWERED)
async def reject_request(
    application: Running,
    voter: Approver,
    body: Reject,
    id: Identifier,  # noqa: A002 - its name in the path
) -> ApprovalDetail:
    """Says no to a plan, and why. Needs the scope `approve`."""
    word = Word(approve=False, reason=body.reason)
    return _shown(await application.words.approvals.vote(id, voter, word))


@router.post("/approvals/{id}/comment", responses=_ANSWERED)
async def comment_request(
    application: Running,
    voter: Approver,
    body: NewComment,
    id: Identifier,  # noqa: A002 - its name in the path
) -> ApprovalDetail:
    """Leaves a remark without voting. Needs the scope `approve`."""
    return _shown(await application.words.approvals.comment(id, voter, body.text))


@router.post("/approvals/{id}/delegate", responses=_ANSWERED)
async def delegate_request(
    application: Running,
    voter: Approver,
    body: NewDelegation,
    id: Identifier,  # noqa: A002 - its name in the path
) -> ApprovalDetail:
    """Hands one's seat on to a person or a role; it is spent with that. Needs the scope `approve`."""
    if (body.to is None) == (body.role is None):
        raise InvalidRequest("name either a person or a role", hint="Send `to` or `role`, and not both.")
    to = body.role if body.to is None else application.words.people.identity(body.to)
    return _shown(
        await application.words.approvals.delegate(
            id, voter, to or "", body.reason, to_role=body.role is not None
        )
    )


@router.post("/approvals/{id}/cancel", responses=_ANSWERED)
async def cancel_request(
    application: Running,
    voter: Approver,
    body: WithReason,
    id: Identifier,  # noqa: A002 - its name in the path
) -> ApprovalDetail:
    """Withdraws a request; people take the incident over. Needs the scope `approve`."""
    return _shown(await application.words.approvals.cancel(id, voter, body.reason))


# --- breaking the glass -----------------------------------------------------------------------------------


@router.post(
    "/incidents/{id}/break-glass",
    responses=documented(UnknownIncident, AlreadyDecided, AppendConflict, TooLarge),
)
async def break_glass(
    application: Running,
    voter: Breaker,
    body: WithReason,
    id: Identifier,  # noqa: A002 - its name in the path
) -> BrokenGlass:
    """Runs a waiting or refused plan at once; two others must review it. Needs the scope `break_glass`.

    What a person rejected is not run, and a halt of everything is not lifted.
    """
    glass = await application.words.glass.break_glass(id, voter, body.reason)
    return _glass(application, glass)


@router.get("/reviews", dependencies=[requires(Scope.READ)])
async def list_reviews(
    application: Running,
    status: Annotated[
        list[ReviewStatus] | None, Query(description="Only reviews in one of these states.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> ReviewList:
    """Lists broken glasses and their reviews, the one that changed last first. Needs the scope `read`."""
    units = await application.reader.asked("break_glass", statuses=status or (), before=None, limit=limit)
    return ReviewList(reviews=[_glass(application, from_data(BreakGlass, unit.attributes)) for unit in units])


@router.post(
    "/reviews/{id}/close", responses=documented(UnknownReview, AlreadyDecided, AppendConflict, TooLarge)
)
async def close_review(
    application: Running,
    voter: Approver,
    body: NewReview,
    id: Identifier,  # noqa: A002 - its name in the path
) -> BrokenGlass:
    """Notes what a reviewer found; the second one closes the review. Needs the scope `approve`."""
    return _glass(application, await application.words.glass.review(id, voter, body.note))


def _shown(approval: domain.Approval) -> ApprovalDetail:
    return ApprovalDetail.model_validate(to_data(approval))


def _glass(application: Application, glass: BreakGlass) -> BrokenGlass:
    is_open = glass.status is ReviewStatus.OPEN
    overdue = is_open and application.parts.clock.now() >= glass.review_due_at
    return BrokenGlass.model_validate({**to_data(glass), "status": glass.status, "overdue": overdue})
