"""Asks what an incident costs: the governed measures that are bound to its service, now and a week before."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from zoneinfo import ZoneInfo

from penelope.domain.answer import Figures, Outcome, Told
from penelope.domain.degradation import Store
from penelope.domain.evidence import Evidence
from penelope.domain.semantics import MemberKind, Model, SemanticQuery, TimeDimension
from penelope.domain.surroundings import IMPACT
from penelope.errors import DependencyError, Unavailable
from penelope.flow.enquiry import Enquiry, lacking
from penelope.kit.canonical import canonical
from penelope.kit.codec import to_data
from penelope.rooms.context import around
from penelope.rooms.context.registry import Registry

_MOST_MEASURES = 5
_PER_MINUTE, _AS_IT_IS = "per_minute", "as_it_is"
_OLDEST = timedelta(days=1)
"""Figures that end longer ago tell nothing of an incident."""

_WEEK = timedelta(days=7)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A measure of a service, the time dimension it is asked by, and whether it is counted by the minute."""

    measure: str
    title: str
    time: str
    per_minute: bool


async def ask_impact(enquiry: Enquiry, service: str, minutes: int) -> list[Evidence]:
    """Nothing where no measure is bound to the service. Raises Unavailable where nobody can tell."""
    asked = enquiry.request(service)
    try:
        model, registry = await enquiry.resolver.definitions(asked, seconds=enquiry.left_seconds)
    except DependencyError:
        raise Unavailable("The semantic layer cannot be asked: nobody knows its measures.") from None
    bound = list(bound_to(service, model, registry))[:_MOST_MEASURES]
    found = await asyncio.gather(*(_of_measure(enquiry, each, minutes) for each in bound))
    return [item for item in found if item is not None]


def bound_to(service: str, model: Model, registry: Registry) -> Iterator[Bound]:
    """The public measures whose ``meta`` names the service and how they tell of its harm; those without a time are left out."""
    for member in model.members:
        kind, definition = member.meta.get("impact"), registry.get(member.name)
        if member.kind is not MemberKind.MEASURE or member.meta.get("service") != service:
            continue
        if definition is None or kind not in (_PER_MINUTE, _AS_IT_IS):
            continue
        if time := registry.time_of(definition):
            yield Bound(
                measure=member.name, title=definition.title, time=time, per_minute=kind == _PER_MINUTE
            )


async def _of_measure(enquiry: Enquiry, bound: Bound, minutes: int) -> Evidence | None:
    """None for a measure that the asker may not know of."""
    concept, source = f"{IMPACT}.{bound.measure}", f"semantic: {bound.measure}"
    end = enquiry.now.astimezone(UTC).replace(second=0, microsecond=0)
    told = await _told(enquiry, bound, end, minutes)
    until = _as_of(told)
    if until is not None and until < end - _MINUTE:
        if end - until > _OLDEST:
            return around.unseen(
                concept, source, until, f"the data ends at {until:%Y-%m-%d %H:%M} UTC, too long ago"
            )
        # What was not loaded yet was not lost.
        end = until.replace(second=0, microsecond=0)
        told = await _told(enquiry, bound, end, minutes)
    return _evidence(told, bound, end, minutes, enquiry.now)


def _evidence(told: Told, bound: Bound, end: datetime, minutes: int, now: datetime) -> Evidence | None:
    concept, source = f"{IMPACT}.{bound.measure}", f"semantic: {bound.measure}"
    trouble = lacking(told, Store.SEMANTIC)
    if told.outcome is Outcome.UNRESOLVED and not trouble:
        return None
    if told.outcome is Outcome.DENIED:
        return around.unseen(concept, source, now, trouble or "the policy denies it")
    current, known_to = _number(told.value), _as_of(told)
    if current is None and told.value is not None and known_to is not None and bound.per_minute:
        current = 0.0  # The data reaches as far, and has nothing of it.
    if current is None:
        return around.unseen(concept, source, now, trouble or "there is no figure")
    kept = None if told.value is None else told.value.kept_at
    notes = [trouble, "" if known_to is not None else "nobody says how fresh the data is"]
    seen = around.Seen(source=source, at=kept or min(end, now), note=" ".join(note for note in notes if note))
    figure = around.Figure(
        measure=bound.measure,
        title=bound.title,
        unit="" if told.definition is None else told.definition.unit,
        minutes=float(minutes),
        per_minute=bound.per_minute,
        now=current,
        before=_number(told.compared),
        query=canonical(to_data(told.query)).decode(),
    )
    return around.impact(figure, seen)


async def _told(enquiry: Enquiry, bound: Bound, end: datetime, minutes: int) -> Told:
    zone = ZoneInfo(enquiry.resolver.rules.zone)
    # The same time of the week is that of the clock on the wall.
    before = (end.astimezone(zone) - _WEEK).astimezone(UTC)
    return await enquiry.ask(_query(bound, end, minutes), bound.measure, other=_query(bound, before, minutes))


def _query(bound: Bound, end: datetime, minutes: int) -> SemanticQuery:
    first, last = end - timedelta(minutes=minutes), end - timedelta(milliseconds=1)
    stretch = TimeDimension(dimension=bound.time, date_range=(_moment(first), _moment(last)))
    return SemanticQuery(measures=(bound.measure,), time_dimensions=(stretch,), limit=1)


def _moment(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds")


def _as_of(told: Told) -> datetime | None:
    return None if told.value is None else told.value.table.as_of


def _number(figures: Figures | None) -> float | None:
    if figures is None or not figures.table.rows or not figures.table.rows[0]:
        return None
    cell = figures.table.rows[0][-1]
    if isinstance(cell, bool) or not isinstance(cell, int | float) or not isfinite(cell):
        return None
    return float(cell)
