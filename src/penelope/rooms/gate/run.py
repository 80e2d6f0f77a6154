"""Lets a plan through, refuses it, or asks a person."""

import logging
from collections.abc import Sequence

from penelope.domain.gate import GateVerdict, RuleVerdict, Ruling
from penelope.rooms.gate.rules import Request, Rule

_log = logging.getLogger(__name__)


def gate(request: Request, rules: Sequence[Rule]) -> GateVerdict:
    """The verdicts in order, up to the first refusal or of all rules."""
    verdicts: list[RuleVerdict] = []
    for rule in rules:
        verdicts.append(_checked(rule, request))
        if verdicts[-1].ruling is Ruling.REFUSE:
            break
    return GateVerdict(verdicts=tuple(verdicts))


def _checked(rule: Rule, request: Request) -> RuleVerdict:
    """A rule that breaks refuses: what could not be checked is not let through."""
    try:
        return _verdict(rule.check(request))
    except Exception as error:  # noqa: BLE001 - whatever it raises, it has not let the plan through
        # The rule's name stands for its expression; what it was asked about stays out of the log.
        _log.exception("the rule %s broke", rule.name)
        reason = f"the rule broke ({type(error).__name__}), so it refuses"
        return RuleVerdict(rule=rule.name, ruling=Ruling.REFUSE, reason=reason)


def _verdict(answer: object) -> RuleVerdict:
    if not isinstance(answer, RuleVerdict) or not isinstance(answer.ruling, Ruling):
        raise TypeError(f"{type(answer).__name__} is no verdict")
    return answer
