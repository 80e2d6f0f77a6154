"""A whole Penelope in a process that may die: ``python -m penelope.testing.kit_worker [BRIEF]``.

With a brief it lives that life and ends. Without one it imports everything once, then takes the paths of briefs from
standard input, a line each, and forks a child for each of them, so that a life begins in a moment instead of after
seconds of imports; each child is a process of its own and dies alone. What became of it is told on standard output.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import dbos._dbos as dbos_engine
from sqlalchemy.ext.asyncio import AsyncConnection

from penelope.adapters.actions.installed import Surroundings, installed
from penelope.adapters.routers.known import all_routers
from penelope.domain.autonomy import Level
from penelope.domain.plan import Playbook
from penelope.domain.work import Entry
from penelope.flow.commands import Commands
from penelope.flow.engine import Engine, EngineSettings, Pool, make_tables
from penelope.flow.parts import Parts, Timing
from penelope.flow.remediation import chapters, story
from penelope.kit.canonical import Json
from penelope.kit.clock import SystemClock
from penelope.rooms.act.ports import ActionAdapter
from penelope.rooms.decide.run import Limits
from penelope.rooms.gate.halt import Halt
from penelope.rooms.intake.run import Rules
from penelope.rooms.learn.autonomy import Policy
from penelope.store.database import migrate, open_engine, open_reader, open_workflow_engine, parse_url
from penelope.store.reader import SqlReader
from penelope.store.transaction import SqlTransaction
from penelope.store.verification import SqlVerification
from penelope.testing.kit import known_operations, read_playbook, world_class
from penelope.testing.kit_bend import bent
from penelope.testing.kit_faults import Faulty, Watch
from penelope.testing.kit_lane import Brief, Lane, LaneChanges, LaneCounter, LaneMetrics, read_brief

STORE, ENGINE = "penelope.db", "engine.db"

_DECIDE = Limits(risk_limit=1.0, confidence_floor=0.0, observe_seconds=0.0, recheck_seconds=0.1)
"""A plan that can be bound is carried out: the kit tries playbooks, not decisions."""

_TIMING = Timing(window_seconds=60, verify_poll_seconds=0.05, approval_expires_seconds=60)
_LOOK_SECONDS = 0.03
_POLL_SECONDS = 0.02
_IDENTITY = EngineSettings(
    executor_id="kit", poll_seconds=_POLL_SECONDS, stop_seconds=1, pool=Pool(poll_seconds=_POLL_SECONDS)
)
_MOST_ENTRIES = 2000


class _OnePlaybook:
    """A library of one."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook

    def playbooks(self) -> tuple[Playbook, ...]:
        return (self._playbook,)


class _Deaf:
    """An observer that nobody asks."""

    def entry_recorded(self, entry: Entry) -> None:
        """Nothing is counted here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """What one life works with."""

    commands: Commands
    reader: SqlReader
    verification: SqlVerification


def _urls(folder: Path) -> tuple[str, str]:
    return f"sqlite:///{folder / STORE}", f"sqlite:///{folder / ENGINE}"


def _parts(brief: Brief, lane: Lane) -> Parts:
    clock, service = SystemClock(), brief.service
    routers = all_routers()
    services = {service.name: service}
    keep = Path(brief.folder) / "keep"
    surroundings = Surroundings(services=services, routers=routers, keep=keep)
    watch = Watch(brief.roots)
    kinds = {**installed(), **world_class(brief.world).adapters}
    used = {target.adapter for target in service.targets.values()}
    adapters: dict[str, ActionAdapter] = {
        name: Faulty(kind.made(surroundings), lane, watch) for name, kind in kinds.items() if name in used
    }
    read = read_playbook(Path(brief.file), known_operations(brief.world))
    return Parts(
        services=services,
        playbooks=_OnePlaybook(bent(read, brief.bends)),
        metrics=LaneMetrics(lane, clock),
        changes=LaneChanges(lane),
        counter=LaneCounter(lane, clock),
        adapters=adapters,
        routers=routers,
        clock=clock,
        decide=_DECIDE,
        gate=(Halt(),),  # none that asks people: who they would be is no matter of the playbook
        timing=_TIMING,
        autonomy=Policy(start=Level.AUTONOMOUS),
    )


@asynccontextmanager
async def _penelope(brief: Brief, lane: Lane) -> AsyncIterator[_Life]:
    parts = _parts(brief, lane)
    store, workflow = _urls(Path(brief.folder))

    def transaction(connection: AsyncConnection) -> SqlTransaction:
        return SqlTransaction(connection, parts.clock.now())

    async with AsyncExitStack() as stack:
        writer, reading = open_engine(parse_url(store)), open_reader(parse_url(store))
        workflows = open_workflow_engine(parse_url(workflow))
        stack.callback(workflows.dispose)
        stack.push_async_callback(reading.dispose)
        stack.push_async_callback(writer.dispose)
        engine = Engine(writer, workflows, transaction, _Deaf(), _IDENTITY)
        _hurry()
        await engine.launch(story(engine, parts), chapters(engine, parts))
        stack.push_async_callback(engine.stop)
        yield _Life(
            commands=Commands(engine, Rules(hold_seconds=0.0), parts.autonomy),
            reader=SqlReader(reading),
            verification=SqlVerification(reading),
        )


def _hurry() -> None:
    """Lets the engine look soon for stories that a killed life left: by itself it does so once a second, and no setting of
    its own says otherwise.
    """
    left = dbos_engine._get_or_create_dbos_registry().get_internal_queue()  # noqa: SLF001 - the engine has no setting for it
    left._polling_interval_sec = _POLL_SECONDS  # noqa: SLF001 - the engine has no setting for it


async def live(brief: Brief) -> None:
    """Takes the alert in and tells the kit how its story ended. What an earlier life left is taken up."""
    lane = Lane(brief.lane)
    async with _penelope(brief, lane) as life:
        receipt = await life.commands.receive_signals([brief.signal])
        incident = receipt.opened[0] if receipt.opened else await _latest(life.reader)
        while True:
            found = await life.reader.incident(incident)
            if found is not None and found.state.ended:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        entries = await life.reader.entries(incident=incident, after=0, limit=_MOST_ENTRIES)
        flaws = [f"{flaw.unit}: {flaw.problem}" async for flaw in life.verification.flaws()]
        history: Json = [_told(entry) for entry in entries]
        await lane.ask("ended", state=found.state.value, history=history, flaws=flaws)


async def _latest(reader: SqlReader) -> str:
    """The newest incident: one alert after the other comes, and each was taken in before."""
    found = await reader.incidents(states=(), before=None, limit=1)
    return str(found[0]["id"])


def _told(entry: Entry) -> Json:
    return {"event": entry.event, "unit": entry.unit, "reason": entry.reason, "details": dict(entry.details)}


def prepare(folder: Path) -> None:
    """Makes an empty database in a folder, for lives to copy: making one takes longer than most of what is tried.

    An engine has run on it: one that finds no queues in its database looks for them again a second later.
    """
    store, workflow = _urls(folder)

    async def tables() -> None:
        writer = open_engine(parse_url(store))
        await migrate(writer)
        await writer.dispose()

    async def engine() -> None:
        writer, workflows = open_engine(parse_url(store)), open_workflow_engine(parse_url(workflow))
        first = Engine(
            writer,
            workflows,
            lambda connection: SqlTransaction(connection, SystemClock().now()),
            _Deaf(),
            _IDENTITY,
        )
        await first.launch(_untold)
        await first.stop()
        await writer.dispose()
        workflows.dispose()

    asyncio.run(tables())
    make_tables(workflow, store)
    asyncio.run(engine())


async def _untold(incident: str, service: str) -> str:
    raise AssertionError(f"nobody begins a story here: {incident} of {service}")


def _carry_out(argument: str) -> None:
    """The life of a child, to its very end."""
    code = 1
    try:
        path = Path(argument)
        if path.is_dir():
            prepare(path)
        else:
            brief = read_brief(path)
            os.environ["TMPDIR"] = brief.folder
            asyncio.run(live(brief))
        code = 0
    except BaseException:  # noqa: BLE001 - the kit reads why, whatever it is
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def nurse() -> None:
    """Forks a child for each line of standard input, one at a time, until there are no more."""
    for kind in installed().values():
        kind.operations  # noqa: B018 - all is loaded before the first fork
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.close(0)
            os.open(os.devnull, os.O_RDONLY)
            os.dup2(2, 1)
            _carry_out(line.strip())
        _say({"born": child})
        _, status = os.waitpid(child, 0)
        _say({"ended": os.waitstatus_to_exitcode(status)})


def _say(what: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> None:
    """The program."""
    if arguments:
        _carry_out(arguments[0])
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the kit, which then lets go of standard input
    nurse()


if __name__ == "__main__":
    main(sys.argv[1:])
