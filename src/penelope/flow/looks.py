"""Looks into the context that are in the ledger before anybody hears what they found.

An entry says who looked for what kind of thing, how it ended, the ids of what was told, how many there were, and digests; it
holds no text, figure or word of a search. Nor does it tell how much was withheld: whoever may read the ledger would
otherwise learn from it what is hidden from them.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from penelope.domain.access import Subject
from penelope.domain.answer import Row
from penelope.domain.concept import Definition, Request
from penelope.domain.degradation import Notice, Store
from penelope.domain.semantics import Condition, Filter
from penelope.domain.work import Change
from penelope.errors import PenelopeError
from penelope.flow.looking_up import Explanation, Found, Lineage, LookUp, Page, Wanted
from penelope.kit.canonical import Json, canonical
from penelope.kit.codec import to_data
from penelope.kit.ids import new_id

What = TypeVar("What")

MOST_IDS = 50
"""Of each kind of thing that was told so many ids are in an entry, so that it stays small; the digest covers them all."""


_EXPLAINED = ("concept", "outcome", "why", "definition", "confidence", "query", "row_filters", "masks")
"""Of an answer, what an explanation tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look(Generic[What]):
    """What a look found, and the id under which the ledger has it."""

    id: str
    found: What


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Who looks for what; `about` is the kind of look, and `name` that of the definition that was asked for, if one was."""

    about: str
    subject: Subject
    what: Mapping[str, Json]
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is recorded of what was found; of `whole` only a digest is."""

    outcome: str
    ids: Mapping[str, Sequence[str]]
    whole: Json
    notices: Sequence[Notice] = ()
    policy: Mapping[str, Json] = field(default_factory=dict)


class Looks:
    """The looks of a LookUp (`bare`), each recorded by `save` before it is told, also those that find nothing.

    Each raises what its look raises, with the entry's id as the member `look`, and what saving raises: then nothing is told,
    not even that there is nothing.
    """

    def __init__(self, look_up: LookUp, save: Callable[[Change], Awaitable[None]]) -> None:
        self.bare = look_up
        self._save = save

    async def search(self, request: Request, kinds: Sequence[str], most: int) -> Look[Found]:
        what: dict[str, Json] = {"words": request.concept, "kinds": list(kinds), "most": most}
        asked = _Asked(about="search", subject=request.subject, what=what)
        return await self._recorded(asked, self.bare.search(request, kinds, most), _of_search)

    async def definitions(self, subject: Subject, wanted: Wanted) -> Look[Page]:
        asked = _Asked(about="assets", subject=subject, what=to_data(wanted))
        return await self._recorded(asked, self.bare.definitions(subject, wanted), _of_page)

    async def definition(self, subject: Subject, name: str) -> Look[Definition]:
        asked = _Asked(about="asset", subject=subject, what={}, name=name)
        return await self._recorded(asked, self.bare.definition(subject, name), _of_definition)

    async def lineage(self, subject: Subject, name: str, depth: int) -> Look[Lineage]:
        asked = _Asked(about="lineage", subject=subject, what={"depth": depth}, name=name)
        return await self._recorded(asked, self.bare.lineage(subject, name, depth), _of_lineage)

    async def explained(self, request: Request) -> Look[Explanation]:
        what: dict[str, Json] = {"concept": request.concept, "zone": request.zone}
        asked = _Asked(about="explain", subject=request.subject, what=what)
        return await self._recorded(asked, self.bare.explained(request), _of_explanation)

    async def known(self, subject: Subject, name: str, about: str) -> Definition:
        """The definition with which somebody is about to do something. A no is recorded; of a yes what they do then tells."""
        try:
            return await self.bare.definition(subject, name)
        except PenelopeError as error:
            raise await self.refused(subject, about, error, name) from error.__cause__

    async def refused(
        self, subject: Subject, about: str, error: PenelopeError, name: str = ""
    ) -> PenelopeError:
        """Records that somebody is told no to what they are about to do, and gives it back to be raised."""
        return await self._no(_Asked(about=about, subject=subject, what={}, name=name), error)

    async def _recorded(
        self, asked: _Asked, finding: Awaitable[What], seen: Callable[[What], _Seen]
    ) -> Look[What]:
        try:
            found = await finding
        except PenelopeError as error:
            raise await self._no(asked, error) from error.__cause__
        identifier = new_id("look")
        await self._save(_change(identifier, asked, seen(found)))
        return Look(id=identifier, found=found)

    async def _no(self, asked: _Asked, error: PenelopeError) -> PenelopeError:
        identifier = new_id("look")
        await self._save(_change(identifier, asked, _Seen(outcome=error.code, ids={}, whole=None)))
        error.members["look"] = identifier
        return error


def _change(identifier: str, asked: _Asked, seen: _Seen) -> Change:
    stores = [notice.store.value for notice in seen.notices]
    counts: dict[str, Json] = {kind: len(ids) for kind, ids in seen.ids.items()}
    return Change(
        unit=identifier,
        kind="look",
        incident="",
        status=seen.outcome,
        attributes={
            "about": asked.about,
            "name": asked.name,
            "subject": to_data(asked.subject),
            "asked": _digest({**asked.what, "name": asked.name, "subject": to_data(asked.subject)}),
            "told": _digest(seen.whole),
            "ids": {kind: list(ids[:MOST_IDS]) for kind, ids in seen.ids.items()},
            "counts": counts,
            "policy": {"asked": Store.POLICY.value not in stores, **seen.policy},
            "notices": stores,
        },
        event="ContextLookedUp",
        actor=asked.subject.actor,
        reason=f"{asked.about}: {seen.outcome}",
        details={"about": asked.about, "role": asked.subject.role, "counts": counts},
    )


def _digest(value: Json) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def _of_search(found: Found) -> _Seen:
    return _Seen(
        outcome=_outcome(found.definitions, found.passages),
        ids={
            "definitions": [item.definition.name for item in found.definitions],
            "documents": _once(item.document.id for item in found.passages),
        },
        whole=to_data(replace(found, notices=())),
        notices=found.notices,
    )


def _of_page(found: Page) -> _Seen:
    return _Seen(
        outcome=_outcome(found.definitions),
        ids={"definitions": [item.name for item in found.definitions]},
        whole=to_data(replace(found, notices=())),
        notices=found.notices,
    )


def _of_definition(found: Definition) -> _Seen:
    return _Seen(outcome="found", ids={"definitions": [found.name]}, whole=to_data(found))


def _of_lineage(found: Lineage) -> _Seen:
    return _Seen(
        outcome="found",
        ids={"definitions": [found.definition.name], "up": _nodes(found.up), "down": _nodes(found.down)},
        whole=to_data(replace(found, notices=())),
        notices=found.notices,
    )


def _of_explanation(found: Explanation) -> _Seen:
    told = found.told
    names = [] if told.definition is None else [told.definition.name]
    return _Seen(
        outcome=told.outcome.value,
        ids={
            "definitions": _once([*names, *(item.definition.name for item in found.candidates)]),
        },
        whole={
            **{name: to_data(getattr(told, name)) for name in _EXPLAINED},
            "found": to_data(found.candidates),
        },
        notices=told.notices,
        policy={
            "row_filters": sorted({name for item in told.row_filters for name in _filtered(item)}),
            "masks": {name: masking.value for name, masking in told.masks.items()},
        },
    )


def _filtered(condition: Condition) -> Iterator[str]:
    """The members that a filter is on; what it lets through may be content."""
    if isinstance(condition, Filter):
        yield condition.member
        return
    for part in condition.parts:
        yield from _filtered(part)


def _outcome(*found: Sequence[object]) -> str:
    return "found" if any(found) else "nothing"


def _once(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))


def _nodes(rows: Sequence[Row]) -> list[str]:
    return _once(str(row["id"]) for row in rows if "id" in row)
