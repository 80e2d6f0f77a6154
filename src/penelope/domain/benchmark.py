"""Is the service as good as it used to be? Probes, golden baselines, and how a figure is held against one.

A baseline is a window of figures, one a run, each from a time when the service was known to be healthy. A figure is
an outlier when its modified z-score is beyond 3.5: B. Iglewicz, D. C. Hoaglin, "How to Detect and Handle Outliers",
ASQC Basic References in Quality Control 16 (1993), where the spread is the median absolute deviation (MAD), or the
mean one where more than half of the window is one value.

The unit of comparison is the run, never the single request: requests of one run share its conditions, so that a test
over all of them (Mann-Whitney, Brunner-Munzel) takes every difference between two runs for one of the service.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from statistics import fmean, median

from penelope.domain.contract import Gravity
from penelope.kit.canonical import Json

LEAST_RUNS = 12
"""Runs without which there is no baseline: with fewer the spread itself is too uncertain (docs/verification.md)."""

WINDOW = 50
"""Runs that a baseline looks back on."""

_OUTLIER = 3.5
_OF_MAD = 0.6745
_OF_MEAN = 1.253314
_LARGEST = 2.0**53


class Worse(StrEnum):
    """In which direction a figure gets worse."""

    HIGHER = "higher"
    LOWER = "lower"
    BOTH = "both"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """A difference that does not matter, however sure it is: `size` in the figure's unit, or a share of the median."""

    size: float = 0.1
    relative: bool = True

    def of(self, middle: float) -> float:
        return self.size * abs(middle) if self.relative else self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One figure of a service, and how it is measured. `options` may hold secrets: they are never stored.

    Where it is of MINOR severity, a worse figure is told but does not count.
    """

    name: str
    kind: str
    options: Mapping[str, Json] = field(default_factory=dict)
    worse: Worse = Worse.HIGHER
    tolerance: Tolerance = field(default_factory=Tolerance)
    severity: Gravity = Gravity.MAJOR
    timeout_seconds: float = 5.0


class SuiteName(StrEnum):
    """SMOKE is fast and runs after each action, REGRESSION at the end of a plan and for baselines."""

    SMOKE = "smoke"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benching:
    """How thoroughly a suite is run: what is bad, or could not be seen, is looked at again, so often at most and so
    many seconds apart, and not beyond the patience.
    """

    looks: int = 3
    pause_seconds: float = 1.0
    patience_seconds: float = 15.0


Suites = Mapping[SuiteName, tuple[Probe, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What a probe found: a figure; or else why there is none, and whether that itself is a failure of the service."""

    figure: float | None = None
    note: str = ""
    failed: bool = False

    @property
    def sound(self) -> float | None:
        """The figure, if it is a number that can be compared and written down."""
        number = self.figure
        return number if number is not None and abs(number) <= _LARGEST else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a figure of a service is like in healthy times: one figure a run, oldest first.

    `runs` names the run that each figure is from; `version` counts updates.
    """

    service: str
    probe: str
    figures: tuple[float, ...] = ()
    runs: tuple[str, ...] = ()
    version: int = 0
    updated_at: datetime | None = None

    @property
    def middle(self) -> float | None:
        return median(self.figures) if self.figures else None

    @property
    def spread(self) -> float | None:
        """The median absolute deviation, in the figure's unit."""
        return _mad(self.figures) if self.figures else None

    @property
    def settled(self) -> bool:
        """Whether there are enough runs to compare with."""
        return len(self.figures) >= LEAST_RUNS

    def taken(self, figure: float, run: str, now: datetime) -> "Baseline":
        """With one more run; itself where it has that run already."""
        if run in self.runs:
            return self
        return replace(
            self,
            figures=(*self.figures, figure)[-WINDOW:],
            runs=(*self.runs, run)[-WINDOW:],
            version=self.version + 1,
            updated_at=now,
        )


class Standing(StrEnum):
    """How a figure stands against its baseline. UNKNOWN, for want of a figure or a baseline, is neither good nor bad."""

    SOUND = "sound"
    WORSE = "worse"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A probe's figure beside its baseline: `middle`, `spread` and `baseline` (its version) are those compared with."""

    probe: str
    standing: Standing
    figure: float | None = None
    score: float | None = None
    middle: float | None = None
    spread: float | None = None
    baseline: int = 0
    counts: bool = True
    note: str = ""

    @property
    def bad(self) -> bool:
        return self.standing in {Standing.WORSE, Standing.FAILED}


class RunOutcome(StrEnum):
    """PASSED says that something was compared and nothing that counts was bad; UNKNOWN that nothing was compared."""

    PASSED = "passed"
    REGRESSED = "regressed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRun:
    """One run of a suite; `looks` is how often it was measured until nothing was bad, or there was no doubt."""

    id: str
    service: str
    suite: SuiteName
    findings: tuple[Finding, ...]
    started_at: datetime
    ended_at: datetime
    looks: int = 1

    @property
    def outcome(self) -> RunOutcome:
        if any(finding.bad and finding.counts for finding in self.findings):
            return RunOutcome.REGRESSED
        if any(finding.standing is Standing.SOUND for finding in self.findings):
            return RunOutcome.PASSED
        return RunOutcome.UNKNOWN

    @property
    def trouble(self) -> str:
        """What counts and is bad, in words; empty where nothing is."""
        return "; ".join(
            f"{finding.probe} {finding.note}" for finding in self.findings if finding.bad and finding.counts
        )


def findings(
    probes: Sequence[Probe], measured: Mapping[str, Measurement], baselines: Mapping[str, Baseline]
) -> dict[str, Finding]:
    """How what was measured stands, by probe."""
    return {
        probe.name: compare(probe, measured[probe.name], baselines[probe.name])
        for probe in probes
        if probe.name in measured
    }


def compare(probe: Probe, measured: Measurement, baseline: Baseline) -> Finding:
    """How a figure stands. It is worse only where it is an outlier and the difference matters, both."""
    counts = probe.severity is not Gravity.MINOR
    figure = measured.sound
    finding = Finding(
        probe=probe.name,
        standing=Standing.UNKNOWN,
        figure=figure,
        middle=baseline.middle,
        spread=baseline.spread,
        baseline=baseline.version,
        counts=counts,
    )
    if measured.failed:
        return replace(finding, standing=Standing.FAILED, note=measured.note or "failed")
    if figure is None:
        return replace(finding, note=measured.note or "has no figure")
    middle = baseline.middle
    if middle is None or not baseline.settled:
        have = len(baseline.figures)
        return replace(finding, note=f"has no baseline yet: {have} of {LEAST_RUNS} runs")
    score = modified_z(figure, baseline.figures)
    off = _off(probe.worse, figure - middle)
    worse = off > probe.tolerance.of(middle) and _off(probe.worse, score) > _OUTLIER
    return replace(
        finding,
        standing=Standing.WORSE if worse else Standing.SOUND,
        score=max(-_LARGEST, min(_LARGEST, score)),
        note=f"is {figure:.6g}, usually {middle:.6g}" if worse else "",
    )


def modified_z(figure: float, figures: Sequence[float]) -> float:
    """How many robust standard deviations a figure is off the median; infinite beside figures that are all the same.

    Among figures that are all above 0 it is taken of their logarithms: response times and sizes are skewed, and on
    their own scale one of ten would be an outlier (the same test on both is in tests/property).
    """
    if figure > 0 and min(figures) > 0:
        return _z(math.log(figure), [math.log(item) for item in figures])
    return _z(figure, figures)


def _z(figure: float, figures: Sequence[float]) -> float:
    middle = median(figures)
    off = figure - middle
    if (mad := _mad(figures)) > 0:
        return _OF_MAD * off / mad
    if (mean := fmean(abs(item - middle) for item in figures)) > 0:
        return off / (_OF_MEAN * mean)
    return math.copysign(math.inf, off) if off else 0.0


def _mad(figures: Sequence[float]) -> float:
    middle = median(figures)
    return median(abs(item - middle) for item in figures)


def _off(worse: Worse, difference: float) -> float:
    """How far a difference goes in the bad direction."""
    match worse:
        case Worse.HIGHER:
            return difference
        case Worse.LOWER:
            return -difference
        case Worse.BOTH:
            return abs(difference)
