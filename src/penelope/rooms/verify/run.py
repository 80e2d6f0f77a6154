"""Looks once at what a contract asks about, and judges it."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from penelope.domain.action import Action
from penelope.domain.contract import Contract, Verdict, judge
from penelope.domain.metrics import observations
from penelope.domain.service import Service
from penelope.errors import Timeout, Unavailable
from penelope.kit.canonical import Json, canonical
from penelope.rooms.verify.ports import MetricReader, StateReader

_EVER = datetime(1970, 1, 1, tzinfo=UTC)

_LONGEST_SHOWN = 4096
"""Bytes of an observation that are written into history in full."""
_BEGINNING = 256


async def look(  # noqa: PLR0913 - the flow names them all, and no two of them belong together
    contract: Contract,
    service: Service,
    action: Action | None,
    metrics: MetricReader,
    state: StateReader | None,
    *,
    since: datetime,
    window_seconds: float,
    now: datetime,
    before: Mapping[str, Json] | None = None,
) -> Verdict:
    """How far the contract holds now, by figures after `since` and the state of the action's target.

    `before` is what `observe` saw before the change. What could not be seen is unknown in the verdict;
    `hold.progress` says what the verdict means after those before it.
    """
    seen = await observe(
        contract, service, action, metrics, state, since=since, window_seconds=window_seconds
    )
    verdict = judge(contract, seen, now, before)
    shown = tuple(
        replace(result, actual=_shown(result.actual), before=_shown(result.before))
        for result in verdict.results
    )
    return replace(verdict, results=shown)


async def observe(  # noqa: PLR0913 - the flow names them all, and no two of them belong together
    contract: Contract,
    service: Service,
    action: Action | None,
    metrics: MetricReader,
    state: StateReader | None,
    *,
    since: datetime | None = None,
    window_seconds: float,
) -> dict[str, Json]:
    """What can be seen now of what the contract's clauses name, by subject; what cannot is left out.

    Figures are those after `since`, at most `window_seconds` back. Asks only for what is named, and returns nothing
    that was not. Everything in it can be written into history.
    """
    subjects = {clause.subject for clause in contract.clauses}
    observed: dict[str, Json] = {}
    if any(subject.startswith("metric.") for subject in subjects):
        observed |= await _measured(service, metrics, since or _EVER, window_seconds)
    if any(subject.startswith("state.") for subject in subjects) and action is not None and state is not None:
        observed |= await _observed(action, state)
    return {subject: value for subject, value in observed.items() if subject in subjects and _is_sound(value)}


async def _measured(
    service: Service, metrics: MetricReader, since: datetime, window_seconds: float
) -> dict[str, Json]:
    """The figures. Those of the whole service only where every instance was seen: a dead one shows no errors."""
    try:
        reading = await metrics.read_since(service, since, window_seconds)
    except (Unavailable, Timeout):
        return {}
    observed = observations(reading)
    if service.metrics is None or service.metrics.instances.keys() <= reading.arms.keys():
        return observed
    return {subject: value for subject, value in observed.items() if "@" in subject}


async def _observed(action: Action, state: StateReader) -> dict[str, Json]:
    """The state; nothing where it cannot be seen within the action's time, for the look that hangs holds the target."""
    try:
        async with asyncio.timeout(action.timeout_seconds):
            found = await state.observe(action)
    except (Unavailable, Timeout, TimeoutError):
        return {}
    return {f"state.{key}": value for key, value in found.items()}


def _is_sound(value: Json) -> bool:
    """NaN, an integer beyond 2^53 and what is no JSON at all tell nothing, and no history could hold them."""
    try:
        canonical(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _shown(value: Json) -> Json:
    """The value, or of a large one how it begins, how long it is and its hash."""
    written = canonical(value)
    if len(written) <= _LONGEST_SHOWN:
        return value
    begins = value if isinstance(value, str) else written.decode()
    return {
        "begins": begins[:_BEGINNING],
        "bytes": len(written),
        "sha256": hashlib.sha256(written).hexdigest(),
    }
