"""The demo: breaks the shop three times, shows how Penelope heals it, and a fourth time to show how it stops itself.

Exits 0 only if all of it came true.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shop.evidence import evidence, prove
from shop.release import BAD
from shop.runaway import Runaway, run_away
from shop.stage import (
    CALM_SECONDS,
    PATIENCE_SECONDS,
    Stage,
    approve,
    calm,
    incidents,
    news,
    open_stage,
    pulse,
)
from shop.world import World

_WIDTH = 100
_PICTURED = 1


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
    stage.console.rule(f"[bold]{scenario.number}. {scenario.title}", align="left", style="dim")
    result = Result(scenario=scenario)
    known = {item["id"] for item in incidents(stage)}
    lost_before, broken_at = stage.load.lost, datetime.now(UTC)
    scenario.breaks()
    with Live(console=stage.console, refresh_per_second=8, transient=True) as live:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            live.update(pulse(stage))
            if not result.incident:
                result.incident = next(
                    (item["id"] for item in incidents(stage) if item["id"] not in known), ""
                )
            elif _follow(stage, result, broken_at):
                break
            time.sleep(0.1)
        calm(stage, live)
    result.lost = stage.load.lost - lost_before
    result.proof = scenario.proof()
    stage.console.print(f"  [dim]at the shop:[/] {result.proof}\n")
    return result


def _follow(stage: Stage, result: Result, broken_at: datetime) -> bool:
    """Prints what is new of the incident; True when it has ended."""
    entries = news(stage, result.incident)
    at = {entry["event"]: datetime.fromisoformat(entry["recorded_at"]) for entry in reversed(entries)}
    opened, decided = at.get("IncidentOpened"), at.get("DecisionMade")
    if opened:
        result.detect = (opened - broken_at).total_seconds()
    if opened and decided:
        result.decide = (decided - opened).total_seconds()
    if "ApprovalRequested" in at and not result.approved_by and result.scenario.asks:
        result.escalated = True
        result.approved_by = approve(stage, result.incident, "backup is fresh, go")
    for outcome in ("healed", "resolved", "escalated"):
        ended = at.get(f"Incident{outcome.title()}")
        if ended:
            result.outcome, result.heal = outcome, (ended - broken_at).total_seconds()
            return True
    return False


def summary(stage: Stage, results: list[Result], runaway: Runaway, seconds: float) -> Table:
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
    called = runaway.endings.count("escalated")
    healed, style = runaway.endings.count("healed"), "green" if runaway.good else "bold red"
    outcome = f"halted after {runaway.failures} failures ({healed} healed and back, {len(runaway.asked)} asked), {called} escalated"
    row = ("-", _seconds(runaway.decide, 3), "-", str(runaway.lost))
    table.add_row("4 runaway", Text(outcome, style=style), *row)
    table.caption = (
        f"times from the fault on (decide: from the signal on); {stage.load.sent} requests sent, "
        f"{stage.load.lost} lost; {seconds:.0f} s in all"
    )
    return table


def _seconds(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f} s"


def run(directory: Path, console: Console, *, keep: bool) -> bool:
    """Plays all scenarios; True when every promise was kept."""
    began, pictured = time.monotonic(), console.record
    console.record = False
    shutil.rmtree(directory, ignore_errors=True)
    console.print(
        Panel.fit("[bold]Penelope[/]: from a real alert to a verified, reversible fix", style="cyan")
    )
    with open_stage(directory, console) as stage:
        time.sleep(CALM_SECONDS)
        results = []
        for scenario in scenarios(stage.world):
            # Only this and the summary are pictured: a picture of the whole run fills ten pages.
            console.record = pictured and scenario.number == _PICTURED
            results.append(play(stage, scenario))
        console.record = False
        runaway = run_away(stage)
        told = [*(result.incident for result in results), *runaway.incidents]
        proofs = prove(stage.penelope, told)
        console.record = pictured
        console.print(summary(stage, results, runaway, time.monotonic() - began))
        console.print(evidence(proofs))
        good = all(result.good for result in results) and runaway.good and proofs.good
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
    parser.add_argument("--svg", type=Path, help="also write a picture of one scenario and the summary here")
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
