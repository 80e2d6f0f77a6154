"""Signals at the desk: counted once, none lost, one incident a problem, whoever sends how many at once."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select
from stage import Stage, begin, play, signal

from penelope.domain.incident import IncidentState
from penelope.domain.signal import Signal, SignalStatus
from penelope.store import tables
from penelope.testing.clock import FakeClock

Databases = tuple[str, str]

NO_PLAYBOOKS: dict[str, Any] = {"playbooks": []}
"""Every incident goes to people at once, and goes on taking signals in."""


async def count(stage: Stage, table: Any) -> int:
    async with stage.database.connect() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


async def kept(stage: Stage) -> Counter[str | None]:
    """How many signals are kept, by incident."""
    async with stage.database.connect() as connection:
        return Counter((await connection.execute(select(tables.signals.c.incident))).scalars().all())


def end(number: int, of: Signal) -> Signal:
    return replace(of, id=f"signal-{number}", status=SignalStatus.RESOLVED)


def test_sending_again_changes_nothing(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        batch = [signal(1), signal(2), signal(1)]
        first = await stage.commands.receive_signals(batch)
        assert (first.accepted, first.duplicates, first.opened) == (2, 1, first.incidents)
        incident = await stage.until(first.opened[0])
        before = await stage.events(incident.id)
        again = await stage.commands.receive_signals(batch)
        assert (again.accepted, again.duplicates, again.incidents, again.opened) == (0, 3, (), ())
        assert await stage.events(incident.id) == before
        assert incident.signal_count == await count(stage, tables.signals) == 2
        nothing = await stage.commands.receive_signals([])
        assert (nothing.accepted, nothing.duplicates, nothing.incidents) == (0, 0, ())

    play(databases, scene, **NO_PLAYBOOKS)


def test_the_end_of_what_was_never_reported_is_kept(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        receipt = await stage.commands.receive_signals([end(1, signal())])
        assert (receipt.accepted, receipt.incidents, receipt.opened) == (1, (), ())
        assert await kept(stage) == {None: 1}

    play(databases, scene, **NO_PLAYBOOKS)


def test_an_incident_lasts_while_any_of_its_subjects_burns(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        burning = [signal(number, labels={"instance": f"i-{number}"}) for number in range(3)]
        incident = await begin(stage, *burning)
        await stage.until(incident, IncidentState.ESCALATED)
        await stage.commands.receive_signals([end(10, burning[0])])
        await stage.commands.receive_signals([end(11, burning[1]), end(12, burning[1])])
        # One that had ended begins again.
        await stage.commands.receive_signals([replace(burning[0], id="signal-13")])
        await stage.commands.receive_signals([end(14, burning[2])])
        found = await stage.reader.incident(incident)
        assert (found.state, found.resolved_at, found.signal_count) == (IncidentState.ESCALATED, None, 4)
        await stage.commands.receive_signals([end(15, burning[0])])
        assert (await stage.reader.incident(incident)).state is IncidentState.RESOLVED
        assert await kept(stage) == {incident: 9}
        assert await count(stage, tables.firing) == 0
        assert await stage.flaws() == []

    play(databases, scene, **NO_PLAYBOOKS)


def test_a_storm_is_taken_in_whole(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        storm = [
            signal(number, name=f"Problem{number % 100}", labels={"instance": f"i-{number}"})
            for number in range(2000)
        ]
        receipt = await stage.commands.receive_signals(storm)
        assert (receipt.accepted, receipt.duplicates) == (2000, 0)
        assert len(set(receipt.opened)) == len(receipt.incidents) == 100
        assert await kept(stage) == dict.fromkeys(receipt.incidents, 20)
        for identifier in receipt.opened:
            ended = await stage.until(identifier)
            assert (ended.state, ended.signal_count) == (IncidentState.ESCALATED, 20)
        # All but the last of each problem end: not one incident does.
        ends = [end(10_000 + number, of) for number, of in enumerate(storm)]
        half = await stage.commands.receive_signals(ends[:1900])
        assert half.accepted == 1900
        assert await stage.reader.counts() == {"escalated": 100}
        rest = await stage.commands.receive_signals(ends)
        assert (rest.accepted, rest.duplicates) == (100, 1900)
        assert await stage.reader.counts() == {"resolved": 100}
        assert await stage.flaws() == []

    play(databases, scene, **NO_PLAYBOOKS)


def test_batches_at_once_about_one_problem_open_one_incident(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        batches = [
            [signal(number * 10 + place, name=name) for place, name in enumerate(("Broken", "Slow", "Stale"))]
            for number in range(12)
        ]
        # Every other one in another order: locks taken crosswise must not end in an error.
        batches = [batch[:: (-1) ** number] for number, batch in enumerate(batches)]
        receipts = await asyncio.gather(*map(stage.commands.receive_signals, batches))
        assert [(receipt.accepted, receipt.duplicates) for receipt in receipts] == [(3, 0)] * 12
        opened = [incident for receipt in receipts for incident in receipt.opened]
        assert len(opened) == 3
        assert await kept(stage) == dict.fromkeys(opened, 12)
        for incident in opened:
            assert (await stage.until(incident)).signal_count == 12
        assert await stage.flaws() == []

    play(databases, scene, **NO_PLAYBOOKS)


def test_one_batch_sent_many_times_at_once_counts_once(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        batch = [signal(number) for number in range(5)]
        receipts = await asyncio.gather(*(stage.commands.receive_signals(batch) for _ in range(8)))
        assert sum(receipt.accepted for receipt in receipts) == 5
        assert sum(receipt.duplicates for receipt in receipts) == 35
        (incident,) = {incident for receipt in receipts for incident in receipt.opened}
        assert (await stage.until(incident)).signal_count == await count(stage, tables.signals) == 5

    play(databases, scene, **NO_PLAYBOOKS)


def test_a_batch_is_taken_in_whole_or_not_at_all(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        bad = signal(2, labels={"instance": "\ud800"})  # no database can keep this
        with pytest.raises(ValueError, match=r"(?i)surrogate|utf-8"):
            await stage.commands.receive_signals([signal(1), bad])
        assert await count(stage, tables.signals) == await count(stage, tables.incidents) == 0
        assert (await stage.commands.receive_signals([signal(1)])).accepted == 1

    play(databases, scene, **NO_PLAYBOOKS)


def test_what_was_handed_over_long_ago_lapses_and_the_problem_opens_anew(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        old = await begin(stage)
        await stage.until(old, IncidentState.ESCALATED)
        later = clock.advance(3601)
        new = await begin(stage, signal(2, starts_at=later))
        assert new != old
        assert (await stage.reader.incident(old)).lapsed
        assert (await stage.events(old))[-1] == "IncidentLapsed"
        assert (await stage.until(new)).opened_at == later
        assert await stage.flaws() == []

    clock = FakeClock()
    play(databases, scene, clock=clock, **NO_PLAYBOOKS)
