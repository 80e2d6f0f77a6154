"""The ledger: its newest checkpoint, receipts, exports and figures."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from penelope.bootstrap import Application
from penelope.entry.api.access import Running, requires
from penelope.entry.api.audit_models import Moment
from penelope.entry.api.ledger_models import LastCheckpoint, Receipt, SignedCheckpoint, Statistics
from penelope.entry.api.problems import documented
from penelope.errors import (
    ChainBroken,
    Forbidden,
    InvalidRequest,
    Unauthenticated,
    Unavailable,
    UnknownIncident,
)
from penelope.flow.export import Condition, Logged, Wanted, line, withheld
from penelope.flow.keys import Caller, Scope
from penelope.flow.proving import Prover
from penelope.ledger import receipt
from penelope.ledger.notes import Signature, add_signatures

_MOST_CONDITIONS = 20
_LINES = "application/x-ndjson"

router = APIRouter(
    prefix="/api/v1",
    tags=["ledger"],
    dependencies=[requires(Scope.READ)],
    responses=documented(Unauthenticated, Forbidden, Unavailable),
)


@router.get("/ledger/checkpoint")
async def get_checkpoint(application: Running) -> SignedCheckpoint:
    """Gives the newest signed checkpoint, to be kept elsewhere. Needs the scope `read`."""
    latest = await application.log.latest()
    if latest is None:
        raise Unavailable(
            "no checkpoint was signed yet", hint="The first one is signed soon after the first entry."
        )
    note = add_signatures(latest.note, await application.log.cosignatures(latest.size))
    return SignedCheckpoint(size=latest.size, root=latest.root.hex(), note=note.decode())


@router.get("/ledger/stats")
async def get_ledger_stats(application: Running) -> Statistics:
    """Tells how much history there is and how the log stands; counts all of it. Needs the scope `read`."""
    figures, lag = await application.history.figures(), await application.log.lag()
    return Statistics(
        entries=figures.entries,
        log_size=await application.log.size(),
        waiting=lag.entries,
        xmin_age=lag.xmin_age,
        checkpoint=await _last(application),
        oldest_at=figures.oldest,
        payloads=figures.payloads,
        removed=figures.entries - figures.payloads,
        events=dict(figures.events),
    )


async def _last(application: Application) -> LastCheckpoint | None:
    latest = await application.log.latest()
    if latest is None:
        return None
    lines = await application.log.cosignatures(latest.size)
    age = application.parts.clock.now() - latest.signed_at
    return LastCheckpoint(
        size=latest.size,
        signed_at=latest.signed_at,
        age_seconds=round(age.total_seconds(), 3),
        witnesses=[Signature.parse(each).name for each in lines],
    )


@router.get(
    "/ledger/export",
    response_class=StreamingResponse,
    responses=documented(InvalidRequest, ChainBroken)
    | {200: {"description": "JSON lines", "content": {_LINES: {"schema": {"type": "string"}}}}},
)
async def export_ledger(
    application: Running,
    caller: Annotated[Caller, requires(Scope.READ)],
    since: Annotated[Moment | None, Query(description="Recorded then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Recorded before; by default until now.")] = None,
    where: Annotated[
        list[str] | None,
        Query(
            max_length=_MOST_CONDITIONS,
            description="FIELD=VALUE or FIELD!=VALUE; the field is event, kind, actor, unit, incident or"
            " status_after. All of them must hold.",
        ),
    ] = None,
) -> Response:
    """Streams entries in order of time, a JSON object a line, with their places in the log.

    What retention has erased is null, and so is what the context told somebody, but for those with the scope `admin`: the policy
    said it of that person. Needs the scope `read`.
    """
    wanted = Wanted(
        since=since,
        until=until or application.parts.clock.now(),  # else it would run after what is being written
        where=[Condition.parse(text) for text in where or ()],
    )
    pages = _shown(application.history.export(wanted), caller)
    # The first page is read before anything is sent, so that what goes wrong is still told as a problem.
    first = await anext(pages, None)
    return StreamingResponse(_lines(first or (), pages), media_type=_LINES)


async def _shown(pages: AsyncIterator[Sequence[Logged]], caller: Caller) -> AsyncIterator[Sequence[Logged]]:
    async for page in pages:
        if caller.allows(Scope.ADMIN):
            yield page
        else:
            yield [Logged(each.place, withheld(each.entry)) for each in page]


async def _lines(first: Sequence[Logged], rest: AsyncIterator[Sequence[Logged]]) -> AsyncIterator[bytes]:
    yield b"".join(map(line, first))
    async for page in rest:
        yield b"".join(map(line, page))


@router.get(
    "/incidents/{id}/receipt",
    response_model=Receipt,
    responses=documented(InvalidRequest, UnknownIncident),
)
async def get_receipt(
    application: Running,
    id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The id of an incident.")],  # noqa: A002 - its name in the path
) -> Response:
    """Proves what is recorded about an incident: all its entries, bound to the newest signed checkpoint.

    Waits a few seconds for entries that are not in a checkpoint yet. Needs the scope `read`.
    """
    witnesses = len(application.settings.ledger.witnesses)
    made = await Prover(log=application.log, history=application.history, witnesses=witnesses).prove(id)
    return Response(receipt.encode(made), media_type="application/json")
