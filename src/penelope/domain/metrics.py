"""Arithmetic on scraped counters and histograms: what happened between two moments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from penelope.domain.rollout import ArmFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One instance's counters at one moment. `buckets` maps upper bounds in seconds to cumulative counts."""

    at: datetime
    requests: float
    errors: float
    buckets: Mapping[float, float] = field(default_factory=dict)
    gauges: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A service's figures over a window: in total, by arm (instance), and the last gauges by arm.

    An arm that could not be read is absent; `window_seconds` is 0 where nothing could be compared.
    """

    at: datetime
    window_seconds: float
    total: ArmFigures
    arms: Mapping[str, ArmFigures] = field(default_factory=dict)
    gauges: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
