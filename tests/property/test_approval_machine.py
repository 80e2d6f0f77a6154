"""Requests for approval under any sequence of answers, waits and news: a word that was given stands."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity
from penelope.domain.work import UnitOfWork
from penelope.errors import AlreadyDecided, InvalidRequest, UnknownIncident
from penelope.flow import records
from penelope.flow.approving import _look as look
from penelope.flow.commands import Answer, Commands
from penelope.kit.codec import from_data, to_data
from penelope.rooms.intake.run import Rules
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.reader import SqlReader
from penelope.store.transaction import SqlTransaction

START = datetime(2026, 11, 21, 7, tzinfo=UTC)
INCIDENT = Incident(
    id="inc_1",
    service="shop",
    fingerprint="problem",
    name="Broken",
    severity=Severity.ERROR,
    state=IncidentState.AWAITING_APPROVAL,
    opened_at=START,
    updated_at=START,
    signal_count=1,
)


class Desk:
    """The engine as far as the desk needs it: transactions at a moment of the test's choosing."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.now = START
        self.nudged = 0

    async def transaction(self, name: str, body: Callable[[SqlTransaction], Awaitable[Any]]) -> Any:  # noqa: ARG002 - the engine's own
        async with self.database.begin() as connection:
            return await body(SqlTransaction(connection, self.now))

    async def nudge(self, incident: str) -> None:
        assert incident == INCIDENT.id
        self.nudged += 1


class Approvals(RuleBasedStateMachine):
    """One incident, its requests, impatient people and a story that looks now and then."""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="penelope-approvals-"))
        url = parse_url(f"sqlite:///{self.folder}/penelope.db")
        self.writer, self.reading = open_engine(url), open_reader(url)
        self.reader = SqlReader(self.reading)
        self.desk = Desk(self.writer)
        self.commands = Commands(self.desk, Rules(hold_seconds=1))
        self.statuses: list[ApprovalStatus] = []
        self.expiry = START
        self.resolved = False
        self.changes = 0
        self.runner.run(migrate(self.writer))
        self._save(records.of_incident(INCIDENT, "IncidentOpened", ""))

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.reading.dispose())
            self.runner.run(self.writer.dispose())
            self.runner.close()
            shutil.rmtree(self.folder)

    def _save(self, change: Any) -> None:
        async def body(transaction: SqlTransaction) -> None:
            await transaction.save(change)

        self.runner.run(self.desk.transaction("save", body))

    @property
    def _pending(self) -> bool:
        return bool(self.statuses) and self.statuses[-1] is ApprovalStatus.PENDING

    @precondition(lambda self: not self._pending)
    @rule(seconds=st.integers(1, 50))
    def ask(self, seconds: int) -> None:
        self.expiry = self.desk.now + timedelta(seconds=seconds)
        approval = Approval(
            id=f"approval-{len(self.statuses)}",
            incident=INCIDENT.id,
            plan_digest=str(len(self.statuses)),
            reasons=(),
            status=ApprovalStatus.PENDING,
            requested_at=self.desk.now,
            expires_at=self.expiry,
        )
        self._save(records.of_approval(approval, "ApprovalRequested", ""))
        self.statuses.append(ApprovalStatus.PENDING)
        self.changes += 1

    @rule(approve=st.booleans(), actor=st.sampled_from(["ada", "bob"]), why=st.sampled_from(["", " ", "so"]))
    def answer(self, *, approve: bool, actor: str, why: str) -> None:
        command = self.commands.answer_approval(
            Answer(incident="inc_1", actor=actor, approve=approve, comment=why)
        )
        nudged = self.desk.nudged
        if not self._pending or self.desk.now >= self.expiry:
            with pytest.raises(AlreadyDecided):
                self.runner.run(command)
            assert self.desk.nudged == nudged
            return
        if not approve and not why.strip():
            with pytest.raises(InvalidRequest):
                self.runner.run(command)
            assert self.desk.nudged == nudged
            return
        given = self.runner.run(command)
        self.statuses[-1] = ApprovalStatus.APPROVED if approve else ApprovalStatus.REJECTED
        self.changes += 1
        assert (given.status, given.decided_by, given.decided_at) == (
            self.statuses[-1],
            actor,
            self.desk.now,
        )
        assert self.desk.nudged == nudged + 1

    @rule()
    def answer_for_another_incident(self) -> None:
        with pytest.raises(UnknownIncident):
            self.runner.run(
                self.commands.answer_approval(Answer(incident="inc_2", actor="eve", approve=True))
            )

    @precondition(lambda self: self.statuses)
    @rule()
    def the_story_looks(self) -> None:
        async def body(transaction: SqlTransaction) -> Any:
            return await look(transaction, "inc_1", f"approval-{len(self.statuses) - 1}")

        word = self.runner.run(self.desk.transaction("look", body))
        if self._pending and self.resolved:
            self.statuses[-1] = ApprovalStatus.CANCELLED
            self.changes += 1
        elif self._pending and self.desk.now >= self.expiry:
            self.statuses[-1] = ApprovalStatus.EXPIRED
            self.changes += 1
        assert word.status is self.statuses[-1]
        assert word.seconds > 0
        if word.status is ApprovalStatus.PENDING:
            # It wakes when the request expires, and not before without need.
            assert word.seconds == (self.expiry - self.desk.now).total_seconds()

    @rule(resolved=st.booleans())
    def news(self, *, resolved: bool) -> None:
        self.resolved = resolved
        ended = replace(INCIDENT, resolved_at=self.desk.now if resolved else None)
        self._save(records.of_incident(ended, "SignalsCorrelated", ""))

    @rule(seconds=st.integers(0, 40))
    def time_passes(self, seconds: int) -> None:
        self.desk.now += timedelta(seconds=seconds)

    @invariant()
    def what_is_stored_is_what_was_said(self) -> None:
        if not hasattr(self, "runner"):
            return
        units = [unit for unit in self.runner.run(self.reader.units("inc_1")) if unit.kind == "approval"]
        found = [from_data(Approval, unit.attributes) for unit in units]
        assert [item.status for item in found] == self.statuses
        assert [unit.status for unit in units] == [status.value for status in self.statuses]
        for item in found:
            by_a_person = item.status in {ApprovalStatus.APPROVED, ApprovalStatus.REJECTED}
            assert (item.decided_by is not None) is by_a_person
            assert (item.decided_at is None) is (item.status is ApprovalStatus.PENDING)
        # Every change is history, and nothing else is: a word that was given is given once.
        assert sum(unit.version for unit in units) == self.changes


TestApprovals = Approvals.TestCase
TestApprovals.settings = settings(max_examples=40, stateful_step_count=20)


def test_a_request_that_is_lost_is_no_approval() -> None:
    asked: list[str] = []

    class Nothing:
        """But for the incident."""

        async def unit(self, identifier: str) -> UnitOfWork | None:
            asked.append(identifier)
            return unit if identifier == INCIDENT.id else None

    unit = UnitOfWork(
        id=INCIDENT.id,
        kind="incident",
        incident=INCIDENT.id,
        status=INCIDENT.state.value,
        attributes=to_data(INCIDENT),
        content_hash="",
        version=1,
        updated_at=START,
        head="",
    )
    word = asyncio.run(look(Nothing(), INCIDENT.id, "approval-1"))  # type: ignore[arg-type]  # all that it asks for
    assert (word.status, word.reason) == (ApprovalStatus.REJECTED, "the request for approval is lost")
    assert asked == [INCIDENT.id, "approval-1"], (
        "answers lock them in this order, and must not wait for each other"
    )
