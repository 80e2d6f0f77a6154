"""Commands about rollouts: begin one, see how it stands, and say what it is to do."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.live import Live

from penelope.domain.deployment import Order
from penelope.entry.cli import rollout_screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.rollout_start import PATH

if TYPE_CHECKING:
    from penelope.entry.cli.client import Client

_DRAWN = 2 * rollout_screens.COLUMNS
"""Events that are kept: most of them are looks, and each look is a column."""

_REFRESH_SECONDS = 0.5

DeploymentId = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="The id of a deployment.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept in history.")]


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
        answer = client.get(PATH, service=service, active=active, limit=limit)
    rollout_screens.answered(answer, rollout_screens.table, as_json=as_json)


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
    rollout_screens.answered(answer, rollout_screens.detail, as_json=as_json)


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
                events = [*events, *fresh][-_DRAWN:]
                live.update(rollout_screens.chart(shown, events), refresh=True)
            live.update(rollout_screens.chart(shown, events), refresh=True)


def _events(client: "Client", deployment: str, after: int) -> list[dict[str, Any]]:
    """The last that happened beyond a version: what comes before it would not be drawn, however long the history is."""
    answer = client.get(f"{_path(deployment)}/events", after=after, limit=_DRAWN, newest=True)
    found: list[dict[str, Any]] = answer["events"]
    return found


def _says(order: Order, what: str) -> Callable[..., None]:
    """The command that says this to a deployment."""

    def say(
        context: typer.Context,
        deployment: DeploymentId,
        *,
        reason: Reason,
        server: Server = None,
        key: ApiKey = None,
        as_json: AsJson = False,
    ) -> None:
        wanted: dict[str, Any] = {"order": order.value, "reason": reason}
        with connected(context, server, key) as client:
            if order is Order.STEP:
                wanted["stage"] = client.get(_path(deployment))["deployment"]["stage"]
            answer = client.post(f"{_path(deployment)}/words", wanted)
        rollout_screens.answered(answer, rollout_screens.line, as_json=as_json)

    say.__doc__ = what
    return say


pause = _says(Order.PAUSE, "Hold a deployment at its weight. What is bad is taken back all the same.")
resume = _says(Order.RESUME, "Let a deployment go on that was paused.")
step = _says(Order.STEP, "Let a deployment go on to its next stage now.")
promote = _says(Order.PROMOTE, "Send all traffic to the changed arm now.")
abort = _says(
    Order.ABORT, "Take all traffic away from the changed arm, for it is bad; its patch is reverted."
)
cancel = _says(
    Order.CANCEL, "Take all traffic away from the changed arm, whatever it is worth; its patch stays."
)


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
    rollout_screens.answered(answer, rollout_screens.line, as_json=as_json)


def _path(deployment: str) -> str:
    return f"{PATH}/{quote(deployment, safe='')}"
