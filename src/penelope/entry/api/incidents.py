"""Incidents: what there is, what was done about it, and a person's word."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request

from penelope.adapters.sources.body import fit, parse
from penelope.bootstrap import Application
from penelope.domain import incident as domain
from penelope.domain.gate import Ruling
from penelope.entry.api.access import Running, requires
from penelope.entry.api.approvals import voter_of
from penelope.entry.api.models import Approval, Entry, Incident, IncidentDetail, IncidentPage, Timeline, Unit
from penelope.entry.api.problems import documented
from penelope.errors import (
    AlreadyDecided,
    AppendConflict,
    Forbidden,
    InvalidRequest,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownIncident,
)
from penelope.flow.commands import Answer
from penelope.flow.keys import Caller, Scope
from penelope.flow.ports import Reader
from penelope.kit.codec import to_data

_FORM = r"^[A-Za-z0-9_-]{1,64}$"
_LAST_SEQ = 2**63 - 1

Identifier = Annotated[str, Path(pattern=_FORM, description="The id of an incident.")]

router = APIRouter(
    prefix="/api/v1/incidents",
    tags=["incidents"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)


@router.get("", dependencies=[requires(Scope.READ)])
async def list_incidents(
    application: Running,
    state: Annotated[
        list[domain.IncidentState] | None, Query(description="Only incidents in one of these states.")
    ] = None,
    before: Annotated[
        str | None, Query(pattern=_FORM, description="`next` of the page before this one.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> IncidentPage:
    """Lists incidents, newest first. Needs the scope `read`."""
    rows = await application.reader.incidents(states=state or (), before=before, limit=limit)
    incidents = [Incident.model_validate(row) for row in rows]
    return IncidentPage(incidents=incidents, next=incidents[-1].id if len(incidents) == limit else None)


@router.get("/{id}", dependencies=[requires(Scope.READ)], responses=documented(UnknownIncident))
async def get_incident(application: Running, id: Identifier) -> IncidentDetail:  # noqa: A002 - its name in the path
    """Shows an incident with its decision, plan, gate verdict, actions, verdicts, approval, rollout and outcome.

    Needs the scope `read`.
    """
    incident = await _incident(application.reader, id)
    units = [
        Unit.model_validate(unit, from_attributes=True)
        for unit in await application.reader.units(id)
        if unit.kind != "incident"
    ]
    return IncidentDetail.model_validate(
        {"incident": to_data(incident), "units": units, "briefing": _briefing(units)}
    )


@router.get("/{id}/timeline", dependencies=[requires(Scope.READ)], responses=documented(UnknownIncident))
async def get_timeline(
    application: Running,
    id: Identifier,  # noqa: A002 - its name in the path
    after: Annotated[int, Query(ge=0, le=_LAST_SEQ, description="`next` of the call before this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> Timeline:
    """Tells what happened to an incident, in order; ask again with `after` to follow it. Needs the scope `read`."""
    await _incident(application.reader, id)
    found = await application.recall.filled(
        await application.reader.entries(incident=id, after=after, limit=limit)
    )
    entries = [Entry.model_validate(entry, from_attributes=True) for entry in found]
    return Timeline(entries=entries, next=entries[-1].seq if entries else after)


def _briefing(units: Sequence[Unit]) -> Mapping[str, Any] | None:
    """What the decision prepared, with what the gate refused its plan for: that was judged later."""
    latest = {unit.kind: unit for unit in units}
    prepared = latest["decision"].attributes.get("briefing") if "decision" in latest else None
    gate = latest.get("gate")
    if not prepared or gate is None or gate.status != Ruling.REFUSE:
        return prepared
    said = [item for item in gate.attributes["verdicts"] if item["ruling"] == Ruling.REFUSE]
    stopped = [f"the plan, by the gate: {item['rule']}: {item['reason']}" for item in said]
    return {**prepared, "ruled_out": [*stopped, *prepared["ruled_out"]]}


async def _incident(reader: Reader, identifier: str) -> domain.Incident:
    incident = await reader.incident(identifier)
    if incident is None:
        raise UnknownIncident(f"there is no incident '{identifier}'")
    return incident


# --- a person's word --------------------------------------------------------------------------------------

_ANSWER_PROBLEMS = documented(UnknownIncident, AlreadyDecided, AppendConflict, TooLarge)
_ANSWER_BODY = {
    "requestBody": {
        "required": False,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"comment": {"type": "string", "maxLength": 4096}},
                    "additionalProperties": False,
                },
                "example": {"comment": "the window is open"},
            }
        },
    }
}

Approver = Annotated[Caller, requires(Scope.APPROVE)]


class _Word(msgspec.Struct, forbid_unknown_fields=True):
    comment: Annotated[str, msgspec.Meta(max_length=4096)] = ""


@router.post("/{id}/approve", responses=_ANSWER_PROBLEMS, openapi_extra=_ANSWER_BODY)
async def approve_incident(
    request: Request,
    application: Running,
    caller: Approver,
    id: Identifier,  # noqa: A002 - its name in the path
) -> Approval:
    """Agrees to the plan that the incident waits with. Needs the scope `approve`."""
    return await _answer(request, application, _said(application, caller, id, approve=True))


@router.post("/{id}/reject", responses=_ANSWER_PROBLEMS, openapi_extra=_ANSWER_BODY)
async def reject_incident(
    request: Request,
    application: Running,
    caller: Approver,
    id: Identifier,  # noqa: A002 - its name in the path
) -> Approval:
    """Refuses the plan that the incident waits with, which is then escalated; the comment says why and must be there.

    Needs the scope `approve`.
    """
    return await _answer(request, application, _said(application, caller, id, approve=False))


def _said(application: Application, caller: Caller, incident: str, *, approve: bool) -> Answer:
    voter = voter_of(application, caller)
    return Answer(incident=incident, actor=voter.actor, approve=approve, voter=voter)


async def _answer(request: Request, application: Application, answer: Answer) -> Approval:
    body = await request.body()
    word = fit(parse(body), _Word) if body else _Word()
    approval = await application.commands.answer_approval(replace(answer, comment=word.comment))
    return Approval.model_validate(to_data(approval))
