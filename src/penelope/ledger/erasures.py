"""Which payloads were taken away, as the ledger itself tells: a payload that is missing without it was tampered with."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penelope.domain.work import Change, UnitOfWork
from penelope.errors import ChainBroken
from penelope.kit.codec import from_data, to_data

KIND = "ledger"
"""The kind of units that tell about the ledger."""

ARCHIVE = "ledger:archive"
ERASURE = "ledger:erasure"
"""What stands for the incident in units about archived segments, and about the erasure of a person."""

WRITTEN = "written"
CLEARED = "cleared"
"""Statuses of a segment: its file is verified and recorded; its payloads were taken from the database."""

Run = tuple[int, int]
"""The first and the last of consecutive numbers."""


def runs(numbers: Iterable[int]) -> tuple[Run, ...]:
    """The runs that these numbers make up, in order."""
    found: list[Run] = []
    for number in sorted(numbers):
        if found and number <= found[-1][1] + 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """A segment of the archive: its leaves by index, the lines of history by `seq`, its file and that file's SHA-256
    (hexadecimal), the size of the checkpoint inside, and how many payloads the file holds.
    """

    first: int
    last: int
    seqs: tuple[Run, ...]
    file: str
    sha256: str
    checkpoint: int
    payloads: int

    @property
    def unit(self) -> str:
        """The id of the unit that tells of it."""
        return f"ledger:segment:{self.first}-{self.last}"

    def change(self, event: str, reason: str, *, status: str, version: int) -> Change:
        """Records the segment as it is now, after `version`."""
        return Change(
            unit=self.unit,
            kind=KIND,
            incident=ARCHIVE,
            status=status,
            attributes=to_data(self),
            event=event,
            actor="penelope",
            reason=reason,
            details={"file": self.file, "sha256": self.sha256},
            version=version,
        )

    @classmethod
    def of(cls, unit: UnitOfWork) -> "Archived":
        """What a unit tells. Raises ChainBroken for one that tells of no segment."""
        try:
            return from_data(cls, dict(unit.attributes))
        except ValueError as error:
            raise ChainBroken(f"{unit.id} tells of no segment: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Payloads of a person that were erased for good: whose by pseudonym, how many, why, and which by `seq`.

    `seqs` is empty where they lay in the archive.
    """

    subject: str
    count: int
    reason: str
    seqs: tuple[Run, ...] = ()

    def change(self, identifier: str) -> Change:
        """Records the erasure."""
        return Change(
            unit=f"ledger:erasure:{identifier}",
            kind=KIND,
            incident=ERASURE,
            status="erased",
            attributes=to_data(self),
            event="PayloadsErased",
            actor="penelope",
            reason=self.reason,
            details={"subject": self.subject, "count": self.count},
            version=0,
        )

    @classmethod
    def of(cls, unit: UnitOfWork) -> "Erased":
        """What a unit tells. Raises ChainBroken for one that tells of no erasure."""
        try:
            return from_data(cls, dict(unit.attributes))
        except ValueError as error:
            raise ChainBroken(f"{unit.id} tells of no erasure: {error}") from error


class Erasures:
    """The lines of history, by `seq`, whose payloads may be missing."""

    def __init__(self, units: Iterable[UnitOfWork]) -> None:
        """From the units about the archive and about erasures. Raises ChainBroken for one that is neither."""
        found: list[Run] = []
        for unit in units:
            found += Archived.of(unit).seqs if unit.incident == ARCHIVE else Erased.of(unit).seqs
        self.runs: Sequence[Run] = _merged(found)
        self._starts = [first for first, _ in self.runs]

    def __contains__(self, seq: int) -> bool:
        place = bisect_right(self._starts, seq) - 1
        return place >= 0 and seq <= self.runs[place][1]


def _merged(found: Iterable[Run]) -> list[Run]:
    merged: list[Run] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return merged
