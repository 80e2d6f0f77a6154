"""Does the canary get the share of requests that was planned? The sample-ratio test, valid at each look.

Given all requests of a look, those of the canary are Binomial(n, planned share) where the router draws lots, and vary less
where it takes turns. The test is a mixture martingale (Robbins 1970; Lindon and Malek, "Anytime-valid inference for
multinomial count data", NeurIPS 2022): the canary's share gets a prior, Beta(1, 1), and the Bayes factor against
the planned share is a nonnegative martingale with mean 1 under it. By Ville's inequality it reaches 1/alpha at any
look at all with a probability of at most alpha, however often and for however long one looks.

With very many requests the test finds differences that matter to nobody, such as half a request a scrape that two counters
are apart. So a share is only called wrong where it also differs from the plan by more than `tolerance`.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

_REFUTED = 1e6  # finite, so that a record can be written down


class Share(StrEnum):
    """What is known of the share: too little against the plan, or enough."""

    AS_PLANNED = "as planned"
    NOT_AS_PLANNED = "not as planned"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRecord:
    """The requests since the weight was set, and the highest evidence against the plan so far (natural logarithm)."""

    planned: float
    canary: int = 0
    total: int = 0
    highest: float = 0.0

    @property
    def measured(self) -> float | None:
        """The canary's share of the requests; None while there were none."""
        return self.canary / self.total if self.total else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRule:
    """When a share is wrong: `alpha` is the chance to say so of a good one in a whole step, at any look; `tolerance` is
    the difference, as a share, that does not matter.
    """

    alpha: float = 0.001
    tolerance: float = 0.005
    min_requests: int = 20


def started(weight: int) -> ShareRecord:
    """The record to begin a step with. `weight` is the canary's, in percent. Raises ValueError for one that is none."""
    if not 0 <= weight <= 100:
        raise ValueError("a weight is a percentage")
    return ShareRecord(planned=weight / 100)


def looked(record: ShareRecord, canary: int, control: int) -> ShareRecord:
    """The record after a look with so many requests of each arm. Raises ValueError for counts that are none.

    Leave out the requests that were under way when the weight changed: begin with the first look after it was read back.
    """
    if canary < 0 or control < 0:
        raise ValueError("a count is negative")
    canary, total = record.canary + canary, record.total + canary + control
    evidence = log_evidence(canary, total, record.planned)
    return ShareRecord(
        planned=record.planned, canary=canary, total=total, highest=max(record.highest, evidence)
    )


def judged(record: ShareRecord, rule: ShareRule) -> Share:
    """Whether the share is as planned. One that once was wrong beyond chance is so for as long as it still differs."""
    if record.measured is None or record.total < rule.min_requests:
        return Share.UNKNOWN
    beyond_chance = record.highest >= -math.log(rule.alpha)
    matters = abs(record.measured - record.planned) > rule.tolerance
    return Share.NOT_AS_PLANNED if beyond_chance and matters else Share.AS_PLANNED


def log_evidence(canary: int, total: int, planned: float) -> float:
    """The logarithm of the Bayes factor of any share against the planned one, for `canary` of `total` requests.

    A plan of 0 or 1 is refuted by a single request that goes elsewhere: a figure beyond any `alpha`.
    """
    control = total - canary
    if (planned <= 0 and canary) or (planned >= 1 and control):
        return _REFUTED
    # The integral of s^canary (1 - s)^control over the prior is the beta function.
    any_share = math.lgamma(canary + 1) + math.lgamma(control + 1) - math.lgamma(total + 2)
    as_planned = (canary * math.log(planned) if canary else 0.0) + (
        control * math.log1p(-planned) if control else 0.0
    )
    return any_share - as_planned


def explained(record: ShareRecord, rule: ShareRule) -> str:
    """One sentence for people."""
    if record.measured is None:
        return f"no requests yet at a planned share of {record.planned:.2%}"
    return (
        f"the canary got {record.measured:.2%} of {record.total} requests, planned are {record.planned:.2%}: "
        f"{judged(record, rule).value}"
    )
