"""Things and how they hang together: services, teams, datasets, metrics, dashboards, runbooks, incidents."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penelope.domain.access import Classification
from penelope.kit.canonical import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """`label` is its kind, as ``Service``; `id` is unique over all kinds, as ``service:checkout``."""

    id: str
    label: str
    name: str
    classification: Classification = Classification.INTERNAL
    properties: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """`type` is a verb, as ``DEPENDS_ON``: from who depends to what is depended on, from what is made to what it is of."""

    type: str
    start: str
    end: str
    properties: Mapping[str, Json] = field(default_factory=dict)
