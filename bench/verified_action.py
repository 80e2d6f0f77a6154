"""What a verified action costs beside the bare adapter call, and how many a second there are beside the bare engine."""

import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from _ground import nobody, percentile, postgresql
from dbos import DBOS, SetWorkflowID
from sqlalchemy.ext.asyncio import AsyncConnection

from penelope.bootstrap import SWITCH_SECONDS
from penelope.domain.action import Action, Difference, Effect, Operation, Preview, Progress, Snapshot, Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.intervention import Intervention
from penelope.domain.outcome import OutcomeKind
from penelope.domain.service import Service, Target
from penelope.domain.signal import Severity
from penelope.flow import records
from penelope.flow.acting import Acting
from penelope.flow.ending import Ending, finish
from penelope.flow.engine import Engine, EngineSettings, Pool, Turn
from penelope.flow.executing import ACT, act_chapter
from penelope.flow.parts import Parts, Timing
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.clock import SystemClock
from penelope.rooms.decide.run import Limits
from penelope.settings.act import Act
from penelope.store.database import migrate, open_engine, open_workflow_engine, parse_url
from penelope.store.transaction import SqlTransaction

ALONE, CROWD, AT_ONCE = 150, 300, 16
STEPS = 9
"""Of one verified action: lease, enqueue, result, prepare, perform, claim, end, look, verdict."""

NOW = datetime.now(UTC)


class ThreeFiles:
    """Writes three small files; keeps what was in them before."""

    name = "three_files"
    operations: Mapping[str, Operation] = {"write": Operation(summary="Write", params={})}

    def __init__(self, folder: Path) -> None:
        self._paths = [folder / f"{number}.conf" for number in range(3)]
        for path in self._paths:
            path.write_text("workers = 4\n" * 40, encoding="utf-8")

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        """Anything goes."""

    async def snapshot(self, action: Action) -> Snapshot:
        return Snapshot(state={path.name: path.read_text(encoding="utf-8") for path in self._paths})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        return Preview(summary="three files would be written")

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        written = all(action.key in path.read_text(encoding="utf-8") for path in self._paths)
        return Progress.APPLIED if written else Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        for path in self._paths:
            path.write_text(f"# {action.key}\n" + "workers = 8\n" * 40, encoding="utf-8")
        return Effect(summary="three files were written")

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        raise NotImplementedError

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        raise NotImplementedError

    async def observe(self, action: Action) -> Mapping[str, Json]:
        return {"written": await self.probe(action, Snapshot()) is Progress.APPLIED}


class Nothing(ThreeFiles):
    """Does nothing, and says so."""

    async def snapshot(self, action: Action) -> Snapshot:
        return Snapshot()

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:
        return Progress.NOT_APPLIED

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        return Effect(summary="nothing")

    async def observe(self, action: Action) -> Mapping[str, Json]:
        return {"written": True}


class Clocked(Engine):
    """Notes how long the chapter of each incident took in all, the wait for a place and for the answer included. Stories
    are awaited as the bare engine's are: to look for their ends every few milliseconds costs as much as they do.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.queueing: dict[str, float] = {}

    async def queued(self, chapter: str, key: str, incident: str, given: Json, turn: Turn) -> Json:
        began = time.perf_counter()
        ended = await super().queued(chapter, key, incident, given, turn)
        self.queueing[incident] = time.perf_counter() - began
        return ended

    async def to_its_end(self, incident: str, service: str) -> Any:
        story: Any = self._story
        with SetWorkflowID(incident):
            handle = await DBOS.start_workflow_async(story, incident, service)
        return await handle.get_result()


@dataclass
class Ground:
    """A Penelope of one service and one adapter; `waited` are the seconds that actions spent in the queue."""

    engine: Clocked
    parts: Parts
    waited: list[float]
    took: list[float]


def _service(number: int) -> Service:
    target = Target(name="files", service=f"service-{number}", adapter="three_files")
    return Service(name=target.service, owner="bench", tier=2, targets={"files": target})


def _action(number: int) -> Action:
    clause = Clause(subject="state.written", comparator=Comparator.EQUALS, expected=True)
    return Action(
        key=f"bench-{number}-action",
        name="write",
        adapter="three_files",
        operation="write",
        target=Target(name="files", service=f"service-{number}", adapter="three_files"),
        params={},
        tier=Tier.SNAPSHOT,
        timeout_seconds=60,
        contract=Contract(clauses=(clause,), deadline_seconds=10),
    )


@asynccontextmanager
async def ground(
    urls: tuple[str, str], adapter: ThreeFiles, poll_seconds: float, *, learns: bool = False
) -> AsyncIterator[Ground]:
    writer, workflows = open_engine(parse_url(urls[0])), open_workflow_engine(parse_url(urls[1]))
    await migrate(writer)
    clock = SystemClock()
    unused: Any = None
    parts = Parts(
        services={f"service-{number}": _service(number) for number in range(ALONE + CROWD)},
        playbooks=unused,
        metrics=unused,
        changes=unused,
        adapters={"three_files": adapter},
        routers={},
        clock=clock,
        decide=Limits(risk_limit=1, confidence_floor=0, observe_seconds=1, recheck_seconds=1),
        gate=(),
        timing=Timing(window_seconds=60, verify_poll_seconds=0.5, approval_expires_seconds=60),
    )

    def transaction(connection: AsyncConnection) -> SqlTransaction:
        return SqlTransaction(connection, clock.now())

    pool = Pool(poll_seconds=poll_seconds)
    settings = EngineSettings(executor_id="bench", poll_seconds=0.5, pool=pool)
    engine = Clocked(writer, workflows, transaction, nobody(), settings)
    made = Ground(engine=engine, parts=parts, waited=[], took=[])
    inside: dict[str, float] = {}
    act = act_chapter(engine, parts)

    async def clocked(incident: str, given: Json) -> Json:
        began = time.perf_counter()
        ended = await act(incident, given)
        inside[incident] = time.perf_counter() - began
        return ended

    async def told(incident: str, service: str) -> str:
        began = time.perf_counter()
        done = await Acting(engine, parts, incident).act(_action(int(service)))
        if learns:
            ending = Ending(kind=OutcomeKind.HEALED, reason="done", playbook="bench", acted=True)
            await finish(engine, incident, ending)
        made.took.append(time.perf_counter() - began)
        made.waited.append(engine.queueing[incident] - inside[incident])
        return done.trouble

    async def empty(incident: str, given: Json) -> Json:
        await engine.step("prepare", _nothing)
        await engine.step("perform", lambda: engine.guarded("claim", _select))
        await engine.guarded("end", _select)
        return None

    await engine.launch(told, {ACT: clocked, "empty": empty})
    gc.freeze()  # as the server does
    try:
        yield made
    finally:
        await engine.stop()
        await writer.dispose()
        workflows.dispose()


async def _nothing() -> Json:
    return None


async def _select(transaction: Transaction) -> Json:
    return None


async def open_incidents(made: Ground, numbers: range) -> None:
    """What intake, decision and gate leave behind."""

    async def body(transaction: Transaction) -> Json:
        for number in numbers:
            incident = Incident(
                id=f"inc-{number}",
                service=f"service-{number}",
                fingerprint=f"f{number}",
                name="Bench",
                severity=Severity.ERROR,
                state=IncidentState.ACTING,
                opened_at=NOW,
                updated_at=NOW,
                signal_count=1,
            )
            await transaction.save(records.of_incident(incident, "IncidentOpened", "bench"))
            await transaction.reserve(
                Intervention(
                    incident=incident.id,
                    service=incident.service,
                    playbook="p",
                    fingerprint=incident.fingerprint,
                    actions=1,
                    counted_from=NOW,
                )
            )

    await made.engine.transaction("open", body)


async def _one(made: Ground, number: int) -> None:
    trouble = await made.engine.to_its_end(f"inc-{number}", str(number))
    if trouble:
        raise RuntimeError(trouble)


async def _bare_call(adapter: ThreeFiles) -> float:
    seconds = []
    for number in range(ALONE):
        began = time.perf_counter()
        await adapter.execute(_action(number), Snapshot())
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


async def overhead(
    urls: tuple[str, str], folder: Path, poll_seconds: float
) -> tuple[list[float], list[float]]:
    """Milliseconds of one action at a time beyond the bare call, and of them those in the queue."""
    adapter = ThreeFiles(folder)
    async with ground(urls, adapter, poll_seconds, learns=True) as made:
        await open_incidents(made, range(ALONE))
        bare = await _bare_call(adapter)
        for number in range(ALONE):
            await _one(made, number)
        beyond = [(seconds - bare) * 1000 for seconds in made.took]
        return beyond, [seconds * 1000 for seconds in made.waited]


async def crowd(what: Callable[[int], Awaitable[None]], numbers: range) -> tuple[float, float]:
    """How many a second, and milliseconds of processor time each."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            await what(number)

    began, busy = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(number) for number in numbers))
    seconds = time.perf_counter() - began
    return len(numbers) / seconds, (time.process_time() - busy) / len(numbers) * 1000


async def throughput(
    urls: tuple[str, str], folder: Path, poll_seconds: float
) -> dict[str, tuple[float, float]]:
    async with ground(urls, Nothing(folder), poll_seconds) as made:
        engine = made.engine

        async def same_shape() -> str:
            for _ in range(2):
                await engine.guarded("transaction", _select)
            await engine.step("look", _nothing)
            key = f"{DBOS.workflow_id}:child"
            await engine.queued("empty", key, "bench", None, Turn())
            return ""

        async def as_many() -> str:
            for _ in range(STEPS):
                await DBOS.run_step_async({"name": "step"}, _nothing)
            return ""

        shaped = DBOS.workflow(name="same_shape")(same_shape)
        plain = DBOS.workflow(name="as_many")(as_many)

        def bare(workflow: Any, prefix: str) -> Callable[[int], Awaitable[None]]:
            async def run(number: int) -> None:
                with SetWorkflowID(f"{prefix}-{number}"):
                    handle = await DBOS.start_workflow_async(workflow)
                await handle.get_result(polling_interval_sec=0.005)

            return run

        numbers = range(ALONE, ALONE + CROWD)
        await open_incidents(made, numbers)
        return {
            "verified no-op actions": await crowd(lambda number: _one(made, number), numbers),
            "the engine, same steps and transactions, empty": await crowd(bare(shaped, "s"), numbers),
            f"the engine, {STEPS} empty steps": await crowd(bare(plain, "e"), numbers),
        }


async def measure(name: str, urls: Callable[[], tuple[str, str]], folder: Path, poll_seconds: float) -> bool:
    values, waits = await overhead(urls(), folder, poll_seconds)
    p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
    print(f"{name}: overhead over the bare call, ms   p50 {p50:.1f}  p99 {p99:.1f}  ({len(values)})")
    print(
        f"{name}: of it in the queue, ms             p50 {percentile(waits, 0.5):.1f}  p99 {percentile(waits, 0.99):.1f}"
    )
    found = await throughput(urls(), folder, poll_seconds)
    rate, cpu = found["verified no-op actions"]
    for what, (others, spent) in found.items():
        print(
            f"{name}: {what:<48} {others:7.1f}/s  ratio {rate / others:.2f}   {spent:5.1f} ms CPU  ratio {spent / cpu:.2f}"
        )
    return p99 < 60


async def main() -> int:
    # As the server has it.
    sys.setswitchinterval(SWITCH_SECONDS)
    # In seconds, and `sqlite` or `postgresql` for one of both.
    poll_seconds = float(sys.argv[1]) if len(sys.argv) > 1 else Act().queue_poll_seconds
    chosen = sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory(prefix="penelope-acting-") as name:
        folder = Path(name)
        count = iter(range(10))

        def files() -> tuple[str, str]:
            number = next(count)
            return f"sqlite:///{folder}/{number}.db", f"sqlite:///{folder}/{number}-engine.db"

        good: bool | None = None
        if chosen in {"", "sqlite"}:
            good = await measure("SQLite", files, folder, poll_seconds)
        if chosen in {"", "postgresql"}:
            with postgresql() as url:
                await measure("PostgreSQL", lambda: (url, url), folder, poll_seconds)
    print(
        f"places are looked for every {poll_seconds * 1000:g} ms; goal p99 < 60 ms on SQLite: "
        + {None: "not measured", True: "kept", False: "MISSED"}[good]
    )
    return 1 if good is False else 0


if __name__ == "__main__":
    # The event loop that `penelope serve` runs on.
    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
        sys.exit(runner.run(main()))
