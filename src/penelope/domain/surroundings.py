"""What the context platform tells of an incident: evidence by these names, what a decision reads of it, and its words."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from penelope.domain.evidence import Evidence
from penelope.kit.canonical import Json, canonical

CONTEXT = "context."
OWNER = "context.owner"
DEPENDENTS = "context.dependents"
UPSTREAM = "context.upstream"
RUNBOOKS = "context.runbooks"
IMPACT = "context.impact"
"""Of a measure it is ``context.impact.<measure>``; alone it stands for all of them, where none could be looked up."""

_LONGEST = 400
_MOST_NAMED = 5


def is_context(item: Evidence) -> bool:
    return item.concept.startswith(CONTEXT)


def dependents_of(evidence: Iterable[Evidence]) -> frozenset[str]:
    """The services that lean on this one, as far as the graph could tell."""
    return _names(evidence, DEPENDENTS, "names")


def rests_on(evidence: Iterable[Evidence]) -> frozenset[str]:
    """The services that this one leans on, as far as the graph could tell."""
    return _names(evidence, UPSTREAM, "rests_on")


def suspects(evidence: Iterable[Evidence]) -> tuple[str, ...]:
    """The names of what may be the cause, as far as the graph could tell."""
    for item in evidence:
        if item.concept == UPSTREAM and isinstance(item.value, Mapping):
            found = _list(item.value.get("suspects"))
            return tuple(dict.fromkeys(str(each.get("name")) for each in found if isinstance(each, Mapping)))
    return ()


def reach_unknown(evidence: Iterable[Evidence]) -> bool:
    """Whether it was asked what leans on the service, and nobody could say. That is not the same as nothing."""
    return any(item.concept == DEPENDENTS and not item.known for item in evidence)


def with_open_incidents(item: Evidence, found: Sequence[tuple[str, str, datetime]]) -> Evidence:
    """The upstream evidence with incidents of our own, by id, service and opening, which come first."""
    value = item.value
    if not isinstance(value, Mapping) or not found:
        return item
    own = [
        {"name": service, "why": f"its incident {identifier} is open since {opened:%Y-%m-%d %H:%M} UTC"}
        for identifier, service, opened in found
    ]
    merged = {**value, "suspects": [*own, *_list(value.get("suspects"))]}
    return Evidence(
        concept=item.concept,
        value=merged,
        source=item.source,
        observed_at=item.observed_at,
        confidence=item.confidence,
        note=item.note,
    )


def in_words(item: Evidence) -> str:
    """One line without the name of the evidence. Recorded values that were read back get the same words."""
    if not item.known:
        return f"unknown ({item.note or item.source})"
    said = _said(item)
    return said if item.confidence >= 1.0 or not item.note else f"{said} ({item.note})"


def _said(item: Evidence) -> str:
    value = item.value
    if item.concept == RUNBOOKS:
        return "; ".join(map(_runbook, _list(value))) or "none fits"
    if not isinstance(value, Mapping):
        text = value if isinstance(value, str) else canonical(value).decode()
        return text[:_LONGEST]
    if item.concept == DEPENDENTS:
        return _dependents(value)
    if item.concept == UPSTREAM:
        return _suspects(value)
    return _impact(value)


def _dependents(value: Mapping[str, Json]) -> str:
    number = value.get("services")
    least = "at least " if value.get("at_least") else ""
    words = f"{least}{number} service{'' if number == 1 else 's'}"
    tiers = value.get("tiers")
    if isinstance(tiers, Mapping) and tiers:
        words += f" ({', '.join(f'{count} of tier {tier}' for tier, count in sorted(tiers.items()))})"
    if teams := _list(value.get("teams")):
        words += f", of {_listed(teams)}"
    others = value.get("others")
    if isinstance(others, Mapping) and others:
        words += f"; and {', '.join(f'{count} x {kind}' for kind, count in sorted(others.items()))}"
    return words


def _suspects(value: Mapping[str, Json]) -> str:
    found = [each for each in _list(value.get("suspects")) if isinstance(each, Mapping)]
    if not found:
        return "nothing that it rests on is known to be broken or changed"
    return _listed([f"{each.get('name')}: {each.get('why')}" for each in found], "; ")


def _runbook(value: Json) -> str:
    if not isinstance(value, Mapping):
        return ""
    score = value.get("score")
    fit = f", {score:.2f}" if isinstance(score, int | float) else ""
    return f"“{value.get('title')}” ({value.get('source')}{fit})"


def _impact(value: Mapping[str, Json]) -> str:
    now, before = value.get("now"), value.get("before")
    unit = f"{value.get('unit') or ''}{' per minute' if value.get('per') == 'minute' else ''}".strip()
    words = f"{value.get('title')} {_figure(now)} {unit}".rstrip()
    if isinstance(before, int | float):
        words += f", a week before {_figure(before)}"
        if isinstance(now, int | float) and before:
            words += f" ({(now - before) / abs(before):+.0%})"
    return words


def _figure(value: Json) -> str:
    return f"{value:,.2f}" if isinstance(value, int | float) else "unknown"


def _listed(items: Sequence[Json], between: str = ", ") -> str:
    more = len(items) - _MOST_NAMED
    return between.join(map(str, items[:_MOST_NAMED])) + (f"{between}{more} more" if more > 0 else "")


def _names(evidence: Iterable[Evidence], concept: str, key: str) -> frozenset[str]:
    for item in evidence:
        if item.concept == concept and isinstance(item.value, Mapping):
            return frozenset(name for name in _list(item.value.get(key)) if isinstance(name, str))
    return frozenset()


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list | tuple) else ()
