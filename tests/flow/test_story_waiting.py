"""The story waits where a rule says so, and goes on, or ends at people, without ever standing still."""

import asyncio
from dataclasses import replace

import pytest
from stage import BAD, GATE, GOOD, PATIENCE_SECONDS, Stage, begin, play, shop, signal

from penelope.domain.gate import RuleVerdict, Ruling
from penelope.domain.incident import IncidentState
from penelope.domain.service import Service
from penelope.domain.signal import SignalStatus
from penelope.rooms.gate.dependency import Dependency
from penelope.rooms.gate.rest import Rest
from penelope.rooms.gate.rules import Request

Databases = tuple[str, str]
SHOP = replace(shop(), dependencies=("orders",))
ORDERS = Service(name="orders", owner="", tier=2, dependencies=("database",))
DATABASE = Service(name="database", owner="", tier=1)
SERVICES = (SHOP, ORDERS, DATABASE)


class NoCalendars:
    def pauses(self, service: str, moment: object) -> list:  # noqa: ARG002 - there are no calendars
        return []


class Looks:
    """Counts how often the gate was asked."""

    name = "looks"
    times = 0

    def check(self, request: Request) -> RuleVerdict:  # noqa: ARG002 - whatever is asked
        self.times += 1
        return RuleVerdict(rule=self.name, ruling=Ruling.PASS, reason="")


def dependency(wait_seconds: float) -> tuple:
    return (Dependency(wait_seconds=wait_seconds, recheck_seconds=0.1), *GATE)


async def broken(stage: Stage, service: str, number: int) -> str:
    """An incident of another service, for which there is no playbook: people have it."""
    receipt = await stage.commands.receive_signals([signal(number, service=service, name="Down")])
    await stage.until(receipt.opened[0])
    return receipt.opened[0]


def test_what_broke_upstream_before_is_waited_for(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await broken(stage, "database", 1)
        incident = await begin(stage, signal(2))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while looks.times < 4:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
        events = await stage.events(incident)
        for event in ("DecisionMade", "PlanMade", "GateWaited", "ObservationBegun"):
            assert events.count(event) == 1, "a look that finds nothing new is no news"
        assert stage.adapter.effects == {}
        await stage.commands.receive_signals(
            [signal(1, id="over", service="database", name="Down", status=SignalStatus.RESOLVED)]
        )
        await stage.heard_of(incident, "InterventionBegun")
        stage.metrics.script("shop", GOOD)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        assert await stage.flaws() == []

    looks = Looks()
    play(databases, scene, services=SERVICES, gate=(looks, *dependency(60)))


def test_the_wait_has_an_end_and_people_hear_of_the_cause(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        cause = await broken(stage, "orders", 1)
        incident = await begin(stage, signal(2))
        assert (await stage.until(incident)).state is IncidentState.ESCALATED
        units = {item.kind: item for item in await stage.reader.units(incident)}
        assert cause in units["outcome"].attributes["reason"]
        assert stage.adapter.effects == {}

    play(databases, scene, services=SERVICES, gate=dependency(0.5))


@pytest.mark.parametrize("other", ["bakery", "shop"])
def test_what_is_not_upstream_or_began_later_is_no_reason_to_wait(other: str, databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await broken(stage, other, 1)
        incident = await begin(stage, signal(2))
        await stage.heard_of(incident, "InterventionBegun")
        await broken(stage, "database", 3)
        stage.metrics.script("shop", GOOD)
        assert (await stage.until(incident)).state is IncidentState.HEALED
        assert "GateWaited" not in await stage.events(incident)

    play(
        databases, scene, services=(*SERVICES, Service(name="bakery", owner="", tier=4)), gate=dependency(60)
    )


def test_a_healed_service_rests_before_the_next_plan(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        first = await begin(stage, signal(1))
        await stage.heard_of(first, "InterventionBegun")
        stage.metrics.script("shop", GOOD)
        healed = await stage.until(first)
        assert healed.state is IncidentState.HEALED
        stage.metrics.script("shop", BAD)
        second = await begin(stage, signal(2))
        await stage.heard_of(second, "GateWaited")
        await stage.heard_of(second, "InterventionBegun")
        begun = next(
            entry
            for entry in await stage.reader.entries(incident=second, after=0, limit=1000)
            if entry.event == "InterventionBegun"
        )
        assert healed.ended_at is not None
        assert (begun.recorded_at - healed.ended_at).total_seconds() >= 1.5
        stage.metrics.script("shop", GOOD)
        await stage.until(second)

    play(databases, scene, gate=(Rest(calendars=NoCalendars(), cooldown_seconds=1.5), *GATE))
