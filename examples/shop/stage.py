"""What the demo plays on: the shop, its customers, its watch, and Penelope."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.text import Text

from penelope.entry.cli.timeline import line
from shop.alerts import Rhythm
from shop.control import ControlPlane
from shop.load import Load
from shop.watch import Watch
from shop.world import World

PATIENCE_SECONDS = 90.0
CALM_SECONDS = 3.0
_RHYTHM = Rhythm(window_seconds=4.0, for_seconds=1.0, resolve_seconds=3.0, repeat_seconds=5.0)


@dataclass(kw_only=True)
class Stage:
    """The shop, its customers, its watch, and Penelope."""

    world: World
    load: Load
    watch: Watch
    penelope: ControlPlane
    client: httpx.Client
    console: Console
    seen: set[int] = field(default_factory=set)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/api/v1{path}", params=query).raise_for_status().json()


@contextmanager
def open_stage(directory: Path, console: Console) -> Iterator[Stage]:
    """Everything started, and stopped again whatever happens."""
    with ExitStack() as stack:
        with console.status("starting the shop: supervisord, two instances, Traefik"):
            world = stack.enter_context(World(directory / "shop"))
        console.print(f"shop      {world.url}  [dim]two instances behind Traefik, release 1.0[/]")
        with console.status("starting Penelope: SQLite, durable engine in the process, direct scrape"):
            penelope = stack.enter_context(ControlPlane(directory / "penelope", world))
        console.print(f"penelope  {penelope.url}  [dim]API documents at /docs[/]")
        console.print(f"key       {penelope.key}  [dim]scopes read, write, approve[/]")
        load = Load(world.url)
        load.start()
        stack.callback(load.stop)
        watch = Watch(world.instance_urls, f"{penelope.url}/api/v1/alertmanager", penelope.key, _RHYTHM)
        watch.start()
        stack.callback(watch.stop)
        client = stack.enter_context(penelope.client())
        console.print("load      40 requests/s, watched by alert rules that send Alertmanager webhooks\n")
        yield Stage(world=world, load=load, watch=watch, penelope=penelope, client=client, console=console)


def incidents(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.get("/incidents", limit=50)["incidents"]
    return found


def news(stage: Stage, incident: str) -> list[dict[str, Any]]:
    """All that happened to an incident so far; what is new of it is printed."""
    entries: list[dict[str, Any]] = stage.get(f"/incidents/{incident}/timeline", limit=500)["entries"]
    for entry in entries:
        if entry["seq"] not in stage.seen:
            stage.seen.add(entry["seq"])
            stage.console.print(line(entry, stage.console.width))
    return entries


def approve(stage: Stage, incident: str, comment: str) -> str:
    """What a person would do, by the same way as a person: POST with a key that may approve. Returns who did it."""
    stage.console.print("  [dim]a person looks at the plan and approves it through the API[/]")
    answer = stage.client.post(f"/api/v1/incidents/{incident}/approve", json={"comment": comment})
    return str(answer.raise_for_status().json()["decided_by"])


def calm(stage: Stage, live: Live) -> None:
    """Waits until no alert fires, so that the next scenario is an incident of its own."""
    quiet_since = time.monotonic()
    deadline = quiet_since + PATIENCE_SECONDS
    while time.monotonic() < deadline and time.monotonic() - quiet_since < CALM_SECONDS:
        if stage.watch.firing() or stage.load.figures(2).success_ratio < 1:
            quiet_since = time.monotonic()
        live.update(pulse(stage))
        time.sleep(0.1)


def pulse(stage: Stage) -> Text:
    figures = stage.load.figures(2)
    style = "green" if figures.success_ratio > 0.98 else "bold red"
    pulse = Text("  customers ", style="dim")
    pulse.append(f"{figures.success_ratio:7.1%} served", style=style)
    pulse.append(f"   p99 {figures.p99_seconds * 1000:4.0f} ms   {stage.load.lost} lost so far", style="dim")
    return pulse
