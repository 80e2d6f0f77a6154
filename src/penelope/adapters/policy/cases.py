"""Runs the cases that operators write for their policies."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from penelope.adapters.policy import context_cases
from penelope.adapters.policy.cel import EXAMPLE, Expressions
from penelope.adapters.policy.load import read_expressions
from penelope.adapters.policy.model import PolicyCase, PolicyTest
from penelope.adapters.policy.rego import read_rego
from penelope.adapters.yaml_model import suggestion, validate
from penelope.adapters.yaml_source import Document, Problem, read
from penelope.domain.gate import Ruling
from penelope.errors import InvalidPolicy
from penelope.rooms.gate.facts import VARIABLES, Facts, Kind
from penelope.rooms.gate.ports import Objection, Policies

_KINDS = {item.name: item.kind for item in VARIABLES}


def failures(path: Path) -> tuple[int, list[Problem]]:
    """How many cases a file has, and those that did not come out as expected.

    Raises InvalidPolicy where the file or the policies under test cannot be read.
    """
    document = read(path)
    if isinstance(document.data, dict) and document.data.get("kind") == context_cases.KIND:
        return context_cases.failures(path, document)
    content, problems = validate(document, PolicyTest)
    if content is None:
        raise InvalidPolicy("\n".join(map(str, problems)))
    policies = _under_test([path.parent / name for name in content.policies])
    found: list[Problem] = []
    for index, case in enumerate(content.cases):
        where = ("cases", index)
        given = {**EXAMPLE, **_input(document, index, case)}
        objections = [item for each in policies for item in each.objections(given)]
        found += (document.problem(where, f"{case.name}: {text}") for text in _differences(case, objections))
    return len(content.cases), found


def _under_test(paths: list[Path]) -> tuple[Policies, Policies]:
    rego, problems = read_rego([path for path in paths if path.suffix == ".rego"])
    expressions, more = read_expressions([path for path in paths if path.suffix != ".rego"])
    if rego is None or more:
        raise InvalidPolicy("\n".join(map(str, [*problems, *more])))
    return Expressions(expressions), rego


def _input(document: Document, index: int, case: PolicyCase) -> Facts:
    """The variables that the case sets, in their types."""
    values: dict[str, Any] = {}
    for name, value in case.input.items():
        try:
            values[name] = _typed(name, value)
        except ValueError as error:
            raise InvalidPolicy(str(document.problem(("cases", index, "input", name), str(error)))) from None
    return values


def _typed(name: str, value: Any) -> Any:
    kind = _KINDS.get(name)
    if kind is None:
        raise ValueError(f"there is no variable '{name}'{suggestion(name, _KINDS)}")
    if kind is Kind.MOMENT:
        moment = datetime.fromisoformat(str(value))
        if moment.tzinfo is None:
            raise ValueError("a moment needs a time zone, such as 2026-11-18T23:30:00+01:00")
        return moment
    if kind is Kind.NUMBER and type(value) in {int, float}:
        return float(value)
    expected: Mapping[Kind, type] = {
        Kind.TEXT: str,
        Kind.WHOLE: int,
        Kind.FLAG: bool,
        Kind.TEXTS: list,
        Kind.LABELS: dict,
        Kind.ACTIONS: list,
    }
    if kind not in expected or type(value) is not expected[kind]:
        raise ValueError(f"must be of type {kind.value}")
    return value


def _differences(case: PolicyCase, found: list[Objection]) -> Iterator[str]:
    rulings = {item.ruling for item in found}
    verdict = "deny" if Ruling.REFUSE in rulings else "ask" if rulings else "pass"
    if verdict != case.expect:
        told = "; ".join(f"{item.policy}: {item.message}" for item in found) or "nothing objected"
        yield f"expected {case.expect}, but the verdict is {verdict} ({told})"
    for name in set(case.by) - {item.policy for item in found}:
        yield f"expected {name} to object, but it did not"
