"""Learns the noise of a service from the command line: a comparison of two arms that run the same revision."""

from typing import Annotated, Any

import typer

from penelope.domain import calibration
from penelope.domain.deployment import alike
from penelope.entry.cli import rollout_screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.rollout_start import PATH

_LIMITS = ("max_error_ratio", "min_success_ratio")


def calibrate(  # noqa: PLR0913 - one option each
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="A service of the catalogue.")],
    *,
    canary: Annotated[
        str, typer.Option(metavar="ARM", help="One arm; it has no traffic once this has ended.")
    ],
    control: Annotated[str, typer.Option(metavar="ARM", help="The other arm, which runs the same revision.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept in history.")] = "calibration",
    seconds: Annotated[
        float, typer.Option(min=calibration.SHORTEST_SECONDS, help="So much is to be seen of both arms.")
    ] = calibration.USUAL_SECONDS,
    weight: Annotated[
        int, typer.Option(min=1, max=99, metavar="PERCENT", help="Of the traffic, to the first arm.")
    ] = 50,
    every: Annotated[
        float, typer.Option(min=0.05, max=calibration.LONGEST_LOOK_SECONDS, help="Seconds between two looks.")
    ] = 5.0,
    max_error_ratio: Annotated[
        float, typer.Option(metavar="RATIO", help="Limit on errors, 0 to 1; it ends the calibration.")
    ] = 0.02,
    min_success_ratio: Annotated[
        float, typer.Option(metavar="RATIO", help="Limit on successes, 0 to 1; it ends the calibration.")
    ] = 0.95,
    latency: Annotated[bool, typer.Option(help="Learn the noise of slow requests as well.")] = True,
    once: Annotated[
        str, typer.Option(metavar="KEY", help="Begin it only once under this key, however often asked for.")
    ] = "",
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Learn how noisy a service is, from two arms that run the same; later rollouts are judged by it."""
    (stage,) = alike(seconds, weight)
    limits = dict(zip(_LIMITS, (max_error_ratio, min_success_ratio), strict=True))
    course: dict[str, Any] = {
        "canary": canary,
        "control": control,
        "stages": [{"weight": weight, "min_seconds": stage.min_seconds, "max_seconds": stage.max_seconds}],
        "interval_seconds": every,
        "analysis": {"limits": limits, "latency": latency},
        "calibrates": True,
    }
    with connected(context, server, key) as client:
        answer = client.post(PATH, {"service": service, "course": course, "reason": reason, "key": once})
    rollout_screens.answered(answer, rollout_screens.line, as_json=as_json)
