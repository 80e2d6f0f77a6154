"""Commands that stop healing, and let it go on."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import RenderableType
from rich.text import Text

from penelope.entry.cli import screens
from penelope.entry.cli.remote import ApiKey, AsJson, Server, connected
from penelope.entry.cli.words import visible
from penelope.errors import InvalidRequest

Service = Annotated[str | None, typer.Argument(metavar="SERVICE", help="The service that it is about.")]
Everything = Annotated[bool, typer.Option("--all", help="All healing everywhere.")]
Playbook = Annotated[
    str | None, typer.Option("--playbook", metavar="NAME", help="A playbook, on all services.")
]
Cause = Annotated[
    str | None, typer.Option("--cause", metavar="FINGERPRINT", help="One problem, by its fingerprint.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept in the ledger.")]

_DURATION = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def halt(  # noqa: PLR0913 - one parameter an option
    context: typer.Context,
    service: Service = None,
    *,
    reason: Reason,
    everything: Everything = False,
    playbook: Playbook = None,
    cause: Cause = None,
    lasting: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="TIME", help="Such as 90s, 30m, 2h or 1d; by default until it is resumed."
        ),
    ] = None,
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Stop healing at once: a service, a playbook, or everything with --all.

    No action is begun after the command has returned. Actions under way end, and are then taken back.
    """
    path = _path(_scope(service, playbook, cause, everything=everything))
    body: dict[str, Any] = {"reason": reason}
    if lasting is not None:
        body["seconds"] = _seconds(lasting)
    with connected(context, server, key) as client:
        screens.show(_line(client.post(f"{path}/open", body)))


def resume(  # noqa: PLR0913 - one parameter an option
    context: typer.Context,
    service: Service = None,
    *,
    reason: Reason,
    everything: Everything = False,
    playbook: Playbook = None,
    cause: Cause = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget the failures that were counted, too.")
    ] = False,
    server: Server = None,
    key: ApiKey = None,
) -> None:
    """Let healing go on: of a service, by a playbook, or everywhere with --all. Each halt is lifted by itself."""
    path = _path(_scope(service, playbook, cause, everything=everything))
    with connected(context, server, key) as client:
        screens.show(_line(client.post(f"{path}/{'reset' if reset else 'close'}", {"reason": reason})))


def halts(
    context: typer.Context, *, server: Server = None, key: ApiKey = None, as_json: AsJson = False
) -> None:
    """List what is halted, by whom or after which failures, and until when (UTC)."""
    with connected(context, server, key) as client:
        answer = client.get("/api/v1/halts")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    elif not answer["halts"]:
        screens.show(Text("Nothing was ever halted, and no failure counts."))
    else:
        screens.show(_table(answer["halts"]))


def _scope(service: str | None, playbook: str | None, cause: str | None, *, everything: bool) -> str:
    """The label of the one scope that was named. Raises InvalidRequest for none, or more than one."""
    named = {"service": service, "playbook": playbook, "cause": cause}
    labels = [f"{kind}:{name}" for kind, name in named.items() if name is not None]
    labels += ["fleet"] if everything else []
    if len(labels) != 1:
        raise InvalidRequest(
            "name one thing to halt or resume",
            hint="Write SERVICE, --playbook NAME, --cause FINGERPRINT or --all.",
        )
    return labels[0]


def _path(label: str) -> str:
    return f"/api/v1/halts/{quote(label, safe=':')}"


def _seconds(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise InvalidRequest(f"'{text}' is no duration", hint="Write 90s, 30m, 2h or 1d.")
    return int(found[1]) * _UNITS[found[2]]


_STYLES = {"closed": "green", "half_open": "yellow", "open": "bold red", "unreadable": "bold red"}


def _state(state: str) -> Text:
    return Text(visible(state).replace("_", " "), _STYLES.get(state, ""))


def _table(found: list[Mapping[str, Any]]) -> RenderableType:
    rows = [
        (
            Text(visible(item["scope"])),
            _state(item["state"]),
            _until(item),
            str(len(item["failures"])),
            Text(_why(item)),
        )
        for item in found
    ]
    return screens.table("what", "state", "until (UTC)", "failures", "why", rows=rows, keep=("state",))


def _until(item: Mapping[str, Any]) -> str:
    if item["until"] is not None:
        return str(item["until"])[:19].replace("T", " ")
    return "resumed" if item["state"] == "open" else "-"


def _why(item: Mapping[str, Any]) -> str:
    if item["held_by"] is not None:
        return visible(f"{item['held_by']}: {item['reason']}")
    if item["trial"] is not None:
        return visible(f"incident {item['trial']} is its trial")
    kinds = [failure["kind"] for failure in item["failures"]]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))


def _line(item: Mapping[str, Any]) -> Text:
    text = Text(visible(item["scope"]), "bold").append(": ").append_text(_state(item["state"]))
    return text.append(f" until {_until(item)}", "default") if item["state"] == "open" else text
