"""What an answer lacks because a store could not be asked."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Store(StrEnum):
    """The stores that a concept is resolved over."""

    REGISTRY = "registry"
    SEMANTIC = "semantic"
    GRAPH = "graph"
    VECTOR = "vector"
    POLICY = "policy"


class DegradationMode(StrEnum):
    """How a service goes on without one of its stores."""

    FULL = "full"
    KEYWORDS_ONLY = "keywords_only"
    DENY = "deny"
    STALE = "stale"
    APPROXIMATE = "approximate"
    REGISTRY_ONLY = "registry_only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A store that an answer had to do without. `message` names no value, and no asset that the asker may not know."""

    store: Store
    mode: DegradationMode
    message: str
    since: datetime
