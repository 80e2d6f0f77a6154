"""Bounds how often a service is touched."""

from datetime import timedelta

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.rooms.gate.rules import Limits, Request


class Rate:
    """Refuses a plan with which the service would see more than `rate_actions` within `rate_window_seconds`."""

    name = "rate"

    def check(self, request: Request, limits: Limits) -> RuleVerdict:
        start = request.now - timedelta(seconds=limits.rate_window_seconds)
        recent = sum(1 for moment in request.record.recent_actions if moment >= start)
        wanted = len(request.plan.actions)
        ruling = Ruling.REFUSE if recent + wanted > limits.rate_actions else Ruling.PASS
        reason = (
            f"{recent} actions in the last {limits.rate_window_seconds:g} s and {wanted} more, "
            f"of {limits.rate_actions}"
        )
        return RuleVerdict(rule=self.name, ruling=ruling, reason=reason)
