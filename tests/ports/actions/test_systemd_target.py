"""What is special about units: names, failures, and what cannot come back."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_systemd import systemd_restart, systemd_start, systemd_stop, unit_of, words
from benching import an_action

from penelope.adapters.actions.systemd import SystemdAdapter
from penelope.domain.action import Progress
from penelope.errors import ActionFailed, CompensationFailed, InvalidCatalogue, InvalidPlaybook
from penelope.rooms.act.run import perform, undo
from penelope.testing.systemctl_double import stop_all, write_unit

ADAPTER = SystemdAdapter()


@pytest.mark.parametrize(
    "unit", ["", "app", "-H evil.service", "--all.service", "a/b.service", "a b.service", "app.service\n", "äpp.service", "a\0.service", "*.service"]
)  # fmt: skip
def test_a_unit_is_a_plain_name(unit: str) -> None:
    action = an_action("systemd", "restart", {"unit": unit, "systemctl": ["/bin/false"]}, {})
    with pytest.raises(InvalidCatalogue, match="no plain name"):
        asyncio.run(ADAPTER.snapshot(action))


def test_a_step_cannot_name_a_unit() -> None:
    with pytest.raises(InvalidPlaybook, match="unit"):
        ADAPTER.validate("restart", {"unit": "other.service"})


def test_a_unit_that_is_not_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    action = an_action("systemd", "restart", {"unit": "no.service", "systemctl": words(tmp_path)}, {})
    snapshot = asyncio.run(ADAPTER.snapshot(action))
    with pytest.raises(ActionFailed, match="not-found"):
        asyncio.run(perform(ADAPTER, action, snapshot, first_attempt=True))


def test_a_unit_that_does_not_come_up_has_failed(tmp_path: Path) -> None:
    write_unit(tmp_path, "app.service", ["/bin/false"])
    action = an_action("systemd", "start", {"unit": "app.service", "systemctl": words(tmp_path)}, {})
    snapshot = asyncio.run(ADAPTER.snapshot(action))
    with pytest.raises(
        ActionFailed, match=r"is failed \(exit-code\) after start: Job for app\.service failed"
    ):
        asyncio.run(perform(ADAPTER, action, snapshot, first_attempt=True))
    reset = an_action("systemd", "reset_failed", {**action.target.options}, {})
    before = asyncio.run(ADAPTER.snapshot(reset))
    assert asyncio.run(ADAPTER.probe(reset, before)) is Progress.NOT_APPLIED
    asyncio.run(perform(ADAPTER, reset, before, first_attempt=True))
    assert asyncio.run(ADAPTER.observe(reset))["active"] == "inactive"
    assert asyncio.run(ADAPTER.differences(reset, before)) == []


def test_a_unit_that_will_not_start_again_is_a_failed_compensation(tmp_path: Path) -> None:
    write_unit(tmp_path, "app.service", ["/bin/sleep", "600"])
    options: dict[str, Any] = {"unit": "app.service", "systemctl": words(tmp_path)}
    start, stop = (an_action("systemd", verb, options, {}) for verb in ("start", "stop"))
    try:
        asyncio.run(perform(ADAPTER, start, asyncio.run(ADAPTER.snapshot(start)), first_attempt=True))
        snapshot = asyncio.run(ADAPTER.snapshot(stop))
        asyncio.run(perform(ADAPTER, stop, snapshot, first_attempt=True))
        write_unit(tmp_path, "app.service", ["/bin/false"])
        with pytest.raises(CompensationFailed, match="failed"):
            asyncio.run(undo(ADAPTER, stop, snapshot))
        assert asyncio.run(ADAPTER.differences(stop, snapshot))
    finally:
        stop_all(tmp_path)


def test_a_process_that_died_is_a_failed_unit_and_a_restart_mends_it(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    bench = systemd_restart(request)
    os.kill(unit_of(tmp_path / "systemd")["pid"], signal.SIGKILL)
    while bench.look()["active"] != "failed":
        pass
    snapshot = bench.snapshot()
    assert bench.probe(snapshot) is Progress.NOT_APPLIED
    bench.perform(snapshot)
    assert bench.look() == {"active": "active", "running": True}


def test_a_start_of_what_runs_is_no_second_start(request: pytest.FixtureRequest) -> None:
    bench = systemd_start(request)
    bench.perform(bench.snapshot())
    again = bench.snapshot()
    assert bench.perform(again) is True
    assert bench.effects() == 1


def test_a_unit_that_was_coming_up_in_a_loop_of_crashes_is_not_stopped(
    request: pytest.FixtureRequest,
) -> None:
    """Between two crashes systemd calls it activating: that a restart holds is no reason to take it away."""
    bench = systemd_restart(request)
    seen = bench.snapshot()
    state = {**seen.state, "active": "activating", "sub": "auto-restart", "pid": 0, "invocation": "0" * 32}
    snapshot = replace(seen, state=state)
    bench.perform(snapshot)
    pid = bench.look()["running"] and unit_of(request.getfixturevalue("tmp_path") / "systemd")["pid"]
    bench.undo(snapshot)
    assert bench.differences(snapshot) == []
    assert unit_of(request.getfixturevalue("tmp_path") / "systemd")["pid"] == pid


def test_a_unit_that_was_coming_up_is_started_again_where_it_was_stopped(
    request: pytest.FixtureRequest,
) -> None:
    bench = systemd_stop(request)
    seen = bench.snapshot()
    snapshot = replace(seen, state={**seen.state, "active": "activating", "sub": "auto-restart", "pid": 0})
    bench.perform(snapshot)
    assert [item.subject for item in bench.differences(snapshot)] == ["active"]
    bench.undo(snapshot)
    assert bench.look()["running"]
    assert bench.differences(snapshot) == []
