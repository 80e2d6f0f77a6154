"""The definitions that a concept may mean, each with what speaks for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from penelope.domain.concept import Asking, Definition, DefinitionKind, Parsed
from penelope.domain.passage import Passage
from penelope.rooms.context.parse import Reading, Span
from penelope.rooms.context.registry import Registry, Shared, Sharing, stems_of

_LEAST_SHARE = 0.3
"""Of a name so much must be said, by the weight of its words, to be thought of."""

_WHOLE = 0.9
"""How fully named is by a whole name: only a word that tells next to nothing may be missing."""

_INSIDE = 0.85
"""What a name counts that was only said as a part of a longer name."""

_APART = 0.98
"""What a name counts of which words were said, and not the whole."""

_READ = frozenset({DefinitionKind.RUNBOOK, DefinitionKind.DOCUMENT})
_MOST_CANDIDATES = 50
_MOST_PASSAGES = 20

_FITS: Mapping[Asking, Mapping[DefinitionKind, float]] = {
    Asking.FIGURE: {
        DefinitionKind.METRIC: 1.0,
        DefinitionKind.SEGMENT: 0.5,
        DefinitionKind.SERVICE: 0.6,
        DefinitionKind.DATASET: 0.6,
    },
    Asking.MEANING: {
        DefinitionKind.METRIC: 1.0,
        DefinitionKind.DIMENSION: 1.0,
        DefinitionKind.SEGMENT: 1.0,
        DefinitionKind.DATASET: 1.0,
    },
    Asking.RELATION: {
        DefinitionKind.SERVICE: 1.0,
        DefinitionKind.METRIC: 0.9,
        DefinitionKind.DATASET: 0.9,
        DefinitionKind.DASHBOARD: 0.9,
        DefinitionKind.TEAM: 0.7,
    },
    Asking.TEXT: {
        DefinitionKind.RUNBOOK: 1.0,
        DefinitionKind.DOCUMENT: 1.0,
        DefinitionKind.SERVICE: 0.6,
    },
}
_FITS_LITTLE = 0.4


@dataclass(frozen=True, slots=True)
class Match:
    """A definition, how fully it was named (0…1), and the places of the words that name it."""

    definition: Definition
    named: float
    places: frozenset[int]


def defined(reading: Reading, registry: Registry) -> tuple[Match, ...]:
    """Every definition that is named in full or in part."""
    found: dict[str, Match] = {}
    for span in reading.spans:
        if span not in reading.grouped:
            for naming in span.namings:
                _keep(found, registry, naming.name, naming.weight, frozenset(span.places))
    _in_part(found, reading, registry)
    ordered = sorted(found.values(), key=lambda match: (-match.named, match.definition.name))
    return tuple(ordered[:_MOST_CANDIDATES])


def _in_part(found: dict[str, Match], reading: Reading, registry: Registry) -> None:
    """Only those that can come among the first are made matches of: a common word leads to hundreds."""
    sharing = registry.sharing(
        tuple(dict.fromkeys(reading.stems[at] for at in reading.content)), _LEAST_SHARE
    )
    all_named = _counts(sharing, reading) * sharing.shares * sharing.weights
    best: dict[str, tuple[float, Shared]] = {}
    last = 0.0
    for place in np.argsort(-all_named, kind="stable").tolist():
        named = float(all_named[place])
        if len(best) >= _MOST_CANDIDATES and named < last:
            break
        item = sharing.shared[sharing.numbers[place]]
        name = item.naming.name
        if name not in best and _named(found, name) < named:
            best[name] = (named, item)
            last = named
    for less, name in nsmallest(_MOST_CANDIDATES, ((-named, name) for name, (named, _) in best.items())):
        _keep(found, registry, name, -less, _places(reading, best[name][1].telling))


def _counts(sharing: Sharing, reading: Reading) -> NDArray[np.float64]:
    """What a name counts of which only words were said, by which of them.

    Words of a name that stand apart name it a little less than the name itself, and least those that stand in a longer name:
    the volume in "refund volume" is not the one of what was sold.
    """
    longer = [
        frozenset(span.places) for span in reading.spans if span.namings and span not in reading.grouped
    ]
    # Hundreds of names share the same few words of the question.
    _, firsts, which = np.unique(sharing.held, return_index=True, return_inverse=True)
    counts = []
    for first in firsts.tolist():
        places = _places(reading, sharing.shared[sharing.numbers[first]].telling)
        counts.append(_INSIDE if any(places < whole for whole in longer) else _APART)
    return np.array(counts)[which]


def _places(reading: Reading, telling: Mapping[str, float]) -> frozenset[int]:
    return frozenset(at for at in reading.content if reading.stems[at] in telling)


def _named(found: Mapping[str, Match], name: str) -> float:
    return found[name].named if name in found else 0.0


def _keep(
    found: dict[str, Match], registry: Registry, name: str, named: float, places: frozenset[int]
) -> None:
    definition = registry.get(name)
    before = found.get(name)
    if definition is not None and (before is None or named > before.named):
        found[name] = Match(definition, named, places)


def documents(reading: Reading, registry: Registry, passages: Sequence[Passage]) -> Iterable[Match]:
    """Of the documents that a search has found those whose words the question shares.

    A search by meaning always finds something, and so proves nothing.
    """
    if _is_of_things(reading.parsed):
        return ()
    whole = sum(registry.weight(reading.stems[at]) for at in reading.content)
    best: dict[str, Match] = {}
    for passage in passages[:_MOST_PASSAGES]:
        document = passage.document
        titles = set(stems_of(f"{document.title} {passage.heading}"))
        inside = set(stems_of(passage.text[:4000]))
        places = frozenset(at for at in reading.content if reading.stems[at] in titles | inside)
        named = sum(
            registry.weight(reading.stems[at]) * (1.0 if reading.stems[at] in titles else 0.6)
            for at in places
        )
        made = Definition(
            name=f"document:{document.id}",
            kind=DefinitionKind.RUNBOOK if document.kind == "runbook" else DefinitionKind.DOCUMENT,
            title=document.title,
            owner=document.owner,
            classification=document.classification,
            source=document.source,
        )
        match = Match(made, named / whole if whole else 0.0, places)
        if match.named > 0 and (made.name not in best or best[made.name].named < match.named):
            best[made.name] = match
    return best.values()


def _is_of_things(parsed: Parsed) -> bool:
    """Whether a figure of a period, or a relation, is asked for: no text is an answer to that, however much it shares."""
    shaped = parsed.period or parsed.periodic or parsed.groupings or parsed.top
    return parsed.asking is Asking.RELATION or (parsed.asking is Asking.FIGURE and bool(shaped))


def features(match: Match, reading: Reading, registry: Registry, region: str = "") -> dict[str, float]:
    """What speaks for a definition, each 0…1.

    `named`: how fully its name was said. `whole`: a whole name was said, or it is a text, whose
    title is rarely said in full. `explained`: the share of the question's words, by weight, that it explains.
    `strange`: words of the question that nobody knows, two of which make 1. `typed`: the share of its words that were spelt right.
    `fits`: it is of the kind asked for. `binds`: the share of filters and groupings it can be asked with. `standing`:
    1 certified, 0.5 neither, 0 deprecated. `near`: its owner is of the asker's region.
    """
    definition = match.definition
    bound, unbound = _bound(match, reading, registry)
    places = match.places | {place for span in bound for place in span.places}
    known = registry.words(definition.name) if registry.get(definition.name) else frozenset[str]()
    near = registry.around(definition.cube)
    total = explained = 0.0
    strange = 0
    for at in reading.content:
        stem = reading.stems[at]
        weight = registry.weight(stem)
        total += weight
        if at in places or stem in known or stem in near:
            explained += weight
        elif not registry.knows(stem):
            strange += 1
    return {
        "named": min(1.0, match.named),
        "whole": float(match.named >= _WHOLE or definition.kind in _READ),
        "explained": explained / total if total else 0.0,
        "strange": min(1.0, strange / 2),
        "typed": 1.0 - len(reading.corrected) / max(1, len(reading.content)),
        "fits": _FITS[reading.parsed.asking].get(definition.kind, _FITS_LITTLE),
        "binds": len(bound) / (len(bound) + unbound) if bound or unbound else 1.0,
        "standing": 0.0 if definition.deprecated else 1.0 if definition.certified else 0.5,
        "near": float(bool(region) and definition.region == region),
    }


def _bound(match: Match, reading: Reading, registry: Registry) -> tuple[list[Span], int]:
    """The spans of filters and groupings that the definition can be asked with, and how many others there are."""
    bound: list[Span] = []
    unbound = 0
    reach = registry.reach(match.definition.cube)
    for span in reading.narrowed:
        if match.places.intersection(span.places):
            continue
        if any(name.partition(".")[0] in reach for name, _ in span.values):
            bound.append(span)
        else:
            unbound += 1
    for span, grouping in zip(reading.grouped, reading.parsed.groupings, strict=True):
        if any(name.partition(".")[0] in reach for name in grouping.options):
            bound.append(span)
        else:
            unbound += 1
    return bound, unbound
