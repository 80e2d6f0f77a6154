"""What the words of people make of the gate's verdicts: an approval answers who asked, a broken glass lifts refusals."""

from collections.abc import Sequence
from dataclasses import replace

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.asking import AskingPolicy
from penelope.domain.break_glass import BreakGlass
from penelope.domain.gate import GateVerdict, RuleVerdict, Ruling
from penelope.domain.incident import Incident
from penelope.domain.plan import Plan
from penelope.flow.ports import Transaction
from penelope.kit.codec import from_data
from penelope.rooms.gate.approval import NAME, doubt_of
from penelope.rooms.gate.rules import Request, Rule
from penelope.rooms.gate.run import gate


async def glass_for(transaction: Transaction, incident: Incident, plan: Plan | None) -> BreakGlass | None:
    """The glass that was broken for what this plan does, if it was broken a moment ago."""
    if incident.glass is None or plan is None:
        return None
    unit = await transaction.unit(incident.glass)
    glass = None if unit is None else from_data(BreakGlass, unit.attributes)
    return glass if glass is not None and glass.covers(plan, transaction.now()) else None


def judged(
    request: Request, rules: Sequence[Rule], glass: BreakGlass | None, asking: AskingPolicy
) -> GateVerdict:
    """The gate's verdict; `asking` says how long an approval stays good, and whose word it needs."""
    if glass is not None:
        # Every rule is asked, also behind one that refuses: history shall tell all that was overridden.
        each = [gate(request, (rule,)).verdicts[0] for rule in rules]
        return GateVerdict(verdicts=tuple(_lifted(item, glass) for item in each))
    verdict = gate(request, rules)
    if verdict.ruling is not Ruling.ASK:
        return verdict
    approval = _standing(request, asking)
    if approval is None:
        return verdict
    return GateVerdict(verdicts=tuple(_answered(item, approval) for item in verdict.verdicts))


def _lifted(verdict: RuleVerdict, glass: BreakGlass) -> RuleVerdict:
    if verdict.ruling is Ruling.PASS or verdict.final:
        return verdict
    return replace(
        verdict, ruling=Ruling.PASS, reason=f"{verdict.reason}; overridden: {glass.actor} broke the glass"
    )


def _standing(request: Request, asking: AskingPolicy) -> Approval | None:
    """The approval of this very plan that is good now."""
    return next(
        (
            item
            for item in reversed(request.approvals)
            if item.plan_digest == request.plan.digest
            and item.status is ApprovalStatus.APPROVED
            and not doubt_of(item, request, asking)
        ),
        None,
    )


def _answered(verdict: RuleVerdict, approval: Approval) -> RuleVerdict:
    """A rule that asked is content with an approval that was asked for on its behalf, too.

    The approval rule itself has looked at it, and knows why it asks all the same.
    """
    asked = any(reason.startswith(f"{verdict.rule}: ") for reason in approval.reasons)
    if verdict.ruling is not Ruling.ASK or verdict.rule == NAME or not asked:
        return verdict
    by = " and ".join(approval.approvers)
    return replace(verdict, ruling=Ruling.PASS, reason=f"{verdict.reason}; {by} approved this plan")
