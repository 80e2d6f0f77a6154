"""Is there precedent? The probability that the plan will be verified, pooled from what its like came to.

Beta beliefs, one level inside the other, each level's mean being the prior of the next: where a level has few uses
it keeps near the one before, where it has many they speak for themselves. That is partial pooling: A. Gelman et al.,
Bayesian Data Analysis (3rd ed. 2013), chapter 5; B. Efron and C. Morris, JASA 70 (1975), 311-319. The strength of
each prior is fixed, so that a figure can be worked out by hand. A use counts at its narrowest level only.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from penelope.domain.decision import Score, Steps, score
from penelope.domain.evidence import Evidence
from penelope.domain.interval import wilson
from penelope.domain.likeness import Likeness
from penelope.domain.precedent import Stratum, Tally
from penelope.domain.surroundings import is_context
from penelope.rooms.decide.facts import Facts

STRENGTH = 6.0
"""For how many uses a prior stands: two failures at once do not take a confirmed signal's first belief below 0.5."""

PRIOR = {Stratum.CONFIRMED: 0.7, Stratum.UNSEEN: 0.55, Stratum.CONTRADICTED: 0.3}
"""The belief in a playbook of which nothing is known, in pseudo-counts of STRENGTH: 4.2 of 6 for a signal that the
service's own figures confirm. Outcomes outweigh these soon."""

_UNSEEN_COSTS = 0.15
"""The share of that first belief which goes where no evidence at all could be seen."""

_MOST_IMPORTED, _MOST_SIMILAR = 3.0, 2.0
"""Uses that imported cases, and similar ones, count for at most: what nobody lived through here cannot outweigh what
somebody did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """What was counted at a level, beyond the levels inside it."""

    name: str
    successes: float
    failures: float
    reason: str


def confidence(facts: Facts, stratum: Stratum) -> Score:
    """0 … 1, with the 95 % interval. Without a plan nothing can be verified, and it is 0."""
    if facts.candidate is None:
        return score()
    steps = Steps()
    mean = PRIOR[stratum]
    steps.to(mean, stratum.value, _PRIOR_IN_WORDS[stratum])
    # What the platform knows besides makes no figure of the service truer: it may take from the belief, never add to it.
    own = tuple(item for item in facts.evidence if not is_context(item))
    seen = min(coverage(facts.evidence), coverage(own))
    mean *= 1 - _UNSEEN_COSTS * (1 - seen)
    known = sum(1 for item in facts.evidence if item.known)
    steps.to(mean, "evidence", f"{known} of {len(facts.evidence)} pieces of evidence could be seen")
    for level in _levels(facts):
        uses = level.successes + level.failures
        if uses:
            mean = (STRENGTH * mean + level.successes) / (STRENGTH + uses)
            steps.to(mean, level.name, level.reason)
    made, size = steps.score(), STRENGTH + facts.tallies.service.uses
    return Score(value=made.value, contributions=made.contributions, interval=wilson(made.value, size))


_PRIOR_IN_WORDS = {
    Stratum.CONFIRMED: "the service misses an objective, as the signal says",
    Stratum.UNSEEN: "no objective could be seen",
    Stratum.CONTRADICTED: "the service meets all its objectives",
}


def coverage(evidence: tuple[Evidence, ...]) -> float:
    """The mean confidence of all that was asked; 0 where nothing was."""
    if not evidence:
        return 0.0
    total = 0.0
    for item in evidence:
        total += min(1.0, max(0.0, item.confidence))
    return total / len(evidence)


def _levels(facts: Facts) -> Iterator[_Level]:
    counted, plan = facts.tallies, facts.candidate
    name = "" if plan is None else plan.playbook
    yield _imported(counted.imported, facts.similar)
    yield _beyond("all playbooks", counted.everything, counted.playbook, "other playbooks")
    yield _beyond("playbook", counted.playbook, counted.alike, f"{name} on other services")
    yield _beyond(
        "alike services", counted.alike, counted.service, f"{name} on services with the same traits"
    )
    yield _beyond("this service", counted.service, Tally(), f"{name} on {facts.service}")
    yield _resembling(facts.similar)


def _imported(whole: Tally, similar: tuple[Likeness, ...]) -> _Level:
    """Without those that resemble the incident, which count among the similar ones: as far as these are in no tally of
    what was lived through, they were imported.
    """
    helped = [item.verified for item in similar if not item.counted]
    successes = max(0, whole.successes - helped.count(True))
    failures = max(0, whole.failures - helped.count(False))
    return _scaled("imported", successes, failures, _MOST_IMPORTED, "imported cases")


def _beyond(name: str, whole: Tally, inside: Tally, what: str) -> _Level:
    """What a level has more than the one inside it, which may lie outside of it since a service's traits changed."""
    successes = max(0, whole.successes - inside.successes)
    failures = max(0, whole.failures - inside.failures)
    return _Level(
        name=name,
        successes=successes,
        failures=failures,
        reason=f"{what}: verified {successes} of {successes + failures} times",
    )


def _scaled(name: str, successes: float, failures: float, most: float, what: str) -> _Level:
    uses = successes + failures
    weight = min(1.0, most / uses) if uses > 0 else 0.0
    reason = f"{what}: {successes:g} of {uses:g} went well, weighed as {uses * weight:g} uses"
    return _Level(name=name, successes=successes * weight, failures=failures * weight, reason=reason)


def _resembling(similar: tuple[Likeness, ...]) -> _Level:
    successes = failures = 0.0
    for item in similar:
        if item.counted:
            continue
        weight = min(1.0, max(0.0, item.similarity))
        if item.verified is True:
            successes += weight
        elif item.verified is False:
            failures += weight
    return _scaled("similar cases", round(successes, 6), round(failures, 6), _MOST_SIMILAR, "similar cases")
