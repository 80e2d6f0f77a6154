"""Closes the gaps that a crash can leave between a commit and the message after it."""

import asyncio

from penelope.domain.approval import ApprovalStatus
from penelope.domain.incident import IncidentState
from penelope.flow.engine import Engine
from penelope.flow.ports import Reader

_PAGE = 500


async def sweep(engine: Engine, reader: Reader) -> None:
    """Starts stories that were never begun and wakes those whose news was never sent; doing it twice is harmless."""
    for incident in await _incidents(reader, IncidentState.RECEIVED):
        await engine.start(str(incident["id"]))
    for incident in await _incidents(reader, IncidentState.OBSERVING, IncidentState.AWAITING_APPROVAL):
        if incident["resolved_at"] is not None or await _answered(reader, str(incident["id"])):
            await engine.nudge(str(incident["id"]))


async def sweep_forever(engine: Engine, reader: Reader, seconds: float) -> None:
    """Sweeps at once, and then each `seconds`, until cancelled."""
    while True:
        await sweep(engine, reader)
        await asyncio.sleep(seconds)


async def _incidents(reader: Reader, *states: IncidentState) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    while True:
        before = str(found[-1]["id"]) if found else None
        page = await reader.incidents(states=states, before=before, limit=_PAGE)
        found += [dict(item) for item in page]
        if len(page) < _PAGE:
            return found


async def _answered(reader: Reader, incident: str) -> bool:
    open_states = {ApprovalStatus.PENDING.value}
    approvals = [unit for unit in await reader.units(incident) if unit.kind == "approval"]
    return bool(approvals) and approvals[-1].status not in open_states
