"""Stops healing a service that healing does not help."""

from dataclasses import dataclass
from datetime import timedelta

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.rooms.gate.rules import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Refuses for `rest_seconds` after so many failures within `window_seconds`."""

    failures: int
    window_seconds: float
    rest_seconds: float

    @property
    def name(self) -> str:
        return "halt"

    def check(self, request: Request) -> RuleVerdict:
        window = timedelta(seconds=self.window_seconds)
        failures = request.record.recent_failures
        for first, last in zip(failures, failures[self.failures - 1 :], strict=False):
            until = last + timedelta(seconds=self.rest_seconds)
            if last - first <= window and request.now < until:
                reason = (
                    f"{self.failures} fixes of {request.plan.service} failed within "
                    f"{self.window_seconds:g} s; halted until {until:%H:%M:%S} UTC"
                )
                return RuleVerdict(rule=self.name, ruling=Ruling.REFUSE, reason=reason)
        reason = f"{len(failures)} recent failures on {request.plan.service}"
        return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=reason)
