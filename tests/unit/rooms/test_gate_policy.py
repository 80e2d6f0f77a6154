"""The policy rule refuses or asks as its policies say, and tells the shadow log what could not be judged."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penelope.domain.gate import Ruling
from penelope.domain.log import LogRecord
from penelope.domain.plan import Plan
from penelope.rooms.gate.facts import (
    MOST_ACTIONS,
    MOST_CHARACTERS,
    VARIABLES,
    Facts,
    document,
    facts,
    redacted,
)
from penelope.rooms.gate.policy import PolicyRule
from penelope.rooms.gate.ports import Objection
from penelope.telemetry.shadow import ErrorsToBuffer
from penelope.testing.gate import passage, planned

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
PLAN = planned({"params": {"password": "hunter2"}})
ASK = Objection(policy="polite", ruling=Ruling.ASK, message="may I?")
DENY = Objection(policy="stern", ruling=Ruling.REFUSE, message="no")
BROKEN = Objection(policy="odd", ruling=Ruling.REFUSE, message="it denies", broken="NOT_FOUND")


class Scripted:
    def __init__(self, *found: Objection) -> None:
        self.found = found

    def __len__(self) -> int:
        return 3

    def objections(self, facts: Facts) -> Sequence[Objection]:
        assert list(facts) == [item.name for item in VARIABLES]
        return self.found


class Unasked(Scripted):
    def objections(self, facts: Facts) -> Sequence[Objection]:
        raise AssertionError(len(facts))


def rule(*found: Objection) -> PolicyRule:
    return PolicyRule(name="policy", policies=Scripted(*found))


@pytest.mark.parametrize(
    ("found", "ruling"),
    [((), Ruling.PASS), ((ASK,), Ruling.ASK), ((DENY,), Ruling.REFUSE), ((ASK, DENY), Ruling.REFUSE)],
)
def test_the_strictest_objection_counts(found: tuple[Objection, ...], ruling: Ruling) -> None:
    verdict = rule(*found).check(passage(PLAN, NOW))
    assert verdict.ruling is ruling
    assert ("stern: no" in verdict.reason) == (DENY in found)


def test_what_could_not_be_judged_goes_to_the_shadow_log_without_its_texts() -> None:
    kept: list[LogRecord] = []
    handler = ErrorsToBuffer(lambda record: kept.append(record) or True)
    logging.getLogger().addHandler(handler)
    try:
        verdict = rule(BROKEN).check(passage(PLAN, NOW))
    finally:
        logging.getLogger().removeHandler(handler)
    assert verdict.ruling is Ruling.REFUSE
    [record] = kept
    assert record.event == "PolicyFailed"
    assert record.error is not None
    assert record.error["message"] == "odd: NOT_FOUND"
    assert record.details["service.tier"] == 4
    assert record.details["plan.actions"] == "<list 1>"
    assert "hunter2" not in repr(record.details)


@pytest.mark.parametrize(
    "plan",
    [planned(*[{}] * (MOST_ACTIONS + 1)), planned({"params": {"diff": "x" * MOST_CHARACTERS}})],
    ids=["many actions", "long texts"],
)
def test_what_is_larger_than_was_measured_is_not_judged_but_denied(plan: Plan) -> None:
    verdict = PolicyRule(name="policy", policies=Unasked()).check(passage(plan, NOW))
    assert verdict.ruling is Ruling.REFUSE
    assert "larger than policies were measured with" in verdict.reason


def test_facts_for_rego_are_one_document_with_times_as_seconds() -> None:
    given = facts(passage(PLAN, NOW))
    assert document(given)["now"] == int(NOW.timestamp())
    assert document(given)["service"]["tier"] == 4
    assert redacted(given)["decision.risk"] == given["decision.risk"]


def test_policies_see_what_takes_an_action_back() -> None:
    back = replace(PLAN.actions[0], key="back", name="Take back: it", operation="switch_release")
    given = facts(passage(planned({"rollback": back}, {"name": "Second"}), NOW))
    assert [item["name"] for item in given["plan.actions"]] == ["Restart it", "Take back: it", "Second"]
