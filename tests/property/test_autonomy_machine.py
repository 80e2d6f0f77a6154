"""Earned autonomy under whatever happens: a state machine over the stored standings, with restarts in between."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penelope.domain.autonomy import LEVELS, Level, Standing
from penelope.domain.outcome import Outcome, OutcomeKind
from penelope.errors import InvalidRequest
from penelope.flow.autonomy import Word, compare, learn, override, place, standing_of, under, unit_name
from penelope.rooms.learn.autonomy import Policy, failed, interval, succeeded
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.reader import SqlReader
from penelope.store.standings import SqlStandings
from penelope.store.transaction import SqlTransaction

START = datetime(2026, 11, 21, 7, tzinfo=UTC)
PAIR = ("fix", "shop")
LEVEL = st.sampled_from(LEVELS)


class Desk:
    """An engine that only commits."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.now = START

    async def transaction(self, name: str, body: Callable[[SqlTransaction], Awaitable[Any]]) -> Any:  # noqa: ARG002 - the engine's own
        async with self.database.begin() as connection:
            return await body(SqlTransaction(connection, self.now))


class Autonomy(RuleBasedStateMachine):
    """One pair, its outcomes, and people who overrule it; policy changes as settings do, at a restart."""

    @initialize(start=LEVEL, fall=st.integers(1, 3), floor=st.sampled_from(LEVELS[:2]))
    def open(self, start: Level, fall: int, floor: Level) -> None:
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="penelope-autonomy-"))
        self.url = parse_url(f"sqlite:///{self.folder}/penelope.db")
        self.policy = Policy(start=start, fall_levels=fall, floor=floor)
        self.desk = Desk(open_engine(self.url))
        self.runner.run(migrate(self.desk.database))
        self.incidents = self.saves = 0
        self.earned = 0  # good news since the last fall
        self.last = self._stored()

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.desk.database.dispose())
            self.runner.close()
            shutil.rmtree(self.folder)

    def _do(self, body: Callable[[SqlTransaction], Awaitable[Any]]) -> Any:
        self.desk.now += timedelta(seconds=1)
        return self.runner.run(self.desk.transaction("", body))

    def _stored(self) -> Standing:
        return self._do(lambda transaction: standing_of(transaction, self.policy, *PAIR))

    def _save(self, make: Callable[[SqlTransaction], Awaitable[Any]]) -> Standing:
        async def body(transaction: SqlTransaction) -> None:
            made = await make(transaction)
            await transaction.save(*(made if isinstance(made, list) else [made]))

        self._do(body)
        self.saves += 1
        return self._stored()

    def _outcome(self, *, verified: bool) -> Outcome:
        self.incidents += 1
        return Outcome(
            incident=f"inc_{self.incidents}",
            service="shop",
            kind=OutcomeKind.HEALED if verified else OutcomeKind.ESCALATED,
            reason="so it went",
            acted=True,
            ended_at=self.desk.now,
            total_seconds=1,
            playbook="fix",
            verified=verified,
        )

    @rule(times=st.integers(1, 8))
    def successes(self, times: int) -> None:
        for _ in range(times):
            before = self.last
            outcome = self._outcome(verified=True)
            self.last = self._save(lambda transaction, made=outcome: learn(transaction, self.policy, made))
            self.earned += 1
            assert self.last.successes == before.successes + 1
            assert self.last.level in {before.level, before.level.up()}
            if before.level is Level.SHADOW:
                assert self.last.level is Level.SHADOW
            if self.last.level is not before.level:
                low, _ = interval(self.last.successes, self.last.failures)
                assert low >= self.policy.needed[self.last.level]
                assert self.last.level <= self.last.cap

    @rule()
    def failure(self) -> None:
        outcome = self._outcome(verified=False)
        self._fallen(self._save(lambda transaction: learn(transaction, self.policy, outcome)))

    @rule()
    def person_overrides(self) -> None:
        word = Word("key:ada", "people did something else")
        self._fallen(self._save(lambda transaction: override(transaction, self.policy, PAIR, word)))

    def _fallen(self, after: Standing) -> None:
        before = self.last
        assert after.in_force < before.in_force or before.in_force <= self.policy.floor
        assert after.in_force >= min(self.policy.floor, before.in_force)
        if after.in_force > self.policy.floor:
            assert after.in_force is before.in_force.down(self.policy.fall_levels)
        assert (after.successes, after.failures) == (0, 1)
        self.last, self.earned = after, 0

    @rule(agreed=st.booleans())
    def people_did(self, *, agreed: bool) -> None:
        before, word = self.last, Word("key:ada", "people did something")
        self.last = self._save(
            lambda transaction: compare(transaction, self.policy, PAIR, word, agreed=agreed)
        )
        self.earned += agreed
        if not agreed or before.level is not Level.SHADOW:
            assert self.last.level is before.level

    @rule(level=LEVEL)
    def person_places(self, level: Level) -> None:
        wanted = place(self.desk, self.policy, PAIR, level, Word("key:ada", "because"))  # type: ignore[arg-type]  # all that it asks of an engine
        self.desk.now += timedelta(seconds=1)
        if level > self.policy.cap_of(*PAIR):
            with pytest.raises(InvalidRequest):
                self.runner.run(wanted)
            return
        self.last = self.runner.run(wanted)
        self.saves, self.earned = self.saves + 1, 0
        assert self.last.level is level

    @rule(cap=LEVEL, named=st.booleans())
    def restart_under_another_policy(self, cap: Level, *, named: bool) -> None:
        self.runner.run(self.desk.database.dispose())
        caps = {"playbook_caps": {"fix": cap}, "cap": Level.AUTONOMOUS} if named else {"cap": cap}
        self.policy = replace(self.policy, **{"playbook_caps": {}, **caps})
        now = self.desk.now
        self.desk = Desk(open_engine(self.url))
        self.desk.now = now
        after = self._stored()
        if self.saves:
            assert after == under(self.policy, self.last)
        self.last = after

    @invariant()
    def the_cap_is_never_exceeded(self) -> None:
        if hasattr(self, "runner"):
            assert self._stored().in_force <= self.policy.cap_of(*PAIR)

    @invariant()
    def what_it_has_is_earned_placed_or_given(self) -> None:
        """Since it fell it has risen only as far as its interval reaches, and never without good news."""
        if not hasattr(self, "runner"):
            return
        standing = self._stored()
        assert standing.successes + standing.agreements <= self.earned or not self.saves
        assert standing.successes >= 0

    @invariant()
    def every_change_is_history(self) -> None:
        if not hasattr(self, "runner"):
            return
        reader = SqlReader(self.desk.database)
        entries = self.runner.run(reader.history(unit_name(*PAIR), 0, 1000))
        assert len(entries) == self.saves
        listed = self.runner.run(
            SqlStandings(self.desk.database).standings(service=None, playbook=None, after=None, limit=9)
        )
        assert len(listed) == min(1, self.saves)
        if entries:
            assert entries[-1].status_after == self.last.level.value


TestAutonomy = Autonomy.TestCase
TestAutonomy.settings = settings(max_examples=25, stateful_step_count=20)


@given(good=st.integers(0, 10_000), bad=st.integers(0, 10_000))
def test_the_interval_is_monotone_in_successes_and_in_failures(good: int, bad: int) -> None:
    low, high = interval(good, bad)
    assert 0 <= low <= high <= 1
    assert interval(good + 1, bad)[0] >= low
    assert interval(good, bad + 1)[0] <= low
    assert interval(bad, good) == pytest.approx((1 - high, 1 - low))


@given(outcomes=st.lists(st.booleans(), max_size=60), start=LEVEL, fall=st.integers(1, 3))
def test_one_more_success_never_leaves_it_lower(outcomes: list[bool], start: Level, fall: int) -> None:
    """Whatever came before: monotone in successes."""
    policy = Policy(start=start, fall_levels=fall)
    standing = Standing(playbook="fix", service="shop", level=start, since=START)
    for number, verified in enumerate(outcomes):
        more = succeeded(standing, policy)
        assert more.level >= standing.level
        moment = START + timedelta(seconds=number)
        standing = more if verified else failed(standing, policy, moment, "")
