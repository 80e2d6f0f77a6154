"""Reads payloads back from the archive, for whoever shows, exports or checks old entries."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import orjson

from penelope.domain.work import Entry
from penelope.errors import ChainBroken
from penelope.flow.archiving import PayloadArchive
from penelope.ledger.erasures import Archived
from penelope.ledger.segment import SEGMENT, Secret, is_committed, read

_MOST_KEPT = 16 * 1024 * 1024
"""Characters of payloads that are kept of the segment that was read last; of a larger one nothing is."""


class Places(Protocol):
    """Where entries lie in the archive."""

    async def indices(self, seqs: Collection[int]) -> Mapping[int, int]:
        """The leaves of these lines of history, as far as they are in the log."""

    async def segment(self, first: int) -> Archived | None:
        """The recorded segment that begins with this leaf."""


class Recall:
    """Fills entries whose payloads were archived."""

    def __init__(self, places: Places, archive: PayloadArchive) -> None:
        self._places = places
        self._archive = archive
        self._kept: tuple[str, Mapping[int, Secret]] = "", {}

    async def filled(self, entries: Sequence[Entry]) -> list[Entry]:
        """The same entries, with their payloads where the archive holds them; those of erased persons stay empty.

        Raises ChainBroken for a segment that is missing or damaged, and for a payload that is not the recorded one.
        """
        erased = [entry.seq for entry in entries if entry.erased]
        if not erased:
            return list(entries)
        indices = await self._places.indices(erased)
        secrets: dict[int, Secret] = {}
        for first in sorted({index - index % SEGMENT for index in indices.values()}):
            archived = await self._places.segment(first)
            if archived is not None:
                wanted = {index for index in indices.values() if first <= index < first + SEGMENT}
                secrets |= await asyncio.to_thread(self._secrets, archived.file, wanted)
        return [_filled(entry, secrets.get(indices.get(entry.seq, -1))) for entry in entries]

    def _secrets(self, name: str, wanted: Collection[int]) -> dict[int, Secret]:
        """The wanted payloads of a segment. Neighbours are mostly asked for next, so that a small one is kept whole."""
        kept_name, kept = self._kept
        if kept_name == name:
            return {index: kept[index] for index in wanted if index in kept}
        found: dict[int, Secret] = {}
        rest: dict[int, Secret] = {}
        room = _MOST_KEPT
        for line in read(self._archive.lines(name))[1]:
            if line.salt is None or line.payload is None:
                continue
            room -= len(line.payload)
            if room > 0:
                rest[line.index] = Secret(line.salt, line.payload)
            else:
                rest.clear()
            if line.index in wanted:
                found[line.index] = Secret(line.salt, line.payload)
        if room > 0:
            self._kept = name, rest
        return found


def _filled(entry: Entry, secret: Secret | None) -> Entry:
    if not entry.erased or secret is None:
        return entry
    if not is_committed(secret, entry.payload_hash):
        raise ChainBroken(
            f"the archive's payload of {entry.unit}, version {entry.version}, is not the recorded one"
        )
    return replace(entry, salt=secret.salt, **orjson.loads(secret.payload))
