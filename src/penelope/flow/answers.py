"""Gives answers that are in the ledger before anybody hears them, makes them again, and takes corrections of people."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from penelope.domain.access import Subject
from penelope.domain.answer import Told
from penelope.domain.concept import Correction, Request
from penelope.domain.work import Change, UnitOfWork
from penelope.errors import ChainBroken, InvalidRequest, UnknownAnswer
from penelope.flow.looking_up import LookUp
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

_MADE_ANEW = ("at", "notices", "passages")
"""What differs between two answers to the same request without either being wrong."""


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
    """A kept answer, what would be told now, and in what these differ."""

    kept: KeptAnswer
    told: Told
    differences: Sequence[Difference]


class AnswerReader(Protocol):
    """Reads what was kept."""

    async def answer(self, identifier: str) -> UnitOfWork | None:
        """The unit of an answer."""

    async def corrections(self) -> Sequence[Correction]:
        """All corrections that are in force, the oldest first. Raises Unavailable."""


class AnswerDesk:
    """Where concepts are asked for from outside. What cannot be recorded is not told."""

    def __init__(self, resolver: Resolver, ledger: LedgerWriter, reader: AnswerReader) -> None:
        self.resolver = resolver
        self.look_up = LookUp(resolver)
        self._ledger = ledger
        self._reader = reader

    async def answer(self, request: Request) -> Answered:
        """Raises AccessBroken where a store gave more than it may, and what saving raises."""
        told = await self.resolver.tell(request)
        identifier = new_id("ans")
        await self._ledger.save(_of_answer(identifier, request, told))
        return Answered(id=identifier, told=told)

    async def kept(self, identifier: str) -> KeptAnswer:
        """Raises UnknownAnswer; ChainBroken where what is kept is not what was recorded."""
        unit = await self._reader.answer(identifier)
        if unit is None:
            raise UnknownAnswer(f"there is no answer {identifier!r}")
        if hashlib.sha256(canonical(unit.attributes)).hexdigest() != unit.content_hash:
            raise ChainBroken(f"{identifier} is not what was recorded")
        request = from_data(Request, unit.attributes["request"])
        told: Mapping[str, Json] = unit.attributes["told"]
        return KeptAnswer(id=identifier, actor=request.subject.actor, request=request, told=told)

    async def again(self, identifier: str, subject: Subject | None = None) -> AnsweredAgain:
        """Asks the same of the stores as they are now, as of the same moment, for `subject` or whoever asked then.

        Nothing is recorded, for nothing is told but what differs. Raises what `kept` and `answer` raise.
        """
        kept = await self.kept(identifier)
        request = replace(kept.request, subject=subject or kept.request.subject)
        told = await self.resolver.tell(request)
        before, now = (_compared(each) for each in (kept.told, _bounded(told)))
        return AnsweredAgain(kept=kept, told=told, differences=differences(before, now))

    async def correct(self, phrase: str, name: str, subject: Subject) -> Correction:
        """From now on `phrase` means the definition `name`, for all who may know of it.

        Raises InvalidRequest for a phrase without words, UnknownConcept where the person may not know of the definition.
        """
        try:
            stems = stems_of(phrase)
        except BadConcept as error:
            raise InvalidRequest(str(error)) from None
        if FILLING.issuperset(stems) or len(stems) > LONGEST_PHRASE:
            raise InvalidRequest(
                "these words cannot stand for a definition",
                hint=f"Send at most {LONGEST_PHRASE} words, among them one that is not in every question.",
            )
        definition = await self.look_up.definition(subject, name)
        now = self.resolver.clock.now()
        correction = Correction(phrase=phrase, name=definition.name, actor=subject.actor, at=now)
        await self._ledger.save(_of_correction(correction))
        self.resolver.forget()
        return correction


def _of_answer(identifier: str, request: Request, told: Told) -> Change:
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


def _of_correction(correction: Correction) -> Change:
    return Change(
        unit=f"correction:{digest_id(*stems_of(correction.phrase))}",
        kind="correction",
        incident="",
        status="in_force",
        attributes=to_data(correction),
        event="ConceptCorrected",
        actor=correction.actor,
        reason=f"{correction.phrase!r} means {correction.name}",
        details={"phrase": correction.phrase, "name": correction.name},
    )
