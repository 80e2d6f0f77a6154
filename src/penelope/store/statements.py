"""The statements of a transaction, built once: putting one together costs more than SQLite takes to run it."""

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, tuple_

from penelope.domain.incident import IncidentState
from penelope.store import tables

_units, _incidents, _firing = tables.units_of_work, tables.incidents, tables.firing
_signals, _attempts, _outcomes = tables.signals, tables.attempts, tables.outcomes


def _many(name: str) -> Any:
    """A parameter that takes a list."""
    return bindparam(name, expanding=True)


INSERT_SIGNALS = insert(_signals)
INSERT_FIRING = insert(_firing)

UNITS_BY_ID = select(_units).where(_units.c.id.in_(_many("ids"))).order_by(_units.c.id).with_for_update()

UNIT_BY_ID = select(_units).where(_units.c.id == bindparam("id")).with_for_update()

UNITS_OF_INCIDENT = (
    select(_units)
    .where(_units.c.incident == bindparam("incident"), _units.c.kind == bindparam("kind"))
    .order_by(_units.c.updated_at, _units.c.id)
)

KNOWN_SIGNALS = select(_signals.c.source, _signals.c.id).where(
    tuple_(_signals.c.source, _signals.c.id).in_(_many("keys"))
)

INCIDENTS_ABOUT = (
    select(_units)
    .join(_incidents, _incidents.c.id == _units.c.id)
    .where(tuple_(_incidents.c.service, _incidents.c.fingerprint).in_(_many("problems")))
    .order_by(_incidents.c.opened_at, _incidents.c.id)
    .with_for_update(of=_units)
)

ACTORS = select(tables.local_actors.c.name, tables.local_actors.c.id).where(
    tables.local_actors.c.name.in_(_many("names"))
)

FIRING = select(_firing).where(_firing.c.incident.in_(_many("incidents")))

FORGET_FIRING = delete(_firing).where(tuple_(_firing.c.incident, _firing.c.subject).in_(_many("pairs")))

INTERVENING = (
    select(_incidents.c.id)
    .where(
        _incidents.c.service == bindparam("service"),
        _incidents.c.state.in_([state.value for state in IncidentState if state.intervening]),
    )
    .limit(1)
)

OUTCOME_COUNTS = (
    select(_outcomes.c.verified, func.count().label("number"))
    .where(_outcomes.c.playbook == bindparam("playbook"), _outcomes.c.service == bindparam("service"))
    .group_by(_outcomes.c.verified)
)

RECENT_ACTIONS = (
    select(_attempts.c.started_at)
    .where(_attempts.c.service == bindparam("service"), _attempts.c.started_at >= bindparam("since"))
    .order_by(_attempts.c.started_at)
)

RECENT_FAILURES = (
    select(_outcomes.c.ended_at)
    .where(
        _outcomes.c.service == bindparam("service"),
        _outcomes.c.ended_at >= bindparam("since"),
        _outcomes.c.verified.is_(False),
    )
    .order_by(_outcomes.c.ended_at)
)


@cache
def claim(insert_or: Callable[..., Any]) -> Any:
    """Counts an attempt up, in the dialect whose INSERT this is, and returns the count."""
    counted = insert_or(_attempts).on_conflict_do_update(
        index_elements=["action"], set_={"count": _attempts.c.count + 1}
    )
    return counted.returning(_attempts.c.count)


@cache
def add_outcome(insert_or: Callable[..., Any]) -> Any:
    """Adds an outcome, in the dialect whose INSERT this is, unless it is there."""
    return insert_or(_outcomes).on_conflict_do_nothing()
