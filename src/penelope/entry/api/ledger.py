"""The ledger, as a whole."""

from fastapi import APIRouter

from penelope.entry.api.access import Running, requires
from penelope.entry.api.models import Checkpoint, Flaw, Verification
from penelope.entry.api.problems import documented
from penelope.errors import Forbidden, Unauthenticated, Unavailable
from penelope.flow.keys import Scope
from penelope.flow.ports import Reader

MOST_FLAWS = 100

router = APIRouter(
    prefix="/api/v1/ledger",
    tags=["ledger"],
    dependencies=[requires(Scope.READ)],
    responses=documented(Unauthenticated, Forbidden, Unavailable),
)


@router.get("/checkpoint")
async def get_checkpoint(application: Running) -> Checkpoint:
    """Gives the size and the root of the log, to be kept elsewhere. Needs the scope `read`."""
    return Checkpoint.model_validate(await application.reader.checkpoint(), from_attributes=True)


@router.get("/verify")
async def verify_ledger(application: Running) -> Verification:
    """Walks all stored history and tells what does not fit; takes long where there is much of it.

    Needs the scope `read`.
    """
    flaws = await _flaws(application.reader)
    checkpoint = await application.reader.checkpoint()
    return Verification(ok=not flaws, size=checkpoint.size, root=checkpoint.root, flaws=flaws)


async def _flaws(reader: Reader) -> list[Flaw]:
    found: list[Flaw] = []
    async for flaw in reader.flaws():
        if len(found) < MOST_FLAWS:
            found.append(Flaw.model_validate(flaw, from_attributes=True))
    return found
