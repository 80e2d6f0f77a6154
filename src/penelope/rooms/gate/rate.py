"""Bounds how much is done: to a service, by a playbook, and in all."""

from collections.abc import Mapping
from dataclasses import dataclass

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.halt import ScopeKind
from penelope.rooms.gate.rules import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Refuses a plan with which more than `actions` (by kind of scope) would be begun within `window_seconds`."""

    actions: Mapping[ScopeKind, int]
    window_seconds: float

    @property
    def name(self) -> str:
        return "rate"

    def check(self, request: Request) -> RuleVerdict:
        if request.usage is None:
            return self._verdict(Ruling.REFUSE, "nothing tells what was done lately")
        wanted = len(request.plan.actions)
        told = []
        for kind, most in self.actions.items():
            recent = request.usage.actions[kind]
            told.append(f"{kind} {recent} + {wanted} of {most}")
            if recent + wanted > most:
                return self._verdict(Ruling.REFUSE, told[-1])
        return self._verdict(Ruling.PASS, ", ".join(told))

    def _verdict(self, ruling: Ruling, told: str) -> RuleVerdict:
        reason = f"actions within {self.window_seconds:g} s: {told}"
        return RuleVerdict(rule=self.name, ruling=ruling, reason=reason)
