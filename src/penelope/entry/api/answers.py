"""Answers that come without an API key: pressed in Slack, or by a link of one's own. Each proves itself, once."""

import html
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from penelope.domain.approval import Approval, ApprovalStatus, BriefStep
from penelope.domain.people import Person
from penelope.entry.api.access import Running
from penelope.entry.api.problems import documented
from penelope.errors import (
    AlreadyDecided,
    Forbidden,
    InvalidLink,
    InvalidRequest,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownApproval,
)
from penelope.flow.approvals import Word, shown

router = APIRouter(prefix="/api/v1", tags=["approvals"], responses=documented(Unavailable))

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Penelope</title>
<meta name="viewport" content="width=device-width">
<h1>{title}</h1><pre style="white-space:pre-wrap">{text}</pre>{form}</html>"""
_FORM = """<form method="post"><p><label>Reason{needed}<br>
<textarea name="reason" rows="4" cols="60" maxlength="4096"></textarea></label></p>
<p><button type="submit">{verb}</button></p></form>"""

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
}

Token = Annotated[str, Query(min_length=1, max_length=2048, description="The signed part of the link.")]


@router.get(
    "/approval-links",
    response_class=HTMLResponse,
    responses=documented(InvalidLink, InvalidRequest, UnknownApproval, Forbidden),
)
async def show_approval_link(application: Running, token: Token) -> Response:
    """Shows what a link in a mail is about, and a button. Decides nothing: mail scanners follow links."""
    link = application.words.links.read(token, application.parts.clock.now())
    _known(application.words.people.find(link.identity), link.identity)
    approval = await shown(application.reader, link.approval)
    verb = "Approve" if link.approve else "Reject"
    if approval.status is not ApprovalStatus.PENDING:
        return _page("This request was answered", f"It was {approval.status}.", "")
    form = _FORM.format(verb=verb, needed="" if link.approve else " (needed)")
    return _page(f"{verb} this plan?", _about(approval), form)


@router.post(
    "/approval-links",
    response_class=HTMLResponse,
    responses=documented(InvalidLink, InvalidRequest, UnknownApproval, AlreadyDecided, Forbidden, TooLarge),
)
async def answer_by_link(request: Request, application: Running, token: Token) -> Response:
    """Gives the answer that a link stands for, once."""
    link = application.words.links.read(token, application.parts.clock.now())
    _known(application.words.people.find(link.identity), link.identity)
    voter = application.words.people.voter(link.identity, f"person:{link.identity}")
    try:
        fields = parse_qs((await request.body()).decode(), max_num_fields=4)
    except ValueError:
        raise InvalidRequest("the form cannot be read") from None
    reason = fields.get("reason", [""])[0][:4096]
    word = Word(approve=link.approve, reason=reason, channel="mail")
    approval = await application.words.approvals.vote(link.approval, voter, word, link.token)
    return _page("Thank you", f"Your answer counts. The request is {approval.status} now.", "")


@router.post(
    "/slack/actions",
    responses=documented(
        Unauthenticated, Forbidden, InvalidRequest, InvalidLink, UnknownApproval, AlreadyDecided, TooLarge
    ),
)
async def press_in_slack(request: Request, application: Running) -> dict[str, str]:
    """Takes a button that was pressed in Slack: signed by Slack within five minutes, and each press once."""
    if application.words.slack is None:
        raise Unauthenticated(
            "no buttons are expected from Slack", hint="Set notify.slack_signing_secret to the app's."
        )
    press = application.words.slack.read(await request.body(), request.headers)
    name = f"slack:{press.user}"
    person = _known(application.words.people.find(name), name)
    voter = application.words.people.voter(person.id, f"person:{person.id}")
    word = Word(approve=press.approve, reason=press.reason, channel="slack")
    approval = await application.words.approvals.vote(press.approval, voter, word, press.token)
    return {"status": approval.status.value}


def _known(person: Person | None, name: str) -> Person:
    """Raises Forbidden for somebody whom the settings do not name (any more)."""
    if person is None:
        raise Forbidden(f"{name} is nobody whom approval.people names", hint="Name them there first.")
    return person


def _about(approval: Approval) -> str:
    brief = approval.brief
    if brief is None:
        return "\n".join(approval.reasons)
    steps = "\n".join(
        f"- {step.name} ({step.target})"
        + "".join(f"\n    {line}" for line in (step.when, step.params, *_tried(step)) if line)
        for step in brief.steps
    )
    twin = f"On the twin: {brief.twin}\n\n" if brief.twin else ""
    diffs = "\n\n".join(step.diff for step in brief.steps if step.diff)
    return (
        f"{brief.playbook} on {brief.service}, incident {approval.incident}\n\n{brief.rationale}\n"
        f"Risk {brief.risk:.2f}, confidence {brief.confidence:.2f}\n\n{steps}\n\n{twin}{diffs}\n{brief.silence}"
    )


def _tried(step: BriefStep) -> list[str]:
    """What a step would change, when it was tried."""
    if step.not_previewed:
        return [f"not previewed: {step.not_previewed}"]
    return [f"would: {step.preview}", *step.preview_diff.splitlines()] if step.preview else []


def _page(title: str, text: str, form: str) -> Response:
    content = _PAGE.format(title=html.escape(title), text=html.escape(text), form=form)
    return HTMLResponse(content, headers=_HEADERS)
