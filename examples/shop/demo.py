"""The demo: breaks the shop three times, shows how Penelope heals it, and exits 0 only if all of it came true."""

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from penelope.entry.cli.timeline import line
from shop.alerts import Rhythm
from shop.control import ControlPlane
from shop.evidence import evidence, prove
from shop.load import Load
from shop.release import BAD
from shop.watch import Watch
from shop.world import World

_WIDTH = 100
_PATIENCE_SECONDS = 90.0
_CALM_SECONDS = 3.0
_PICTURED = 3
_RHYTHM = Rhythm(window_seconds=4.0, for_seconds=1.0, resolve_seconds=3.0, repeat_seconds=5.0)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One way to break the shop. `asks` says that only a person may mend it."""

    number: int
    title: str
    breaks: Callable[[], None]
    proof: Callable[[], str]
    asks: bool = False


@dataclass(kw_only=True)
class Result:
    """How a scenario went; times in seconds, None where the event never came."""

    scenario: Scenario
    incident: str = ""
    outcome: str = "nothing happened"
    detect: float | None = None
    decide: float | None = None
    heal: float | None = None
    lost: int = 0
    escalated: bool = False
    approved_by: str = ""
    proof: str = ""

    @property
    def good(self) -> bool:
        asked_well = self.escalated and bool(self.approved_by)
        return self.outcome == "healed" and (asked_well or not self.scenario.asks)


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


def scenarios(world: World) -> list[Scenario]:
    return [
        Scenario(
            number=1,
            title=f"A careless pipeline rolls out release {BAD.name}: server errors and slow answers",
            breaks=lambda: world.deploy(BAD.name),
            proof=lambda: f"both instances run {_releases(world)}",
        ),
        Scenario(
            number=2,
            title="Somebody commits a merge conflict into the shop's configuration",
            breaks=world.corrupt_config,
            proof=lambda: f"git log: {world.commits()[0]}",
        ),
        Scenario(
            number=3,
            title="Somebody switches on a feature that needs a database migration",
            breaks=world.outdate_schema,
            proof=lambda: f"{sum(item['kind'] == 'migrate' for item in world.operations())} migration ran",
            asks=True,
        ),
    ]


def _releases(world: World) -> str:
    return " and ".join(sorted({world.release_link(name).resolve().name for name in world.instance_urls}))


def play(stage: Stage, scenario: Scenario) -> Result:
    """Breaks the shop and follows the incident to its end, live."""
    if stage.console.record and scenario.number == _PICTURED:
        stage.console.export_text()  # forgets what was recorded: the picture of a whole run fills ten pages
    stage.console.rule(f"[bold]{scenario.number}. {scenario.title}", align="left", style="dim")
    result = Result(scenario=scenario)
    known = {item["id"] for item in _incidents(stage)}
    lost_before, broken_at = stage.load.lost, datetime.now(UTC)
    scenario.breaks()
    with Live(console=stage.console, refresh_per_second=8, transient=True) as live:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            live.update(_pulse(stage))
            if not result.incident:
                result.incident = next(
                    (item["id"] for item in _incidents(stage) if item["id"] not in known), ""
                )
            elif _follow(stage, result, broken_at):
                break
            time.sleep(0.1)
        _calm(stage, live)
    result.lost = stage.load.lost - lost_before
    result.proof = scenario.proof()
    stage.console.print(f"  [dim]at the shop:[/] {result.proof}\n")
    return result


def _incidents(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.get("/incidents", limit=50)["incidents"]
    return found


def _follow(stage: Stage, result: Result, broken_at: datetime) -> bool:
    """Prints what is new of the incident; True when it has ended."""
    entries = stage.get(f"/incidents/{result.incident}/timeline", limit=500)["entries"]
    for entry in entries:
        if entry["seq"] not in stage.seen:
            stage.seen.add(entry["seq"])
            stage.console.print(line(entry, stage.console.width))
    at = {entry["event"]: datetime.fromisoformat(entry["recorded_at"]) for entry in reversed(entries)}
    opened, decided = at.get("IncidentOpened"), at.get("DecisionMade")
    if opened:
        result.detect = (opened - broken_at).total_seconds()
    if opened and decided:
        result.decide = (decided - opened).total_seconds()
    if "ApprovalRequested" in at and not result.approved_by and result.scenario.asks:
        result.escalated = True
        _approve(stage, result)
    for outcome in ("healed", "resolved", "escalated"):
        ended = at.get(f"Incident{outcome.title()}")
        if ended:
            result.outcome, result.heal = outcome, (ended - broken_at).total_seconds()
            return True
    return False


def _approve(stage: Stage, result: Result) -> None:
    """What a person would do, by the same way as a person: POST with a key that may approve."""
    stage.console.print("  [dim]a person looks at the plan and approves it through the API[/]")
    answer = stage.client.post(
        f"/api/v1/incidents/{result.incident}/approve", json={"comment": "backup is fresh, go"}
    )
    result.approved_by = answer.raise_for_status().json()["decided_by"]


def _calm(stage: Stage, live: Live) -> None:
    """Waits until no alert fires, so that the next scenario is an incident of its own."""
    quiet_since = time.monotonic()
    deadline = quiet_since + _PATIENCE_SECONDS
    while time.monotonic() < deadline and time.monotonic() - quiet_since < _CALM_SECONDS:
        if stage.watch.firing() or stage.load.figures(2).success_ratio < 1:
            quiet_since = time.monotonic()
        live.update(_pulse(stage))
        time.sleep(0.1)


def _pulse(stage: Stage) -> Text:
    figures = stage.load.figures(2)
    style = "green" if figures.success_ratio > 0.98 else "bold red"
    pulse = Text("  customers ", style="dim")
    pulse.append(f"{figures.success_ratio:7.1%} served", style=style)
    pulse.append(f"   p99 {figures.p99_seconds * 1000:4.0f} ms   {stage.load.lost} lost so far", style="dim")
    return pulse


def summary(stage: Stage, results: list[Result], seconds: float) -> Table:
    table = Table(title="Summary", title_justify="left", caption_justify="left", header_style="bold")
    table.add_column("scenario", no_wrap=True)
    table.add_column("outcome")
    for name in ("detect", "decide", "heal"):
        table.add_column(name, justify="right")
    table.add_column("requests lost", justify="right")
    names = ("bad release", "corrupt config", "migration")
    for name, result in zip(names, results, strict=False):
        outcome = result.outcome if not result.scenario.asks else f"escalated, approved, {result.outcome}"
        style = "green" if result.good else "bold red"
        heal, decide = _seconds(result.heal), _seconds(result.decide, 3)
        row = (_seconds(result.detect), decide, heal, str(result.lost))
        table.add_row(f"{result.scenario.number} {name}", Text(outcome, style=style), *row)
    table.caption = (
        f"times from the fault on (decide: from the signal on); {stage.load.sent} requests sent, "
        f"{stage.load.lost} lost; {seconds:.0f} s in all"
    )
    return table


def _seconds(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f} s"


def run(directory: Path, console: Console, *, keep: bool) -> bool:
    """Plays all scenarios; True when every promise was kept."""
    began = time.monotonic()
    shutil.rmtree(directory, ignore_errors=True)
    console.print(
        Panel.fit("[bold]Penelope[/]: from a real alert to a verified, reversible fix", style="cyan")
    )
    with open_stage(directory, console) as stage:
        time.sleep(_CALM_SECONDS)
        results = [play(stage, scenario) for scenario in scenarios(stage.world)]
        proofs = prove(stage.penelope, [result.incident for result in results])
        console.print(summary(stage, results, time.monotonic() - began))
        console.print(evidence(proofs))
        good = all(result.good for result in results) and proofs.good
        console.print(
            "[bold green]Every promise was kept.[/]" if good else "[bold red]A promise was broken.[/]"
        )
        if keep:
            _look_round(stage, results)
    return good


def _look_round(stage: Stage, results: list[Result]) -> None:
    """Stays up until Ctrl-C."""
    stage.console.print("\n[bold]Still running; Ctrl-C ends it.[/] In another terminal:")
    stage.console.print(
        f"  export PENELOPE_SERVER={stage.penelope.url} PENELOPE_API_KEY={stage.penelope.key}"
    )
    for command in ("status", "incidents", f"show {results[0].incident}", "ledger verify"):
        stage.console.print(f"  .venv/bin/penelope {command}")
    try:
        signal.pause()
    except KeyboardInterrupt:
        stage.console.print("ending")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m shop.demo", description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path("var/demo"), help="where everything is kept")
    parser.add_argument(
        "--svg", type=Path, help="also write a picture of the last scenario and the summary here"
    )
    options = parser.parse_args()
    keep = os.environ.get("KEEP", "") not in {"", "0"}
    console = Console(record=options.svg is not None, width=_WIDTH if options.svg else None, highlight=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    good = run(options.directory, console, keep=keep)
    if options.svg is not None:
        options.svg.parent.mkdir(parents=True, exist_ok=True)
        console.save_svg(str(options.svg), title="make demo")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
