"""The line between a Penelope that is tried and the kit beside her world: questions and answers, a JSON line each."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from penelope.domain.counts import Series, Totals
from penelope.domain.metrics import Reading
from penelope.domain.rollout import ArmFigures
from penelope.domain.service import Service, Target
from penelope.domain.signal import Signal
from penelope.kit.canonical import Json
from penelope.kit.clock import Clock
from penelope.kit.codec import from_data
from penelope.testing.kit_bend import Bends
from penelope.testing.metrics import FakeMetrics, Figures

LINE_BYTES = 32 * 1024 * 1024
"""The longest line: all entries of one incident must fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What one life of Penelope is told: her folder and database, whom she heals with what, and the alert that comes.

    `world` names the class of the world, for the adapters that it brings; `roots` are the folders in which her adapters
    may write.
    """

    folder: str
    lane: str
    file: str
    world: str
    service: Service
    signal: Signal
    roots: tuple[str, ...]
    bends: Bends = field(default_factory=Bends)


class Lane:
    """Asks the kit. A kit that is gone ends the life: the connection fails."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def ask(self, what: str, **details: Json) -> dict[str, Json]:
        """The kit's answer to one question."""
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_BYTES)
        try:
            writer.write(json.dumps({"ask": what, **details}).encode() + b"\n")
            await writer.drain()
            answer: dict[str, Json] = json.loads(await reader.readline())
            return answer
        finally:
            writer.close()


class LaneMetrics:
    """The figures of the world, as the kit sees them now. Fulfils both ports called MetricReader."""

    def __init__(self, lane: Lane, clock: Clock) -> None:
        self._lane = lane
        self._figures = FakeMetrics(clock)

    async def read(self, service: Service, window_seconds: float) -> Reading:
        await self._ask(service)
        return await self._figures.read(service, window_seconds)

    async def read_since(self, service: Service, since: datetime, window_seconds: float) -> Reading:
        await reach(self._lane, "before_verify")
        await self._ask(service)
        return await self._figures.read_since(service, since, window_seconds)

    async def _ask(self, service: Service) -> None:
        found = await self._lane.ask("figures")
        arms = {name: from_data(ArmFigures, item) for name, item in found["arms"].items()}
        gauges: Mapping[str, float] = found["gauges"]
        self._figures.script(service.name, Figures(arms=arms, gauges=dict.fromkeys(arms, gauges)))


class LaneCounter:
    """The counters of the world's arms. Fulfils ArmCounter."""

    def __init__(self, lane: Lane, clock: Clock) -> None:
        self._lane = lane
        self._clock = clock

    async def totals(self, _: Service) -> Totals:
        await reach(self._lane, "before_verify")
        found = await self._lane.ask("counts")
        arms = {name: {"1": from_data(Series, item)} for name, item in found["arms"].items()}
        return Totals(at=self._clock.now(), arms=arms)


class LaneChanges:
    """What the world says of recent changes. Fulfils ChangeReader."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def changes(self, target: Target) -> Mapping[str, Json]:
        prefix = f"change.{target.name}."
        found = await self._lane.ask("changes")
        return {
            concept.removeprefix(prefix): value
            for concept, value in found.items()
            if concept.startswith(prefix)
        }


async def reach(lane: Lane, place: str, **details: Json) -> dict[str, Json]:
    """Tells the kit that a place is reached, and does what it orders at once: to go on, or to die."""
    order = await lane.ask("place", place=place, **details)
    if order["do"] == "die":
        die()
    return order


def die() -> NoReturn:
    """Ends this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(1)  # the signal may take a moment to come


def write_brief(path: Path, data: Json) -> None:
    """Puts a brief where a life will read it."""
    path.write_text(json.dumps(data), encoding="utf-8")


def read_brief(path: Path) -> Brief:
    return from_data(Brief, json.loads(path.read_text(encoding="utf-8")))
