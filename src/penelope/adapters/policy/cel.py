"""Operators' expressions in CEL: typed against the published variables, checked at load, bounded when judged."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cel_expr_python import cel

from penelope.adapters.yaml_model import suggestion
from penelope.domain.gate import Ruling
from penelope.rooms.gate.facts import ACTION_KEYS, MOST_ACTIONS, VARIABLES, Facts
from penelope.rooms.gate.ports import Objection

LONGEST = 1000
"""Characters of an expression."""

MOST_PLUSES = 8
"""How often `+` may stand in an expression: each can double a text, so that it grows 256 times at most."""

SLOWEST_SECONDS, SLOWEST_LARGE_SECONDS = 0.002, 0.02
"""CPU that an expression may take on the example with as many actions as a plan may have, and on the largest request."""

_SUBSET = """
name: penelope
stdlib:
  exclude_macros: [map, filter]
  exclude_functions:
    - name: dyn
    - name: _+_
      overloads: [{id: add_string}, {id: add_list}, {id: add_bytes}]
"""
# Macros that build lists, and additions that build texts, would let an expression grow what it works on; it judges,
# and needs neither. The library itself stops at 10,000 iterations and at 32 levels of nesting.

_MISSING_KEY = re.compile(r'Key not found in map : "(\w+)"')
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
_LINE = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")

_TYPES: dict[str, Any] = {
    "string": cel.Type.STRING,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "bool": cel.Type.BOOL,
    "timestamp": cel.Type.TIMESTAMP,
    "list(string)": cel.Type.List(cel.Type.STRING),
    "map(string, string)": cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    "list(map(string, dyn))": cel.Type.List(cel.Type.Map(cel.Type.STRING, cel.Type.DYN)),
}

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
    for problem in _too_much(source):
        raise ValueError(problem)
    try:
        program = _environment().compile(source)
    except RuntimeError as error:
        raise ValueError(_reason(str(error))) from None
    if program.return_type().name() != "BOOL":
        raise ValueError(f"must be true or false, but it is of type {program.return_type().name().lower()}")
    policy = Policy(name=name, ruling=ruling, message=message, source=source, program=program)
    try:
        _tried(policy)
    except RuntimeError as error:
        raise ValueError(f"cannot be judged: {str(error).splitlines()[0]}") from None
    return policy


def _too_much(source: str) -> Iterator[str]:
    if len(source) > LONGEST:
        yield f"is longer than {LONGEST} characters; split it into several policies"
    if source.count("+") > MOST_PLUSES:
        yield f"has more than {MOST_PLUSES} plus signs"
    if not source.isprintable() and not all(item.isprintable() or item in "\n\t" for item in source):
        yield "holds a character that cannot be seen"


def _tried(policy: Policy) -> None:
    """Finds what only judging shows: a key that actions do not have, a bad pattern, an expression that costs too much."""
    activation = _environment().Activation(dict(EXAMPLE))
    answer = policy.program.eval(activation)
    message = str(answer.value()) if answer.type().name() == "ERROR" else ""
    if (found := _MISSING_KEY.search(message)) and not re.search(r"\b(labels|params)\b", policy.source):
        raise ValueError(f"an action has no '{found[1]}'{suggestion(found[1], ACTION_KEYS)}")
    if "regular expression" in message or "timezone" in message:
        raise ValueError(message.partition(": ")[2].lower() or message)
    many = {**EXAMPLE, "plan.actions": list(EXAMPLE["plan.actions"]) * MOST_ACTIONS}
    for given, most in ((many, SLOWEST_SECONDS), (LARGEST, SLOWEST_LARGE_SECONDS)):
        activation = _environment().Activation(dict(given))
        if min(_cost(policy, activation) for _ in range(3)) > most:
            size = f"a plan of {MOST_ACTIONS} actions" if given is many else "the largest request"
            raise ValueError(f"takes more than {most * 1000:g} ms on {size}")


def _cost(policy: Policy, activation: Any) -> float:
    began = time.thread_time()
    policy.program.eval(activation)
    return time.thread_time() - began


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


def _reason(text: str) -> str:
    """The library's first complaint, without its drawing, and what may have been meant."""
    found = _LINE.search(text)
    if found is None:
        return "is nested too deeply" if "recursion limit" in text else text.splitlines()[0]
    message = f"{found[3]} (line {found[1]}, column {found[2]} of the expression)"
    if (name := _UNDECLARED.search(text)) is not None:
        known = [item.name for item in VARIABLES]
        message += suggestion(name[1], known) or "; docs/policy.md lists the variables"
    return message


@cache
def _environment() -> Any:
    variables = {item.name: _TYPES[item.kind.value] for item in VARIABLES}
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(_SUBSET), variables=variables)
