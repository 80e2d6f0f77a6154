"""Gives answers that are in the ledger before anybody hears them, makes them again, and takes corrections of people."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import orjson

from penelope.domain.access import Subject
from penelope.domain.answer import Told
from penelope.domain.concept import Correction, Request
from penelope.domain.work import Change, UnitOfWork
from penelope.errors import (
    AccessBroken,
    ChainBroken,
    DependencyError,
    InvalidRequest,
    PenelopeError,
    Unavailable,
    UnknownAnswer,
    UnknownConcept,
)
from penelope.flow.looking_up import LookUp
from penelope.flow.looks import Looks
from penelope.flow.ports import LedgerWriter
from penelope.flow.replaying import Difference, differences
from penelope.flow.resolving import Resolver
from penelope.kit.canonical import Json, canonical
from penelope.kit.codec import from_data, to_data
from penelope.kit.ids import digest_id, new_id
from penelope.rooms.context.intents import FILLING
from penelope.rooms.context.registry import LONGEST_PHRASE, stems_of
from penelope.rooms.context.words import BadConcept

LARGEST_KEPT_BYTES = 256 * 1024
"""Canonical bytes of an answer that is kept whole; of a larger one the rows of its tables are kept as a digest."""

MOST_CORRECTIONS = 10_000
"""Phrases that people may teach, for each registry holds them all."""

IN_FORCE = "in_force"
"""The status of a correction that was not taken back."""

_NOT_TAUGHT = "nothing that you may see is taught by these words"

_MADE_ANEW = ("at", "notices", "passages")
"""What differs between two answers to the same request without either being wrong."""

_POLICY = frozenset({"row_filters", "masks", "subject"})
_FIGURES = frozenset({"value", "compared", "rows"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer, and the id under which it is kept."""

    id: str
    told: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An answer as it was told; `told` is `Told` as plain data, `actor` whoever asked."""

    id: str
    actor: str
    request: Request
    told: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredAgain:
    """A kept answer, what is told now under an id of its own, and in what these differ.

    `changed` says it in words: of the `policy`, the `definition`, the `query`, the `figures`, the `outcome`, or `other` things.
    """

    id: str
    kept: KeptAnswer
    told: Told
    differences: Sequence[Difference]

    @property
    def changed(self) -> tuple[str, ...]:
        return tuple(sorted({_part(item.path) for item in self.differences}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """A phrase that is taught no more, who took it back and when."""

    phrase: str
    actor: str
    at: datetime


class AnswerReader(Protocol):
    """Reads what was kept."""

    async def answer(self, identifier: str) -> UnitOfWork | None:
        """The unit of an answer."""

    async def correction(self, identifier: str) -> UnitOfWork | None:
        """The unit of what was taught, also where it was taken back since. Raises Unavailable."""

    async def corrections(self) -> Sequence[Correction]:
        """All corrections that are in force, the oldest first. Raises Unavailable."""


class AnswerDesk:
    """Where concepts are asked for from outside. What cannot be recorded is not told."""

    def __init__(self, resolver: Resolver, ledger: LedgerWriter, reader: AnswerReader) -> None:
        self.resolver = resolver
        self.looks = Looks(LookUp(resolver), self._saved)
        self._ledger = ledger
        self._reader = reader

    async def answer(self, request: Request) -> Answered:
        """Raises AccessBroken where a store gave more than it may, Unavailable and what saving raises where the answer cannot be
        recorded.
        """
        told = await self._told(request)
        return Answered(id=await self._recorded(request, told), told=told)

    async def _told(self, request: Request) -> Told:
        try:
            return await self.resolver.tell(request)
        except AccessBroken as error:
            # It is no answer that could be kept, for nothing of it may be.
            raise await self.looks.refused(request.subject, "resolve", error) from error.__cause__

    async def _recorded(self, request: Request, told: Told, again_of: str = "") -> str:
        identifier = new_id("ans")
        await self._saved(_of_answer(identifier, request, told, again_of))
        return identifier

    async def _saved(self, change: Change) -> None:
        try:
            await self._ledger.save(change)
        except PenelopeError:
            raise
        except Exception as error:
            raise Unavailable(f"the ledger cannot be written: {type(error).__name__}") from error

    async def kept(self, identifier: str) -> KeptAnswer:
        """Raises UnknownAnswer; ChainBroken where what is kept is not what was recorded."""
        unit = await self._reader.answer(identifier)
        if unit is None:
            raise UnknownAnswer(f"there is no answer {identifier!r}")
        _check(unit)
        request = from_data(Request, unit.attributes["request"])
        told: Mapping[str, Json] = unit.attributes["told"]
        return KeptAnswer(id=identifier, actor=request.subject.actor, request=request, told=told)

    async def again(self, identifier: str, subject: Subject | None = None) -> AnsweredAgain:
        """Asks the same of the stores as they are now, as of the same moment, for `subject` or whoever asked then.

        It is an answer too, and recorded as one. Raises what `kept` and `answer` raise.
        """
        kept = await self.kept(identifier)
        request = replace(kept.request, subject=subject or kept.request.subject)
        told = await self._told(request)
        again = await self._recorded(request, told, identifier)
        before, now = (_compared(each) for each in (kept.told, _bounded(told)))
        return AnsweredAgain(id=again, kept=kept, told=told, differences=differences(before, now))

    async def correct(self, phrase: str, name: str, subject: Subject, answer: str = "") -> Correction:
        """From now on `phrase` means the definition `name`, for all who may know of it; `answer` is the id of what it corrects.

        Raises InvalidRequest for a phrase without words and for one too many, UnknownConcept where the person may not know of
        the definition, Unavailable and what saving raises.
        """
        stems = _stems(phrase)
        taught = {stems_of(each.phrase) for each in await self._reader.corrections()}
        if stems not in taught and len(taught) >= MOST_CORRECTIONS:
            raise InvalidRequest(
                f"{MOST_CORRECTIONS} phrases were taught, and no more are kept",
                hint="Give the definition a synonym in its data model instead.",
            )
        definition = await self.looks.known(subject, name, "feedback")
        now = self.resolver.clock.now()
        correction = Correction(phrase=phrase, name=definition.name, actor=subject.actor, at=now)
        await self._saved(_of_correction(correction, answer))
        self.resolver.forget()
        return correction

    async def withdraw(self, phrase: str, subject: Subject, *, any_name: bool = False) -> Withdrawn:
        """From now on `phrase` means what it did before it was taught; what was taught stays in the ledger.

        Whoever may know of the definition may take it back, and with `any_name` whoever asks. Raises InvalidRequest for a
        phrase without words, UnknownConcept where nothing that the person may know of is taught, AppendConflict where it was
        taught anew meanwhile, ChainBroken where what is kept is not what was recorded, Unavailable and what saving raises.
        """
        stems = _stems(phrase)
        try:
            unit, taught = await self._taught(stems, subject, any_name=any_name)
        except (UnknownConcept, DependencyError) as error:
            raise await self.looks.refused(subject, "withdrawal", error) from None
        now = self.resolver.clock.now()
        await self._saved(_of_withdrawal(unit, taught, subject.actor))
        self.resolver.forget()
        return Withdrawn(phrase=taught.phrase, actor=subject.actor, at=now)

    async def _taught(
        self, stems: Sequence[str], subject: Subject, *, any_name: bool
    ) -> tuple[UnitOfWork, Correction]:
        """What is in force. What may not be known of is as if it were not taught: nor is its definition named."""
        unit = await self._reader.correction(_correction_id(stems))
        if unit is None or unit.status != IN_FORCE:
            raise UnknownConcept(_NOT_TAUGHT)
        _check(unit)
        taught = from_data(Correction, unit.attributes)
        if not any_name:
            try:
                await self.looks.bare.definition(subject, taught.name)
            except UnknownConcept:
                raise UnknownConcept(_NOT_TAUGHT) from None
        return unit, taught


def _stems(phrase: str) -> tuple[str, ...]:
    try:
        stems = stems_of(phrase)
    except BadConcept as error:
        raise InvalidRequest(str(error)) from None
    if FILLING.issuperset(stems) or len(stems) > LONGEST_PHRASE:
        raise InvalidRequest(
            "these words cannot stand for a definition",
            hint=f"Send at most {LONGEST_PHRASE} words, among them one that is not in every question.",
        )
    return stems


def _of_answer(identifier: str, request: Request, told: Told, again_of: str) -> Change:
    return Change(
        unit=identifier,
        kind="answer",
        incident="",
        status=told.outcome.value,
        attributes={"request": to_data(request), "told": _bounded(told)},
        event="ConceptResolved",
        actor=request.subject.actor,
        reason=told.why or f"{request.concept!r} was resolved",
        details={
            "concept": request.concept,
            "role": request.subject.role,
            "definition": None if told.definition is None else told.definition.name,
            "executed": told.value is not None,
            "notices": [notice.store.value for notice in told.notices],
            **({"again_of": again_of} if again_of else {}),
        },
    )


def _bounded(told: Told) -> dict[str, Any]:
    whole = canonical(to_data(told))
    # As it comes back from a database: lists for tuples, and 1 for 1.0.
    data: dict[str, Any] = orjson.loads(whole)
    if len(whole) <= LARGEST_KEPT_BYTES:
        return data
    for name in ("value", "compared"):
        if data[name] is not None:
            rows = data[name]["table"]["rows"]
            digest = hashlib.sha256(canonical(rows)).hexdigest()
            data[name]["table"] |= {"rows": [], "digest": digest, "count": len(rows)}
    return data


def _compared(told: Mapping[str, Json]) -> dict[str, Json]:
    """What two answers are compared in. When data was renewed, and the text of SQL, are not what was told."""
    left: dict[str, Json] = {name: value for name, value in told.items() if name not in _MADE_ANEW}
    for name in ("value", "compared"):
        figures = left.get(name)
        if isinstance(figures, Mapping):
            table = {key: cell for key, cell in figures["table"].items() if key not in {"as_of", "query"}}
            left[name] = {"unit": figures["unit"], "table": table}
    return left


def _part(path: str) -> str:
    """What a place in an answer belongs to."""
    name = path.split("/", 2)[1]
    if name in _POLICY:
        return "policy"
    if name in _FIGURES:
        return "figures"
    return name if name in {"definition", "query", "outcome"} else "other"


def _correction_id(stems: Sequence[str]) -> str:
    return f"correction:{digest_id(*stems)}"


def _of_correction(correction: Correction, answer: str) -> Change:
    return Change(
        unit=_correction_id(stems_of(correction.phrase)),
        kind="correction",
        incident="",
        status=IN_FORCE,
        attributes=to_data(correction),
        event="ConceptCorrected",
        actor=correction.actor,
        reason=f"{correction.phrase!r} means {correction.name}",
        details={"phrase": correction.phrase, "name": correction.name, "answer": answer or None},
    )


def _of_withdrawal(unit: UnitOfWork, taught: Correction, actor: str) -> Change:
    return Change(
        unit=unit.id,
        kind="correction",
        incident="",
        status="withdrawn",
        attributes=unit.attributes,
        event="CorrectionWithdrawn",
        actor=actor,
        reason=f"{taught.phrase!r} means {taught.name} no more",
        details={"phrase": taught.phrase, "name": taught.name, "taught_by": taught.actor},
        # Of what was taught anew since it was read nothing is taken back unseen.
        version=unit.version,
    )


def _check(unit: UnitOfWork) -> None:
    if hashlib.sha256(canonical(unit.attributes)).hexdigest() != unit.content_hash:
        raise ChainBroken(f"{unit.id} is not what was recorded")
