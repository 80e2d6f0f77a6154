"""The part of the story in which a person has the word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from committing import Body, commit
from stage import BAD, DECIDE, GOOD, TIMING, Script, Stage, begin, performing, play, playbook, signal, step

from penelope.domain.action import Tier
from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.circumstances import Circumstances
from penelope.domain.incident import IncidentState
from penelope.domain.plan import Parameter
from penelope.domain.signal import SignalStatus
from penelope.errors import AlreadyDecided, UnknownIncident
from penelope.flow import records
from penelope.flow.assessment import Assessment
from penelope.flow.commands import Answer, Commands
from penelope.flow.deciding import assess
from penelope.flow.sweep import sweep
from penelope.flow.trying import NotTried, try_out
from penelope.kit.codec import from_data
from penelope.rooms.context.run import gather
from penelope.rooms.intake.run import Rules
from penelope.store.database import open_engine, parse_url
from penelope.store.transaction import SqlTransaction

Databases = tuple[str, str]
Books = dict[str, Any]

BROKEN = Circumstances(missed=("availability",), risk=1.0)
"""The world as it stands while the service is not well, at any risk."""

ASKING: Books = {"playbooks": [playbook(approval=True)]}


class DeadEngine:
    """Commits, and dies before it says so to anyone."""

    def __init__(self, database: Any, now: datetime | None = None) -> None:
        self._database = database
        self._now = now

    async def transaction(self, name: str, body: Body) -> Any:  # noqa: ARG002 - the engine's own
        return await commit(self._database, self._now or datetime.now(UTC), body)

    async def start(self, *_: str) -> None:
        """Never comes to it."""

    nudge = start


@asynccontextmanager
async def without_engine(database: str) -> AsyncIterator[Commands]:
    """The desk beside a database whose engine is down."""
    engine = open_engine(parse_url(database))
    try:
        yield Commands(DeadEngine(engine), Rules(hold_seconds=3600))
    finally:
        await engine.dispose()


def yes(incident: str, actor: str = "ada") -> Answer:
    return Answer(incident=incident, actor=actor, approve=True, comment="go on")


async def awaiting(stage: Stage) -> str:
    """An incident that waits for a person; from then on the service is well."""
    incident = await begin(stage)
    await stage.until(incident, IncidentState.AWAITING_APPROVAL)
    stage.metrics.script("shop", BAD, GOOD)
    return incident


async def approvals(stage: Stage, incident: str) -> list[Approval]:
    units = await stage.reader.units(incident)
    return [from_data(Approval, unit.attributes) for unit in units if unit.kind == "approval"]


async def reason(stage: Stage, incident: str) -> str:
    (found,) = [item for item in await stage.reader.units(incident) if item.kind == "outcome"]
    return str(found.attributes["reason"])


def test_nothing_is_done_until_a_person_agrees(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await awaiting(stage)
        assert stage.adapter.effects == {}
        given = await stage.commands.answer_approval(yes(incident))
        assert (given.status, given.decided_by, given.comment) == ("approved", "ada", "go on")
        assert (await stage.until(incident)).state is IncidentState.HEALED
        entries = await stage.reader.entries(incident=incident, after=0, limit=100)
        (word,) = [entry for entry in entries if entry.event == "ApprovalGiven"]
        assert (word.actor, word.reason) == ("ada", "go on")
        assert word.seq < min(entry.seq for entry in entries if entry.event == "ActionStarted")
        assert await approvals(stage, incident) == [given]
        assert await stage.flaws() == []

    play(databases, scene, **ASKING)


def test_a_hard_step_needs_a_word_whatever_the_playbook_says(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await awaiting(stage)
        assert "tier 4 needs an approval" in (await approvals(stage, incident))[0].reasons[0]

    steps = (step("first", tier=Tier.IRREVERSIBLE),)
    play(databases, scene, playbooks=[playbook(steps=steps)], decide=replace(DECIDE, risk_limit=1.0))


def test_a_plan_that_is_rejected_is_not_carried_out(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await awaiting(stage)
        await stage.commands.answer_approval(
            Answer(incident=incident, actor="bob", approve=False, comment="no")
        )
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert await reason(stage, incident) == "the plan was rejected: no"
        assert stage.adapter.effects == {}
        entries = await stage.reader.entries(incident=incident, after=0, limit=100)
        assert [entry.reason for entry in entries if entry.actor == "bob"] == ["no"]

    play(databases, scene, **ASKING)


def test_a_request_that_nobody_answers_expires(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage)
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        assert await reason(stage, incident) == "the plan was expired"
        assert [item.status for item in await approvals(stage, incident)] == ["expired"]
        with pytest.raises(AlreadyDecided, match="was expired by nobody"):
            await stage.commands.answer_approval(yes(incident))
        assert stage.adapter.effects == {}

    play(databases, scene, timing=replace(TIMING, approval_expires_seconds=0.2), **ASKING)


def test_an_answer_that_comes_too_late_is_refused_even_before_expiry_is_noted(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await awaiting(stage)
        before = await stage.events(incident)
        (asked,) = await approvals(stage, incident)
        late = Commands(DeadEngine(stage.database, asked.expires_at), Rules(hold_seconds=1))
        with pytest.raises(AlreadyDecided, match=f"expired at {asked.expires_at:%Y-%m-%d}"):
            await late.answer_approval(yes(incident))
        assert await stage.events(incident) == before
        just_in_time = asked.expires_at - timedelta(microseconds=1)
        in_time = Commands(DeadEngine(stage.database, just_in_time), Rules(hold_seconds=1))
        assert (await in_time.answer_approval(yes(incident))).decided_at == just_in_time

    play(databases, scene, **ASKING)


def test_only_the_first_answer_counts(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        with pytest.raises(UnknownIncident, match="no incident 'inc_none'"):
            await stage.commands.answer_approval(yes("inc_none"))
        incident = await awaiting(stage)
        with pytest.raises(UnknownIncident):
            await stage.commands.answer_approval(yes(f"{incident}:decision"))
        await stage.commands.answer_approval(yes(incident))
        await stage.until(incident)
        before = await stage.events(incident)
        no = Answer(incident=incident, actor="bob", approve=False, comment="no")
        with pytest.raises(AlreadyDecided, match="was approved by ada"):
            await stage.commands.answer_approval(no)
        assert await stage.events(incident) == before
        (only,) = await approvals(stage, incident)
        assert only.decided_by == "ada"

    play(databases, scene, **ASKING)


def test_of_two_answers_at_once_one_counts(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await awaiting(stage)
        answers = [
            Answer(incident=incident, actor=f"person-{number}", approve=number % 2 == 0, comment="so be it")
            for number in range(8)
        ]
        results = await asyncio.gather(
            *(stage.commands.answer_approval(answer) for answer in answers), return_exceptions=True
        )
        (counted,) = [item for item in results if isinstance(item, Approval)]
        assert all(isinstance(item, AlreadyDecided) for item in results if item is not counted)
        ended = await stage.until(incident)
        assert ended.state is (
            IncidentState.HEALED if counted.status == "approved" else IncidentState.ESCALATED
        )
        events = await stage.events(incident)
        assert events.count("ApprovalGiven") + events.count("ApprovalRefused") == 1

    play(databases, scene, **ASKING)


def test_an_incident_that_waits_for_nobody_takes_no_answer(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await begin(stage, signal(name="Strange"))
        await stage.until(incident)
        before = await stage.events(incident)
        with pytest.raises(AlreadyDecided, match="does not wait for an approval"):
            await stage.commands.answer_approval(yes(incident))
        assert await stage.events(incident) == before

    play(databases, scene)


def test_a_condition_that_ends_withdraws_the_request(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        incident = await awaiting(stage)
        await stage.commands.receive_signals([signal(2, status=SignalStatus.RESOLVED)])
        assert (await stage.until(incident)).state is IncidentState.RESOLVED
        assert [item.status for item in await approvals(stage, incident)] == ["cancelled"]
        assert "ApprovalCancelled" in await stage.events(incident)
        with pytest.raises(AlreadyDecided, match="was cancelled"):
            await stage.commands.answer_approval(yes(incident))

    play(databases, scene, **ASKING)


def test_waiting_for_a_word_survives_a_restart(databases: Databases) -> None:
    script = Script(**ASKING)

    async def first() -> str:
        async with performing(databases, script) as stage:
            return await awaiting(stage)

    async def second(incident: str) -> None:
        async with performing(databases, script) as stage:
            stage.metrics.script("shop", BAD, GOOD)
            assert script.adapter.effects == {}
            await stage.commands.answer_approval(yes(incident))
            assert (await stage.until(incident)).state is IncidentState.HEALED
            events = await stage.events(incident)
            assert (events.count("ApprovalRequested"), events.count("ApprovalGiven")) == (1, 1)
            assert set(script.adapter.effects.values()) == {1}
            assert await stage.flaws() == []

    async def both() -> None:
        # In one event loop: a stopped engine leaves it as it was.
        await second(await first())

    asyncio.run(both())


def test_a_word_given_while_the_engine_was_down_is_found_by_the_sweep(databases: Databases) -> None:
    script = Script(**ASKING)

    async def run() -> None:
        async with performing(databases, script) as stage:
            incident = await awaiting(stage)
        async with without_engine(databases[0]) as commands:
            await commands.answer_approval(yes(incident))
        async with performing(databases, script) as stage:
            stage.metrics.script("shop", BAD, GOOD)
            assert (await stage.reader.incident(incident)).state is IncidentState.AWAITING_APPROVAL
            await sweep(stage.engine, stage.reader)
            assert (await stage.until(incident)).state is IncidentState.HEALED

    asyncio.run(run())


def test_news_that_never_reached_a_waiting_story_is_brought_by_the_sweep(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        lost = Commands(DeadEngine(stage.database), Rules(hold_seconds=3600))
        answered = await awaiting(stage)
        stage.metrics.script("shop", BAD)
        await lost.answer_approval(yes(answered))
        ended = await begin(stage, signal(2, service="shop", name="Other"))
        await stage.until(ended, IncidentState.AWAITING_APPROVAL)
        await lost.receive_signals([signal(3, name="Other", status=SignalStatus.RESOLVED)])
        left = await begin(stage, signal(4, name="Third"))
        await stage.until(left, IncidentState.AWAITING_APPROVAL)
        before = await stage.events(left)
        await sweep(stage.engine, stage.reader)
        assert (await stage.until(ended)).state is IncidentState.RESOLVED
        await stage.heard_of(answered, "GatePassed")
        stage.metrics.script("shop", GOOD)
        assert (await stage.until(answered)).state is IncidentState.HEALED
        await sweep(stage.engine, stage.reader)
        # What has no news is left alone.
        assert await stage.events(left) == before

    book = playbook(approval=True)
    play(databases, scene, playbooks=[replace(book, match=replace(book.match, names=()))])


def test_a_story_that_was_never_begun_is_begun_by_the_sweep(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD, GOOD)
        lost = Commands(DeadEngine(stage.database), Rules(hold_seconds=3600))
        (incident,) = (await lost.receive_signals([signal()])).opened
        assert (await stage.reader.incident(incident)).state is IncidentState.RECEIVED
        await sweep(stage.engine, stage.reader)
        await sweep(stage.engine, stage.reader)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        assert set(stage.adapter.effects.values()) == {1}
        await sweep(stage.engine, stage.reader)
        assert (await stage.events(incident)).count("IncidentHealed") == 1

    play(databases, scene)


def test_fresh_evidence_that_changes_the_plan_asks_anew(databases: Databases) -> None:
    """What was approved is one plan; another one needs another word."""

    async def scene(stage: Stage) -> None:
        stage.metrics.script("shop", BAD)
        incident = await awaiting(stage)
        stage.metrics.script("shop", replace(BAD, gauges={"a": {"size": 7}}))
        await stage.commands.answer_approval(yes(incident))
        await stage.heard_of(incident, "ApprovalRequested", times=2)
        assert {item.status for item in await approvals(stage, incident)} == {"approved", "pending"}
        assert stage.adapter.effects == {}
        stage.metrics.script("shop", replace(BAD, gauges={"a": {"size": 7}}), GOOD)
        await stage.commands.answer_approval(yes(incident, "eve"))
        assert (await stage.until(incident)).state is IncidentState.HEALED
        assert stage.adapter.world == {"one": {"size": 7}}

    size = Parameter(name="size", kind="number", source="metric.size", default=1)
    book = playbook(approval=True, parameters=(size,), steps=(step("first", params={"size": "${size}"}),))
    play(databases, scene, playbooks=[book])


class TestRequestsFromBefore:
    """Someone else's writing, or an older version's: requests that are there when the story begins."""

    def test_an_open_request_for_another_plan_is_withdrawn(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident = await received(stage)
            await save(stage, request(incident, "approval-of-old", "digest of another plan"))
            await sweep(stage.engine, stage.reader)
            await stage.until(incident, IncidentState.AWAITING_APPROVAL)
            old, new = await approvals(stage, incident)
            assert (old.status, new.status) == ("cancelled", "pending")
            entries = await stage.reader.entries(incident=incident, after=0, limit=100)
            (withdrawn,) = [entry for entry in entries if entry.event == "ApprovalCancelled"]
            assert withdrawn.reason == "fresh evidence led to another plan"

        play(databases, scene, **ASKING)

    def test_a_plan_that_was_refused_is_not_asked_for_again(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident = await received(stage)
            made = await rehearse(stage, incident)
            assert made.plan is not None
            asked = request(incident, made.approval or "", made.plan.digest)
            asked = replace(asked, circumstances=BROKEN)
            await save(stage, replace(asked, status=ApprovalStatus.REJECTED))
            await sweep(stage.engine, stage.reader)
            assert (await stage.until(incident)).state is IncidentState.ESCALATED
            assert await reason(stage, incident) == "the plan was rejected before"

        play(databases, scene, **ASKING)

    def test_a_request_that_is_still_open_is_waited_for(self, databases: Databases) -> None:
        async def scene(stage: Stage) -> None:
            incident = await received(stage)
            made = await rehearse(stage, incident)
            assert made.plan is not None
            asked = request(incident, made.approval or "", made.plan.digest)
            await save(stage, replace(asked, circumstances=BROKEN))
            await sweep(stage.engine, stage.reader)
            await stage.until(incident, IncidentState.AWAITING_APPROVAL)
            assert [item.status for item in await approvals(stage, incident)] == ["pending"]
            assert (await stage.events(incident)).count("ApprovalRequested") == 1

        play(databases, scene, **ASKING)


async def received(stage: Stage) -> str:
    """An incident whose story has not begun."""
    lost = Commands(DeadEngine(stage.database), Rules(hold_seconds=3600))
    (incident,) = (await lost.receive_signals([signal()])).opened
    return incident


async def rehearse(stage: Stage, incident: str) -> Assessment:
    """What an assessment would come to; nothing of it is kept but how its plan was tried."""
    reading = await gather(
        stage.parts.service("shop"),
        stage.parts.metrics,
        stage.parts.changes,
        window_seconds=60,
        now=datetime.now(UTC),
    )
    while True:
        async with stage.database.connect() as connection:
            await connection.begin()
            transaction = SqlTransaction(connection, datetime.now(UTC))
            try:
                return await assess(transaction, stage.parts, incident, reading)
            except NotTried as found:
                lacking = found
        await try_out(stage.engine, stage.parts, lacking)


def request(incident: str, identifier: str, digest: str) -> Approval:
    now = datetime.now(UTC)
    return Approval(
        id=identifier,
        incident=incident,
        plan_digest=digest,
        reasons=(),
        status=ApprovalStatus.PENDING,
        requested_at=now,
        expires_at=now + timedelta(hours=1),
    )


async def save(stage: Stage, approval: Approval) -> None:
    async with stage.database.begin() as connection:
        transaction = SqlTransaction(connection, datetime.now(UTC))
        await transaction.save(records.of_approval(approval, "ApprovalRequested", "a test says so"))
