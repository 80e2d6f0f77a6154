"""One trial from its beginning to its end: the world is broken, Penelope heals it, and something comes in between."""

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from penelope.domain.plan import Playbook
from penelope.domain.service import (
    CounterQuery,
    ErrorSelector,
    HistogramQuery,
    MetricQueries,
    Objective,
    Service,
)
from penelope.domain.signal import Signal, SignalStatus, problem_fingerprint
from penelope.kit.canonical import Json
from penelope.kit.codec import to_data
from penelope.testing.kit import COMPENSATING, Kind, Place, Subject, Trial
from penelope.testing.kit_bend import FUZZ_VERIFY_SECONDS, Bends, hostile, hostile_bends, is_told
from penelope.testing.kit_course import Course
from penelope.testing.kit_judge import Rehearsed, Seen, difference, is_on_the_way, same, side_by_side
from penelope.testing.kit_lane import LINE_BYTES, Brief, write_brief
from penelope.testing.kit_nursery import Nursery
from penelope.testing.worlds import World

STORY_SECONDS = 150.0
"""How long a story may take, with all its lives."""

SETTLE_SECONDS = 8.0
"""How long the world may take after a story's end until it is as it should be."""

MOST_LIVES = 6
_MANY_EVENTS = 3
_LOOK_SECONDS = 0.02
_GO: dict[str, Json] = {"do": "go"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What all trials of one opened world share. `empty` holds a database to copy, `canary` what nobody may touch."""

    subject: Subject
    playbook: Playbook
    world: World
    folder: Path
    roots: tuple[str, ...]
    empty: Path
    canary: Path
    nursery: Nursery


class Story:
    """Told once. What it saw is judged by others."""

    def __init__(self, scene: Scene, trial: Trial, record: Rehearsed | None, folder: Path) -> None:
        """`record` is how it goes undisturbed; None makes one, in `rehearsed`. `folder` is empty and its own."""
        self._scene = scene
        self._trial = trial
        self._record = record
        self._folder = folder
        self._seen = Seen()
        steps = scene.playbook.every_step
        self._course = Course(record.actions) if record else Course.first([step.name for step in steps])
        self._path: list[Json] = []
        self._state_before_repeat: tuple[Json, Mapping[str, int]] = (None, {})
        self._ended = asyncio.Event()
        self._ordered_death = False
        self._watching: asyncio.Task[None] | None = None
        self._bends, self._evidence, self._labels = self._hostility()

    async def told(self) -> Seen:
        """All that was seen. The world is left as the story leaves it: the next trial resets it."""
        seen, world = self._seen, self._scene.world
        await world.reset()
        await world.break_it()
        seen.before = await self._state()
        canary = every_path(self._scene.canary)
        shutil.copytree(self._scene.empty, self._folder, dirs_exist_ok=True)
        async with AsyncExitStack() as stack:
            lane = self._folder / "lane"
            server = await asyncio.start_unix_server(self._answer, lane, limit=LINE_BYTES)
            stack.callback(server.close)
            await self._live(lane, number=1)
            if self._trial.kind is Kind.AGAIN and not seen.failure and seen.state == "healed":
                await self._live(lane, number=2)
        await self._settle()
        seen.effects = await world.effects()
        seen.touched = difference(canary, every_path(self._scene.canary)) if canary else ""
        return seen

    def rehearsed(self, stays: tuple[str, ...]) -> Rehearsed:
        """How it went; for a story that healed."""
        return Rehearsed(
            before=self._seen.before,
            path=tuple(self._path),
            healed=self._seen.after,
            effects=self._seen.effects,
            actions=self._course.names,
            events=self._course.events,
            seconds=self._course.seconds,
            stays=stays,
            side_by_side=side_by_side(self._scene.playbook),
        )

    # --- lives ----------------------------------------------------------------------------------------------

    async def _live(self, lane: Path, number: int) -> None:
        """One alert until its story has ended, in as many lives as that takes."""
        brief = self._folder / f"brief-{number}.json"
        write_brief(brief, to_data(self._brief(lane, number)))
        self._ended.clear()
        deadline = time.monotonic() + STORY_SECONDS
        for _ in range(MOST_LIVES):
            code = await self._one_life(brief, deadline)
            if self._seen.failure or (code == 0 and self._ended.is_set()):
                return
            if not self._ordered_death or code != -signal.SIGKILL:
                words = self._scene.nursery.last_words()
                self._seen.failure = f"Penelope died by herself (exit code {code}): {words}"
                return
            self._ordered_death = False
            self._seen.deaths += 1
        self._seen.failure = f"the story has not ended after {MOST_LIVES} lives"

    async def _one_life(self, brief: Path, deadline: float) -> int:
        nursery = self._scene.nursery
        await nursery.begin(brief)
        try:
            async with asyncio.timeout(max(1.0, deadline - time.monotonic())):
                return await nursery.ended()
        except TimeoutError:
            self._seen.failure = f"the story has not ended within {STORY_SECONDS:g} s"
            nursery.kill()
            return await nursery.ended()
        finally:
            if self._watching is not None:
                self._watching.cancel()
                with suppress(asyncio.CancelledError):
                    await self._watching
                self._watching = None

    def _brief(self, lane: Path, number: int) -> Brief:
        scene, now = self._scene, datetime.now(UTC)
        service = with_metrics(scene.world.service())
        world = scene.world
        alert = Signal(
            source="kit",
            id=f"signal-{number}",
            service=service.name,
            name=world.signal_name,
            severity=world.severity,
            status=SignalStatus.FIRING,
            starts_at=now,
            received_at=now,
            fingerprint=problem_fingerprint(service.name, world.signal_name),
            labels={**world.labels, **self._labels},
        )
        return Brief(
            folder=str(self._folder),
            lane=str(lane),
            file=str(scene.subject.file),
            world=scene.subject.world,
            service=service,
            signal=alert,
            roots=(*scene.roots, str(self._folder)),
            bends=self._bends,
        )

    async def _settle(self) -> None:
        """Waits a little for a world that follows by itself, then looks at it."""
        seen, world = self._seen, self._scene.world
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            seen.after, seen.healthy = await self._state(), await world.healthy()
            if self._is_settled() or seen.failure or time.monotonic() > deadline:
                return
            await asyncio.sleep(0.2)

    def _is_settled(self) -> bool:
        seen, record = self._seen, self._record
        if seen.state == "healed" or self._trial.kind is Kind.AGAIN:
            return seen.healthy and (
                record is None or self._trial.kind is Kind.FUZZED or same(seen.after, record.healed)
            )
        if record is not None and "nobody knows" in seen.reason and is_on_the_way(seen, record):
            return True
        return same(seen.after, seen.before)

    # --- questions ------------------------------------------------------------------------------------------

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = json.loads(await reader.readline())
            answers: Mapping[str, Callable[[Mapping[str, Json]], Awaitable[Json]]] = {
                "figures": self._figures,
                "counts": self._counts,
                "changes": self._changes,
                "place": self._place,
                "repeated": self._repeated,
                "refused": self._noted,
                "strayed": self._strayed,
                "ended": self._end,
            }
            answer = json.dumps(await answers[question["ask"]](question)).encode() + b"\n"
            # Who asked may have died meanwhile; of a connection that is closed already uvloop says RuntimeError.
            with suppress(ConnectionError, RuntimeError):
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, json.JSONDecodeError):
            pass  # who asked has died in the middle of the question
        except Exception as error:  # noqa: BLE001 - a world that breaks is shown as such, not as Penelope's fault
            self._seen.failure = f"the world cannot be looked at: {type(error).__name__}: {error}"
            self._scene.nursery.kill()
        finally:
            writer.close()

    async def _figures(self, _: Mapping[str, Json]) -> Json:
        world = self._scene.world
        return {"arms": to_data(await world.figures()), "gauges": dict(await world.gauges())}

    async def _counts(self, _: Mapping[str, Json]) -> Json:
        return {"arms": to_data(await self._scene.world.counts())}

    async def _changes(self, _: Mapping[str, Json]) -> Json:
        return {**await self._scene.world.changes(), **self._evidence}

    async def _noted(self, _: Mapping[str, Json]) -> Json:
        return {}

    async def _strayed(self, question: Mapping[str, Json]) -> Json:
        self._seen.strays |= set(question["strays"])
        return {}

    async def _end(self, question: Mapping[str, Json]) -> Json:
        seen = self._seen
        seen.state, seen.flaws = question["state"], question["flaws"]
        seen.history = question["history"]
        self._ended.set()
        return {}

    async def _place(self, question: Mapping[str, Json]) -> Json:
        """Notes that a place is reached, and says what is to happen there."""
        place, index = Place(question["place"]), self._index(question)
        self._seen.strays |= set(question.get("strays", ()))
        if place is Place.AFTER_EXECUTE:
            self._course.done(index, question["events"], question["seconds"])
            if self._record is None:
                self._path.append(await self._state())
            if self._trial.kind is Kind.REPEATED:
                self._state_before_repeat = await self._looked()
                return {"do": "repeat"}
        return await self._order(place, index)

    def _index(self, question: Mapping[str, Json]) -> int:
        """The place of an action; a verification has none, and stands for the first."""
        key = question.get("key")
        return 0 if key is None else self._course.place(key, question["name"])

    async def _order(self, place: Place, index: int) -> dict[str, Json]:
        trial = self._trial
        if self._seen.fired or (index != trial.step and place is not Place.BEFORE_VERIFY):
            return _GO
        if trial.kind is Kind.FAILS and place is trial.place:
            return self._fire({"do": "raise", "error": trial.error})
        return await self._deadly(place, index) if trial.kind is Kind.DIES else _GO

    async def _deadly(self, place: Place, index: int) -> dict[str, Json]:
        wanted = self._trial.place
        if wanted is Place.DURING_EXECUTE and place is Place.BEFORE_EXECUTE:
            return self._die_in_the_middle(index)
        if wanted is Place.DURING_COMPENSATE and place is Place.BEFORE_COMPENSATE:
            return self._die_within(3)
        if wanted is Place.SEEN_EXECUTE and place is Place.BEFORE_EXECUTE and self._watching is None:
            self._watching = asyncio.create_task(self._watch(await self._state()))
        late = wanted is Place.SEEN_EXECUTE and place is Place.AFTER_EXECUTE
        return self._die() if late or wanted is place else _GO

    def _fire(self, order: dict[str, Json]) -> dict[str, Json]:
        self._seen.fired = True
        return order

    def _die(self) -> dict[str, Json]:
        self._ordered_death = True
        return self._fire({"do": "die"})

    def _die_in_the_middle(self, index: int) -> dict[str, Json]:
        """Between two of the things that it does outside; where too few are seen, some time before it would end."""
        record = self._record
        if record is None or record.events[index] >= _MANY_EVENTS:
            return self._die_within(record.events[index] if record else 1)
        self._ordered_death = True
        seconds = record.seconds[index] * self._trial.chance.uniform(0.1, 0.9)
        return self._fire({"do": "die_after", "seconds": seconds})

    def _die_within(self, events: int) -> dict[str, Json]:
        """Before one of the things that it does outside; the first would be as good as before it began."""
        self._ordered_death = True
        return self._fire(
            {"do": "die_at", "event": self._trial.chance.randint(min(2, events + 1), events + 1)}
        )

    async def _watch(self, before: Json) -> None:
        """Kills Penelope as soon as the world is another than before."""
        while same(await self._state(), before):  # noqa: ASYNC110 - a world cannot tell by itself
            await asyncio.sleep(_LOOK_SECONDS)
        if not self._seen.fired:
            self._die()
            self._scene.nursery.kill()

    async def _repeated(self, question: Mapping[str, Json]) -> Json:
        before, now = self._state_before_repeat, await self._looked()
        change = difference(before[0], now[0]) or difference(dict(before[1]), dict(now[1]))
        self._seen.repeated.append((question["name"], question["progress"], question["said"], change))
        return {}

    async def _looked(self) -> tuple[Json, Mapping[str, int]]:
        return await self._state(), await self._scene.world.effects()

    async def _state(self) -> Json:
        """The world's state. Keys of actions, which a target may keep as a proof, differ from story to story: the
        names of the actions stand in their place.
        """
        state = await self._scene.world.state()
        return named(state, self._course.keys)

    # --- hostility ------------------------------------------------------------------------------------------

    def _hostility(self) -> tuple[Bends, dict[str, Json], dict[str, str]]:
        """How this trial bends the playbook, and what it lets evidence and labels say in place of the truth."""
        trial, scene = self._trial, self._scene
        if trial.kind is Kind.ROLLBACK or trial.place in COMPENSATING:
            return Bends(fail_verification=True), {}, {}
        if trial.kind is not Kind.FUZZED:
            return Bends(in_turn=trial.kind is Kind.REPEATED), {}, {}
        draw = trial.chance
        told = [item for item in scene.playbook.parameters if is_told(item)]
        if not told or draw.random() < 0.25:
            return hostile_bends(scene.playbook, draw, str(scene.canary)), {}, {}
        chosen = draw.choice(told)
        source = chosen.source or ""
        like = {"string": "text", "boolean": True, "list": ["text"]}.get(chosen.kind, 7)
        value = hostile(draw, like, str(scene.canary))
        if source.startswith("label."):
            return Bends(verify_seconds=FUZZ_VERIFY_SECONDS), {}, {source.removeprefix("label."): str(value)}
        return Bends(verify_seconds=FUZZ_VERIFY_SECONDS), {source: value}, {}


def named(state: Json, keys: Mapping[str, str]) -> Json:
    """The state with ``<key of NAME>`` wherever a text holds a key."""
    if isinstance(state, str):
        for key, name in keys.items():
            state = state.replace(key, f"<key of {name}>")
        return state
    if isinstance(state, Mapping):
        return {named(key, keys): named(item, keys) for key, item in state.items()}
    return [named(item, keys) for item in state] if isinstance(state, list | tuple) else state


def with_metrics(service: Service) -> Service:
    """The service as if its figures were scraped, one source an arm; an objective makes a bad ratio count."""
    if service.metrics is None:
        arms = tuple(service.router.arms) if service.router is not None else ("a",)
        service = replace(
            service,
            metrics=MetricQueries(
                source="kit",
                instances=dict.fromkeys(arms, "http://kit.invalid"),
                requests=CounterQuery(counter="requests_total"),
                errors=ErrorSelector(label="code", pattern="5.."),
                latency=HistogramQuery(histogram="seconds"),
            ),
        )
    if not service.objectives:
        objective = Objective(name="availability", metric="error_ratio", at_most=0.02)
        service = replace(service, objectives=(objective,))
    return service


def every_path(folder: Path) -> dict[str, Json]:
    """All that lies in a folder, and what it is."""
    found: dict[str, Json] = {}
    for path in sorted(folder.rglob("*")):
        content = path.read_text(errors="replace") if path.is_file() and not path.is_symlink() else ""
        found[str(path.relative_to(folder))] = f"{path.lstat().st_mode:o} {content}"
    return found
