"""Gathers what is known of an incident's service, each piece with where it comes from and how sure it is."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from math import isfinite

from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.metrics import Reading, observations
from penelope.domain.service import Objective, Service, Target
from penelope.errors import Timeout, Unavailable
from penelope.kit.canonical import Json
from penelope.rooms.context.ports import ChangeReader, MetricReader

CHANGES_TIMEOUT_SECONDS = 2.0


async def gather(
    service: Service,
    metrics: MetricReader,
    changes: ChangeReader,
    *,
    window_seconds: float,
    now: datetime,
) -> Dossier:
    """All evidence about a service, always in the same order.

    Concepts: ``service.owner``, ``service.tier``, ``service.dependencies``,
    ``slo.<name>``, ``metric.<name>`` and ``metric.<name>@<arm>``, ``change.<target>.<key>``. What cannot be
    seen has value None, confidence 0 and a note why: always ``metric.error_ratio`` and each ``slo.<name>``,
    and ``change.<target>`` for a target that does not answer within CHANGES_TIMEOUT_SECONDS.
    """
    parts = await asyncio.gather(
        _measured(service, metrics, window_seconds, now),
        *(_changed(target, changes, now) for _, target in sorted(service.targets.items())),
    )
    return Dossier(
        service=service.name,
        gathered_at=now,
        evidence=(*_told(service, now), *(item for part in parts for item in part)),
    )


def _told(service: Service, now: datetime) -> Iterator[Evidence]:
    yield _seen("service.owner", service.owner, "catalogue", now)
    yield _seen("service.tier", service.tier, "catalogue", now)
    yield _seen("service.dependencies", list(service.dependencies), "catalogue", now)


async def _measured(
    service: Service, metrics: MetricReader, window_seconds: float, now: datetime
) -> list[Evidence]:
    try:
        reading = await metrics.read(service, window_seconds)
    except (Unavailable, Timeout) as error:
        return _unmeasured(service, now, error.message)
    observed = observations(reading)
    found = {subject: _figure(subject, value, service, reading) for subject, value in observed.items()}
    note = f"no requests in the last {window_seconds:g} s" if reading.arms else "too few samples yet"
    found.setdefault("metric.error_ratio", _unseen("metric.error_ratio", "metrics", reading.at, note))
    return [
        *(_objective(objective, found, reading.at) for objective in service.objectives),
        *(found[subject] for subject in sorted(found)),
    ]


def _unmeasured(service: Service, now: datetime, note: str) -> list[Evidence]:
    concepts = [*(f"slo.{objective.name}" for objective in service.objectives), "metric.error_ratio"]
    return [_unseen(concept, "metrics", now, note) for concept in concepts]


def _figure(subject: str, value: Json, service: Service, reading: Reading) -> Evidence:
    """A figure of one arm is sure; one of the whole service is as sure as the share of its arms seen."""
    if "@" in subject or service.metrics is None:
        return _seen(subject, value, "metrics", reading.at)
    if isinstance(value, float) and not isfinite(value):
        return _seen(subject, value, "metrics", reading.at)
    name = subject.removeprefix("metric.")
    showing = sum(name in gauges for gauges in reading.gauges.values()) or len(reading.arms)
    known = max(showing, len(service.metrics.instances))
    return Evidence(
        concept=subject,
        value=value,
        source="metrics",
        observed_at=reading.at,
        confidence=showing / known,
        note="" if showing == known else f"{showing} of {known} instances seen",
    )


def _objective(objective: Objective, found: dict[str, Evidence], at: datetime) -> Evidence:
    concept = f"slo.{objective.name}"
    figure = found.get(f"metric.{objective.metric.removeprefix('metric.')}")
    if figure is None or not figure.known:
        note = figure.note if figure else f"{objective.metric} was not seen"
        return _unseen(concept, "metrics", at, note)
    met = figure.value <= objective.at_most
    return Evidence(
        concept=concept,
        value={"objective": objective.at_most, "actual": figure.value, "met": met},
        source="metrics",
        observed_at=at,
        confidence=figure.confidence,
        note=figure.note,
    )


async def _changed(target: Target, changes: ChangeReader, now: datetime) -> list[Evidence]:
    concept = f"change.{target.name}"
    try:
        async with asyncio.timeout(CHANGES_TIMEOUT_SECONDS):
            facts = await changes.changes(target)
    except (Unavailable, Timeout) as error:
        return [_unseen(concept, target.adapter, now, error.message)]
    except TimeoutError:
        return [_unseen(concept, target.adapter, now, f"no answer within {CHANGES_TIMEOUT_SECONDS:g} s")]
    return [_seen(f"{concept}.{key}", fact, target.adapter, now) for key, fact in sorted(facts.items())]


def _seen(concept: str, value: Json, source: str, at: datetime) -> Evidence:
    if value is None:
        return _unseen(concept, source, at, "not known at the source")
    if isinstance(value, float) and not isfinite(value):
        return _unseen(concept, source, at, "the source gave what is no number")
    return Evidence(concept=concept, value=value, source=source, observed_at=at, confidence=1.0)


def _unseen(concept: str, source: str, at: datetime, note: str) -> Evidence:
    return Evidence(concept=concept, value=None, source=source, observed_at=at, confidence=0.0, note=note)
