"""How long from a signal's acceptance to its recorded decision, at 50 signals a second over HTTP, on SQLite."""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from _ground import Server, furnish, percentile
from dbos import DBOS, SetWorkflowID

from penelope.bootstrap import Application, keyring
from penelope.domain.work import Entry
from penelope.entry.api.app import create_app
from penelope.flow.keys import Order, Scope
from penelope.kit.spawn import spawn

RATE, SECONDS = 50, 30
PORT = 18422
ONE_IN = 2
"""Of so many signals one fits a playbook, and so has a plan and a gate verdict as well (which refuses it, so that the
benchmark changes nothing); the others fit none."""

_SENDER = """
import asyncio, json, sys, time
port, key, rate, seconds, one_in = int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
# A bare client: what it costs is taken from the two cores of the machine that the server is measured on.
def request(number):
    name = "Mendable" if number % one_in == 0 else "Unheard"
    # One service each: a signal that joined an open incident would need no decision.
    body = json.dumps({"specversion": "1.0", "id": str(number), "source": "bench", "type": name,
                       "subject": f"service-{number:04d}", "data": {"name": name, "severity": "error"}})
    return (f"POST /api/v1/events HTTP/1.1\\r\\nHost: bench\\r\\nAuthorization: Bearer {key}\\r\\n"
            f"Content-Type: application/cloudevents+json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}").encode()
async def send(pool, number, answers):
    began = time.perf_counter()
    reader, writer = None, None
    while pool and (reader is None or reader.at_eof()):
        reader, writer = pool.pop()
    if reader is None or reader.at_eof():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(number))
    try:
        head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().lower()
    except (OSError, asyncio.IncompleteReadError):  # the server closed it in the same moment: it had been idle
        return await send([], number, answers)
    await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
    answers.append((int(head.split()[1]), time.perf_counter() - began))
    pool.append((reader, writer))
async def main():
    answers, pool, began = [], [], time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(rate * seconds):
            await asyncio.sleep(max(0, began + number / rate - time.perf_counter()))
            group.create_task(send(pool, number, answers))
    for _, writer in pool:
        writer.close()
    print(json.dumps(answers))
asyncio.run(main())
"""


class Stopwatch:
    """Sits where telemetry hears of committed entries, and notes when it heard of each."""

    def __init__(self, heard: Callable[[Entry], None]) -> None:
        self._heard = heard
        self.decided: dict[str, float] = {}

    def __call__(self, entry: Entry) -> None:
        if entry.event == "DecisionMade":
            self.decided.setdefault(entry.incident, time.time())
        self._heard(entry)


async def raw_engine(rate: int, seconds: int) -> tuple[list[float], float]:
    """The durable engine alone at the same rate: a workflow of one step and one more step, both trivial.

    Returns how long each took, in seconds, and the processor time of one, in milliseconds.
    """
    durations: list[float] = []

    async def nothing() -> str:
        return "done"

    async def bare() -> str:
        await DBOS.run_step_async({"name": "first"}, nothing)
        return await DBOS.run_step_async({"name": "second"}, nothing)

    workflow = DBOS.workflow(name="bare")(bare)

    async def one(number: int) -> None:
        began = time.perf_counter()
        with SetWorkflowID(f"bare-{number}"):
            handle = await DBOS.start_workflow_async(workflow)
        await handle.get_result(polling_interval_sec=0.01)
        durations.append(time.perf_counter() - began)

    began, busy = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            group.create_task(one(number))
    return durations, (time.process_time() - busy) / (rate * seconds) * 1000


async def main() -> int:
    with tempfile.TemporaryDirectory(prefix="penelope-latency-") as name:
        services = [f"service-{number:04d}" for number in range(RATE * SECONDS)]
        settings = furnish(Path(name), services, port=PORT)
        async with keyring(settings) as ring:
            order = Order(name="bench", scopes=frozenset({Scope.WRITE}))
            _, key = await ring.create(order, datetime.now(UTC))
        app = create_app(settings)
        server = Server(app, PORT)
        serving = asyncio.create_task(server.serve())
        await server.ready.wait()
        try:
            return await measure(app.state.running, key)
        finally:
            server.should_exit = True
            await serving


async def measure(application: Application, key: str) -> int:
    stopwatch = Stopwatch(application.telemetry.entry_recorded)
    application.telemetry.entry_recorded = stopwatch  # type: ignore[method-assign]  # a clock put in its place
    sender = await spawn(
        sys.executable, "-c", _SENDER, str(PORT), key, str(RATE), str(SECONDS), str(ONE_IN),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    busy = time.process_time()
    output, _ = await sender.communicate()
    busy = (time.process_time() - busy) / (RATE * SECONDS) * 1000
    answers: list[list[Any]] = json.loads(output)
    await asyncio.sleep(2)
    received = await _received(application)
    latencies = [(stopwatch.decided[incident] - at) * 1000 for incident, at in received.items()]
    durations, idle = await raw_engine(RATE, 10)
    bare = [seconds * 1000 for seconds in durations]
    print(f"server's CPU a signal       {busy:.1f} ms, of {1000 / RATE:.0f} ms that one core has for it")
    print(f"ratio to the bare engine's  {busy / idle:.2f} ({idle:.1f} ms of CPU for 2 steps)")
    return report(answers, latencies, bare)


async def _received(application: Application) -> dict[str, float]:
    """When each incident's signal was accepted: the moment that its opening bears, taken before its commit."""
    opened: dict[str, float] = {}
    after = 0
    while page := await application.reader.entries(incident=None, after=after, limit=1000):
        after = page[-1].seq
        opened |= {
            item.incident: item.recorded_at.timestamp() for item in page if item.event == "IncidentOpened"
        }
    return opened


def report(answers: list[list[Any]], latencies: list[float], bare: list[float]) -> int:
    accepted = sum(1 for status, _ in answers if status == 202)
    p50, p99 = percentile(latencies, 0.5), percentile(latencies, 0.99)
    http = [seconds * 1000 for _, seconds in answers]
    raw50, raw99 = percentile(bare, 0.5), percentile(bare, 0.99)
    print(f"signals                     {RATE}/s for {SECONDS} s; {accepted} of {len(answers)} accepted")
    print(
        f"accepted -> decision, ms    p50 {p50:.1f}  p99 {p99:.1f}  max {max(latencies):.1f}  ({len(latencies)})"
    )
    print(f"answer over HTTP, ms        p50 {percentile(http, 0.5):.1f}  p99 {percentile(http, 0.99):.1f}")
    print(f"bare engine, 2 steps, ms    p50 {raw50:.1f}  p99 {raw99:.1f}  (same process, same rate)")
    print(f"ratio to the bare engine    p50 {p50 / raw50:.2f}  p99 {p99 / raw99:.2f}")
    good = accepted == len(answers) == len(latencies) and p99 < 100
    print("goal p99 < 100 ms: " + ("kept" if good else "MISSED"))
    return 0 if good else 1


if __name__ == "__main__":
    # The event loop that `penelope serve` runs on.
    with asyncio.Runner(loop_factory=uvicorn.Config("").get_loop_factory()) as runner:
        sys.exit(runner.run(main()))
