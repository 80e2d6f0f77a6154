"""Recorded decisions recompute identically, and every contribution sums to the recorded figure, on both databases."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from penelope.domain.work import Entry
from penelope.errors import ChainBroken, NotReplayable, PayloadGone, UnknownDecision
from penelope.flow.recording import of_decision
from penelope.flow.replaying import Replaying
from penelope.kit.canonical import canonical
from penelope.rooms.decide.case import Case
from penelope.rooms.decide.run import Limits, decide
from penelope.store.audit import SqlAudit
from penelope.testing.cases import BEGINNING, drawn_case

OnStores = Callable[[Any], None]

LIMITS = Limits(risk_limit=0.7, confidence_floor=0.5, observe_seconds=60, recheck_seconds=10)
DECISIONS = 1000
_BATCH = 100


async def as_they_are(entries: Any) -> list[Entry]:
    return list(entries)


def replaying(store: Any) -> Replaying:
    return Replaying(SqlAudit(store.reading), store.reader, as_they_are)


async def record(store: Any, cases: list[Case], moment: Any = BEGINNING) -> None:
    async with store.transaction(moment) as transaction:
        await transaction.save(*(of_decision(decide(case, LIMITS, moment), case, LIMITS) for case in cases))


async def one(store: Any, seed: int = 1) -> Case:
    case = replace(drawn_case(Random(seed), "inc_1"), obstacles=())
    await record(store, [case])
    return case


def test_a_thousand_recorded_decisions_recompute_identically(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        random = Random(4)
        cases = [drawn_case(random, f"inc_{number:04d}") for number in range(DECISIONS)]
        for first in range(0, DECISIONS, _BATCH):
            await record(store, cases[first : first + _BATCH])
        found: Counter[str] = Counter()
        for case in cases:
            replay = await replaying(store).replay(case.incident.id)
            assert replay.differences == [], case.incident.id
            found[replay.recorded.row.judgement] += 1
            for name in ("risk", "confidence", "cost"):
                figure = replay.recorded.attributes[name]
                total = 0.0
                for part in figure["contributions"]:
                    total += part["value"]
                assert total == figure["value"], (case.incident.id, name)
        assert found.total() == DECISIONS
        assert min(found.values()) > 50, found
        assert len(found) == 3

    on_stores(scene)


def test_each_version_is_found_by_number_or_incident(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        case = await one(store)
        later = replace(case, dependents=case.dependents + 7)
        await record(store, [later], BEGINNING + timedelta(seconds=1))
        first = await replaying(store).recorded("inc_1", 1)
        latest = await replaying(store).recorded("inc_1")
        assert (first.row.version, latest.row.version) == (1, 2)
        assert latest.attributes["inputs"]["facts"]["dependents"] == case.dependents + 7
        assert (await replaying(store).recorded(str(first.row.id))).row == first.row
        for version in (1, 2):
            assert (await replaying(store).replay("inc_1", version)).differences == []
        for unknown in ("inc_2", "17", "9" * 40, "²"):
            with pytest.raises(UnknownDecision):
                await replaying(store).recorded(unknown)

    on_stores(scene)


def test_what_is_recorded_holds_no_target_options(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        case = drawn_case(Random(3), "inc_1")
        secret = {
            name: replace(t, options={"token": "never-stored"}) for name, t in case.service.targets.items()
        }
        await record(store, [replace(case, service=replace(case.service, targets=secret))])
        recorded = await replaying(store).recorded("inc_1")
        assert b"never-stored" not in canonical(recorded.attributes)

    on_stores(scene)


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE history_payloads SET body = replace(body, '\"schema\":2', '\"schema\":3')", ChainBroken),
        (
            "UPDATE history_payloads SET body = replace(body, '\"dependents\":', '\"dependants\":')",
            ChainBroken,
        ),
        ("UPDATE units_of_work_history SET state_hash = 'x'", ChainBroken),
        ("UPDATE units_of_work_history SET version = 2", ChainBroken),
        ("DELETE FROM history_payloads", PayloadGone),
    ],
)
def test_history_that_was_altered_is_not_replayed(
    on_stores: OnStores, statement: str, error: type[Exception]
) -> None:
    async def scene(store: Any) -> None:
        await one(store)
        assert await store.tamper(statement)
        with pytest.raises(error):
            await replaying(store).replay("inc_1")

    on_stores(scene)


@pytest.mark.parametrize(
    ("statement", "path"),
    [
        ("UPDATE decisions SET risk = 0.123", "/listed/risk"),
        ("UPDATE decisions SET judgement = 'observe', rationale = 'so'", "/listed/rationale"),
        (
            "UPDATE units_of_work SET attributes = replace(attributes, '\"schema\":2', '\"schema\":0')",
            "/present/inputs/schema",
        ),
    ],
)
def test_what_stands_beside_history_is_held_against_it(
    on_stores: OnStores, statement: str, path: str
) -> None:
    async def scene(store: Any) -> None:
        await one(store)
        assert await store.tamper(statement)
        assert path in {item.path for item in (await replaying(store).replay("inc_1")).differences}

    on_stores(scene)


def test_a_decision_that_does_not_follow_from_its_inputs_is_named(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        case = drawn_case(Random(5), "inc_1")
        decision = decide(case, LIMITS, BEGINNING)
        forged = replace(decision, confidence=replace(decision.confidence, value=0.999))
        async with store.transaction() as transaction:
            await transaction.save(of_decision(forged, case, LIMITS))
        (difference,) = (await replaying(store).replay("inc_1")).differences
        assert (difference.path, difference.recorded) == ("/confidence/value", 0.999)
        assert difference.again == decision.confidence.value

    on_stores(scene)


@pytest.mark.parametrize(
    "inputs", [None, {"schema": 1}, {"schema": 3}, {"schema": 2}, {"schema": 2, "facts": []}]
)
def test_a_decision_of_another_version_says_so(on_stores: OnStores, inputs: Any) -> None:
    async def scene(store: Any) -> None:
        case = drawn_case(Random(6), "inc_1")
        change = of_decision(decide(case, LIMITS, BEGINNING), case, LIMITS)
        async with store.transaction() as transaction:
            await transaction.save(replace(change, attributes={**change.attributes, "inputs": inputs}))
        with pytest.raises(
            NotReplayable, match=r"the decision was made|the recorded inputs are not complete"
        ):
            await replaying(store).replay("inc_1")
        assert (await replaying(store).recorded("inc_1")).row.incident == "inc_1"

    on_stores(scene)
