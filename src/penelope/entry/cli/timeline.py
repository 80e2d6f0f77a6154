"""One entry of the ledger as a line (or a few) for the terminal."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from penelope.entry.cli import wisdom_screens
from penelope.entry.cli.words import seconds, visible

Entry = Mapping[str, Any]
"""An entry as the interface gives it, in JSON values."""

_LABEL_WIDTH = 11
_INDENT = len("07:00:00  ") + _LABEL_WIDTH
_NAME_WIDTH = 14
_TIE = "\ue000"
"""Stands for a space at which no line is broken, until the lines are made."""
_RULER = Console(width=80)  # rich wants one to measure text with


def line(entry: Entry, width: int = 80) -> Text:
    """Time (UTC), what it is about, and what happened, at most so many columns wide; text from outside is made
    harmless.
    """
    label, style, say = _WORDS.get(entry["event"], (entry["kind"], "", _anything))
    moment = datetime.fromisoformat(entry["recorded_at"]).astimezone(UTC)
    text = Text.assemble(
        (f"{moment:%H:%M:%S}  ", "dim"), (f"{visible(label)[: _LABEL_WIDTH - 1]:<{_LABEL_WIDTH}}", style)
    )
    lines = [part for paragraph in say(entry).split("\n") for part in _wrapped(paragraph, width - _INDENT)]
    return text.append_text(Text("\n" + " " * _INDENT).join(lines))


def _wrapped(paragraph: Text, width: int) -> Iterator[Text]:
    """The lines of a paragraph; where the first is indented the others are indented further."""
    hanging = "    " if paragraph.plain.startswith(" ") else ""
    for number, part in enumerate(paragraph.wrap(_RULER, max(20, width - len(hanging)))):
        part.rstrip()
        part.plain = part.plain.replace(_TIE, " ")
        yield Text(hanging).append_text(part) if number else part


# --- what each event says ---------------------------------------------------------------------------------


def _anything(entry: Entry) -> Text:
    return Text(visible(f"{entry['event']}: {entry['reason']}"))


def _reason(style: str, mark: str = "") -> Callable[[Entry], Text]:
    return lambda entry: Text(f"{mark}{visible(entry['reason'])}", style)


def _decision(entry: Entry) -> Text:
    details = entry["details"]
    text = Text(visible(details.get("judgement", entry["status_after"])), "bold")
    if details.get("playbook"):
        text.append(f" with {visible(details['playbook'])}", "bold")
    for name in ("risk", "confidence"):
        score = details.get(name) or {}
        if "value" in score:
            text.append(f"\n{name} {score['value']:.2f}")
            text.append_text(_contributions(score.get("contributions", ())))
    if leaned_on := details.get("leaned_on"):
        text.append("\nlike past incidents").append_text(wisdom_screens.leaned_on(leaned_on))
    return text


def _contributions(items: Iterable[Mapping[str, Any]]) -> Text:
    text = Text(style="dim")
    for item in items:
        name = visible(item["name"]).replace("_", " ")
        text.append(f"\n {item['value']:+.2f} {name:<{_NAME_WIDTH}} {visible(item['reason'])}")
    return text


def _plan(entry: Entry) -> Text:
    details = entry["details"]
    text = Text(visible(details.get("playbook", "")), "bold")
    text.append(f", tier {details.get('tier', '?')}", "default")
    for number, step in enumerate(details.get("steps", ()), start=1):
        text.append(f"\n {number}. {visible(step)}", "dim")
    return text


_RULINGS = {"pass": ("✓", "green"), "refuse": ("✗", "red"), "wait": ("…", "yellow"), "ask": ("?", "yellow")}


def _gate(entry: Entry) -> Text:
    text = Text()
    remarks = Text(style="dim")
    for verdict in entry["details"].get("verdicts", ()):
        mark, style = _RULINGS.get(verdict["ruling"], ("·", ""))
        text.append(f"{mark}{_TIE}{visible(verdict['rule'])}  ", style)
        if verdict["ruling"] != "pass":
            remarks.append(f"\n {visible(verdict['rule'])}: {visible(verdict['reason'])}")
    return text.append_text(remarks)


def _action(mark: str, style: str) -> Callable[[Entry], Text]:
    def say(entry: Entry) -> Text:
        details = entry["details"]
        name = details.get("action", entry["unit"])
        text = Text(f"{mark} {visible(name)}", style)
        if entry["event"] == "ActionPrepared":
            where = f"{details.get('adapter')}.{details.get('operation')} on {details.get('target')}"
            return text.append(visible(f" ({where}, tier {details.get('tier')})"), "dim")
        if entry["event"] == "ActionStarted":
            return text.append(f", attempt {details.get('attempt', 1)}", "dim")
        repeated = ", which was done already" if (details.get("effect") or {}).get("repeated") else ""
        # Errors of adapters begin with the action's name.
        reason = entry["reason"].removeprefix(f"{name}: ")
        return text.append(f": {visible(reason)}{repeated}", "default")

    return say


def _verdict(entry: Entry) -> Text:
    details = entry["details"]
    mark, style = ("✓ ", "green") if details.get("passed") else ("✗ ", "red")
    text = Text(f"{mark}{visible(details.get('of', ''))}: {visible(entry['reason'])}", style)
    waited = seconds(details.get("waited_seconds", 0))
    text.append(f", score {details.get('score', 0):.2f} after {waited}", "dim")
    unwatched = details.get("unwatched_seconds", 0)
    return text.append(f" (nobody looked for {seconds(unwatched)})", "dim") if unwatched >= 1 else text


def _condition(entry: Entry) -> Text:
    name = visible(entry["details"].get("of", ""))
    said = {"holds": ("holds", "green"), "does_not_hold": ("does not hold", "yellow")}
    word, style = said.get(entry["status_after"], ("cannot be seen", "red"))
    return Text.assemble(f"{name}: ", (word, style))


_OUTCOMES = {"passed": ("✓", "green"), "failed": ("✗", "red"), "regressed": ("✗", "red")}


def _rehearsal(entry: Entry) -> Text:
    details = entry["details"]
    outcome = str(details.get("outcome", entry["status_after"]))
    mark, style = _OUTCOMES.get(outcome, ("?", "yellow"))
    text = Text(f"{mark} {visible(outcome).replace('_', ' ')} on the twin: {visible(entry['reason'])}", style)
    text.append(f" after {seconds(details.get('seconds', 0))}", "dim")
    missed = [check["name"] for check in details.get("checks", ()) if not check.get("held")]
    return text.append(f"\n not as before: {visible(', '.join(missed))}" if missed else "", "dim")


_PREVIEWS = {"complete": ("✓", "green"), "refused": ("✗", "red")}


def _preview(entry: Entry) -> Text:
    details = entry["details"]
    outcome = str(details.get("outcome", entry["status_after"]))
    mark, style = _PREVIEWS.get(outcome, ("?", "yellow"))
    text = Text(f"{mark} {visible(entry['reason'])}", style)
    for item in details.get("actions", ()):
        said = item.get("summary") or f"not previewed: {item.get('missing', '')}"
        text.append(f"\n {visible(item.get('name', ''))}: {visible(said)}", "dim")
    return text


def _benchmark(entry: Entry) -> Text:
    details = entry["details"]
    mark, style = _OUTCOMES.get(str(details.get("outcome", entry["status_after"])), ("?", "yellow"))
    text = Text(f"{mark} {visible(details.get('suite', ''))}: {visible(entry['reason'])}", style)
    return text.append(f" after {seconds(details.get('seconds', 0))}", "dim")


_LOOKS = {"promote": "green", "hold": "yellow", "rollback": "red"}


def _look(entry: Entry) -> Text:
    details = entry["details"]
    step = visible(details.get("step", ""))
    text = Text(f"{details.get('weight', '?')} % ")
    text.append(step, _LOOKS.get(step, ""))
    compared = _compared((details.get("look") or {}).get("assessment") or {})
    if compared and step != "rollback":
        return text.append(compared, "dim")
    return text.append("".join(f"\n {visible(reason)}" for reason in entry["reason"].split("; ")), "dim")


def _compared(assessment: Mapping[str, Any]) -> str:
    """The errors of both arms, and how long a verdict may yet take; empty where nothing was seen."""
    errors = next((each for each in assessment.get("findings", ()) if each["metric"] == "errors"), None)
    if errors is None or errors["canary"] is None:
        return ""
    control = "" if errors["control"] is None else f", control {errors['control']:.1%}"
    left = assessment.get("expected_seconds")
    soon = "" if left is None else f", about {left:.0f} s left"
    return f": errors {errors['canary']:.1%}{control}{soon}"


def _promoted(entry: Entry) -> Text:
    lasted = entry["details"].get("seconds")
    return Text("✓ has all traffic" + ("" if lasted is None else f" after {seconds(lasted)}"), "green")


def _outcome(entry: Entry) -> Text:
    details = entry["details"]
    text = Text(visible(entry["status_after"]), "bold")
    acted = "" if details.get("acted", True) else ", nothing was changed"
    return text.append(f" after {seconds(details.get('seconds', 0))}{acted}", "default")


_SIGNAL, _APPROVAL, _ACTION, _ROLLOUT, _UNDO = "signal", "approval", "action", "rollout", "undo"

_WORDS: Mapping[str, tuple[str, str, Callable[[Entry], Text]]] = {
    "IncidentOpened": (_SIGNAL, "red", _reason("")),
    "SignalsCorrelated": (_SIGNAL, "red", _reason("dim")),
    "ConditionEnded": (_SIGNAL, "green", _reason("")),
    "IncidentLapsed": (_SIGNAL, "red", _reason("dim")),
    "DecisionMade": ("decision", "cyan", _decision),
    "PlanMade": ("plan", "cyan", _plan),
    "GatePassed": ("gate", "cyan", _gate),
    "GateRefused": ("gate", "red", _gate),
    "GateWaited": ("gate", "yellow", _gate),
    "GateAsked": ("gate", "yellow", _gate),
    "ObservationBegun": ("observe", "yellow", _reason("")),
    "ApprovalAwaited": ("wait", "yellow", _reason("dim")),
    "InterventionBegun": ("intervene", "cyan", _reason("dim")),
    "EscalationDecided": ("escalate", "magenta", _reason("")),
    "ApprovalRequested": (_APPROVAL, "yellow", _reason("", "requested: ")),
    "ApprovalGiven": (_APPROVAL, "green", _reason("green", "✓ ")),
    "ApprovalRefused": (_APPROVAL, "red", _reason("red", "✗ ")),
    "ApprovalExpired": (_APPROVAL, "red", _reason("red", "✗ ")),
    "ApprovalCancelled": (_APPROVAL, "dim", _reason("dim", "withdrawn: ")),
    "ActionPrepared": (_ACTION, "blue", _action("·", "dim")),
    "ActionStarted": (_ACTION, "blue", _action("▶", "blue")),
    "ActionDone": (_ACTION, "blue", _action("✓", "green")),
    "ActionFailed": (_ACTION, "red", _action("✗", "red")),
    "ActionUnknown": (_ACTION, "red", _action("?", "bold red")),
    "ActionHalted": (_ACTION, "red", _action("■", "red")),
    "ContractMade": ("contract", "cyan", _reason("dim")),
    "ActualsGathered": ("verdict", "cyan", _reason("dim")),
    "VerdictReached": ("verdict", "cyan", _verdict),
    "ActionWaits": (_ACTION, "yellow", _action("…", "yellow")),
    "ConditionJudged": ("condition", "cyan", _condition),
    "PlanPreviewed": ("preview", "cyan", _preview),
    "PreviewFailed": ("preview", "red", _preview),
    "PlanRehearsed": ("rehearsal", "cyan", _rehearsal),
    "RehearsalFailed": ("rehearsal", "red", _rehearsal),
    "BenchmarkRun": ("benchmark", "cyan", _benchmark),
    "RolloutBegun": (_ROLLOUT, "blue", _reason("")),
    "TrafficHandedOver": (_ROLLOUT, "blue", _reason("dim")),
    "TrafficDrifted": ("traffic", "yellow", _reason("yellow", "! ")),
    "TrafficNotShifted": ("traffic", "red", _reason("red", "✗ ")),
    "TrafficShifted": ("traffic", "blue", _reason("bold")),
    "CanaryLooked": ("canary", "blue", _look),
    "RolloutPromoted": (_ROLLOUT, "green", _promoted),
    "RolloutRolledBack": (_ROLLOUT, "red", _reason("red", "✗ ")),
    "RolloutCancelRequested": (_ROLLOUT, "yellow", _reason("yellow")),
    "RolloutCancelled": (_ROLLOUT, "yellow", _reason("yellow")),
    "RolloutHalted": (_ROLLOUT, "red", _reason("red", "■ ")),
    "RolloutAborted": (_ROLLOUT, "red", _reason("red")),
    "RolloutPaused": (_ROLLOUT, "yellow", _reason("", "paused: ")),
    "RolloutResumed": (_ROLLOUT, "blue", _reason("", "resumed: ")),
    "RolloutStepped": (_ROLLOUT, "blue", _reason("", "sent on: ")),
    "RolloutPromotedByHand": (_ROLLOUT, "blue", _reason("", "promoted by hand: ")),
    "RolloutStuck": (_ROLLOUT, "bold red", _reason("bold red", "✗ ")),
    "VerificationBegun": ("verify", "cyan", _reason("dim")),
    "CompensationBegun": (_UNDO, "yellow", _reason("yellow")),
    "ActionCompensated": (_UNDO, "yellow", _action("✓", "yellow")),
    "CompensationFailed": (_UNDO, "bold red", _action("✗", "bold red")),
    "OutcomeRecorded": ("outcome", "bold", _outcome),
    "IncidentHealed": ("healed", "bold green", _reason("green")),
    "IncidentResolved": ("resolved", "bold green", _reason("green")),
    "IncidentEscalated": ("escalated", "bold magenta", _reason("magenta")),
}
