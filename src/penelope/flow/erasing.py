"""Erases what history and present state tell about a person; entries, their hashes and every proof stay."""

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import orjson

from penelope.domain.work import Change, UnitOfWork
from penelope.errors import InvalidRequest
from penelope.flow.archiving import ArchiveParts, Archiver, File, verify_file
from penelope.flow.spoken import identities_of, without_words, words_of
from penelope.kit.canonical import Json, canonical
from penelope.kit.ids import new_id
from penelope.ledger.erasures import Archived, Erased, runs
from penelope.ledger.segment import Line, Owner, read

ERASED = "(erased)"
"""What stands in present state where a name or a person's words stood."""


class Payload(NamedTuple):
    """A payload in the database, with the line of history that it belongs to."""

    seq: int
    incident: str
    actor_id: str
    text: str


class CaseTexts(NamedTuple):
    """What a past case says in free words."""

    incident: str
    summary: str
    labels: Mapping[str, Json]


class PersonStore(Protocol):
    """What the database holds about a person."""

    async def pseudonym(self, actor: str) -> str | None:
        """The pseudonym that history uses for an actor."""

    async def live_keys(self, actor: str) -> int:
        """How many API keys under which this person could go on acting are neither revoked nor expired."""

    def payloads(self, actor: str, pseudonym: str) -> AsyncIterator[Sequence[Payload]]:
        """Pages of payloads that may tell of the person: by the actor, about the same incidents, or with the name."""

    def units(self, actor: str, pseudonym: str) -> AsyncIterator[Sequence[UnitOfWork]]:
        """Units that may tell of the person, those of one incident at a time."""

    async def remove(self, seqs: Sequence[int]) -> None:
        """Deletes the payloads of these lines of history."""

    async def cases(self, names: Collection[str]) -> Sequence[CaseTexts]:
        """What past cases say in which one of these names stands."""

    async def rewrite(self, cases: Sequence[CaseTexts]) -> None:
        """Puts these texts in the place of what past cases said, whose meaning is then worked out anew."""

    async def forget(self, actor: str, pseudonym: str) -> None:
        """Puts a name made from the pseudonym in the place of the actor's, wherever a table has it in a column."""


@dataclass(slots=True)
class Traces:
    """By what a person can be recognised: the pseudonym, the name, identities, and what was said about approvals, by
    incident.
    """

    actor: str
    pseudonym: str
    comments: dict[str, set[str]] = field(default_factory=dict)
    identities: set[str] = field(default_factory=set)

    def name_in(self, text: str) -> bool:
        """Whether the name stands in a text, and not as a part of another name."""
        return _word(self.actor).search(text) is not None

    def in_payload(self, incident: str, actor_id: str, text: str) -> bool:
        """Whether a payload is the person's, names the person or repeats a comment."""
        comments = self.comments.get(incident, set())
        if actor_id == self.pseudonym:
            return True
        if not comments and not any(_quoted(name) in text for name in {self.actor, *self.identities}):
            return False
        told = orjson.loads(text)
        return bool(self._scrubbed(told, comments) != told)

    def scrubbed(self, unit: UnitOfWork) -> Mapping[str, Json]:
        """The unit's attributes without the name and without what the person commented."""
        attributes = without_words(self.actor, unit, ERASED)
        found: Mapping[str, Json] = self._scrubbed(attributes, self.comments.get(unit.incident, set()))
        return found

    def without_name(self, case: CaseTexts) -> CaseTexts:
        """What a past case says, without the name; it never holds comments."""
        said = self._scrubbed({"summary": case.summary, "labels": dict(case.labels)}, set())
        return CaseTexts(case.incident, said["summary"], said["labels"])

    def _scrubbed(self, value: Json, comments: set[str]) -> Json:
        if isinstance(value, str):
            for each in comments:
                if value.endswith(f": {each}"):
                    value = value.removesuffix(each) + ERASED
            if self.name_in(value):
                # Other incidents repeat a refusal of theirs together with the name.
                for each in {word for words in self.comments.values() for word in words}:
                    value = value.replace(f": {each}", f": {ERASED}")
            for name in (self.actor, *sorted(self.identities, key=len, reverse=True)):
                value = _word(name).sub(ERASED, value)
            return value
        if isinstance(value, dict):
            return {key: self._scrubbed(item, comments) for key, item in value.items()}
        if isinstance(value, list):
            return [self._scrubbed(item, comments) for item in value]
        return value


def _word(name: str) -> re.Pattern[str]:
    """Names of persons have letters, digits, dots, hyphens, underscores and @; a dot may also end a sentence."""
    return re.compile(rf"(?<![\w@-]){re.escape(name)}(?![\w@-]|\.\w)")


def _quoted(text: str) -> str:
    """A text as it stands within canonical JSON, without its quotation marks."""
    return canonical(text).decode()[1:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What an erasure came to: payloads erased in the database and in the archive, and units of work changed."""

    payloads: int
    archived: int
    units: int


class Eraser:
    """May die anywhere: until the very end the person is known by name, and the command can be repeated."""

    def __init__(self, parts: ArchiveParts, persons: PersonStore) -> None:
        self._parts = parts
        self._persons = persons

    async def erase(self, actor: str, reason: str) -> Count:
        """Erases an actor such as `key:ada`, for a reason that the ledger keeps.

        Raises InvalidRequest for an actor that is not known or can still act, and for a reason that names them;
        ChainBroken where the archive is damaged; Unavailable while another process archives.
        """
        traces = await self._traces(actor, reason)
        with self._parts.archive.locked():
            await Archiver(self._parts, payload_days=0).resume()
            payloads = await self._erase_payloads(traces, reason)
            archived = await self._erase_archived(traces, reason)
            units = await self._scrub(traces)
            await self._persons.forget(actor, traces.pseudonym)
        return Count(payloads=payloads, archived=archived, units=units)

    async def _traces(self, actor: str, reason: str) -> Traces:
        pseudonym = await self._persons.pseudonym(actor)
        if pseudonym is None or not actor.startswith(("key:", "oidc:", "person:")):
            raise InvalidRequest(
                f"'{actor}' is no person who has acted here, or was erased before",
                hint="Give the name that the timeline shows, such as key:ada.",
            )
        if await self._persons.live_keys(actor):
            raise InvalidRequest(
                f"'{actor}' still has a good API key", hint="Revoke it first: `penelope keys revoke ID`."
            )
        traces = Traces(actor, pseudonym)
        if traces.name_in(reason):
            raise InvalidRequest(
                "the reason names the person", hint="The ledger keeps it: name a ticket instead."
            )
        async for units in self._persons.units(actor, pseudonym):
            for unit in units:
                traces.identities |= identities_of(actor, unit)
                if said := words_of(actor, unit):
                    traces.comments.setdefault(unit.incident, set()).update(said)
        return traces

    async def _erase_payloads(self, traces: Traces, reason: str) -> int:
        """Recorded before they are deleted: what is missing without a record would be taken for tampering."""
        total = 0
        async for page in self._persons.payloads(traces.actor, traces.pseudonym):
            found = [each.seq for each in page if traces.in_payload(*each[1:])]
            if not found:
                continue
            erased = Erased(subject=traces.pseudonym, count=len(found), reason=reason, seqs=runs(found))
            await self._parts.writer.save(erased.change(new_id("erasure")))
            await self._persons.remove(found)
            total += len(found)
        return total

    async def _erase_archived(self, traces: Traces, reason: str) -> int:
        total = 0
        for unit in await self._parts.store.segments():
            archived = Archived.of(unit)
            hits = await asyncio.to_thread(self._hits, archived, traces)
            if not hits:
                continue
            new = _with_file(archived, await asyncio.to_thread(self._rewritten, archived, hits), len(hits))
            await asyncio.to_thread(verify_file, self._parts.archive, new, self._parts.keys.verifiers)
            erased = Erased(subject=traces.pseudonym, count=len(hits), reason=reason)
            rewritten = new.change("SegmentRewritten", reason, status=unit.status, version=unit.version)
            await self._parts.writer.save(erased.change(new_id("erasure")), rewritten)
            await asyncio.to_thread(self._parts.archive.remove, archived.file)
            total += len(hits)
        return total

    def _hits(self, archived: Archived, traces: Traces) -> set[int]:
        """Nothing is taken from a file that is not what was recorded."""
        verify_file(self._parts.archive, archived, self._parts.keys.verifiers)
        leaves = read(self._parts.archive.lines(archived.file))[1]
        return {line.index for line in leaves if _tells(line, traces)}

    def _rewritten(self, archived: Archived, without: set[int]) -> File:
        head, leaves = read(self._parts.archive.lines(archived.file))
        with self._parts.archive.draft(archived.first, archived.last) as draft:
            draft.add([head.encode()])
            for line in leaves:
                kept = line.without_payload() if line.index in without else line
                draft.add([kept.encode()])
            return draft.finish()

    async def _scrub(self, traces: Traces) -> int:
        """An incident at once, and those that hold comments last, so that these are known until all of them are gone."""
        total = 0
        for commented in (False, True):
            async for units in self._persons.units(traces.actor, traces.pseudonym):
                if (units[0].incident in traces.comments) is not commented:
                    continue
                changes = [
                    change for change in (_scrubbing(unit, traces) for unit in units) if change is not None
                ]
                if changes:
                    await self._parts.writer.save(*changes)
                total += len(changes)
        told = await self._persons.cases({traces.actor, *traces.identities})
        await self._persons.rewrite([new for case in told if (new := traces.without_name(case)) != case])
        return total


def _tells(line: Line, traces: Traces) -> bool:
    owner = Owner.of(line)
    return line.payload is not None and traces.in_payload(owner.incident, owner.actor, line.payload)


def _with_file(archived: Archived, file: File, erased: int) -> Archived:
    return Archived(
        first=archived.first,
        last=archived.last,
        seqs=archived.seqs,
        file=file.name,
        sha256=file.sha256,
        checkpoint=archived.checkpoint,
        payloads=archived.payloads - erased,
    )


def _scrubbing(unit: UnitOfWork, traces: Traces) -> Change | None:
    attributes = traces.scrubbed(unit)
    if attributes == unit.attributes:
        return None
    return Change(
        unit=unit.id,
        kind=unit.kind,
        incident=unit.incident,
        status=unit.status,
        attributes=attributes,
        event="PersonErased",
        actor="penelope",
        reason="personal data was erased",
        version=unit.version,
    )
