"""Commands about benchmarks: a service held against its own past."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import visible

_PATH = "/api/v1/benchmarks"
_STYLES = {"sound": "green", "worse": "red", "failed": "bold red", "unknown": "yellow"}
_OUTCOMES = {"passed": "green", "regressed": "bold red", "unknown": "yellow"}

ServiceName = Annotated[str, typer.Argument(metavar="SERVICE", help="The name of a service.")]


def show(
    context: typer.Context,
    service: ServiceName,
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many runs at most.")] = 10,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show what a service is measured by, what is usual, and its newest runs."""
    with connected(context, server, key) as client:
        answer = client.get(_PATH, service=service, limit=limit)
    _print(answer, _overview, as_json=as_json)


def run(
    context: typer.Context,
    service: ServiceName,
    *,
    suite: Annotated[Literal["smoke", "regression"], typer.Option(help="What to run.")] = "smoke",
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Run a suite of a service now; the exit code is 1 where something got worse."""
    with connected(context, server, key) as client:
        answer = client.post(f"{_PATH}/runs", {"service": service, "suite": suite})
    _print(answer, _run, as_json=as_json)
    if answer["outcome"] == "regressed":
        raise typer.Exit(1)


def baseline(  # noqa: PLR0913 - one option each
    context: typer.Context,
    service: ServiceName,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in history.")],
    anew: Annotated[
        bool, typer.Option("--anew", help="Forget what was usual: the service has changed for good.")
    ] = False,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Measure a service and take that into its baselines, if it is verified to be healthy."""
    wanted = {"service": service, "reason": reason, "anew": anew}
    with connected(context, server, key) as client:
        answer = client.post(f"{_PATH}/baselines", wanted)
    _print(answer, _updated, as_json=as_json)
    if answer["refused"]:
        raise typer.Exit(1)


def _overview(answer: Mapping[str, Any]) -> RenderableType:
    if not answer["probes"]:
        return Text(f"{visible(answer['service'])} declares no benchmarks.")
    usual = {item["probe"]: item for item in answer["baselines"]}
    rows = [
        (
            Text(visible(item["name"])).append(f"\n{visible(item['kind'])}", "dim"),
            item["suite"],
            *_usual(usual.get(item["name"])),
        )
        for item in answer["probes"]
    ]
    listed = screens.table("probe", "suite", "usually", "spread", "runs", rows=rows)
    return Group(listed, *(_summary(item) for item in answer["runs"]))


def _usual(item: Mapping[str, Any] | None) -> tuple[str, str, Text]:
    if item is None:
        return "-", "-", Text("none yet", "yellow")
    enough = Text(str(len(item["figures"])), "" if item["settled"] else "yellow")
    return _figure(item["middle"]), _figure(item["spread"]), enough


def _summary(item: Mapping[str, Any]) -> Text:
    line = Text(f"{visible(item['started_at'])[:19]}  {item['suite']:<10}  ")
    line.append(item["outcome"], _OUTCOMES.get(item["outcome"], ""))
    return line.append(f"  {visible(item['trouble'])}" if item["trouble"] else "")


def _run(answer: Mapping[str, Any]) -> RenderableType:
    rows = [
        (
            visible(item["probe"]),
            Text(item["standing"], _STYLES.get(item["standing"], "")),
            _figure(item["figure"]),
            _figure(item["middle"]),
            Text(visible(item["note"])),
        )
        for item in answer["findings"]
    ]
    return Group(
        screens.table("probe", "standing", "now", "usually", "note", rows=rows, keep=("standing", "now")),
        _summary(answer),
    )


def _updated(answer: Mapping[str, Any]) -> RenderableType:
    if answer["refused"]:
        return Text(f"Nothing was taken in: {visible(answer['refused'])}.")
    taken = [
        Text(f"{visible(name)}: usually {_figure(item['middle'])}, {len(item['figures'])} runs")
        for name, item in answer["taken"].items()
    ]
    left = [Text(f"{visible(name)}: left, {visible(why)}", "yellow") for name, why in answer["left"].items()]
    return Group(*taken, *left)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _print(answer: Any, screen: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))
