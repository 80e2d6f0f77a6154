"""Resolves a concept: parsed, candidates, ranked, one definition with its question, or choices, or no answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from penelope.domain.concept import (
    Ambiguous,
    Answer,
    Candidate,
    DefinitionKind,
    Parsed,
    Request,
    Resolution,
    Unresolved,
)
from penelope.domain.passage import Passage
from penelope.rooms.context.calendar import Calendar
from penelope.rooms.context.confidence import confidence_of
from penelope.rooms.context.parse import Reading, read
from penelope.rooms.context.question_of import question_of
from penelope.rooms.context.rank import lead, weighed, with_documents
from penelope.rooms.context.registry import Registry
from penelope.rooms.context.words import BadConcept

_MOST_CHOICES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for all who ask. `answer_at` is the least confidence at which there is an answer; scores that are within
    `too_close` of each other are for a person to choose from.
    """

    zone: str = "UTC"
    fiscal_month: int = 1
    named_by_start: bool = False
    answer_at: float = 0.5
    too_close: float = 0.03


def resolve(
    request: Request,
    registry: Registry,
    rules: Rules,
    *,
    passages: Sequence[Passage] = (),
) -> Answer:
    """Never raises for what somebody asks. The registry holds only what the asker may know of (`Registry.without`), and the
    answer depends on nothing else. `passages` are what a search of the documents found for the same words, if there was one.
    """
    begun = begin(request, registry, rules)
    return begun if isinstance(begun, Unresolved) else finish(begun, passages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A concept as it was understood, and the definitions that it may mean, before the documents are known."""

    request: Request
    registry: Registry
    rules: Rules
    reading: Reading
    defined: tuple[Candidate, ...]


def begin(request: Request, registry: Registry, rules: Rules) -> Begun | Unresolved:
    """The first half of `resolve`, which needs no passages: it can be done while somebody searches for them."""
    try:
        reading = understood(request, registry, rules)
    except BadConcept as error:
        return Unresolved(why=str(error))
    defined = weighed(reading, registry, request.subject.region)
    return Begun(request=request, registry=registry, rules=rules, reading=reading, defined=defined)


def finish(begun: Begun, passages: Sequence[Passage]) -> Answer:
    """The second half of `resolve`."""
    request, registry, rules, reading = begun.request, begun.registry, begun.rules, begun.reading
    ranked = with_documents(begun.defined, reading, registry, request.subject.region, passages)
    if not ranked:
        return Unresolved(why=_nothing(reading.parsed), parsed=reading.parsed)
    best = ranked[0]
    if confidence_of({**best.scores, "lead": 1.0}).value < rules.answer_at:
        why = _unmet(request, registry, reading, ranked) or _nothing(reading.parsed)
        return Unresolved(why=why, nearest=ranked[:3], parsed=reading.parsed)
    close = _close(ranked, rules)
    if len(close) > 1:
        return Ambiguous(choices=close, why=_differs(close), parsed=reading.parsed)
    return _resolution(request, registry, reading, ranked)


def understood(request: Request, registry: Registry, rules: Rules) -> Reading:
    """The request as it was understood. Raises BadConcept."""
    try:
        zone = ZoneInfo(request.zone or rules.zone)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise BadConcept("there is no time zone of that name; write it as Europe/Berlin") from None
    calendar = Calendar(
        now=request.at, zone=zone, fiscal_month=rules.fiscal_month, named_by_start=rules.named_by_start
    )
    return read(request.concept, registry, calendar)


def _resolution(
    request: Request, registry: Registry, reading: Reading, ranked: Sequence[Candidate]
) -> Resolution:
    best = ranked[0]
    asked = question_of(reading.parsed, best.definition, registry, request.at)
    return Resolution(
        definition=best.definition,
        parsed=reading.parsed,
        question=asked.question,
        compared=asked.compared,
        confidence=confidence_of({**best.scores, "lead": lead(ranked)}),
        alternatives=tuple(item for item in ranked[1:4] if item.score > best.score / 2),
        unmet=asked.unmet,
    )


def _close(ranked: Sequence[Candidate], rules: Rules) -> tuple[Candidate, ...]:
    best = ranked[0].score
    return tuple(item for item in ranked[:_MOST_CHOICES] if best - item.score <= rules.too_close)


def _unmet(request: Request, registry: Registry, reading: Reading, ranked: Sequence[Candidate]) -> str:
    """What a metric that was named in full cannot be asked with; empty where that is not why there is no answer."""
    if reading.parsed.unknown:
        return ""
    for candidate in ranked[:_MOST_CHOICES]:
        scores = candidate.scores
        if candidate.definition.kind is DefinitionKind.METRIC and scores["whole"] and scores["binds"] < 1:
            return "; ".join(question_of(reading.parsed, candidate.definition, registry, request.at).unmet)
    return ""


def _nothing(parsed: Parsed) -> str:
    if parsed.unknown:
        shown = ", ".join(f"“{word}”" for word in parsed.unknown[:5])
        return f"nothing that you may see is defined by {shown}"
    return "nothing that you may see is defined by these words"


def _differs(close: Sequence[Candidate]) -> str:
    titles = [item.definition.title for item in close]
    named = [f"{item.definition.title} ({item.definition.name})" for item in close]
    return "this may mean " + " or ".join(titles if len(set(titles)) == len(titles) else named)
