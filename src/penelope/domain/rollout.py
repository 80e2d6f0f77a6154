"""A canary: moving traffic to a changed arm in steps, and judging it against the unchanged one."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutLimits:
    """The guard rails of a canary: shares 0…1, times in seconds."""

    min_success_ratio: float = 0.95
    max_error_ratio: float = 0.02
    max_latency_p99_increase_seconds: float = 0.5
    min_requests: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """What a playbook asks of a rollout: weights in percent, one look each `interval_seconds`."""

    canary: str
    control: str
    steps: tuple[int, ...] = (10, 25, 50, 100)
    interval_seconds: float = 5.0
    looks_per_step: int = 3
    max_step_seconds: float = 900.0
    limits: RolloutLimits = RolloutLimits()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at a canary: the figures, the answer and the reasons. `halted` says that no figure led to the answer."""

    weight: int
    step: Step
    reasons: tuple[str, ...]
    canary: ArmFigures | None
    control: ArmFigures | None
    looked_at: datetime
    halted: bool = False
