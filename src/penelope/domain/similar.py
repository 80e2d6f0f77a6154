"""Past cases that are like an incident, and what a decision keeps of them."""

from dataclasses import dataclass

from penelope.domain.precedent import PastCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """A past case that is like an incident: how much (0…1), by what, and whether it speaks for the plan at hand.

    `by` holds `fingerprint`, `name`, `labels`, `meaning` or `keywords`. `agrees` is None where the case says
    nothing about the plan.
    """

    past: PastCase
    similarity: float
    by: tuple[str, ...]
    agrees: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LeanedOn:
    """What a decision keeps of a similar case: the case's own figures can be looked up by its `incident`."""

    incident: str
    similarity: float
    by: tuple[str, ...]
    agrees: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A past case that a search by words and meaning found; `likeness` is 0…1, `by` as with Similar."""

    incident: str
    likeness: float
    by: tuple[str, ...]


def leanings(similar: tuple[Similar, ...]) -> tuple[LeanedOn, ...]:
    return tuple(
        LeanedOn(incident=item.past.incident, similarity=item.similarity, by=item.by, agrees=item.agrees)
        for item in similar
    )
