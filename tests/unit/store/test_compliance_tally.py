"""Decisions and outcomes are counted by day inside the database, on both databases alike."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from test_decision_audit import OnStores, decided, keep

from penelope.domain.constitution import Article
from penelope.domain.outcome import Outcome, OutcomeKind
from penelope.flow.audit import Window
from penelope.flow.compliance import ComplianceWatch, together
from penelope.rooms.learn.compliance import Compliance, Scale, Tally
from penelope.store.compliance import SqlTally, _decided
from penelope.testing.clock import FakeClock

MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
WINDOW = Window(since=MIDNIGHT - timedelta(days=7), until=MIDNIGHT + timedelta(days=1))


def weighed(number: int, broken: Sequence[Article] = (), **changes: Any) -> Any:
    change = decided(number, **changes)
    articles = [{"article": item.value, "kept": item not in broken} for item in Article]
    return replace(change, details={**change.details, "articles": articles})


def outcome(number: int, at: datetime, *, verified: bool) -> Outcome:
    return Outcome(
        incident=f"inc_{number:03}",
        service="shop",
        kind=OutcomeKind.HEALED,
        reason="",
        acted=True,
        ended_at=at,
        total_seconds=1,
        playbook="fix",
        verified=verified,
    )


async def furnish(store: Any) -> None:
    yesterday = MIDNIGHT - timedelta(microseconds=1)
    await keep(store, weighed(1, [Article.SOPHIA, Article.PRUDENCE]), at=yesterday)
    await keep(store, weighed(2, [Article.SOPHIA], judgement="escalate"), at=MIDNIGHT)
    await keep(store, weighed(3, judgement="observe", service="bank"), at=MIDNIGHT)
    await keep(store, decided(4), at=MIDNIGHT)
    async with store.transaction() as transaction:
        await transaction.add_outcome(outcome(1, MIDNIGHT, verified=True))
        await transaction.add_outcome(outcome(2, MIDNIGHT, verified=False))
        await transaction.add_outcome(outcome(9, MIDNIGHT, verified=False))


def test_each_day_is_counted_by_itself(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await furnish(store)
        tally = await SqlTally(store.reading).tally(WINDOW)
        assert list(tally) == [date(2026, 11, 20), date(2026, 11, 21)]
        first, second = tally.values()
        assert (first.decisions, first.weighed, first.verified, first.brier) == (1, 1, 0, None)
        assert {article for article, number in first.broken.items() if number} == {
            Article.SOPHIA,
            Article.PRUDENCE,
        }
        assert (second.decisions, second.observed, second.escalated, second.weighed) == (3, 1, 1, 2)
        assert second.broken[Article.SOPHIA] == 1
        # Each confidence was 0.75; an outcome without a decision says nothing about confidence.
        assert second.verified == 2
        assert second.brier == pytest.approx((0.25**2 + 0.75**2) / 2)
        assert [item async for item in store.verification.flaws() if "decision" in item.problem] == []

    on_stores(scene)


def test_a_service_and_a_stretch_of_time_are_counted_alone(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await furnish(store)
        tally = SqlTally(store.reading)
        bank = await tally.tally(replace(WINDOW, service="bank"))
        assert [(item.decisions, item.verified) for item in bank.values()] == [(1, 0)]
        assert await tally.tally(replace(WINDOW, until=MIDNIGHT - timedelta(microseconds=1))) == {}
        assert await tally.tally(replace(WINDOW, service="nobody")) == {}

    on_stores(scene)


def test_counting_reads_an_index_alone(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        for service in (None, "shop"):
            query = _decided(replace(WINDOW, service=service)).compile(
                store.reading.sync_engine, compile_kwargs={"literal_binds": True}
            )
            if store.reading.dialect.name != "sqlite":
                continue
            async with store.reading.connect() as connection:
                plan = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")).all()
            assert "USING COVERING INDEX ix_decisions_" in str(plan)

    on_stores(scene)


def test_many_days_are_one_whole() -> None:
    days = {
        date(2026, 11, 20): Tally(decisions=2, weighed=1, broken={Article.AGAPE: 1}, verified=1, brier=0.4),
        date(2026, 11, 21): Tally(decisions=3, observed=1, weighed=3, verified=3, brier=0.0),
    }
    whole = together(days)
    assert (whole.decisions, whole.observed, whole.weighed) == (5, 1, 4)
    assert whole.broken == {Article.AGAPE: 1}
    assert (whole.verified, whole.brier) == (4, pytest.approx(0.1))
    assert together({}) == Tally()


class Heard:
    """Remembers scores, and may be told to fail."""

    def __init__(self) -> None:
        self.scores: list[float | None] = []

    def constitution_scored(self, compliance: Compliance) -> None:
        self.scores.append(compliance.score)


class Flaky:
    """A store that is away at first."""

    def __init__(self) -> None:
        self.asked: list[Window] = []

    async def tally(self, window: Window) -> dict[date, Tally]:
        self.asked.append(window)
        if len(self.asked) == 1:
            raise OSError("away")
        return {window.since.date(): Tally(decisions=1, weighed=1)}


def test_the_watch_goes_on_when_the_store_was_away() -> None:
    async def run() -> None:
        reader, heard, clock = Flaky(), Heard(), FakeClock(MIDNIGHT)
        watch = ComplianceWatch(reader, Scale(), clock, heard)
        task = asyncio.create_task(watch.run(0.001, days=7))
        async with asyncio.timeout(10):
            while not heard.scores:  # noqa: ASYNC110 - the watch tells nobody else that it has looked
                await asyncio.sleep(0.001)
        task.cancel()
        assert heard.scores[0] == 100.0
        assert [window.since for window in reader.asked[:2]] == [MIDNIGHT - timedelta(days=6)] * 2

    asyncio.run(run())


class Diary:
    """A store with a decision a day."""

    def __init__(self) -> None:
        self.asked: list[Window] = []

    async def tally(self, window: Window) -> dict[date, Tally]:
        self.asked.append(window)
        days = range((window.until.date() - window.since.date()).days + 1)
        return {window.since.date() + timedelta(days=day): Tally(decisions=1, weighed=1) for day in days}


class Forward(Heard):
    """Puts the clock forward by a day whenever it hears of a score, until it has heard enough."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.decisions: list[int] = []
        self.enough = asyncio.Event()

    def constitution_scored(self, compliance: Compliance) -> None:
        self.decisions.append(compliance.decisions)
        self.clock.advance(timedelta(days=1).total_seconds())
        if len(self.decisions) == 5:
            self.enough.set()


def test_days_that_are_over_are_counted_once() -> None:
    """The whole window each minute would read millions of lines where many signals come."""

    async def run() -> None:
        clock = FakeClock(MIDNIGHT)
        reader, heard = Diary(), Forward(clock)
        task = asyncio.create_task(ComplianceWatch(reader, Scale(), clock, heard).run(0.0, days=7))
        async with asyncio.timeout(10):
            await heard.enough.wait()
        task.cancel()
        assert heard.decisions[:5] == [7] * 5
        assert reader.asked[0].since == MIDNIGHT - timedelta(days=6)
        for number, window in enumerate(reader.asked[1:5]):
            assert window.since == MIDNIGHT + timedelta(days=number - 1)

    asyncio.run(run())
