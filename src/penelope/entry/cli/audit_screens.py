"""What the commands of the decision audit show on the terminal."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from penelope.entry.cli import wisdom_screens
from penelope.entry.cli.screens import table
from penelope.entry.cli.words import percent, visible

_JUDGEMENTS = {"observe": "yellow", "intervene": "green", "escalate": "bold magenta"}


def _judgement(name: str) -> Text:
    return Text(visible(name), _JUDGEMENTS.get(name, ""))


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M}"


def decisions(page: Mapping[str, Any]) -> RenderableType:
    rows = [
        (
            _time(item["decided_at"])[5:],
            item["incident"],
            _outcome(item),
            f"{item['risk']:.2f}",
            Text(visible(item["playbook"] or "none")).append(f"\n{visible(item['service'])}", "dim"),
        )
        for item in page["decisions"]
    ]
    if not rows:
        return Text("There are no such decisions.")
    columns = ("decided", "incident", "judgement", "risk", "playbook, service")
    listed = table(*columns, rows=rows, keep=columns[:4])
    if page["next"] is None:
        return listed
    return Group(listed, Text("There are more: see --limit and --cursor.", "dim"))


def _outcome(item: Mapping[str, Any]) -> Text:
    text = _judgement(item["judgement"])
    return text.append("\noverridden", "red") if item["overridden_by"] else text


def statistics(answer: Mapping[str, Any]) -> RenderableType:
    total = answer["decisions"]
    about = f" about {visible(answer['service'])}" if answer["service"] else ""
    stretch = f"{_time(answer['since'])} to {_time(answer['until'])} UTC"
    if not total:
        return Text(f"There were no decisions{about} from {stretch}.")
    counts = [
        (_judgement(name), str(number), percent(number / total))
        for name, number in answer["by_judgement"].items()
    ]
    risks = [(name.removeprefix("p") + " %", f"{value:.2f}") for name, value in answer["risk"].items()]
    title = Text(f"{total} decisions{about}", "bold")
    return Group(
        title.append(f", {stretch}\n", "default"),
        table("judgement", "number", "share", rows=counts),
        Text(),
        table("of decisions", "risk at most", rows=risks),
        Text(),
        Text(f"rest on precedents: {percent(answer['precedent_rate'])}"),
        Text(f"were overridden:    {percent(answer['override_rate'])}"),
    )


def precedents(answer: Mapping[str, Any]) -> RenderableType:
    decision = answer["decision"]
    head = Text.assemble(
        f"{_time(decision['decided_at'])} UTC: ",
        _judgement(decision["judgement"]),
        " on ",
        decision["incident"],
    )
    head.append(f"\n{visible(decision['rationale'])}\n", "dim")
    parts: list[RenderableType] = [head]
    if answer["leaned_on"]:
        parts.append(wisdom_screens.cases_leaned_on(answer["leaned_on"]))
    elif not answer["precedents"]:
        parts.append(Text("It rested on no precedent."))
    for item in answer["precedents"]:
        uses = item["successes"] + item["failures"]
        name = f"{visible(item['playbook'])} on {visible(item['service'])}"
        parts.append(Text(f"{name}: healed {item['successes']} of {uses} times\n"))
        cases = [
            (
                _time(case["ended_at"]),
                case["incident"],
                Text("healed", "green") if case["verified"] else Text("failed", "red"),
            )
            for case in item["cases"]
        ]
        parts.append(table("ended", "incident", "came to", rows=cases, keep=("ended", "incident")))
    return Group(*parts)
