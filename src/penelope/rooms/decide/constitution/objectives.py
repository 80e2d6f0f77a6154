"""What the evidence says about a service's objectives."""

from dataclasses import dataclass

from penelope.domain.evidence import Dossier

_MOST = 1e6
"""An objective of 0 that is missed burns without bound; figures must stay finite to be stored."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """How many objectives could be seen, how many are missed, and how fast the worst of them burns.

    A `burn` of 1 is the most that the objective allows, 2 twice that (Site Reliability Workbook, chapter 5).
    """

    known: int
    missed: int
    burn: float


def objectives(dossier: Dossier) -> Objectives:
    known, missed, burn = 0, 0, 0.0
    for item in dossier.evidence:
        if not item.concept.startswith("slo.") or not item.known or item.value.get("met") is None:
            continue
        known += 1
        missed += not item.value["met"]
        allowed, actual = float(item.value["objective"]), float(item.value["actual"])
        burn = max(burn, min(_MOST, actual / allowed) if allowed > 0 else _MOST * (actual > 0))
    return Objectives(known, missed, burn)


def share_failing(dossier: Dossier) -> float:
    """The share of requests that fail now, 0…1; where only a missed objective tells of harm, all of them."""
    value = dossier.value("metric.error_ratio")
    if isinstance(value, int | float) and not isinstance(value, bool):
        failing = min(1.0, max(0.0, float(value)))
        if failing:
            return failing
    return 1.0 if objectives(dossier).missed else 0.0
