"""Metrics by script: what a service's figures shall be, one answer after the other."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from penelope.domain.metrics import Reading
from penelope.domain.rollout import ArmFigures
from penelope.domain.service import Service
from penelope.errors import PenelopeError, Unavailable
from penelope.kit.clock import Clock


def figures(requests: float, errors: float = 0, p99_seconds: float | None = 0.02) -> ArmFigures:
    """What an arm did; without requests its ratio and latency are unknown, as in a real reading."""
    return ArmFigures(
        requests=requests,
        errors=errors,
        error_ratio=errors / requests if requests else None,
        latency_p99_seconds=p99_seconds if requests else None,
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """One answer: the figures by arm, and gauges by arm and name."""

    arms: Mapping[str, ArmFigures]
    gauges: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """What FakeMetrics was asked."""

    service: str
    window_seconds: float
    since: datetime | None


class FakeMetrics:
    """Fulfils both ports called MetricReader. `questions` keeps what was asked, in order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: dict[str, deque[Figures | PenelopeError]] = {}
        self.questions: list[Question] = []

    def script(self, service: str, *answers: Figures | PenelopeError) -> None:
        """Sets the next answers for a service, in place of what was left; the last one stays for good."""
        self._answers[service] = deque(answers)

    async def read(self, service: Service, window_seconds: float) -> Reading:
        """The next answer, as figures of the whole window. Raises Unavailable where nothing is scripted."""
        return self._answer(Question(service.name, window_seconds, None))

    async def read_since(self, service: Service, since: datetime, window_seconds: float) -> Reading:
        """The next answer, as figures of the time since then; none while no time has passed."""
        return self._answer(Question(service.name, window_seconds, since))

    def _answer(self, question: Question) -> Reading:
        self.questions.append(question)
        answers = self._answers.get(question.service)
        if not answers:
            raise Unavailable(f"no metrics are read for {question.service}")
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(answer, PenelopeError):
            raise answer
        now = self._clock.now()
        window = question.window_seconds
        if question.since is not None:
            window = min(window, (now - question.since).total_seconds())
        if window <= 0 or not answer.arms:
            return Reading(at=now, window_seconds=0.0, total=figures(0))
        return Reading(
            at=now, window_seconds=window, total=_total(answer.arms), arms=answer.arms, gauges=answer.gauges
        )


def _total(arms: Mapping[str, ArmFigures]) -> ArmFigures:
    """The sum; its p99 is the highest of the arms', for the fake keeps no histograms."""
    latencies = [arm.latency_p99_seconds for arm in arms.values() if arm.latency_p99_seconds is not None]
    return figures(
        requests=sum(arm.requests for arm in arms.values()),
        errors=sum(arm.errors for arm in arms.values()),
        p99_seconds=max(latencies, default=None),
    )
