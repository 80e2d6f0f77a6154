"""Stops healing a service that healing does not help."""

from datetime import timedelta

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.rooms.gate.rules import Limits, Request


class Halt:
    """Refuses for `halt_seconds` after `halt_failures` failures within `halt_window_seconds`."""

    name = "halt"

    def check(self, request: Request, limits: Limits) -> RuleVerdict:
        window = timedelta(seconds=limits.halt_window_seconds)
        failures = request.record.recent_failures
        for first, last in zip(failures, failures[limits.halt_failures - 1 :], strict=False):
            until = last + timedelta(seconds=limits.halt_seconds)
            if last - first <= window and request.now < until:
                reason = (
                    f"{limits.halt_failures} fixes of {request.plan.service} failed within "
                    f"{limits.halt_window_seconds:g} s; halted until {until:%H:%M:%S} UTC"
                )
                return RuleVerdict(rule=self.name, ruling=Ruling.REFUSE, reason=reason)
        reason = f"{len(failures)} recent failures on {request.plan.service}"
        return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=reason)
