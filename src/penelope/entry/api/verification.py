"""Verifying stored history, as a whole and by unit of work."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import ConfigDict

from penelope.bootstrap import Application
from penelope.entry.api.access import Running, requires
from penelope.entry.api.ledger_models import HistoryEntry
from penelope.entry.api.models import Flaw, Verification
from penelope.entry.api.problems import documented
from penelope.errors import (
    ChainBroken,
    Forbidden,
    InvalidRequest,
    SignatureInvalid,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownIncident,
)
from penelope.flow.export import withheld
from penelope.flow.keys import Caller, Scope
from penelope.kit.described import Described
from penelope.ledger.notes import LARGEST_NOTE_BYTES, Checkpoint, open_checkpoint

router = APIRouter(
    prefix="/api/v1/ledger",
    tags=["ledger"],
    dependencies=[requires(Scope.READ)],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)

Unit = Annotated[
    str,
    Path(
        min_length=1,
        max_length=512,
        pattern=r"^[^\x00]*$",
        description="The id of a unit of work, such as an incident's.",
    ),
]


class State(Described):
    """How the stored state of a unit of work compares with its history."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "unit": "inc_1:decision",
                "version": 3,
                "ok": False,
                "paths": ["/risk"],
                "flaws": [
                    {
                        "unit": "inc_1:decision",
                        "version": 3,
                        "problem": "its attributes were altered",
                        "seq": 0,
                    }
                ],
            }
        },
    )

    unit: str
    version: int
    ok: bool
    paths: list[str] | None
    """JSON pointers to the attributes that differ from what history made of them; null where that cannot be told
    any more, because payloads were erased or altered."""
    flaws: list[Flaw]


class History(Described):
    """Entries of one unit of work, in order."""

    entries: list[HistoryEntry]
    next: int | None
    """What to send as `after` for the next page; null on the last."""


@router.get("/verify")
async def verify_ledger(application: Running) -> Verification:
    """Walks all stored history and tells what does not fit; takes long where there is much of it.

    It is held against the log's own signatures, and against the checkpoint that was signed last as it lies outside
    of the database. Needs the scope `read`.
    """
    return await _verified(application)


_NOTE_BODY = {
    "requestBody": {
        "required": True,
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@router.post("/verify", openapi_extra=_NOTE_BODY, responses=documented(TooLarge))
async def verify_ledger_against(application: Running, request: Request) -> Verification:
    """The same, held also against a checkpoint that was kept elsewhere: a signed note as text.

    Needs the scope `read`.
    """
    note = await request.body()
    if len(note) > LARGEST_NOTE_BYTES:
        raise TooLarge(f"a signed note has at most {LARGEST_NOTE_BYTES} bytes", hint="Send the note alone.")
    return await _verified(application, note)


@router.get("/units/{id}/state", responses=documented(UnknownIncident))
async def get_unit_state(application: Running, id: Unit) -> State:  # noqa: A002 - its name in the path
    """Compares a unit of work with its history, and names the attributes that differ. Needs the scope `read`."""
    drift = await application.verification.state_drift(id)
    if drift is None:
        raise _unknown(id)
    flaws = [Flaw.model_validate(flaw, from_attributes=True) for flaw in drift.flaws]
    paths = None if drift.paths is None else list(drift.paths)
    return State(unit=id, version=drift.version, ok=not flaws and not paths, paths=paths, flaws=flaws)


@router.get("/units/{id}/history", responses=documented(UnknownIncident))
async def get_unit_history(
    application: Running,
    caller: Annotated[Caller, requires(Scope.READ)],
    id: Unit,  # noqa: A002 - its name in the path
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="`next` of the page before this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> History:
    """Tells every change of a unit of work, oldest first; what was archived is read back.

    Of what the context told somebody the payload is shown to those with the scope `admin` alone. Needs the scope `read`.
    """
    found = await application.recall.filled(await application.reader.history(id, after, limit))
    if not found and not after:
        raise _unknown(id)
    shown = found if caller.allows(Scope.ADMIN) else [withheld(entry) for entry in found]
    entries = [HistoryEntry.model_validate(entry, from_attributes=True) for entry in shown]
    return History(entries=entries, next=entries[-1].version if len(entries) == limit else None)


def _unknown(unit: str) -> UnknownIncident:
    return UnknownIncident(
        f"there is no unit of work '{unit}'", hint="The page of an incident names its units of work."
    )


async def _verified(application: Application, *given: bytes) -> Verification:
    found = await application.sweep.walk(*(_opened(application, note) for note in given))
    flaws = [Flaw.model_validate(flaw, from_attributes=True) for flaw in found.flaws]
    try:
        head = await application.verification.head()
    except ChainBroken as error:
        untold = Flaw(unit="log", version=0, problem=error.message, seq=0)
        return Verification(ok=False, size=0, root="", flaws=flaws or [untold])
    return Verification(ok=not flaws, size=head.size, root=head.root, flaws=flaws)


def _opened(application: Application, note: bytes) -> Checkpoint:
    try:
        return open_checkpoint(note, application.log_keys.verifiers)
    except SignatureInvalid as error:
        hint = "Send a checkpoint of this log, as `penelope ledger checkpoint` gives it."
        raise InvalidRequest(f"the checkpoint cannot be used: {error.message}", hint=hint) from error
