"""The sequential analysis of a canary: what is asked of it, what it is told, what it remembers and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from penelope.domain.rollout import RolloutLimits, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How many times more a figure scatters than dice would, at least 1; learned from two slices that are alike.

    `information` is events x share x (1 - share) a second when it was learned; 0 where it is not known.
    """

    factor: float = 1.0
    information: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempering:
    """The noise of errors and of slow requests. What was never learned is taken for none."""

    errors: Noise = Noise()
    latency: Noise = Noise()


class Otherwise(StrEnum):
    """What becomes of a canary on which there is no verdict."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    PROMOTE = "promote"


class Mode(StrEnum):
    """By what a canary is judged: tests that stay valid at every look, or Kayenta's judge at the end of an interval."""

    SEQUENTIAL = "sequential"
    KAYENTA = "kayenta"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Scores, 0 to 100: from `passing` on a canary goes on, below `marginal` it goes back; Kayenta's usual ones."""

    passing: float = 95.0
    marginal: float = 75.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisSpec:
    """What is asked of an analysis.

    `alpha` is the chance that a canary is rolled back in the whole rollout though it is not worse than the
    control and within the limits, `beta` the chance that a step goes on though its errors or slow requests are
    `factor` times as frequent as the control's. A ratio below the negligible ones is never too much.
    `on_silence` (never PROMOTE) is for figures that are missing for `silence_seconds`, `undecided` for a step that
    has figures and no verdict after `max_step_seconds`. Without `latency` only errors are judged. In the mode KAYENTA
    `alpha` is for the limits alone, and `beta`, `factor`, the negligible ratios and `tempering` have no say.
    """

    alpha: float = 0.05
    beta: float = 0.05
    factor: float = 2.0
    negligible_error_ratio: float = 0.002
    negligible_slow_ratio: float = 0.025
    limits: RolloutLimits = field(default_factory=RolloutLimits)
    max_step_seconds: float = 900.0
    silence_seconds: float = 120.0
    on_silence: Otherwise = Otherwise.ROLLBACK
    undecided: Otherwise = Otherwise.ROLLBACK
    latency: bool = True
    tempering: Tempering = Tempering()
    mode: Mode = Mode.SEQUENTIAL
    kayenta: Thresholds = Thresholds()

    def __post_init__(self) -> None:
        """Raises ValueError for what could not be judged."""
        shares = {
            "alpha": self.alpha,
            "beta": self.beta,
            "negligible_error_ratio": self.negligible_error_ratio,
            "negligible_slow_ratio": self.negligible_slow_ratio,
            "max_error_ratio": self.limits.max_error_ratio,
        }
        for name, share in shares.items():
            if not 0.0 < share < 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, not {share}")
        if not 1.0 < self.factor <= 100.0:
            raise ValueError(f"factor must be above 1 and at most 100, not {self.factor}")
        noises = (self.tempering.errors, self.tempering.latency)
        if not all(1.0 <= each.factor < float("inf") and each.information >= 0 for each in noises):
            raise ValueError("a factor of noise is at least 1 and finite")
        if not 0.0 <= self.kayenta.marginal <= self.kayenta.passing <= 100.0:
            raise ValueError("Kayenta's scores: 0 <= marginal <= passing <= 100")
        if self.on_silence is Otherwise.PROMOTE:
            raise ValueError("silence never promotes: on_silence is rollback or hold")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCounts:
    """What one arm did between two looks. `buckets` maps upper bounds in seconds to cumulative counts, +Inf among them."""

    requests: float
    errors: float
    buckets: Mapping[float, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """Both arms between two looks, `seconds` apart, from the same readings; an arm is None where it could not be read."""

    seconds: float
    canary: ArmCounts | None
    control: ArmCounts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTotals:
    """What an arm did in a step; `slow` counts requests above each edge."""

    requests: float = 0.0
    errors: float = 0.0
    timed: float = 0.0
    slow: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisState:
    """What an analysis remembers of a revision: some 200 numbers, whatever the traffic and however long it takes.

    The numbers of `harm` (by test and odds) and `refuted` (by metric) are logarithms; `rooms.rollout.evidence`
    says what they are. `seen_at` is the last look with complete figures.
    """

    revision: str
    weight: int
    step_started_at: datetime
    seen_at: datetime
    edges: tuple[float, ...] = ()
    elapsed: float = 0.0
    harm: tuple[tuple[float, ...], ...] = ()
    refuted: tuple[tuple[float, ...], ...] = ()
    control_timed: float = 0.0
    control_slow: tuple[float, ...] = ()
    step_seconds: float = 0.0
    canary: ArmTotals = ArmTotals()
    control: ArmTotals = ArmTotals()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one metric says: `harm` and `cleared` are e-values as powers of ten, against the canary and for it."""

    metric: str
    harm: float
    cleared: float | None
    canary: float | None
    control: float | None
    reason: str


class Grounds(StrEnum):
    """What an answer rests on, if it is a rollback: evidence against the canary, that nothing is seen, or that time is up."""

    WORSE = "worse"
    SILENCE = "silence"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The answer of one look. `expected_seconds` is for HOLD: how long a canary that is as good as the control will yet take."""

    step: Step
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    harm: float = 0.0
    """All tests together, as a power of ten; a rollback comes at -log10(alpha)."""
    expected_seconds: float | None = None
    grounds: Grounds = Grounds.WORSE
