"""What the service's own objectives say of a signal. Figures that no metric can have count as not seen."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import isfinite

from penelope.domain.evidence import Evidence
from penelope.domain.precedent import Stratum
from penelope.kit.canonical import Json

MOST_BURN = 1000.0
"""More is not told apart: an objective of 0.1 % that everything misses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One objective beside what was measured. `burn` is the multiple of what it allows: 1 uses an error budget up
    exactly by the end of its period (Google, The Site Reliability Workbook, chapter 5).
    """

    name: str
    burn: float
    met: bool


def held(evidence: Iterable[Evidence]) -> tuple[Held, ...]:
    """The objectives that could be seen."""
    return tuple(_held(evidence))


def stratum(evidence: Iterable[Evidence]) -> Stratum:
    """One objective that is missed bears the signal out."""
    found = held(evidence)
    if not found:
        return Stratum.UNSEEN
    return Stratum.CONTRADICTED if all(item.met for item in found) else Stratum.CONFIRMED


def burn(objectives: Iterable[Held]) -> float | None:
    """That of the objective that suffers most; None where none was seen."""
    return max((item.burn for item in objectives), default=None)


def _held(evidence: Iterable[Evidence]) -> Iterator[Held]:
    for item in evidence:
        if not item.concept.startswith("slo.") or not isinstance(item.value, dict):
            continue
        actual, allowed = figure(item.value.get("actual")), figure(item.value.get("objective"))
        if actual is None or allowed is None:
            continue
        yield Held(name=item.concept.removeprefix("slo."), burn=_burn(actual, allowed), met=actual <= allowed)


def _burn(actual: float, allowed: float) -> float:
    if actual <= 0:
        return 0.0
    if allowed <= 0:
        return MOST_BURN
    return min(MOST_BURN, actual / allowed)


def figure(value: Json) -> float | None:
    """A finite number; None for everything else, be it true, text, beyond all floats or not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None
