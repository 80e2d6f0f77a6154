"""Reads recorded decisions back from history, and makes them again from what they were made from."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from penelope.domain.work import Entry
from penelope.errors import ChainBroken, PayloadGone, UnknownDecision
from penelope.flow.audit import DecisionAudit, DecisionRow
from penelope.flow.ports import Reader
from penelope.flow.recording import made_again
from penelope.kit.canonical import Json, canonical
from penelope.ledger.chain import GENESIS, altered
from penelope.ledger.patch import apply, diff

_PAGE = 500

Filled = Callable[[Sequence[Entry]], Awaitable[Sequence[Entry]]]
"""Puts archived payloads back into entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A decision as the table of decisions, and as its unit's history has it."""

    row: DecisionRow
    attributes: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A place (a JSON pointer) at which a decision that was made again is another one; None where it has nothing."""

    path: str
    recorded: Json
    again: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A decision that was made again from its recorded inputs, and where that differs from what is recorded."""

    recorded: Recorded
    differences: Sequence[Difference]


class Replaying:
    """Explains and replays decisions, from committed history alone."""

    def __init__(self, audit: DecisionAudit, reader: Reader, filled: Filled) -> None:
        self._audit = audit
        self._reader = reader
        self._filled = filled

    async def recorded(self, identifier: str, version: int | None = None) -> Recorded:
        """A decision by its number, or by its incident and by default the latest.

        Raises UnknownDecision, PayloadGone where its history was erased, and ChainBroken where it was altered.
        """
        row = await self._audit.located(identifier, version)
        if row is None:
            raise UnknownDecision(
                f"there is no decision {identifier!r}" + (f", version {version}" if version else "")
            )
        return Recorded(row=row, attributes=await self._attributes(row.unit, row.version))

    async def replay(self, identifier: str, version: int | None = None) -> Replay:
        """Raises what `recorded` raises, and NotReplayable."""
        found = await self.recorded(identifier, version)
        again = made_again(found.attributes)
        recorded = {name: found.attributes.get(name) for name in again}
        found_again = [*differences(recorded, again), *_misreported(found)]
        return Replay(recorded=found, differences=found_again + await self._drift(found))

    async def _attributes(self, unit: str, version: int) -> Mapping[str, Json]:
        """The attributes of a unit when it had this version, followed from its first entry on."""
        attributes: Json = None
        head, after = GENESIS, 0
        while after < version:
            page = await self._reader.history(unit, after, min(_PAGE, version - after))
            if not page:
                raise ChainBroken(f"the history of {unit} ends before version {version}")
            for entry in await self._filled(page):
                _expect_sound(entry, head, after + 1)
                attributes = apply(attributes, entry.patch)
                head, after = entry.hash, entry.version
                if hashlib.sha256(canonical(attributes)).hexdigest() != entry.state_hash:
                    raise ChainBroken(
                        f"{unit}, version {after}: its patch does not lead to the recorded state"
                    )
        made: Mapping[str, Json] = attributes
        return made

    async def _drift(self, found: Recorded) -> list[Difference]:
        """What the unit's present state says otherwise, where this is the decision that it holds."""
        units = await self._reader.units(found.row.incident)
        unit = next((item for item in units if item.id == found.row.unit), None)
        if unit is None or unit.version != found.row.version:
            return []
        return [
            Difference(path=f"/present{item.path}", recorded=item.recorded, again=item.again)
            for item in differences(unit.attributes, found.attributes)
        ]


def _expect_sound(entry: Entry, head: str, version: int) -> None:
    place = f"{entry.unit}, version {version}"
    if entry.version != version or entry.previous_hash != head:
        raise ChainBroken(f"{place} does not follow the entry before it")
    if entry.erased:
        raise PayloadGone(f"{place}: what was recorded was erased")
    for problem in altered(entry):
        raise ChainBroken(f"{place} {problem}")


def _misreported(found: Recorded) -> list[Difference]:
    """Where the table of decisions says something else than history."""
    row, attributes = found.row, found.attributes
    told = {
        "judgement": row.judgement.value,
        "risk": row.risk,
        "confidence": row.confidence,
        "playbook": row.playbook,
        "rationale": row.rationale,
    }
    wanted = {
        **{name: attributes.get(name) for name in told},
        "risk": attributes["risk"]["value"],
        "confidence": attributes["confidence"]["value"],
    }
    return [
        Difference(path=f"/listed{item.path}", recorded=item.recorded, again=item.again)
        for item in differences(told, wanted)
    ]


def differences(recorded: Mapping[str, Json], again: Mapping[str, Json]) -> list[Difference]:
    """The places at which two documents differ."""
    return [
        Difference(path=step["path"], recorded=_at(recorded, step["path"]), again=step.get("value"))
        for step in diff(recorded, again)
    ]


def _at(document: Json, pointer: str) -> Json:
    """What stands at a JSON pointer (RFC 6901) that `diff` gave; None where nothing does."""
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            document = document[int(name)] if isinstance(document, list) else document[name]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return document
