"""What policies can ask about: the published variables, and their values for one request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from penelope.domain.action import Action
from penelope.domain.halt import Scope, ScopeKind
from penelope.domain.surroundings import is_context, suspects
from penelope.rooms.gate.rules import Request

Facts = Mapping[str, Any]
"""Values by the name of their variable, such as ``service.tier``."""


class Kind(StrEnum):
    """The type of a variable; the text is how CEL writes it."""

    TEXT = "string"
    WHOLE = "int"
    NUMBER = "double"
    FLAG = "bool"
    MOMENT = "timestamp"
    TEXTS = "list(string)"
    LABELS = "map(string, string)"
    ACTIONS = "list(map(string, dyn))"


@dataclass(frozen=True, slots=True)
class Variable:
    """One thing that a policy may ask about."""

    name: str
    kind: Kind
    meaning: str


VARIABLES: tuple[Variable, ...] = (
    Variable("incident.name", Kind.TEXT, "What the signal was called, such as `HighErrorRate`."),
    Variable("incident.severity", Kind.TEXT, "`critical`, `error`, `warning` or `info`."),
    Variable("incident.signal_count", Kind.WHOLE, "How many signals came in about it."),
    Variable("incident.labels", Kind.LABELS, "Its labels; ask `'team' in incident.labels` first."),
    Variable("incident.age_seconds", Kind.NUMBER, "How long it has been open."),
    Variable("service.name", Kind.TEXT, "The service that it is about."),
    Variable("service.owner", Kind.TEXT, "Who owns the service."),
    Variable("service.tier", Kind.WHOLE, "From 1, the most critical, to 4."),
    Variable("service.dependencies", Kind.TEXTS, "The services that it depends on directly."),
    Variable(
        "service.dependents",
        Kind.WHOLE,
        "How many services lean on it, by the catalogue or the graph, as far as is known.",
    ),
    Variable("context.suspects", Kind.TEXTS, "What it rests on, by the graph, and may be the cause."),
    Variable(
        "context.unknown",
        Kind.TEXTS,
        "What was asked of graph, documents and measures and could not be seen, such as `context.dependents`.",
    ),
    Variable("plan.playbook", Kind.TEXT, "The playbook that the plan was made from."),
    Variable("plan.version", Kind.TEXT, "The version of that playbook."),
    Variable("plan.tier", Kind.WHOLE, "The tier of its hardest action, 1 local to 4 irreversible."),
    Variable("plan.canary", Kind.FLAG, "Whether traffic moves to the change step by step."),
    Variable(
        "plan.actions",
        Kind.ACTIONS,
        "Its actions, each with `name`, `adapter`, `operation`, `target`, `tier`, `timeout_seconds` and `params`; behind one "
        "that names its own rollback, that one too.",
    ),
    Variable("decision.judgement", Kind.TEXT, "`intervene` or `escalate`."),
    Variable("decision.risk", Kind.NUMBER, "0 to 1."),
    Variable("decision.confidence", Kind.NUMBER, "0 to 1."),
    Variable("decision.needs_approval", Kind.FLAG, "Whether a person must agree whatever policies say."),
    Variable("record.successes", Kind.WHOLE, "How often this playbook healed this service."),
    Variable("record.failures", Kind.WHOLE, "How often it did not."),
    Variable("record.recent_actions", Kind.WHOLE, "Actions on the service lately, by any playbook."),
    Variable("record.recent_failures", Kind.WHOLE, "Fixes of the service that failed lately."),
    Variable("now", Kind.MOMENT, "The moment of the decision, in UTC."),
)
"""The schema of docs/policy.md. A name, once published, stays; new ones may be added."""

MOST_ACTIONS, MOST_CHARACTERS = 50, 64 * 1024
"""Actions of a plan, and characters of all facts together, that policies are measured with when they are read. Neither
language can be interrupted, so that what judging more would cost nobody knows.
"""

ACTION_KEYS = ("name", "adapter", "operation", "target", "tier", "timeout_seconds", "params")
"""What each item of ``plan.actions`` has."""


def facts(request: Request) -> dict[str, Any]:
    """The value of every variable of VARIABLES. Raises ValueError where the brakes could not be read."""
    incident, service, plan = request.incident, request.service, request.plan
    decision, record = request.decision, request.record
    return {
        "incident.name": incident.name,
        "incident.severity": incident.severity.value,
        "incident.signal_count": incident.signal_count,
        "incident.labels": dict(incident.labels),
        "incident.age_seconds": (request.now - incident.opened_at).total_seconds(),
        "service.name": service.name,
        "service.owner": service.owner,
        "service.tier": service.tier,
        "service.dependencies": list(service.dependencies),
        "service.dependents": request.dependents,
        "context.suspects": list(suspects(request.dossier.evidence)),
        "context.unknown": [
            item.concept for item in request.dossier.evidence if is_context(item) and not item.known
        ],
        "plan.playbook": plan.playbook,
        "plan.version": plan.playbook_version,
        "plan.tier": int(plan.tier),
        "plan.canary": plan.rollout is not None,
        "plan.actions": [_action(item) for item in plan.every_action],
        "decision.judgement": decision.judgement.value,
        "decision.risk": decision.risk.value,
        "decision.confidence": decision.confidence.value,
        "decision.needs_approval": decision.needs_approval,
        "record.successes": record.successes,
        "record.failures": record.failures,
        "record.recent_actions": _recent_actions(request),
        "record.recent_failures": _recent_failures(request),
        "now": request.now,
    }


def _recent_actions(request: Request) -> int:
    if request.usage is None:
        raise ValueError("nobody has looked at what was done lately")
    return request.usage.actions[ScopeKind.SERVICE]


def _recent_failures(request: Request) -> int:
    """Those that the service's breaker counts."""
    scope = Scope(kind=ScopeKind.SERVICE, name=request.plan.service)
    breaker = (request.breakers or {}).get(scope)
    if breaker is None:
        raise ValueError("the service's breaker cannot be read")
    return len(breaker.failures)


def too_large(given: Facts) -> bool:
    """Whether the facts are more than policies were measured with."""
    if len(given["plan.actions"]) > MOST_ACTIONS:
        return True
    return len(json.dumps(given, default=str, ensure_ascii=False)) > MOST_CHARACTERS


def document(given: Facts) -> dict[str, Any]:
    """The facts as the nested JSON document that Rego reads: ``input.service.tier``; moments as epoch seconds."""
    nested: dict[str, Any] = {}
    for name, value in given.items():
        *parents, last = name.split(".")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = int(value.timestamp()) if hasattr(value, "timestamp") else value
    return nested


def redacted(given: Facts) -> dict[str, Any]:
    """What of the facts may be logged: figures and flags; of all else only how long it is."""
    return {
        name: value if isinstance(value, bool | int | float) else f"<{type(value).__name__} {_length(value)}>"
        for name, value in given.items()
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "name": action.name,
        "adapter": action.adapter,
        "operation": action.operation,
        "target": action.target.name,
        "tier": int(action.tier),
        "timeout_seconds": action.timeout_seconds,
        "params": dict(action.params),
    }


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | list | dict) else 1
