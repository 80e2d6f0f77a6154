"""The decision audit: what was decided, how it went, and what it rested on."""

import csv
import io
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from penelope.bootstrap import Application
from penelope.entry.api import audit_models as models
from penelope.entry.api.access import Running, requires
from penelope.entry.api.problems import documented
from penelope.entry.api.wisdom import leaned_on
from penelope.errors import Forbidden, InvalidRequest, Unauthenticated, Unavailable, UnknownIncident
from penelope.flow.audit import DecisionAudit, DecisionFilter, DecisionRow, Window
from penelope.flow.keys import Scope

WINDOW = timedelta(days=30)
"""What statistics are about if nothing else is asked for."""

_PAGE = 1000
"""Decisions that an export holds in memory at once."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

router = APIRouter(
    prefix="/api/v1/audit/decisions",
    tags=["audit"],
    dependencies=[requires(Scope.READ)],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)


@router.get("")
async def list_decisions(
    application: Running, wanted: Annotated[models.WantedPage, Query()]
) -> models.DecisionPage:
    """Lists decisions, newest first. Needs the scope `read`."""
    before = None if wanted.cursor is None else _opened(wanted.cursor, _Newest).id
    found = await application.audit.decisions(_filter(wanted), before=before, limit=wanted.limit)
    following = _sealed(_Newest(id=found[-1].id)) if len(found) == wanted.limit else None
    return models.DecisionPage(decisions=[_decision(row) for row in found], next=following)


@router.get("/high-risk")
async def list_high_risk_decisions(
    application: Running, wanted: Annotated[models.WantedRisks, Query()]
) -> models.DecisionPage:
    """Lists risky decisions, the riskiest first. Needs the scope `read`."""
    last = None if wanted.cursor is None else _opened(wanted.cursor, _Riskiest)
    found = await application.audit.high_risk(
        application.parts.decide.risk_limit if wanted.risk_min is None else wanted.risk_min,
        service=wanted.service,
        below=None if last is None else (last.risk, last.id),
        limit=wanted.limit,
    )
    following = None
    if len(found) == wanted.limit:
        following = _sealed(_Riskiest(risk=found[-1].risk, id=found[-1].id))
    return models.DecisionPage(decisions=[_decision(row) for row in found], next=following)


@router.get("/statistics")
async def get_decision_statistics(
    application: Running, wanted: Annotated[models.WantedFigures, Query()]
) -> models.DecisionStatistics:
    """Counts decisions, and tells how risky, how well founded and how often overridden they were.

    Needs the scope `read`.
    """
    until = wanted.until or application.parts.clock.now()
    since = wanted.since or until - WINDOW
    if since >= until:
        raise InvalidRequest("`since` must lie before now, where no `until` is given")
    found = await application.audit.statistics(Window(since=since, until=until, service=wanted.service))
    total = found.decisions
    return models.DecisionStatistics(
        since=since,
        until=until,
        service=wanted.service,
        decisions=total,
        by_judgement=dict(found.by_judgement),
        risk=None
        if found.risk is None
        else models.RiskPercentiles.model_validate(found.risk, from_attributes=True),
        precedent_rate=found.with_precedents / total if total else None,
        override_rate=found.overridden / total if total else None,
    )


@router.get("/{incident}/precedents", responses=documented(UnknownIncident))
async def get_decision_precedents(
    application: Running,
    incident: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The id of an incident.")],
    wanted: Annotated[models.WantedPrecedents, Query()],
) -> models.DecisionPrecedents:
    """Shows what a decision rested on: earlier uses of its playbook, and the past cases most like the incident.

    Needs the scope `read`.
    """
    found = await application.audit.precedents(incident, wanted.version)
    if found is None:
        raise UnknownIncident(f"there is no such decision about an incident '{incident}'")
    return models.DecisionPrecedents.model_validate(
        {
            "decision": _decision(found.decision),
            "precedents": [
                models.Precedent(
                    playbook=item.playbook,
                    service=item.service,
                    successes=item.successes,
                    failures=item.failures,
                    cases=[models.PrecedentCase.model_validate(case, from_attributes=True) for case in cases],
                )
                for item, cases in found.precedents
            ],
            "leaned_on": await leaned_on(application, found.decision.unit, found.decision.version),
        }
    )


def _filter(wanted: models.Wanted) -> DecisionFilter:
    return DecisionFilter(**{name: getattr(wanted, name) for name in models.Wanted.model_fields})


def _decision(row: DecisionRow) -> models.Decision:
    return models.Decision.model_validate(row, from_attributes=True)


# --- cursors ----------------------------------------------------------------------------------------------


class _Newest(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Riskiest(msgspec.Struct, forbid_unknown_fields=True):
    risk: Annotated[float, msgspec.Meta(ge=0, le=1)]
    id: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


Place = TypeVar("Place", _Newest, _Riskiest)


def _sealed(place: _Newest | _Riskiest) -> str:
    """The cursor that leads to what follows a place in a list."""
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _opened(cursor: str, kind: type[Place]) -> Place:
    """Raises InvalidRequest for what is no cursor, or one of another list."""
    try:
        return msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except ValueError as error:
        raise InvalidRequest(
            "query cursor: it is not the `next` of a page of this list",
            hint="Send what the page before said, and leave it out for the first page.",
        ) from error


# --- exports ----------------------------------------------------------------------------------------------

_FILES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All decisions that were asked for, newest first",
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Decision"}}
            },
            "text/csv": {"schema": {"type": "string"}},
        },
    }
}


@router.get("/export", response_class=StreamingResponse, responses=_FILES)
async def export_decisions(
    application: Running, wanted: Annotated[models.WantedFile, Query()]
) -> StreamingResponse:
    """Sends all decisions that were asked for as one file, newest first. Needs the scope `read`.

    In CSV a cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    found = _pages(application, _filter(wanted))
    # The first page is read before anything is sent, so that what goes wrong is still told as a problem.
    first = await anext(found)
    as_csv = wanted.format == "csv"
    return StreamingResponse(
        _as_csv(first, found) if as_csv else _as_json(first, found),
        media_type="text/csv; charset=utf-8; header=present" if as_csv else "application/json",
        headers={"Content-Disposition": f'attachment; filename="decisions.{wanted.format}"'},
    )


async def _pages(application: Application, wanted: DecisionFilter) -> AsyncIterator[Sequence[DecisionRow]]:
    """All pages, of which the first may be empty. Each is read by itself: a slow reader keeps no transaction open."""
    audit: DecisionAudit = application.audit
    found = await audit.decisions(wanted, before=None, limit=_PAGE)
    yield found
    while len(found) == _PAGE:
        found = await audit.decisions(wanted, before=found[-1].id, limit=_PAGE)
        yield found


async def _as_json(
    first: Sequence[DecisionRow], rest: AsyncIterator[Sequence[DecisionRow]]
) -> AsyncIterator[str]:
    yield "[\n" + ",\n".join(_line(row) for row in first)
    async for found in rest:
        yield "".join(f",\n{_line(row)}" for row in found)
    yield "\n]\n"


def _line(row: DecisionRow) -> str:
    return _decision(row).model_dump_json()


async def _as_csv(
    first: Sequence[DecisionRow], rest: AsyncIterator[Sequence[DecisionRow]]
) -> AsyncIterator[str]:
    columns = list(models.Decision.model_fields)
    yield _lines([columns])
    yield _lines(_cells(row, columns) for row in first)
    async for found in rest:
        yield _lines(_cells(row, columns) for row in found)


def _cells(row: DecisionRow, columns: Sequence[str]) -> list[Any]:
    content = _decision(row).model_dump(mode="json")
    return [_harmless(content[name]) for name in columns]


def _harmless(cell: Any) -> Any:
    """The cell, so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _lines(rows: Any) -> str:
    page = io.StringIO(newline="")
    csv.writer(page).writerows(rows)
    return page.getvalue()
