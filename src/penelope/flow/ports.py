"""What `flow` needs from below the story: transactions on the operational store, reads for screens, an observer."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from penelope.domain.incident import Incident
from penelope.domain.outcome import Outcome, PlaybookRecord
from penelope.domain.signal import Signal
from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.ledger.chain import Flaw
from penelope.ledger.merkle import Checkpoint

SignalKey = tuple[str, str]
"""Source and id of a signal."""

Problem = tuple[str, str]
"""Service and fingerprint: what an incident is about."""


class Transaction(Protocol):
    """What can be read and written in one database transaction; all of it is committed, or none."""

    @property
    def entries(self) -> Sequence[Entry]:
        """The entries that this transaction has appended so far."""

    def now(self) -> datetime:
        """The moment that this transaction's entries bear."""

    async def save(self, *changes: Change) -> None:
        """Changes units of work and appends one entry each. Raises AppendConflict for a version passed by."""

    async def unit(self, identifier: str) -> UnitOfWork | None:
        """A unit as it is, locked until the transaction ends where the database locks rows."""

    async def units(self, incident: str, kind: str) -> Sequence[UnitOfWork]:
        """All units of one kind of an incident, oldest first."""

    async def known_signals(self, keys: Collection[SignalKey]) -> set[SignalKey]:
        """Which of these signals were taken in before."""

    async def latest_incidents(self, problems: Collection[Problem]) -> Mapping[Problem, Incident]:
        """The newest incident about each problem, ended or not; locked like `unit`."""

    async def firing(self, incidents: Collection[str]) -> Mapping[str, set[str]]:
        """The subjects that the sources still see burning, by incident."""

    async def add_signals(
        self, signals: Sequence[tuple[Signal, str | None]], opened: Collection[str] = ()
    ) -> None:
        """Keeps signals, each with its incident, and counts their subjects in or out of `firing`.

        `opened` names the incidents that this transaction has opened.
        """

    async def intervening(self, service: str) -> str | None:
        """The incident that changes a service now, if any."""

    async def claim(self, action: str, incident: str, service: str) -> int:
        """Counts an attempt at an action and returns its number, 1 for the first."""

    async def add_outcome(self, outcome: Outcome) -> None:
        """Counts an outcome for its playbook; the same incident twice counts once."""

    async def record(self, playbook: str, service: str, since: datetime) -> PlaybookRecord:
        """What a playbook has come to on a service, and what happened to the service since a moment."""


class Reader(Protocol):
    """Reads for screens and reports, from what was committed."""

    async def incidents(
        self, *, states: Collection[str], before: str | None, limit: int
    ) -> Sequence[Mapping[str, object]]:
        """Attributes of incidents, newest first; `before` is the id of the last one of the page before."""

    async def incident(self, identifier: str) -> Incident | None:
        """One incident."""

    async def units(self, incident: str) -> Sequence[UnitOfWork]:
        """Every unit of work of an incident, in order of creation."""

    async def entries(self, *, incident: str | None, after: int, limit: int) -> Sequence[Entry]:
        """Entries in log order, beyond the one with the number `after`."""

    async def answered(self) -> Sequence[str]:
        """Incidents that still wait although their approval was answered."""

    async def counts(self) -> Mapping[str, int]:
        """How many incidents there are by state."""

    def flaws(self) -> AsyncIterator[Flaw]:
        """Walks all stored history and yields what does not fit."""

    async def checkpoint(self) -> Checkpoint:
        """Size and root of the log."""


class TransactionFactory(Protocol):
    """Makes transactions for code that runs outside of the story."""

    def __call__(self) -> AbstractAsyncContextManager[Transaction]: ...


class Observer(Protocol):
    """Is told what was committed; telemetry counts from it."""

    def entry_recorded(self, entry: Entry) -> None:
        """Called once an entry is durable; must not block or raise."""
