"""Lets a plan go as far as its playbook has earned on this service."""

from dataclasses import dataclass

from penelope.domain.autonomy import Level
from penelope.domain.gate import RuleVerdict, Ruling
from penelope.rooms.gate.rules import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class AutonomyRule:
    """Shadow refuses, suggest asks, supervised asks where the risk is above `low_risk`, autonomous passes.

    Without the standing of this very playbook on this very service it refuses.
    """

    low_risk: float

    @property
    def name(self) -> str:
        return "autonomy"

    def check(self, request: Request) -> RuleVerdict:
        standing, plan = request.standing, request.plan
        if standing is None or (standing.playbook, standing.service) != (plan.playbook, plan.service):
            return self._says(Ruling.REFUSE, f"nobody says where {plan.playbook} stands on {plan.service}")
        level, risk = standing.in_force, request.decision.risk.value
        match level:
            case Level.SHADOW:
                return self._says(Ruling.REFUSE, f"shadow: would have run {plan.playbook}")
            case Level.AUTONOMOUS:
                return self._says(Ruling.PASS, f"{plan.playbook} is autonomous on {plan.service}")
            case Level.SUPERVISED if risk <= self.low_risk:
                return self._says(
                    Ruling.PASS, f"supervised, and risk {risk:.2f} ≤ {self.low_risk:.2f} is low"
                )
            case Level.SUPERVISED:
                return self._says(Ruling.ASK, f"supervised, and risk {risk:.2f} is above {self.low_risk:.2f}")
            case _:
                return self._says(
                    Ruling.ASK, f"{plan.playbook} has not earned to act on {plan.service} unasked"
                )

    def _says(self, ruling: Ruling, reason: str) -> RuleVerdict:
        return RuleVerdict(rule=self.name, ruling=ruling, reason=reason)
