"""Closes the gaps that a crash can leave between a commit and the message after it."""

import asyncio
import logging

from penelope.domain.incident import IncidentState
from penelope.domain.outcome import OutcomeKind
from penelope.flow.autonomy import DEFAULTS as AUTONOMY
from penelope.flow.ending import Ending, finish
from penelope.flow.engine import Engine
from penelope.flow.halting import DEFAULTS, Brakes
from penelope.flow.ports import Reader
from penelope.rooms.learn.autonomy import Policy

_PAGE = 500

_log = logging.getLogger(__name__)


async def sweep(engine: Engine, reader: Reader, brakes: Brakes = DEFAULTS, policy: Policy = AUTONOMY) -> None:
    """Starts stories that were never begun, wakes those whose news was never sent and hands to people those that
    broke off; doing it twice is harmless.
    """
    for incident in await _incidents(reader, IncidentState.RECEIVED):
        await engine.start(str(incident["id"]), str(incident["service"]))
    for incident in await _incidents(reader, IncidentState.OBSERVING, IncidentState.AWAITING_APPROVAL):
        if incident["resolved_at"] is not None:
            await engine.nudge(str(incident["id"]))
    for name in await reader.answered():
        await engine.nudge(name)
    await _hand_over(engine, reader, brakes, policy)


async def sweep_forever(
    engine: Engine, reader: Reader, seconds: float, brakes: Brakes = DEFAULTS, policy: Policy = AUTONOMY
) -> None:
    """Sweeps at once, and then each `seconds`, until cancelled."""
    while True:
        try:
            await sweep(engine, reader, brakes, policy)
        except Exception:  # noqa: BLE001 - the database may be away for a moment; the next sweep tries again
            _log.exception("a sweep failed")
        await asyncio.sleep(seconds)


async def _hand_over(engine: Engine, reader: Reader, brakes: Brakes, policy: Policy) -> None:
    """Without its story an incident would stay open for good, and bar its service to all others."""
    states = [state for state in IncidentState if not state.ended]
    begun = {
        str(item["id"]): item["state"] != IncidentState.RECEIVED for item in await _incidents(reader, *states)
    }
    names = list(begun)
    for page in (names[start : start + _PAGE] for start in range(0, len(names), _PAGE)):
        has_ended = await engine.has_ended(page)
        for incident in page:
            # One that was received a moment ago has no story yet; any other must have one.
            if has_ended.get(incident, begun[incident]):
                reason = "its story broke off, so that nobody knows how far it came"
                ending = Ending(kind=OutcomeKind.ESCALATED, reason=reason, acted=True, broke=True)
                await finish(engine, incident, ending, brakes, policy)


async def _incidents(reader: Reader, *states: IncidentState) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    while True:
        before = str(found[-1]["id"]) if found else None
        page = await reader.incidents(states=states, before=before, limit=_PAGE)
        found += [dict(item) for item in page]
        if len(page) < _PAGE:
            return found
