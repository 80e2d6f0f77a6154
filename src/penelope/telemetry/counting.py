"""What the ledger's entries count for; telemetry knows the story by the names of its events only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from penelope.domain.work import Entry
from penelope.kit.canonical import Json

Reading: TypeAlias = str
"""Where a label's value stands: ``=text`` is the text, ``status`` the entry's new status, else a detail's key."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one event adds to one metric. With `each`, every item of that detail counts; with `seconds`, that
    detail is observed instead of counted; with `only`, nothing counts where the new status is another.
    """

    metric: str
    labels: Mapping[str, Reading]
    each: str | None = None
    seconds: str | None = None
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """The time from an event to the first that ends it, of the same unit or the same incident.

    What began in another process is not measured.
    """

    metric: str
    begins: str
    ends: frozenset[str]
    by: Literal["unit", "incident"]
    labels: Mapping[str, Reading]


def _action(result: str) -> tuple[Rule]:
    labels = {"adapter": "adapter", "operation": "operation", "result": f"={result}"}
    return (Rule("penelope_actions_total", labels),)


_GATE = (Rule("penelope_gate_verdicts_total", {"rule": "rule", "ruling": "ruling"}, each="verdicts"),)
_AUTONOMY = (
    Rule(
        "penelope_autonomy_changes_total", {"playbook": "playbook", "service": "service", "level": "status"}
    ),
)
_APPROVAL = (Rule("penelope_approvals_total", {"status": "status"}),)

RULES: Mapping[str, tuple[Rule, ...]] = {
    "IncidentOpened": (Rule("penelope_incidents_opened_total", {"service": "service"}),),
    "DecisionMade": (
        Rule("penelope_decisions_total", {"judgement": "judgement"}),
        Rule("penelope_articles_total", {"article": "article", "kept": "kept"}, each="articles"),
        Rule("penelope_precedents_total", {"agrees": "agrees"}, each="leaned_on"),
    ),
    "AutonomyRaised": _AUTONOMY,
    "AutonomyLowered": _AUTONOMY,
    "AutonomySet": _AUTONOMY,
    "HumanActionReported": (Rule("penelope_human_actions_total", {"comparison": "status"}),),
    "GatePassed": _GATE,
    "GateRefused": _GATE,
    "GateWaited": _GATE,
    "GateAsked": _GATE,
    "HaltOpened": (Rule("penelope_halts_opened_total", {"kind": "scope", "by": "by"}),),
    "ApprovalRequested": _APPROVAL,
    "ApprovalGiven": _APPROVAL,
    "ApprovalRefused": _APPROVAL,
    "ApprovalExpired": _APPROVAL,
    "ApprovalCancelled": _APPROVAL,
    "ActionDone": _action("done"),
    "ActionFailed": _action("failed"),
    "ActionUnknown": _action("unknown"),
    "ActionHalted": _action("halted"),
    "ActionCompensated": _action("compensated"),
    "CompensationFailed": _action("compensation_failed"),
    "VerdictReached": (Rule("penelope_verdicts_total", {"passed": "passed"}),),
    "CanaryLooked": (Rule("penelope_rollout_looks_total", {"step": "step"}),),
    "OutcomeRecorded": (
        Rule("penelope_incidents_total", {"service": "service", "outcome": "status"}),
        Rule("penelope_heal_seconds", {}, seconds="seconds", only="healed"),
    ),
}

SPANS = (
    Span("penelope_decide_seconds", "IncidentOpened", frozenset({"DecisionMade"}), "incident", {}),
    Span(
        "penelope_action_seconds",
        "ActionStarted",
        frozenset({"ActionDone", "ActionFailed", "ActionUnknown"}),
        "unit",
        {"adapter": "adapter"},
    ),
)


def labels_of(readings: Mapping[str, Reading], entry: Entry, details: Mapping[str, Json]) -> dict[str, str]:
    known = {**details, "status": entry.status_after}
    return {
        label: reading[1:] if reading.startswith("=") else _as_text(known.get(reading))
        for label, reading in readings.items()
    }


def _as_text(value: Json) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "unknown" if value is None else str(value)
