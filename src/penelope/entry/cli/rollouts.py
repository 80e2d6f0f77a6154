"""Commands about rollouts: begin one, see how it stands, and say what it is to do."""

import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.live import Live

from penelope.domain.deployment import Order
from penelope.entry.cli import rollout_screens, screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected

if TYPE_CHECKING:
    from penelope.entry.cli.client import Client

_PATH = "/api/v1/deployments"
_LOOKS = 500
_REFRESH_SECONDS = 0.5

DeploymentId = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="The id of a deployment.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in history.")]


def start(  # noqa: PLR0913 - one option each
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="A service of the catalogue.")],
    *,
    canary: Annotated[str, typer.Option(metavar="ARM", help="The arm that was changed.")],
    control: Annotated[str, typer.Option(metavar="ARM", help="The arm that it is compared with.")],
    reason: Reason,
    stage: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WEIGHT",
            help="A weight in percent; `25m` waits for a person. Repeatable; 10, 25, 50, 100 by default.",
        ),
    ] = None,
    step_seconds: Annotated[
        float, typer.Option(min=1, help="A stage without a verdict by then is rolled back.")
    ] = 900,
    auto_promote: Annotated[bool, typer.Option(help="Go on from stage to stage by itself.")] = True,
    auto_rollback: Annotated[bool, typer.Option(help="Take the traffic away by itself.")] = True,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 5.0,
    revision: Annotated[str, typer.Option(help="What runs in the changed arm.")] = "",
    patch: Annotated[
        str, typer.Option(metavar="ACTION", help="The action whose change it is; a rollback reverts it.")
    ] = "",
    once: Annotated[
        str,
        typer.Option(metavar="KEY", help="Begin it only once under this key, however often it is asked for."),
    ] = "",
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Begin a rollout: traffic goes over to the changed arm stage by stage, or back."""
    course = {
        "canary": canary,
        "control": control,
        "auto_promote": auto_promote,
        "auto_rollback": auto_rollback,
        "interval_seconds": every,
    }
    stages = [_stage(text, step_seconds) for text in stage or ("10", "25", "50", "100")]
    wanted = {
        "service": service,
        "course": {**course, "stages": stages},
        "reason": reason,
        "revision": revision,
        "patch": patch,
        "key": once,
    }
    with connected(context, server, key) as client:
        answer = client.post(_PATH, wanted)
    _print(answer, rollout_screens.line, as_json=as_json)


def list_deployments(  # noqa: PLR0913 - one option each
    context: typer.Context,
    *,
    service: Annotated[str | None, typer.Option(help="Only those of this service.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--ended", help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at most.")] = 20,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List deployments, the one that changed last first."""
    with connected(context, server, key) as client:
        answer = client.get(_PATH, service=service, active=active, limit=limit)
    _print(answer, rollout_screens.table, as_json=as_json)


def show(
    context: typer.Context,
    deployment: DeploymentId,
    *,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show how a deployment stands, and what its last look came to."""
    with connected(context, server, key) as client:
        answer = client.get(_path(deployment))
    _print(answer, rollout_screens.detail, as_json=as_json)


def watch(
    context: typer.Context,
    deployment: DeploymentId,
    *,
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Watch a deployment: weights, both arms and the evidence, look by look, until it has ended."""
    with connected(context, server, key) as client:
        events = _events(client, deployment, 0)
        shown = client.get(_path(deployment))
        with Live(rollout_screens.chart(shown, events), auto_refresh=False) as live:
            while not shown["deployment"]["ended_at"]:
                time.sleep(_REFRESH_SECONDS)
                shown = client.get(_path(deployment))
                fresh = _events(client, deployment, events[-1]["version"] if events else 0)
                events = [*events, *fresh][-_LOOKS:]
                live.update(rollout_screens.chart(shown, events), refresh=True)
            live.update(rollout_screens.chart(shown, events), refresh=True)


def _events(client: "Client", deployment: str, after: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := client.get(f"{_path(deployment)}/events", after=after, limit=_LOOKS)["events"]:
        found += page
        after = page[-1]["version"]
    return found


def pause(
    context: typer.Context,
    deployment: DeploymentId,
    *,
    reason: Reason,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Hold a deployment at its weight. What is bad is taken back all the same."""
    _tell(context, deployment, Order.PAUSE, reason, server, key, as_json=as_json)


def resume(
    context: typer.Context,
    deployment: DeploymentId,
    *,
    reason: Reason,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Let a deployment go on that was paused."""
    _tell(context, deployment, Order.RESUME, reason, server, key, as_json=as_json)


def step(
    context: typer.Context,
    deployment: DeploymentId,
    *,
    reason: Reason,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Let a deployment go on to its next stage now."""
    _tell(context, deployment, Order.STEP, reason, server, key, as_json=as_json)


def promote(
    context: typer.Context,
    deployment: DeploymentId,
    *,
    reason: Reason,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Send all traffic to the changed arm now."""
    _tell(context, deployment, Order.PROMOTE, reason, server, key, as_json=as_json)


def abort(
    context: typer.Context,
    deployment: DeploymentId,
    *,
    reason: Reason,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Take all traffic away from the changed arm, for it is bad; its patch is reverted."""
    _tell(context, deployment, Order.ABORT, reason, server, key, as_json=as_json)


def cancel(
    context: typer.Context,
    deployment: DeploymentId,
    *,
    reason: Reason,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Take all traffic away from the changed arm, whatever it is worth; its patch stays."""
    _tell(context, deployment, Order.CANCEL, reason, server, key, as_json=as_json)


def revise(  # noqa: PLR0913 - one option each
    context: typer.Context,
    deployment: DeploymentId,
    revision: Annotated[str, typer.Argument(help="What runs in the changed arm now.")],
    *,
    reason: Reason,
    server: Server = None,
    key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Say that a new revision runs in the changed arm: all begins anew."""
    with connected(context, server, key) as client:
        answer = client.post(f"{_path(deployment)}/revision", {"revision": revision, "reason": reason})
    _print(answer, rollout_screens.line, as_json=as_json)


def _tell(  # noqa: PLR0913 - what every such command is given
    context: typer.Context,
    deployment: str,
    order: Order,
    reason: str,
    server: str | None,
    key: str | None,
    *,
    as_json: bool,
) -> None:
    with connected(context, server, key) as client:
        wanted: dict[str, Any] = {"order": order.value, "reason": reason}
        if order is Order.STEP:
            wanted["stage"] = client.get(_path(deployment))["deployment"]["stage"]
        answer = client.post(f"{_path(deployment)}/words", wanted)
    _print(answer, rollout_screens.line, as_json=as_json)


def _stage(text: str, seconds: float) -> dict[str, Any]:
    weight = text.removesuffix("m")
    if not weight.isdecimal():
        raise typer.BadParameter(f"{text!r} is no weight in percent", param_hint="--stage")
    return {"weight": int(weight), "manual": text.endswith("m"), "max_seconds": seconds}


def _path(deployment: str) -> str:
    return f"{_PATH}/{quote(deployment, safe='')}"


def _print(answer: Mapping[str, Any], screen: Any, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        screens.show(screen(answer))
