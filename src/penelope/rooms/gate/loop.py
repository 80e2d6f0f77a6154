"""Calls people to a problem that keeps coming back: the fix is not a fix."""

from dataclasses import dataclass
from datetime import timedelta

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.rooms.gate.rules import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Refuses to heal a problem once more that was healed `heals` times within `window_seconds`, by any playbook."""

    heals: int
    window_seconds: float

    @property
    def name(self) -> str:
        return "loop"

    def check(self, request: Request) -> RuleVerdict:
        if request.heals is None or not request.incident.fingerprint.strip():
            return self._verdict(Ruling.REFUSE, "nothing tells how often this problem was healed")
        start = request.now - timedelta(seconds=self.window_seconds)
        found = sum(1 for heal in request.heals if heal.at >= start)
        told = f"healed {found} times within {self.window_seconds:g} s"
        if found >= self.heals:
            return self._verdict(Ruling.REFUSE, f"{told} and back again: the fix is not a fix")
        return self._verdict(Ruling.PASS, told)

    def _verdict(self, ruling: Ruling, reason: str) -> RuleVerdict:
        return RuleVerdict(rule=self.name, ruling=ruling, reason=reason)
