"""The shipped policies, and every function that policies may call, on OPA's own evaluator beside the embedded one."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import regorus

from penelope.adapters.policy.builtins import ADMITTED
from penelope.adapters.policy.cel import EXAMPLE
from penelope.adapters.policy.load import files_in
from penelope.rooms.gate.facts import document

POLICIES = Path(__file__).resolve().parents[2] / "policies"
PACKAGES = ("penelope.gate.change_control", "penelope.gate.blast_radius")

pytestmark = pytest.mark.skipif(
    "REAL_OPA" not in os.environ, reason="REAL_OPA names no folder with OPA in it"
)


@pytest.fixture
def opa() -> Iterator[Any]:
    sys.path.append(os.environ["REAL_OPA"])
    try:
        from opa_bindings import OpaEngine  # noqa: PLC0415 - it is there only where REAL_OPA says so

        with OpaEngine() as engine:
            yield engine
    finally:
        sys.path.remove(os.environ["REAL_OPA"])


@pytest.mark.parametrize("name", sorted(ADMITTED))
def test_a_function_answers_alike(name: str, opa: Any) -> None:
    text = f"package example\nanswer := {ADMITTED[name]}\n"
    embedded = regorus.Engine()
    embedded.add_policy("example.rego", text)
    opa.add_policy("example.rego", text)
    ours = json.loads(embedded.eval_rule_as_json("data.example.answer"))
    assert ours == opa.eval_document("example.answer", {})


CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"service.tier": 1, "decision.confidence": 0.4},
    {"plan.tier": 4},
    {"record.recent_failures": 3},
    {
        "plan.actions": [{**EXAMPLE["plan.actions"][0], "tier": 3}] * 13,
        "service.tier": 1,
        "plan.canary": False,
    },
)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("package", PACKAGES)
def test_a_policy_answers_alike(package: str, change: dict[str, Any], opa: Any) -> None:
    embedded = regorus.Engine()
    for file in files_in([POLICIES], "*.rego"):
        embedded.add_policy(file.name, file.read_text())
        opa.add_policy(file.name, file.read_text())
    given = document({**EXAMPLE, **change})
    embedded.set_input_json(json.dumps(given))
    theirs = opa.eval_document(package, given)
    assert theirs["allow"] is json.loads(embedded.eval_rule_as_json(f"data.{package}.allow"))
    reasons = json.loads(embedded.eval_rule_as_json(f"data.{package}.reasons"))
    assert sorted(theirs["reasons"]) == sorted(reasons)
