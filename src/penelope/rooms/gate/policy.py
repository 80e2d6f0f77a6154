"""Holds the plan against the operators' own expressions and the organisation's policies."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.errors import PolicyFailed
from penelope.rooms.gate.facts import Facts, facts, redacted, too_large
from penelope.rooms.gate.ports import Objection, Policies
from penelope.rooms.gate.rules import Request

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """Refuses or asks as policies say; `name` is ``policy`` for expressions and ``rego`` for the organisation's.

    A policy that cannot be judged refuses, and the shadow log keeps its name with the redacted facts.
    """

    name: str
    policies: Policies

    def check(self, request: Request) -> RuleVerdict:
        if not len(self.policies):
            return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason="no policies are configured")
        given = facts(request)
        found = [self._too_large()] if too_large(given) else self.policies.objections(given)
        for item in found:
            if item.broken:
                _tell(item, given)
        if any(item.ruling is Ruling.REFUSE for item in found):
            return self._verdict(Ruling.REFUSE, [item for item in found if item.ruling is Ruling.REFUSE])
        if not found:
            reason = f"nothing in {len(self.policies)} policies speaks against it"
            return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason=reason)
        return self._verdict(Ruling.ASK, found)

    def _too_large(self) -> Objection:
        message = "the plan or its incident is larger than policies were measured with, so it denies"
        return Objection(policy=self.name, ruling=Ruling.REFUSE, message=message, broken="too large")

    def _verdict(self, ruling: Ruling, found: Sequence[Objection]) -> RuleVerdict:
        reason = "; ".join(f"{item.policy}: {item.message}" for item in found)
        return RuleVerdict(rule=self.name, ruling=ruling, reason=reason)


def _tell(item: Objection, given: Facts) -> None:
    error = PolicyFailed(f"{item.policy}: {item.broken}", inputs=redacted(given))
    _log.error("the policy %s could not be judged, so it denies", item.policy, exc_info=error)
