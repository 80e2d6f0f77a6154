"""Looks through everything that a plan would do for what no plan should do."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.plan import Plan, Playbook
from penelope.kit.canonical import Json
from penelope.rooms.gate.ports import Danger, Finding, Scanner
from penelope.rooms.gate.rules import Request

_MOST_TOLD = 5
"""Findings that a verdict tells; it counts all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerRule:
    """Refuses what is critical; warnings are told and, with `ask_on_warning`, want the word of a person."""

    scanner: Scanner
    ask_on_warning: bool
    # A playbook is read once and stays as it is, so that one look at it is enough.
    _seen: dict[int, tuple[Playbook, Sequence[Finding]]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return "scanner"

    def check(self, request: Request) -> RuleVerdict:
        found = [*self.scanner.scan(values_of(request.plan)), *self._of_playbook(request.playbook)]
        found = list(dict.fromkeys(sorted(found, key=lambda item: _ORDER[item.danger])))
        if not found:
            return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason="nothing was found")
        told = "; ".join(map(str, found[:_MOST_TOLD]))
        reason = told if len(found) <= _MOST_TOLD else f"{told}; and {len(found) - _MOST_TOLD} more"
        ruling = self._ruling(found[0].danger)
        return RuleVerdict(
            rule=self.name, ruling=ruling, reason=reason, noted=found[0].danger is Danger.WARNING
        )

    def _ruling(self, worst: Danger) -> Ruling:
        if worst is Danger.CRITICAL:
            return Ruling.REFUSE
        return Ruling.ASK if worst is Danger.WARNING and self.ask_on_warning else Ruling.PASS

    def _of_playbook(self, playbook: Playbook) -> Sequence[Finding]:
        known = self._seen.get(id(playbook))
        if known is None or known[0] is not playbook:
            known = (playbook, self.scanner.scan(values_of_playbook(playbook)))
            self._seen[id(playbook)] = known
        return known[1]


_ORDER = {Danger.CRITICAL: 0, Danger.WARNING: 1, Danger.INFO: 2}


def values_of(plan: Plan) -> dict[str, Json]:
    """Everything of a plan that reaches its targets, by place; numbered, for names may stand there twice."""
    return {
        f"{number}. {action.name} ({action.adapter}.{action.operation})": dict(action.params)
        for number, action in enumerate(plan.every_action, start=1)
    }


def values_of_playbook(playbook: Playbook) -> dict[str, Json]:
    """Everything that a playbook may put into a plan, by place."""
    values: dict[str, Json] = {}
    for number, step in enumerate(playbook.every_step, start=1):
        values[f"{number}. {step.name} ({step.adapter}.{step.operation})"] = dict(step.params)
        if (back := step.rollback) is not None:
            values[f"{number}. rollback of {step.name} ({back.adapter}.{back.operation})"] = dict(back.params)
    for item in playbook.parameters:
        if item.default is not None:
            values[f"parameter {item.name}"] = item.default
        if item.choices:
            values[f"choices of {item.name}"] = list(item.choices)
    return values
