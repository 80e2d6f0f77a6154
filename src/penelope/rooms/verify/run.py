"""Looks once at what a contract asks about, and judges it."""

from datetime import datetime

from penelope.domain.action import Action
from penelope.domain.contract import Contract, Verdict, judge
from penelope.domain.metrics import observations
from penelope.domain.service import Service
from penelope.errors import Timeout, Unavailable
from penelope.kit.canonical import Json
from penelope.rooms.verify.ports import MetricReader, StateReader


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
) -> Verdict:
    """How far the contract holds now, by figures after `since` and the state of the action's target.

    Asks only for what the clauses name. What could not be seen is unknown in the verdict; `hold.progress`
    says what the verdict means after those before it.
    """
    subjects = {clause.subject for clause in contract.clauses}
    observed: dict[str, Json] = {}
    if any(subject.startswith("metric.") for subject in subjects):
        observed |= await _measured(service, metrics, since, window_seconds)
    if any(subject.startswith("state.") for subject in subjects) and action is not None and state is not None:
        observed |= await _observed(action, state)
    return judge(contract, observed, now)


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
    try:
        found = await state.observe(action)
    except (Unavailable, Timeout):
        return {}
    return {f"state.{key}": value for key, value in found.items()}
