"""What every action adapter promises, held against real targets and against the shipped fake."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from benching import Bench

from penelope.domain.action import Progress, Snapshot
from penelope.errors import ActionFailed, DependencyError, OutcomeUnknown, UnknownAdapter
from penelope.kit.canonical import canonical
from penelope.kit.codec import from_data, to_data
from penelope.rooms.act.run import perform

_FILES = [import_module(path.stem) for path in sorted(Path(__file__).parent.glob("bench_*.py"))]
ALL = [make for file in _FILES for make in file.BENCHES]
HALVED = [make for file in _FILES for make in file.HALVED]


@pytest.fixture(params=ALL, ids=lambda make: make.__name__)
def bench(request: pytest.FixtureRequest) -> Bench:
    made: Bench = request.param(request)
    return made


@pytest.fixture(params=HALVED, ids=lambda make: make.__name__)
def halved(request: pytest.FixtureRequest) -> tuple[Bench, Snapshot]:
    """A bench whose action was left half done."""
    made: Bench = request.param(request)
    snapshot = made.snapshot()
    assert made.half is not None
    asyncio.run(made.half(snapshot))
    return made, snapshot


def test_its_operation_is_valid_and_an_unknown_one_is_not(bench: Bench) -> None:
    bench.adapter.validate(bench.action.operation, bench.action.params)
    with pytest.raises(UnknownAdapter):
        bench.adapter.validate("format_disk", bench.action.params)


def test_nothing_is_applied_before_and_probing_changes_nothing(bench: Bench) -> None:
    before = bench.look()
    snapshot = bench.snapshot()
    assert [bench.probe(snapshot), bench.probe(snapshot)] == [Progress.NOT_APPLIED] * 2
    assert bench.look() == before
    assert bench.effects() == 0


def test_a_dry_run_says_what_would_change_and_changes_nothing(bench: Bench) -> None:
    before = bench.look()
    snapshot = bench.snapshot()
    preview = asyncio.run(bench.adapter.dry_run(bench.action, snapshot))
    assert preview.summary
    assert "s3cret" not in preview.summary + preview.diff
    assert bench.look() == before
    assert bench.effects() == 0
    assert bench.probe(snapshot) is Progress.NOT_APPLIED


def test_its_operations_are_declared(bench: Bench) -> None:
    declared = bench.adapter.operations[bench.action.operation]
    assert declared.summary
    if bench.adapter.name != "fake":
        assert declared.permissions
        assert declared.tier <= bench.action.tier
        jsonschema.validate(to_data(bench.action.params), declared.params)


def test_an_execution_is_recognised(bench: Bench) -> None:
    snapshot = bench.snapshot()
    assert bench.perform(snapshot) is False
    assert bench.probe(snapshot) is Progress.APPLIED
    assert bench.effects() == 1


def test_performing_twice_is_one_effect(bench: Bench) -> None:
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    after = bench.look()
    assert bench.perform(snapshot, first_attempt=False) is True
    assert bench.effects() == 1
    assert bench.look() == after


def test_compensation_restores_and_twice_is_harmless(bench: Bench) -> None:
    before = bench.look()
    snapshot = bench.snapshot()
    bench.perform(snapshot)
    if bench.restores:
        assert bench.look() != before
        assert bench.differences(snapshot)
    bench.undo(snapshot)
    assert bench.look() == before
    assert bench.differences(snapshot) == []
    effects = bench.effects()
    bench.undo(snapshot)
    assert bench.look() == before
    if not bench.counts_compensations:
        assert bench.effects() == effects


def test_an_untouched_target_does_not_differ_from_its_snapshot(bench: Bench) -> None:
    assert bench.differences(bench.snapshot()) == []


def test_a_snapshot_can_be_written_down_and_read_again(bench: Bench) -> None:
    """History is canonical JSON: integers beyond 2^53, NaN and bytes have no form there."""
    snapshot = bench.snapshot()
    canonical(to_data(snapshot))
    assert "s3cret" not in canonical(to_data(snapshot)).decode()
    assert from_data(Snapshot, to_data(snapshot)) == snapshot


def test_compensating_what_was_never_done_changes_nothing(bench: Bench) -> None:
    before = bench.look()
    bench.undo(bench.snapshot())
    assert bench.look() == before


def test_a_half_done_action_is_carried_to_its_end(halved: tuple[Bench, Snapshot]) -> None:
    bench, snapshot = halved
    assert bench.probe(snapshot) is Progress.PARTIAL
    assert bench.perform(snapshot, first_attempt=False) is False
    assert bench.probe(snapshot) is Progress.APPLIED
    assert bench.effects() == 1


def test_a_half_done_action_can_be_taken_back(halved: tuple[Bench, Snapshot]) -> None:
    bench, snapshot = halved
    bench.undo(snapshot)
    state = bench.look()
    assert state.get("release", "v1") == "v1"
    assert state.get("state", "RUNNING") == "RUNNING"
    assert state.get("clean", True) is True
    assert bench.probe(snapshot) is not Progress.PARTIAL


def test_a_target_out_of_reach_is_a_dependency_error(bench: Bench) -> None:
    adapter, action = bench.unreachable
    snapshot = bench.snapshot()
    attempts: list[Callable[[], Any]] = [
        lambda: adapter.probe(action, snapshot),
        lambda: adapter.execute(action, snapshot),
        lambda: adapter.compensate(action, snapshot),
        lambda: adapter.observe(action),
    ]
    if bench.snapshot_asks:
        attempts.append(lambda: adapter.snapshot(action))
    for attempt in attempts:
        with pytest.raises(DependencyError) as caught:
            asyncio.run(attempt())
        assert "s3cret" not in str(caught.value) + caught.value.advice


def test_an_action_on_a_target_out_of_reach_did_not_happen(bench: Bench) -> None:
    adapter, action = bench.unreachable
    snapshot = bench.snapshot()
    with pytest.raises((ActionFailed, OutcomeUnknown)):
        asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
    assert bench.effects() == 0
