"""A canary: moving traffic to a changed arm in steps, and judging it against the unchanged one."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutLimits:
    """The guard rails of a canary: shares 0…1, times in seconds."""

    min_success_ratio: float = 0.95
    max_error_ratio: float = 0.02
    max_latency_p99_increase_seconds: float = 0.5
    min_requests: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFigures:
    """What one arm did in a window; a figure is None where the window says nothing about it."""

    requests: float
    errors: float
    error_ratio: float | None
    latency_p99_seconds: float | None


class Step(StrEnum):
    """What a look at the canary comes to."""

    PROMOTE = "promote"
    HOLD = "hold"
    ROLLBACK = "rollback"
