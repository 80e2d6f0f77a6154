"""Tells before a rollout begins how long it will take to see a fault, or to clear a healthy canary. Needs no server."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.words import seconds
from penelope.errors import InvalidRequest

if TYPE_CHECKING:
    from penelope.domain.analysis import AnalysisSpec
    from penelope.rooms.rollout.foresight import Forecast

_SHARES = (10, 25, 50)
_NEVER = "never"

Share = Annotated[
    list[int] | None,
    typer.Option(
        metavar="PERCENT",
        help="The canary's share of the requests, 1 to 99; repeatable. 10, 25, 50 by default.",
    ),
]


def plan(  # noqa: PLR0913 - one option each
    *,
    requests_per_second: Annotated[float, typer.Option(help="Of both arms together.")],
    error_ratio: Annotated[float, typer.Option(metavar="RATIO", help="The usual share of errors, 0 to 1.")],
    worse: Annotated[
        float, typer.Option(metavar="RATIO", help="The share of errors that is to be seen, 0 to 1.")
    ],
    share: Share = None,
    alpha: Annotated[float, typer.Option(help="Chance of a false rollback in the whole rollout.")] = 0.05,
    beta: Annotated[float, typer.Option(help="Chance that a stage lets go on what is worse.")] = 0.05,
    factor: Annotated[float, typer.Option(help="How much worse must be ruled out before a promotion.")] = 2.0,
    min_requests: Annotated[int, typer.Option(min=0, help="The smallest sample on the canary.")] = 20,
    step_seconds: Annotated[float, typer.Option(help="A stage has so long for a verdict.")] = 900.0,
    latency: Annotated[bool, typer.Option(help="Latency is judged as well as errors.")] = True,
    noise: Annotated[float, typer.Option(help="How many times more errors scatter than dice.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Forecast how soon a rise of errors will be seen at your traffic, and how long a healthy canary takes."""
    from penelope.domain.analysis import AnalysisSpec, Noise, Tempering  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.domain.rollout import RolloutLimits  # noqa: PLC0415 - as above

    try:
        spec = AnalysisSpec(
            alpha=alpha,
            beta=beta,
            factor=factor,
            limits=RolloutLimits(min_requests=min_requests),
            max_step_seconds=step_seconds,
            latency=latency,
            tempering=Tempering(errors=Noise(factor=noise)),
        )
        made = [_stage(spec, requests_per_second, error_ratio, worse, one) for one in share or _SHARES]
    except ValueError as error:
        raise InvalidRequest(
            str(error), hint="`penelope rollout plan --help` tells what each option is."
        ) from error
    if as_json:
        typer.echo(json.dumps({"error_ratio": error_ratio, "worse": worse, "stages": made}, indent=2))
    else:
        screens.show(screen(made, error_ratio, worse, step_seconds))


def _stage(
    spec: "AnalysisSpec", requests_per_second: float, usual: float, worse: float, percent: int
) -> dict[str, Any]:
    """The figures of one stage; a time is None where it never comes. Raises ValueError for what is no traffic."""
    from penelope.domain.deployment import LONGEST_SECONDS  # noqa: PLC0415 - so that `--help` is there at once
    from penelope.rooms.rollout.foresight import (  # noqa: PLC0415 - numpy takes a while to load
        Traffic,
        forecast_clearance,
        forecast_detection,
    )

    if not usual < worse < 1:
        raise ValueError(f"worse must lie between error_ratio ({usual}) and 1, not {worse}")
    if not 1 <= spec.max_step_seconds <= LONGEST_SECONDS:
        raise ValueError(f"step_seconds is 1 to {LONGEST_SECONDS:.0f}, not {spec.max_step_seconds}")
    traffic = Traffic(requests_per_second=requests_per_second, share=percent / 100, error_ratio=usual)
    sample = spec.limits.min_requests / (requests_per_second * percent / 100)
    return {
        "share_percent": percent,
        "seen": _figures(forecast_detection(spec, traffic, worse), 0.0),
        "cleared": _figures(forecast_clearance(spec, traffic), sample),
    }


def _figures(forecast: "Forecast", least: float) -> dict[str, float | None]:
    found = {
        "p50_seconds": max(least, forecast.p50_seconds),
        "p90_seconds": max(least, forecast.p90_seconds),
        "p90_requests": forecast.p90_requests,
        "within_a_step": forecast.within_a_step,
    }
    return {name: round(value, 3) if math.isfinite(value) else None for name, value in found.items()}


def screen(
    stages: Sequence[dict[str, Any]], error_ratio: float, worse: float, step_seconds: float
) -> RenderableType:
    rows = [
        (
            f"{stage['share_percent']} %",
            *(_time(stage["seen"][name]) for name in ("p50_seconds", "p90_seconds")),
            f"{stage['seen']['within_a_step']:.0%}",
            *(_time(stage["cleared"][name]) for name in ("p50_seconds", "p90_seconds")),
        )
        for stage in stages
    ]
    columns = ("canary", "seen p50", "seen p90", "in a stage", "healthy p50", "healthy p90")
    total = sum(stage["cleared"]["p50_seconds"] or math.inf for stage in stages)
    told = [Text(_sentence(stages[0], error_ratio, worse))]
    if len(stages) > 1 and math.isfinite(total):
        told.append(Text(f"A healthy canary passes these {len(stages)} stages in about {seconds(total)}."))
    remark = (
        f"Errors alone, taken for steady; a stage ends after {seconds(step_seconds)} at the latest. "
        "Looks, and latency, may make it a little longer."
    )
    return Group(screens.table(*columns, rows=rows), Text(), *told, Text(remark, "dim"))


def _sentence(stage: dict[str, Any], error_ratio: float, worse: float) -> str:
    rise = f"A rise from {_percent(error_ratio)} to {_percent(worse)} errors, at {stage['share_percent']} %"
    if stage["seen"]["p90_seconds"] is None:
        return f"{rise}, is not sure to be seen, however long one looks."
    requests = f"{stage['seen']['p90_requests']:,.0f} requests of both arms"
    return f"{rise}, will be seen within {seconds(stage['seen']['p90_seconds'])} or {requests} (nine of ten times)."


def _time(value: float | None) -> str:
    return _NEVER if value is None else seconds(value)


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.3g} %"
