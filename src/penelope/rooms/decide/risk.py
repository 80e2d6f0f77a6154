"""Could acting do more harm than the incident? What each would harm, on one scale, as sums of named parts."""

from penelope.domain.decision import Score, Steps, score
from penelope.domain.signal import Severity
from penelope.domain.surroundings import reach_unknown
from penelope.rooms.decide.facts import Candidate, Facts
from penelope.rooms.decide.objectives import Held, burn

_STAYS = {1: 0.02, 2: 0.1, 3: 0.5, 4: 1.0}
"""By a step's tier: how much of its harm would stay, could it not be taken back in time."""

_CRITICALITY = {1: 1.0, 2: 0.8, 3: 0.6, 4: 0.4}
"""By the service's tier."""

_OWN_SHARE, _PER_DEPENDENT = 0.8, 0.8
"""Of all that could be hurt 80 % is the service itself; of what then is left, each service more takes a fifth."""

_LEAST_BURN = {Severity.INFO: 0.2, Severity.WARNING: 1.0, Severity.ERROR: 2.0, Severity.CRITICAL: 4.0}
"""What a signal is believed to burn, whatever could be measured: who raised it had a reason."""

_HALF_BURN = 4.0
"""The burn rate at which an incident does half of the harm that one could do: a budget of 30 days is gone in 7."""


def risk(facts: Facts) -> Score:
    """What acting would harm if it went wrong, from 0 to 1: irreversibility x reach x criticality.

    Each factor is listed by how much it changed the product. Without a plan there is nothing to risk.
    """
    plan = facts.candidate
    if plan is None:
        return score()
    steps = Steps()
    harm = _irreversibility(plan.tiers)
    steps.to(
        harm, "irreversibility", f"{len(plan.tiers)} steps, the hardest of tier {max(plan.tiers, default=1)}"
    )
    harm *= _plan_reach(facts, plan)
    steps.to(harm, "reach", _reach_in_words(facts, plan))
    harm *= criticality(facts)
    steps.to(harm, "criticality", f"{facts.service} is a tier {facts.tier} service")
    return steps.score()


def cost(facts: Facts, objectives: tuple[Held, ...]) -> Score:
    """What the incident harms while it lasts, from 0 to 1: burn of the error budget x reach x criticality."""
    steps = Steps()
    rate = burn_rate(facts, objectives)
    harm = rate / (rate + _HALF_BURN)
    steps.to(harm, "burn", _burn_in_words(facts, objectives, rate))
    harm *= reach(facts, 1.0, 0)
    steps.to(harm, "reach", f"the whole service, and {_services(facts.dependents)} behind it")
    harm *= criticality(facts)
    steps.to(harm, "criticality", f"{facts.service} is a tier {facts.tier} service")
    return steps.score()


def burn_rate(facts: Facts, objectives: tuple[Held, ...]) -> float:
    """How many times faster than it may the error budget is used up; at least what the severity stands for."""
    return max(_LEAST_BURN[facts.severity], burn(objectives) or 0.0)


def reach(facts: Facts, share: float, strangers: int) -> float:
    """How much of what could be hurt is: a share of the service, other services touched, and all that lean on it."""
    spared = 1 - _OWN_SHARE * min(1.0, max(0.0, share))
    return 1 - spared * _PER_DEPENDENT ** (max(0, facts.dependents) + max(0, strangers))


def _plan_reach(facts: Facts, plan: Candidate) -> float:
    """All there is where it was asked what leans on the service and nobody could say: that is not nothing."""
    if reach_unknown(facts.evidence):
        return 1.0
    return reach(facts, plan.touched / plan.targets, plan.strangers)


def criticality(facts: Facts) -> float:
    """A tier that the catalogue does not know counts as the most critical."""
    return _CRITICALITY.get(facts.tier, 1.0)


def _irreversibility(tiers: tuple[int, ...]) -> float:
    """The chance that some step's harm stays, were they independent: a step more never lowers it."""
    undone = 1.0
    for tier in tiers:
        undone *= 1 - _STAYS.get(tier, 1.0)
    return 1 - undone


def _reach_in_words(facts: Facts, plan: Candidate) -> str:
    touched = f"{plan.touched} of {plan.targets} targets"
    others = f", {_services(plan.strangers)} besides" if plan.strangers else ""
    if reach_unknown(facts.evidence):
        return f"{touched}{others}; what is behind could not be seen and counts as everything"
    return f"{touched}{others}, and {_services(facts.dependents)} behind"


def _services(number: int) -> str:
    return "1 service" if number == 1 else f"{number} services"


def _burn_in_words(facts: Facts, objectives: tuple[Held, ...], rate: float) -> str:
    measured = burn(objectives)
    if measured is None:
        return f"no objective was seen; {facts.severity} stands for {rate:g} times what is allowed"
    if measured < rate:
        return f"measured {measured:.3g} times what is allowed; {facts.severity} stands for {rate:g}"
    return f"{measured:.3g} times what the objectives allow"
