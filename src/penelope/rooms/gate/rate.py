"""Bounds how often a service is touched."""

from dataclasses import dataclass
from datetime import timedelta

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.rooms.gate.rules import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Refuses a plan with which the service would see more than `actions` within `window_seconds`."""

    actions: int
    window_seconds: float

    @property
    def name(self) -> str:
        return "rate"

    def check(self, request: Request) -> RuleVerdict:
        start = request.now - timedelta(seconds=self.window_seconds)
        recent = sum(1 for moment in request.record.recent_actions if moment >= start)
        wanted = len(request.plan.actions)
        ruling = Ruling.REFUSE if recent + wanted > self.actions else Ruling.PASS
        reason = (
            f"{recent} actions in the last {self.window_seconds:g} s and {wanted} more, of {self.actions}"
        )
        return RuleVerdict(rule=self.name, ruling=ruling, reason=reason)
