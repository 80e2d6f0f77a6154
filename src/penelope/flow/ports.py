"""What `flow` needs from below the story: transactions on the operational store, reads for screens, an observer."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penelope.domain.approval import Approval
from penelope.domain.incident import Incident
from penelope.domain.intervention import Heal, Intervention, Usage
from penelope.domain.lease import Lease
from penelope.domain.outcome import Outcome, PlaybookRecord
from penelope.domain.precedent import PastCase, PastDurations, Stratum, Tallies
from penelope.domain.signal import Signal
from penelope.domain.work import Change, Entry, UnitOfWork
from penelope.flow.leases import Leases
from penelope.flow.outbox import Outbox
from penelope.ledger.chain import Flaw
from penelope.ledger.notes import Checkpoint
from penelope.ledger.ports import Verifier

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

    @property
    def outbox(self) -> Outbox:
        """What is to be said to people, in the same transaction."""

    @property
    def leases(self) -> Leases:
        """Who may change which target."""

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

    async def open_incidents(
        self, services: Collection[str], before: datetime
    ) -> Sequence[tuple[str, str, datetime]]:
        """Id, service and opening of incidents that opened before a moment and still take signals in, oldest first."""

    async def claim(self, action: str, incident: str, service: str) -> int:
        """Counts an attempt at an action and returns its number, 1 for the first."""

    async def add_outcome(self, outcome: Outcome) -> None:
        """Counts an outcome for its playbook; the same incident twice counts once."""

    async def add_past_case(self, case: PastCase, traits: str) -> None:
        """Keeps a case and, where a playbook acted, counts it; the same incident twice counts once.

        `traits` are those of the service (domain/precedent), empty where they are not known.
        """

    async def durations(self, service: str, fingerprint: str, name: str) -> PastDurations:
        """How long the newest cases of a problem were left alone, and those of its name on other services."""

    async def tallies(self, playbook: str, service: str, traits: str, stratum: Stratum) -> Tallies:
        """What the uses of a playbook came to, where the objectives said the same of the signal."""

    async def precedents(self, incident: Incident, cases: Collection[str]) -> Sequence[PastCase]:
        """Candidates: the newest cases of the same problem, the newest of the same name, and those named here."""

    async def import_cases(self, cases: Sequence[PastCase]) -> int:
        """Keeps cases that were not known before, and says how many those were. What playbooks came to in them
        is counted apart from what was lived through.
        """

    async def record(self, playbook: str, service: str) -> PlaybookRecord:
        """What a playbook has come to on a service, and when that was last changed and healed."""

    async def peek(self, identifiers: Collection[str]) -> Mapping[str, UnitOfWork | None]:
        """Units as they are, without keeping anybody waiting.

        One that was tampered with, or whose row is lost, is None; one that never was is left out.
        """

    async def heals(self, service: str, fingerprint: str, since: datetime) -> Sequence[Heal]:
        """When and by what a problem was healed since a moment, oldest first."""

    async def refusals(
        self, service: str, fingerprint: str, playbook: str, since: datetime
    ) -> Sequence[Approval]:
        """The newest requests for plans of a playbook about a problem that were rejected since a moment, ten at most."""

    async def usage(self, service: str, playbook: str, besides: str, since: datetime) -> Usage:
        """What was let through for others than the incident `besides`: the actions of what ended after a moment, or has
        not ended, and what is under way.
        """

    async def reserve(self, intervention: Intervention) -> None:
        """Notes that a plan was let through; another plan of the same incident takes its place."""

    async def intervention(self, incident: str) -> Intervention | None:
        """What was let through for an incident, if anything was; who bars claims waits until this transaction ends."""

    async def bar_claims(self) -> None:
        """Waits for claims of actions that are under way; none that has not looked at what this transaction changes
        is committed after it. To be called before anything is changed.
        """

    async def attempts(self, action: str) -> int:
        """How often an action was claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCounts:
    """Requests that nobody has answered, reviews that are open, and those of them that are overdue."""

    pending: int
    reviews: int
    overdue: int


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

    async def asked(
        self, kind: str, *, statuses: Collection[str], before: str | None, limit: int
    ) -> Sequence[UnitOfWork]:
        """Units of the kind `approval` or `break_glass`, newest first; `before` is the id of the page's last one."""

    async def asked_unit(self, kind: str, identifier: str) -> UnitOfWork | None:
        """One of them."""

    async def asked_counts(self, now: datetime) -> AskedCounts:
        """How many words are waited for."""

    async def entries(self, *, incident: str | None, after: int, limit: int) -> Sequence[Entry]:
        """Entries in log order, beyond the one with the number `after`."""

    async def answered(self) -> Sequence[str]:
        """Incidents that still wait although their approval was answered."""

    async def halts(self, causes_since: datetime) -> Sequence[UnitOfWork]:
        """Every breaker that was ever touched, by id; of closed ones of causes those that were touched since then."""

    async def leases(self) -> Sequence[tuple[Lease, UnitOfWork | None]]:
        """Every target that is held, the one held longest first, each with the action that holds it."""

    async def counts(self) -> Mapping[str, int]:
        """How many incidents there are by state."""

    async def history(self, unit: str, after: int, limit: int) -> Sequence[Entry]:
        """A unit's entries in order, beyond the version `after`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """How many entries the log has, and the root over them in hexadecimal; nobody has signed it."""

    size: int
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A unit's stored state beside its history.

    `paths` are the JSON pointers at which its attributes differ from what history made of them; None where history
    can no longer be followed, because a payload was erased or altered. `flaws` tells all else that does not fit.
    """

    unit: str
    version: int
    paths: Sequence[str] | None
    flaws: Sequence[Flaw]


class Verification(Protocol):
    """Checks what is stored against what was recorded and signed."""

    def flaws(
        self, outside: Sequence[Checkpoint] = (), verifiers: Sequence[Verifier] = ()
    ) -> AsyncIterator[Flaw]:
        """Walks all that is stored and yields what does not fit.

        `outside` are checkpoints that were kept elsewhere and are trusted. Stored ones must be signed by
        `verifiers`, if there are any, and so must cosignatures of witnesses whose keys are among them. Payloads
        may be gone where the ledger says that they were archived or erased.
        """

    async def head(self) -> LogHead:
        """Size and root of the log. Raises ChainBroken where they cannot be told any more."""

    async def state_drift(self, unit: str) -> Drift | None:
        """How a unit's state differs from what its history says; None if there is no such unit."""


class TransactionFactory(Protocol):
    """Makes transactions for code that runs outside of the story."""

    def __call__(self) -> AbstractAsyncContextManager[Transaction]: ...


class LedgerWriter(Protocol):
    """Saves units of work outside of the story."""

    async def save(self, *changes: Change) -> Sequence[Entry]:
        """Saves changes, all or none, durably. Raises as Transaction's `save` does."""


class Observer(Protocol):
    """Is told what was committed; telemetry counts from it."""

    def entry_recorded(self, entry: Entry) -> None:
        """Called once an entry is durable; must not block or raise."""
