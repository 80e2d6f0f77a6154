"""Indexes files: reads, cuts, embeds and shelves what changed, a document a transaction, and forgets what is gone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from penelope.adapters.documents import recognise
from penelope.adapters.documents.parsed import LeftOut, Parsed, Section
from penelope.adapters.documents.personal import personal
from penelope.adapters.documents.pieces import cut
from penelope.adapters.documents.walk import Found, count, files
from penelope.domain.access import Classification
from penelope.domain.likeness import Embedder
from penelope.domain.passage import Document, Piece, Shelved
from penelope.errors import InvalidRequest, Unavailable
from penelope.kit.harmless import harmless, is_plain
from penelope.kit.ids import digest_id
from penelope.rooms.context.indexing import is_below, proposed, recipe, strictest
from penelope.rooms.context.ports import Shelf
from penelope.rooms.context.terms import terms_of
from penelope.settings.documents import Documents

_AT_ONCE = 16
"""Texts that are embedded before others get a turn."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What a run did. `raised` names files whose classification personal data has raised, to what, and by which kinds."""

    indexed: int = 0
    passages: int = 0
    unchanged: int = 0
    forgotten: int = 0
    without_meaning: str = ""
    left_out: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    raised: list[tuple[str, Classification, str]] = field(default_factory=list)


class Indexer:
    """One run over some roots. A run that is stopped anywhere leaves every document whole, and the next one goes on."""

    def __init__(self, shelf: Shelf, embedder: Embedder | None, settings: Documents) -> None:
        """Without an embedder documents are found by words; they are embedded once they are indexed with one."""
        self._shelf = shelf
        self._embedder = embedder
        self._settings = settings
        self._classification = Classification(settings.classification)
        self._report = Report()
        self._known: dict[str, Shelved] = {}
        self._seen: set[str] = set()

    async def run(self, roots: Sequence[Path], look: Callable[[str, int], None]) -> Report:
        """Indexes what is at or below the roots; `look` is told each file before it is read, and how many there are.

        Raises InvalidRequest for more files than `documents.max_files`, before anything is changed; Unavailable.
        """
        resolved = [root.resolve() for root in roots]
        number = count(resolved, self._settings.max_files)
        if number > self._settings.max_files:
            raise InvalidRequest(
                f"there are more than {self._settings.max_files:,} files",
                hint="Name fewer folders, or raise documents.max_files.",
            )
        self._known = {item.id: item for item in await self._shelf.shelved()}
        for root in resolved:
            for found in files(root, self._settings.max_bytes):
                look(str(found.path), number)
                await self._take(found)
        await self._forget([str(root) for root in resolved])
        return self._report

    async def _take(self, found: Found) -> None:
        source = str(found.path)
        if found.unread:
            # What was indexed of it, or below it, stays: nobody knows that it is gone.
            self._report.unread.append((source, found.unread))
            return
        identifier = digest_id("document", source)
        if identifier in self._seen:
            return
        try:
            await self._index(identifier, source, found, _content(found))
        except LeftOut as reason:
            self._report.left_out.append((source, str(reason)))
            return
        self._seen.add(identifier)

    async def _index(self, identifier: str, source: str, found: Found, content: bytes) -> None:
        digest, made = recognise.digest_of(content), self._recipe()
        known = self._known.get(identifier)
        if known is not None and (known.digest, known.recipe) == (digest, made):
            self._report.unchanged += 1
            return
        parsed = recognise.read(content, found.path)
        limits = self._settings
        cuts = cut(
            parsed.sections,
            tokens=limits.passage_tokens,
            overlap=limits.overlap_tokens,
            most=limits.max_passages,
        )
        vectors = await self._embedded(parsed, cuts)
        pieces = []
        for section, vector in zip(cuts, vectors, strict=True):
            terms, length = terms_of(f"{parsed.title}\n{section.heading}\n{section.text}")
            pieces.append(
                Piece(heading=section.heading, text=section.text, terms=terms, length=length, vector=vector)
            )
        document = Document(
            id=identifier,
            kind=parsed.kind,
            title=harmless(parsed.title, 200),
            source=source,
            digest=digest,
            classification=self._classified(source, parsed),
            owner=parsed.owner,
            services=parsed.services,
            changed_at=found.changed_at,
        )
        # Asked again: an embedder that failed just now has made these pieces by another recipe.
        model = "" if self._embedder is None else self._embedder.model
        await self._shelf.put(document, pieces, self._recipe(), model)
        self._report.indexed += 1
        self._report.passages += len(pieces)

    def _recipe(self) -> str:
        limits = self._settings
        model = "" if self._embedder is None else self._embedder.model
        return recipe(self._classification, limits.passage_tokens, limits.overlap_tokens, model)

    async def _embedded(self, parsed: Parsed, cuts: Sequence[Section]) -> list[bytes | None]:
        made: list[bytes | None] = []
        for start in range(0, len(cuts), _AT_ONCE):
            if self._embedder is None:
                return [None] * len(cuts)
            texts = [_to_embed(parsed.title, section) for section in cuts[start : start + _AT_ONCE]]
            try:
                made += await self._embedder.embed(texts)
            except Unavailable as error:
                self._embedder = None
                self._report.without_meaning = error.message
        return made if len(made) == len(cuts) else [None] * len(cuts)

    def _classified(self, source: str, parsed: Parsed) -> Classification:
        """As the file says, or the settings; personal data raises it, and nothing lowers it."""
        said = parsed.classification or self._classification
        texts = "\n".join([parsed.title, *(f"{each.heading}\n{each.text}" for each in parsed.sections)])
        kinds = personal(texts)
        wanted = proposed(kinds)
        level = said if wanted is None else strictest(said, wanted)
        if level is not said:
            found = ", ".join(f"{kind} ({number})" for kind, number in kinds.items())
            self._report.raised.append((source, level, found))
        return level

    async def _forget(self, roots: Sequence[str]) -> None:
        """What lay below the roots and is no longer there, but for what could not be looked at."""
        unread = [source for source, _ in self._report.unread]
        gone = [
            item.id
            for item in self._known.values()
            if item.id not in self._seen
            and is_below(item.source, roots)
            and not is_below(item.source, unread)
        ]
        if gone:
            self._report.forgotten = await self._shelf.forget(gone)


def _content(found: Found) -> bytes:
    """Raises LeftOut."""
    if found.content is None:
        raise LeftOut(found.left_out)
    if not is_plain(str(found.path)):
        raise LeftOut("its name holds control characters or bytes that are no text")
    return found.content


def _to_embed(title: str, section: Section) -> str:
    return "\n".join(part for part in (f"{title}. {section.heading}".rstrip(" ."), section.text) if part)
