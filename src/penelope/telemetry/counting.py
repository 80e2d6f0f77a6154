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

    def counts(self, entry: Entry) -> bool:
        """Whether the entry is one that it is about."""
        return self.only in {None, entry.status_after}


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
_AUTONOMY = (Rule("penelope_autonomy_changes_total", {"playbook": "playbook", "level": "status"}),)
_REQUESTED = Rule("penelope_approvals_total", {"status": "status"})
_APPROVAL = (
    _REQUESTED,
    Rule("penelope_approval_wait_seconds", {"status": "status"}, seconds="waited_seconds"),
)
_VOTED = Rule("penelope_approval_votes_total", {"channel": "channel", "status": "status"})


_REHEARSAL = (Rule("penelope_rehearsals_total", {"outcome": "outcome"}),)
_PREVIEW = (Rule("penelope_previews_total", {"outcome": "outcome"}),)
_MISSION = (Rule("penelope_missions_total", {"status": "status"}),)


_DEPLOYED = Rule("penelope_canary_deployments_total", {"service": "service", "status": "status"})
_DEPLOYMENT_ENDED = (
    _DEPLOYED,
    Rule(
        "penelope_canary_promotion_duration_seconds",
        {"service": "service", "outcome": "status"},
        seconds="seconds",
    ),
)
_DEPLOYMENT_TAKEN_BACK = Rule("penelope_canary_rollback_total", {"service": "service", "reason": "cause"})


def _notice(result: str) -> tuple[Rule]:
    return (Rule("penelope_notices_total", {"channel": "channel", "result": f"={result}"}),)


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
    "ApprovalRequested": (_REQUESTED,),
    "ApprovalVoted": (_VOTED,),
    "ApprovalGiven": (*_APPROVAL, _VOTED),
    "ApprovalRefused": (*_APPROVAL, _VOTED),
    "ApprovalExpired": _APPROVAL,
    "ApprovalCancelled": _APPROVAL,
    "ApprovalOverridden": _APPROVAL,
    "NoticeSent": _notice("sent"),
    "NoticeFailed": _notice("failed"),
    "NoticeLost": _notice("lost"),
    "GlassBroken": (Rule("penelope_glass_broken_total", {"service": "service"}),),
    "ActionDone": _action("done"),
    "ActionFailed": _action("failed"),
    "ActionUnknown": _action("unknown"),
    "ActionHalted": _action("halted"),
    "ActionCompensated": _action("compensated"),
    "CompensationFailed": _action("compensation_failed"),
    "ActionWaits": (Rule("penelope_action_waits_total", {"adapter": "adapter"}),),
    "ConditionJudged": (Rule("penelope_conditions_total", {"status": "status"}),),
    "PlanPreviewed": _PREVIEW,
    "PreviewFailed": _PREVIEW,
    "PlanRehearsed": _REHEARSAL,
    "RehearsalFailed": _REHEARSAL,
    "BenchmarkRun": (
        Rule(
            "penelope_benchmark_runs_total",
            {"service": "service", "suite": "suite", "outcome": "outcome"},
        ),
    ),
    "MissionCreated": _MISSION,
    "MissionClosed": _MISSION,
    "VerdictReached": (Rule("penelope_verdicts_total", {"passed": "passed"}),),
    "CanaryLooked": (Rule("penelope_rollout_looks_total", {"step": "step"}),),
    "RolloutBegun": (_DEPLOYED,),
    "RolloutPromoted": _DEPLOYMENT_ENDED,
    "RolloutRolledBack": (*_DEPLOYMENT_ENDED, _DEPLOYMENT_TAKEN_BACK),
    "RolloutCancelled": _DEPLOYMENT_ENDED,
    "RolloutConcluded": _DEPLOYMENT_ENDED,
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
        frozenset({"ActionDone", "ActionFailed", "ActionUnknown", "ActionHalted"}),
        "unit",
        {"adapter": "adapter"},
    ),
)


def items_of(details: Mapping[str, Json], name: str) -> list[Mapping[str, Json]]:
    """The objects in a list of the details; none where there is no such list, and without what is no object."""
    found = details.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list | tuple) else []


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
