"""Lets a plan through, refuses it, or asks a person."""

from penelope.domain.gate import GateVerdict, RuleVerdict, Ruling
from penelope.rooms.gate.approval import ApprovalRule
from penelope.rooms.gate.halt import Halt
from penelope.rooms.gate.rate import Rate
from penelope.rooms.gate.rules import Limits, Request, Rule

RULES: tuple[Rule, ...] = (Halt(), Rate(), ApprovalRule())
"""In the order in which they speak; the first refusal ends it."""


def gate(request: Request, limits: Limits) -> GateVerdict:
    """The verdicts up to the first refusal, or of all rules."""
    verdicts: list[RuleVerdict] = []
    for rule in RULES:
        verdicts.append(rule.check(request, limits))
        if verdicts[-1].ruling is Ruling.REFUSE:
            break
    return GateVerdict(verdicts=tuple(verdicts))
