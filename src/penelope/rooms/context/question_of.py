"""The question to a store that gives what a concept asks of the definition that was found."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from penelope.domain.concept import (
    Asking,
    Definition,
    DefinitionKind,
    DocumentSearch,
    GraphQuestion,
    Grouping,
    Parsed,
    Period,
    Question,
)
from penelope.domain.semantics import Filter, Operator, SemanticQuery, TimeDimension
from penelope.kit.canonical import Json
from penelope.rooms.context.registry import Registry

DEPTH = 4
"""How many steps a question to the graph follows."""

LATELY = timedelta(days=7)
"""How far back "what changed" looks where no time is said."""

# Parameters by the headers of adapters/graph/queries: `since` is in seconds since 1970.
_SINCE = frozenset({"changes_of", "incidents_of", "upstream_causes"})
_DEEP = frozenset(
    {
        "depends_on",
        "dependents_of",
        "blast_radius",
        "upstream_causes",
        "lineage_up",
        "lineage_down",
        "impacted_dashboards",
    }
)
_MEMBERS = frozenset({DefinitionKind.METRIC, DefinitionKind.DIMENSION, DefinitionKind.SEGMENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question, the same one of the period it is held against, and what was said that neither could take up."""

    question: Question | None
    compared: SemanticQuery | None = None
    unmet: tuple[str, ...] = ()


def question_of(parsed: Parsed, definition: Definition, registry: Registry, now: datetime) -> Asked:
    """The question for a definition; None where the definition itself is the answer."""
    if parsed.relation:
        return Asked(question=_of_graph(parsed, definition, now))
    if definition.kind in {DefinitionKind.RUNBOOK, DefinitionKind.DOCUMENT}:
        kinds = ("runbook",) if definition.kind is DefinitionKind.RUNBOOK else ()
        service = parsed.entities[0].partition(":")[2] if parsed.entities else ""
        return Asked(question=DocumentSearch(words=definition.title, kinds=kinds, service=service))
    if parsed.asking is Asking.TEXT:
        return Asked(question=DocumentSearch(words=parsed.text))
    if parsed.asking is Asking.MEANING or definition.kind not in _MEMBERS:
        return Asked(question=None)
    return _of_semantics(parsed, definition, registry)


def node_of(definition: Definition) -> str:
    """The graph's id of what a definition is about: metrics are nodes of their own, other members those of their cube."""
    if definition.kind is DefinitionKind.METRIC:
        return f"metric:{definition.name}"
    if definition.cube:
        return f"dataset:{definition.cube}"
    return definition.name


def _of_graph(parsed: Parsed, definition: Definition, now: datetime) -> GraphQuestion:
    parameters: dict[str, Json] = {"id": node_of(definition)}
    if parsed.relation in _DEEP:
        parameters["depth"] = DEPTH
    if parsed.relation in _SINCE:
        since = parsed.period.start if parsed.period else now - LATELY
        parameters["since"] = max(0, int(since.timestamp()))
    return GraphQuestion(name=parsed.relation, parameters=parameters)


def _of_semantics(parsed: Parsed, definition: Definition, registry: Registry) -> Asked:
    unmet: list[str] = []
    filters = _filters(parsed, definition, registry, unmet)
    dimensions = _dimensions(parsed, definition, registry, unmet)
    time = registry.time_of(definition)
    if not time and (parsed.period or parsed.periodic):
        unmet.append(f"{definition.cube} has no time to be asked by")
    is_metric = definition.kind is DefinitionKind.METRIC
    own = () if is_metric or definition.kind is DefinitionKind.SEGMENT else (definition.name,)
    query = SemanticQuery(
        measures=(definition.name,) if is_metric else _count(definition, registry),
        dimensions=tuple(dict.fromkeys((*own, *dimensions))),
        segments=(definition.name,) if definition.kind is DefinitionKind.SEGMENT else (),
        filters=filters,
        order=((definition.name, parsed.top.largest),) if parsed.top and is_metric else (),
        limit=parsed.top.count if parsed.top and is_metric else 10_000,
    )
    return Asked(
        question=_in_time(query, time, parsed.period, parsed),
        compared=_in_time(query, time, parsed.compared, parsed) if parsed.compared and time else None,
        unmet=tuple(unmet),
    )


def _count(definition: Definition, registry: Registry) -> tuple[str, ...]:
    """What a segment is counted by; a dimension is only listed."""
    name = f"{definition.cube}.count"
    return (name,) if definition.kind is DefinitionKind.SEGMENT and registry.get(name) else ()


def _filters(
    parsed: Parsed, definition: Definition, registry: Registry, unmet: list[str]
) -> tuple[Filter, ...]:
    """One filter a dimension and direction: values said of one dimension are alternatives."""
    found: dict[tuple[str, Operator], dict[str, None]] = {}
    for narrowing in parsed.narrowings:
        nearest = _nearest(tuple(name for name, _ in narrowing.options), definition, registry)
        if not nearest:
            if not _names_itself(narrowing.words, definition):
                unmet.append(f"“{narrowing.words}” is no part of {definition.name}")
            continue
        operator = Operator.NOT_EQUALS if narrowing.excluded else Operator.EQUALS
        values = found.setdefault((nearest, operator), {})
        values.update((value, None) for name, value in narrowing.options if name == nearest)
    return tuple(
        Filter(member=member, operator=operator, values=tuple(values))
        for (member, operator), values in found.items()
    )


def _names_itself(words: str, definition: Definition) -> bool:
    return words in {definition.title.casefold(), *(synonym.casefold() for synonym in definition.synonyms)}


def _dimensions(
    parsed: Parsed, definition: Definition, registry: Registry, unmet: list[str]
) -> tuple[str, ...]:
    found = []
    for grouping in parsed.groupings:
        nearest = _nearest(grouping.options, definition, registry)
        if nearest:
            found.append(nearest)
        else:
            unmet.append(_not_by(grouping, definition))
    return tuple(found)


def _not_by(grouping: Grouping, definition: Definition) -> str:
    return f"{definition.name} cannot be broken down by “{grouping.words}”"


def _nearest(names: tuple[str, ...], definition: Definition, registry: Registry) -> str:
    """The dimension that the fewest joins lead to; empty where none does."""
    reach = registry.reach(definition.cube)
    near = [(reach[cube], name) for name in names if (cube := name.partition(".")[0]) in reach]
    return min(near)[1] if near else ""


def _in_time(query: SemanticQuery, time: str, period: Period | None, parsed: Parsed) -> SemanticQuery:
    if not time or (period is None and parsed.periodic is None):
        return query if period is None else replace(query, timezone=period.zone)
    zone = period.zone if period else query.timezone
    bounds = None
    if period is not None:
        zone, bounds = _bounds(period)
    dimension = TimeDimension(dimension=time, granularity=parsed.periodic, date_range=bounds)
    return replace(query, time_dimensions=(dimension,), timezone=zone)


def _bounds(period: Period) -> tuple[str, tuple[str, str]]:
    """First and last moment as Cube takes them, both included, and the zone in which they are said.

    Whole days are told as days. Other moments are told in the asker's zone, unless clocks change within: a clock face then
    means two moments, and only UTC tells them apart.
    """
    last_day = (period.end - timedelta(microseconds=1)).date()
    if _is_midnight(period.start) and _is_midnight(period.end):
        return period.zone, (period.start.date().isoformat(), last_day.isoformat())
    start, end, zone = period.start, period.end, period.zone
    if start.utcoffset() != end.utcoffset():
        start, end, zone = start.astimezone(UTC), end.astimezone(UTC), "UTC"
    last = end - timedelta(milliseconds=1)
    return zone, (_moment(start), _moment(last))


def _is_midnight(moment: datetime) -> bool:
    """Whether a day begins then: where midnight is skipped, that is an hour later."""
    before = (moment.astimezone(UTC) - timedelta(microseconds=1)).astimezone(moment.tzinfo)
    return before.date() < moment.date()


def _moment(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")
