"""What could go wrong if we act, as a sum of named parts."""

from penelope.domain.action import Tier
from penelope.domain.decision import Contribution, Score, score
from penelope.rooms.decide.case import Case

_BY_TIER = {Tier.LOCAL: 0.05, Tier.SNAPSHOT: 0.2, Tier.HARD_TO_REVERSE: 0.5, Tier.IRREVERSIBLE: 0.8}
_BY_CRITICALITY = {1: 0.2, 2: 0.1, 3: 0.05}
_A_DEPENDENT, _MOST_FOR_DEPENDENTS = 0.05, 0.2
_A_FAILURE, _MOST_FOR_FAILURES = 0.1, 0.3
_UNPROVEN = 0.05


def risk(case: Case) -> Score:
    """0 (nothing can go wrong) … 1. Without a plan there is nothing to risk."""
    if case.plan is None:
        return score()
    return score(_reversibility(case.plan.tier), *_reach(case), *_past(case))


def _reversibility(tier: Tier) -> Contribution:
    name = tier.name.lower().replace("_", " ")
    return Contribution(
        name="reversibility", value=_BY_TIER[tier], reason=f"the hardest step is tier {tier}, {name}"
    )


def _reach(case: Case) -> list[Contribution]:
    parts: list[Contribution] = []
    if criticality := _BY_CRITICALITY.get(case.service.tier, 0.0):
        reason = f"{case.service.name} is a tier {case.service.tier} service"
        parts.append(Contribution(name="criticality", value=criticality, reason=reason))
    if case.dependents:
        value = min(_MOST_FOR_DEPENDENTS, _A_DEPENDENT * case.dependents)
        parts.append(
            Contribution(name="dependents", value=value, reason=f"{case.dependents} services lean on it")
        )
    return parts


def _past(case: Case) -> list[Contribution]:
    record = case.record
    if record is None or not record.successes + record.failures:
        return [
            Contribution(
                name="unproven", value=_UNPROVEN, reason="the playbook was never used on this service"
            )
        ]
    if not record.failures:
        return []
    value = min(_MOST_FOR_FAILURES, _A_FAILURE * record.failures)
    uses = record.successes + record.failures
    return [
        Contribution(name="failures", value=value, reason=f"it failed {record.failures} of {uses} times here")
    ]
