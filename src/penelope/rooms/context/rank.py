"""Puts the definitions that may be meant in order."""

from collections.abc import Iterable, Mapping, Sequence

from penelope.domain.concept import Candidate
from penelope.domain.passage import Passage
from penelope.rooms.context.candidates import Match, defined, documents, features
from penelope.rooms.context.parse import Reading
from penelope.rooms.context.registry import Registry

IMPORTANCE: Mapping[str, float] = {
    "named": 0.40,
    "explained": 0.30,
    "strange": -0.05,
    "fits": 0.10,
    "binds": 0.15,
    "standing": 0.10,
    "near": 0.05,
}
"""What a feature adds to a score. Standing and nearness weigh more than what is too close to say, so that they break ties;
what was said weighs more than both.
"""

FULL_LEAD = 0.2
"""A lead in score beyond which more makes no difference."""


def rank(
    reading: Reading,
    registry: Registry,
    *,
    region: str = "",
    passages: Sequence[Passage] = (),
) -> tuple[Candidate, ...]:
    """What may be meant, the best first."""
    return with_documents(weighed(reading, registry, region), reading, registry, region, passages)


def weighed(reading: Reading, registry: Registry, region: str) -> tuple[Candidate, ...]:
    """The definitions that may be meant, in no order: what can be known before the documents were searched."""
    return _weighed(defined(reading, registry), reading, registry, region)


def with_documents(
    weighed: tuple[Candidate, ...],
    reading: Reading,
    registry: Registry,
    region: str,
    passages: Sequence[Passage],
) -> tuple[Candidate, ...]:
    """Definitions and documents, the best first; of equals by name, so that the same question has the same answer."""
    found = _weighed(documents(reading, registry, passages), reading, registry, region)
    return tuple(sorted((*weighed, *found), key=lambda item: (-item.score, item.definition.name)))


def _weighed(
    matches: Iterable[Match], reading: Reading, registry: Registry, region: str
) -> tuple[Candidate, ...]:
    found = []
    for match in matches:
        scores = features(match, reading, registry, region)
        score = sum(weight * scores[name] for name, weight in IMPORTANCE.items())
        found.append(Candidate(definition=match.definition, score=score, scores=scores))
    return tuple(found)


def lead(ranked: Sequence[Candidate]) -> float:
    """How far the first is before the second, 0…1."""
    if len(ranked) < 2:
        return 1.0
    return min(1.0, (ranked[0].score - ranked[1].score) / FULL_LEAD)
