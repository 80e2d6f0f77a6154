"""Stops healing that does not help, and all healing that a person has halted."""

from collections.abc import Sequence
from dataclasses import dataclass

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.halt import Scope, ScopeKind, scopes_of
from penelope.domain.plan import Plan
from penelope.rooms.gate.rules import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Asks the breakers of the plan's service, its playbook, its cause and the fleet.

    It refuses where it cannot tell which breakers those are, or how one of them stands: a guard that passes what it
    cannot see guards nothing. Break-glass lifts neither that nor the fleet's halt.
    """

    @property
    def name(self) -> str:
        return "halt"

    def check(self, request: Request) -> RuleVerdict:
        if gap := _gap(request.plan):
            return self._refusal(f"{gap}, so that nobody could halt it", final=True)
        try:
            scopes = scopes_of(request.plan.service, request.plan.playbook, request.incident.fingerprint)
        except ValueError as error:
            return self._refusal(f"{error}, so that nobody could halt it", final=True)
        return self._judged(request, scopes)

    def _judged(self, request: Request, scopes: Sequence[Scope]) -> RuleVerdict:
        failures = 0
        for scope in scopes:
            breaker = None if request.breakers is None else request.breakers.get(scope)
            if breaker is None:
                return self._refusal(f"the breaker of {scope.label} cannot be read", final=True)
            if objection := breaker.objection(request.incident.id, request.now):
                return self._refusal(objection, final=scope.kind is ScopeKind.FLEET)
            failures = max(failures, len(breaker.failures))
        reason = f"no breaker is open; at most {failures} recent failures count"
        return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=reason)

    def _refusal(self, reason: str, *, final: bool = False) -> RuleVerdict:
        return RuleVerdict(rule=self.name, ruling=Ruling.REFUSE, reason=reason, final=final)


def _gap(plan: Plan) -> str:
    """What a plan lacks by which it could be told from others; empty where it lacks nothing."""
    if not plan.id.strip() or not plan.digest.strip():
        return "the plan has no identity"
    if not plan.actions:
        return "the plan does nothing"
    for action in plan.actions:
        if not action.target.name.strip():
            return f"action {action.name!r} has no target"
        if not action.key.strip():
            return f"action {action.name!r} has no key"
    return ""
