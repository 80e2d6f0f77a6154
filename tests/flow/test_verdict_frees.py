"""A target is given back with the verdict on what was done to it: no crash comes between the two."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from stage import Script, begin, performing, state_is

from penelope.domain.action import Action, Tier
from penelope.domain.contract import Contract
from penelope.domain.intervention import Intervention
from penelope.domain.outcome import OutcomeKind
from penelope.domain.service import Target
from penelope.flow.acting import Acting, Done
from penelope.flow.ending import Ending, finish
from penelope.flow.engine import Engine, Story
from penelope.flow.parts import Parts
from penelope.store.database import open_reader, parse_url
from penelope.store.reader import SqlReader
from penelope.testing.actions import FakeAction

Databases = tuple[str, str]
Seen = tuple[list[str], list[str]]
"""Who holds a target, and the verdicts."""


class Watched:
    """An engine that notes what others see just before and just after a verdict is committed, and what else ran."""

    def __init__(self, engine: Engine, look: Callable[[], Awaitable[Seen]]) -> None:
        self._engine, self._look = engine, look
        self.seen: list[Seen] = []
        self.names: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def guarded(self, name: str, body: Callable[[Any], Awaitable[Any]]) -> Any:
        self.names.append(name)
        if not name.startswith("verdict"):
            return await self._engine.guarded(name, body)

        async def watched(transaction: Any) -> Any:
            result = await body(transaction)
            self.seen.append(await self._look())
            return result

        result = await self._engine.guarded(name, watched)
        self.seen.append(await self._look())
        return result


def action(contract: Contract | None) -> Action:
    return Action(
        key="key-one",
        name="one",
        adapter="fake",
        operation="set",
        target=Target(name="one", service="shop", adapter="fake"),
        params={"value": "one"},
        tier=Tier.SNAPSHOT,
        timeout_seconds=5,
        contract=contract,
    )


class Play:
    """One action in a story of its own, on a watched engine."""

    def __init__(self, databases: Databases, contract: Contract | None) -> None:
        self._contract = contract
        self._reading = open_reader(parse_url(databases[0]))
        self.watched: Watched
        self.done: Done
        self.left: Seen

    async def look(self) -> Seen:
        reader = SqlReader(self._reading)
        verdicts = [unit for unit in await reader.units(self._incident) if unit.kind == "verdict"]
        return [lease.holder for lease, _ in await reader.leases()], [unit.status for unit in verdicts]

    def tell(self, engine: Engine, parts: Parts) -> Story:
        self.watched = Watched(engine, self.look)
        standing: Any = self.watched

        async def told(incident: str, service: str) -> str:
            self._incident = incident

            async def reserve(transaction: Any) -> None:
                now = transaction.now()
                plan = Intervention(
                    incident=incident,
                    service=service,
                    playbook="p",
                    fingerprint="f",
                    actions=1,
                    counted_from=now,
                )
                await transaction.reserve(plan)

            await engine.transaction("reserve", reserve)
            self.done = await Acting(standing, parts, incident).act(action(self._contract))
            self.left = await self.look()
            await finish(engine, incident, Ending(kind=OutcomeKind.ESCALATED, reason="done"))
            return ""

        return told

    async def run(self, databases: Databases) -> None:
        try:
            async with performing(databases, Script(adapter=FakeAction(), tell=self.tell)) as stage:
                await stage.until(await begin(stage))
                assert await stage.flaws() == []
        finally:
            await self._reading.dispose()


@pytest.mark.parametrize(
    ("contract", "verdict"), [(state_is("one", 20), "passed"), (state_is("another", 0.1), "drifted")]
)
def test_the_verdict_and_the_free_target_are_seen_together(
    databases: Databases, contract: Contract, verdict: str
) -> None:
    play = Play(databases, contract)
    asyncio.run(play.run(databases))
    assert play.watched.seen[-2:] == [(["key-one"], []), ([], [verdict])]
    assert bool(play.done.trouble) is (verdict == "drifted")
    assert play.left == ([], [verdict])
    # One transaction fewer where all is well.
    assert ("give back one" in play.watched.names) is (verdict == "drifted")


def test_without_a_contract_the_target_is_given_back_by_itself(databases: Databases) -> None:
    play = Play(databases, None)
    asyncio.run(play.run(databases))
    assert play.watched.seen == []
    assert play.watched.names[-1] == "give back one"
    assert (play.done.trouble, play.left) == ("", ([], []))
