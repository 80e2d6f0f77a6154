"""Operators' expressions in CEL: typed against the published variables, checked at load, bounded when judged."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from penelope.adapters import cel
from penelope.adapters.yaml_model import suggestion
from penelope.domain.gate import Ruling
from penelope.rooms.gate.facts import ACTION_KEYS, MOST_ACTIONS, VARIABLES, Facts
from penelope.rooms.gate.ports import Objection

SLOWEST_SECONDS, SLOWEST_LARGE_SECONDS = 0.002, 0.02
"""CPU that an expression may take on the example with as many actions as a plan may have, and on the largest request."""

_MISSING_KEY = re.compile(r'Key not found in map : "(\w+)"')

EXAMPLE: Facts = {
    "incident.name": "HighErrorRate",
    "incident.severity": "critical",
    "incident.signal_count": 3,
    "incident.labels": {"alertname": "HighErrorRate"},
    "incident.age_seconds": 42.0,
    "service.name": "shop",
    "service.owner": "team-shop",
    "service.tier": 2,
    "service.dependencies": ["database"],
    "service.dependents": 1,
    "context.suspects": [],
    "context.unknown": [],
    "plan.playbook": "rollback-release",
    "plan.version": "1",
    "plan.tier": 2,
    "plan.canary": True,
    "plan.actions": [
        {
            "name": "Switch back",
            "adapter": "process",
            "operation": "switch_release",
            "target": "instance-a",
            "tier": 2,
            "timeout_seconds": 20.0,
            "params": {"release": "1.4.2"},
        }
    ],
    "decision.judgement": "intervene",
    "decision.risk": 0.3,
    "decision.confidence": 0.9,
    "decision.needs_approval": False,
    "record.successes": 5,
    "record.failures": 0,
    "record.recent_actions": 0,
    "record.recent_failures": 0,
    "now": datetime(2026, 11, 18, 10, 0, tzinfo=UTC),
}
"""A request to which nothing much can be said; cases of `penelope policy test` differ from it."""

LARGEST: Facts = {
    **EXAMPLE,
    "incident.labels": {f"label-{number}": "a" * 450 for number in range(64)},
    "plan.actions": [{**EXAMPLE["plan.actions"][0], "params": {"release": "1.4.2", "diff": "a" * 450}}]
    * MOST_ACTIONS,
}
"""About as much as a request may hold: policies are measured with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One checked expression."""

    name: str
    ruling: Ruling
    message: str
    source: str
    program: Any


class Expressions:
    """Fulfils Policies: all expressions over one conversion of the facts."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self._policies = tuple(policies)
        # One evaluation for all is twice as fast as one each; it says nothing of any where one of them fails.
        # A line's end closes an expression that ends in a comment.
        joined = ", ".join(f"({item.source}\n)" for item in policies)
        self._all = _environment().compile(f"[{joined}]") if policies else None

    def __len__(self) -> int:
        return len(self._policies)

    def objections(self, facts: Facts) -> Sequence[Objection]:
        if self._all is None:
            return ()
        activation = _environment().Activation(dict(facts))
        try:
            answer = self._all.eval(activation).plain_value()
        except Exception:  # noqa: BLE001 - whichever it is, each is then judged by itself
            answer = None
        if not isinstance(answer, list) or not all(type(item) is bool for item in answer):
            return [found for item in self._policies if (found := _judged(item, activation))]
        return [
            Objection(policy=item.name, ruling=item.ruling, message=item.message)
            for item, objects in zip(self._policies, answer, strict=True)
            if objects
        ]


def compiled(name: str, ruling: Ruling, message: str, source: str) -> Policy:
    """The policy. Raises ValueError that says why its expression is not admitted."""
    known = [item.name for item in VARIABLES]
    program = cel.compiled(_environment(), source, known, "docs/policy.md")
    policy = Policy(name=name, ruling=ruling, message=message, source=source, program=program)
    try:
        _tried(policy)
    except RuntimeError as error:
        raise ValueError(f"cannot be judged: {str(error).splitlines()[0]}") from None
    return policy


def _tried(policy: Policy) -> None:
    """Finds what only judging shows: a key that actions do not have, a bad pattern, an expression that costs too much."""
    activation = _environment().Activation(dict(EXAMPLE))
    answer = policy.program.eval(activation)
    message = str(answer.value()) if answer.type().name() == "ERROR" else ""
    if (found := _MISSING_KEY.search(message)) and not re.search(r"\b(labels|params)\b", policy.source):
        raise ValueError(f"an action has no '{found[1]}'{suggestion(found[1], ACTION_KEYS)}")
    if (why := cel.complaint(message)) is not None:
        raise ValueError(why)
    many = {**EXAMPLE, "plan.actions": list(EXAMPLE["plan.actions"]) * MOST_ACTIONS}
    for given, most in ((many, SLOWEST_SECONDS), (LARGEST, SLOWEST_LARGE_SECONDS)):
        activation = _environment().Activation(dict(given))
        if cel.cost(policy.program, activation) > most:
            size = f"a plan of {MOST_ACTIONS} actions" if given is many else "the largest request"
            raise ValueError(f"takes more than {most * 1000:g} ms on {size}")


def _judged(policy: Policy, activation: Any) -> Objection | None:
    try:
        answer = policy.program.eval(activation)
        value, kind = answer.value(), answer.type().name()
    except Exception as error:  # noqa: BLE001 - whatever the library raises, it has not said that all is well
        value, kind = type(error).__name__, "ERROR"
    if kind == "BOOL":
        if value is not True:
            return None
        return Objection(policy=policy.name, ruling=policy.ruling, message=policy.message)
    # The library's text may quote a value of the request: only its kind is told.
    broken = str(value).partition(":")[0] if kind == "ERROR" else f"it is {kind.lower()}"
    return Objection(
        policy=policy.name,
        ruling=Ruling.REFUSE,
        message="could not be judged, so it denies",
        broken=broken,
    )


@cache
def _environment() -> Any:
    return cel.environment({item.name: item.kind.value for item in VARIABLES})
