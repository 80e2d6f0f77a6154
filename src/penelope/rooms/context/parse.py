"""Understands a concept: what is asked for, when, of which part, cut how."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from penelope.domain.concept import Asking, DefinitionKind, Grouping, Narrowing, Parsed, Top
from penelope.rooms.context.calendar import Calendar
from penelope.rooms.context.intents import (
    FILLING,
    excluding,
    grouping_mark,
    grouping_words,
    intent_of,
    top_of,
)
from penelope.rooms.context.registry import Naming, Registry
from penelope.rooms.context.time_phrases import time_said
from penelope.rooms.context.words import Word, words_of_concept

_LONGEST_SPAN = 12
_JOINING = frozenset({"and", "the", "each", "or"})


@dataclass(frozen=True, slots=True)
class Span:
    """Words from `first` to before `after` that are names of definitions, or of values of dimensions."""

    first: int
    after: int
    namings: tuple[Naming, ...] = ()
    values: tuple[tuple[str, str], ...] = ()

    @property
    def places(self) -> range:
        return range(self.first, self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A parsed concept with the places of its words, as ranking needs them.

    `content` are words that an answer must explain; `corrected` those whose spelling was mended; `narrowed` and `grouped`
    are the spans of the narrowings and groupings of `parsed`, in their order.
    """

    parsed: Parsed
    stems: tuple[str, ...]
    content: tuple[int, ...]
    spans: tuple[Span, ...]
    narrowed: tuple[Span, ...]
    grouped: tuple[Span, ...]
    corrected: frozenset[int]


def read(text: str, registry: Registry, calendar: Calendar) -> Reading:
    """Understands a text by the names of a registry. Raises BadConcept."""
    words = words_of_concept(text)
    raw = [word.stem for word in words]
    mute = frozenset(at for at, word in enumerate(words) if word.stem in FILLING and not word.capitals)
    kept = {
        place
        for span in _Names(raw, registry, frozenset(), mute).spans()
        if span.namings and span.after - span.first > 1
        for place in span.places
    }
    time = time_said(words, calendar, kept)
    intent = intent_of(words, time.used | kept)
    top = top_of(words, time.used | intent.used | kept)
    said = time.used | intent.used | (top[1] if top else frozenset())
    said |= grouping_words(words, said | kept)
    stems, corrected = _spelt(raw, registry, said)
    spans = _headed(words, stems, tuple(_Names(stems, registry, said, mute).spans()), registry)
    grouped = _groupings(words, spans, registry, top[1] if top else frozenset())
    narrowed = tuple(span for span in spans if span.values and span not in grouped)
    excluded = {span: excluding(words, span.first) for span in narrowed}
    content = _content(stems, spans, said | _before(excluded))
    subjects = tuple(span for span in spans if span.namings and span not in grouped)
    covered = {place for span in spans for place in span.places}
    parsed = Parsed(
        text=text,
        asking=intent.asking,
        subject_words=tuple(_words(words, span) for span in subjects),
        unknown=tuple(
            words[at].text for at in content if at not in covered and not registry.knows(stems[at])
        ),
        period=time.period,
        compared=time.compared,
        periodic=time.periodic,
        groupings=tuple(_grouping(words, span, registry) for span in grouped),
        narrowings=tuple(
            Narrowing(words=_words(words, span), options=span.values, excluded=excluded[span] > 0)
            for span in narrowed
        ),
        top=_top(top, words, grouped),
        relation=intent.relation or _runbooks(intent.asking, words, subjects, registry),
        entities=tuple(_entities(subjects, registry)),
    )
    return Reading(
        parsed=parsed,
        stems=stems,
        content=content,
        spans=spans,
        narrowed=narrowed,
        grouped=grouped,
        corrected=corrected,
    )


def _before(lengths: Mapping[Span, int]) -> frozenset[int]:
    """The places of so many words before each span."""
    return frozenset(
        place for span, length in lengths.items() for place in range(span.first - length, span.first)
    )


def _content(stems: Sequence[str], spans: Sequence[Span], said: frozenset[int]) -> tuple[int, ...]:
    """The places of the words that are names, or that say something nobody has taken up."""
    named = {place for span in spans for place in span.places}
    return tuple(
        at
        for at, stem in enumerate(stems)
        if at not in said and (at in named or (stem not in FILLING and stem != "-"))
    )


def _words(words: Sequence[Word], span: Span) -> str:
    return " ".join(words[at].text for at in span.places)


@dataclass(frozen=True, slots=True)
class _Names:
    """Finds names in words. At `said` something else is said; a word at `mute` alone is no value: the "in" of "in EMEA" is
    not India.
    """

    stems: Sequence[str]
    registry: Registry
    said: frozenset[int]
    mute: frozenset[int]

    def spans(self) -> Iterator[Span]:
        """The names in the words, the longest first where they begin together, none over another."""
        at = 0
        while at < len(self.stems):
            span = self._longest(at, len(self.stems))
            if span is None:
                at += 1
                continue
            # A longer name that begins within a shorter one stands above it.
            later = (self._longest(place, len(self.stems)) for place in range(at + 1, span.after))
            better = next((other for other in later if other and len(other.places) > len(span.places)), None)
            if better is not None:
                shorter = self._longest(at, better.first)
                if shorter is not None:
                    yield shorter
                span = better
            yield span
            at = span.after

    def _longest(self, at: int, end: int) -> Span | None:
        room = next((place for place in range(at, end) if place in self.said), end)
        for after in range(min(room, at + _LONGEST_SPAN), at, -1):
            phrase = tuple(self.stems[at:after])
            namings = self.registry.named(phrase)
            values = () if after == at + 1 and at in self.mute else self.registry.valued(phrase)
            if namings or values:
                return Span(at, after, namings, values)
        return None


def _spelt(
    stems: Sequence[str], registry: Registry, said: frozenset[int]
) -> tuple[tuple[str, ...], frozenset[int]]:
    """The words, with those that nobody knows and that are one letter away from a known one mended."""
    mended: dict[int, str] = {}
    for at, stem in enumerate(stems):
        if at not in said and stem not in FILLING and not registry.knows(stem):
            known = registry.spelt(stem)
            if known is not None:
                mended[at] = known
    return tuple(mended.get(at, stem) for at, stem in enumerate(stems)), frozenset(mended)


def _groupings(
    words: Sequence[Word], spans: Sequence[Span], registry: Registry, top: frozenset[int]
) -> tuple[Span, ...]:
    """The spans that an answer is broken down by: after "by" or "per", after "top 5", or before "has the highest"."""
    marked: set[int] = set()
    for at in range(len(words)):
        length = grouping_mark(words, at)
        if length:
            marked.add(at + length)
    after_top = max(top) + 1 if top else -1
    found: list[Span] = []
    for index, span in enumerate(spans):
        if not _dimensions(span, registry):
            continue
        place = span.first
        while place > 0 and words[place - 1].text in _JOINING and place not in marked:
            place -= 1
        follows = bool(found) and index > 0 and spans[index - 1] is found[-1] and place == found[-1].after
        ranked = bool(top) and (span.first == after_top or (span.after <= min(top) and len(spans) > 1))
        if place in marked or span.first in marked or follows or ranked:
            found.append(span)
    return tuple(found)


def _headed(
    words: Sequence[Word],
    stems: Sequence[str],
    spans: tuple[Span, ...],
    registry: Registry,
) -> tuple[Span, ...]:
    """With the dimensions that "by source" means though their name is "traffic source"."""
    covered = {place for span in spans for place in span.places}
    found = list(spans)
    for at in range(len(words)):
        place = at + grouping_mark(words, at)
        if at < place < len(words) and place not in covered:
            names = registry.headed(stems[place])
            span = Span(place, place + 1, names)
            dimensions = _dimensions(span, registry)
            if dimensions:
                kept = tuple(item for item in names if item.name in dimensions)
                found.append(Span(place, place + 1, kept))
                covered.add(place)
    return tuple(sorted(found, key=lambda span: span.first))


def _dimensions(span: Span, registry: Registry) -> tuple[str, ...]:
    return tuple(
        naming.name
        for naming in span.namings
        if (definition := registry.get(naming.name)) is not None
        and definition.kind is DefinitionKind.DIMENSION
        and not definition.is_time
    )


def _grouping(words: Sequence[Word], span: Span, registry: Registry) -> Grouping:
    return Grouping(words=_words(words, span), options=_dimensions(span, registry))


def _top(
    top: tuple[Top, frozenset[int], bool] | None, words: Sequence[Word], grouped: Sequence[Span]
) -> Top | None:
    """One where "which country has the highest…" was asked, some where "countries with the highest…" was."""
    if top is None or not grouped:
        return None
    found, _, counted = top
    last = words[grouped[0].after - 1]
    one = not counted and last.text == last.stem
    return replace(found, count=1) if one else found


def _entities(subjects: Sequence[Span], registry: Registry) -> Iterator[str]:
    for span in subjects:
        for naming in span.namings:
            definition = registry.get(naming.name)
            if definition is not None and definition.kind is DefinitionKind.SERVICE:
                yield definition.name


def _runbooks(asking: Asking, words: Sequence[Word], subjects: Sequence[Span], registry: Registry) -> str:
    """A runbook for a service is one that fits it, which the graph tells."""
    wants = asking is Asking.TEXT and any(word.stem in {"runbook", "playbook"} for word in words)
    return "runbooks_of" if wants and any(_entities(subjects, registry)) else ""
