"""Benchmarks over HTTP and from the command line."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from doorstep import Doorstep, settings
from rich.console import Console

from penelope.domain.service import Objective
from penelope.entry.cli import benchmarks as cli
from penelope.flow.benchmark_desk import BenchmarkDesk
from penelope.flow.keys import Scope
from penelope.testing.metrics import FakeMetrics, Figures, figures

PATH = "/api/v1/benchmarks"
BENCHMARKS = """\
    benchmarks:
      smoke:
        - {name: memory, kind: process_memory, options: {pid_file: self.pid}}
        - {name: nobody, kind: http, options: {url: "http://127.0.0.1:9/"}, severity: minor}
"""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    folder = tmp_path_factory.mktemp("benchmarks")
    wanted = settings(folder, benchmark={"pause_seconds": 0.01, "looks": 2})
    (folder / "self.pid").write_text(str(os.getpid()))
    services = folder / "services.yaml"
    services.write_text(services.read_text() + BENCHMARKS + "  bare: {owner: team, tier: 3}\n")
    with Doorstep(wanted) as door:
        yield door


@pytest.fixture
def healthy(door: Doorstep) -> Iterator[None]:
    """The shop has an objective, and meets it."""
    running = door.running
    metrics = FakeMetrics(running.parts.clock)
    metrics.script("shop", Figures(arms={"a": figures(100)}))
    objective = Objective(name="availability", metric="error_ratio", at_most=0.02)
    services = {
        **running.parts.services,
        "shop": replace(running.parts.services["shop"], objectives=(objective,)),
    }
    parts = replace(running.parts, services=services, metrics=metrics)
    desk = BenchmarkDesk(running.benchmarks._engine, running.benchmarks._reader, parts)
    door.app.state.running = replace(running, benchmarks=desk)
    yield
    door.app.state.running = running


def shown(screen: Any, answer: Any) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(screen(answer))
    return captured.get()


def test_a_suite_is_run_and_shown(door: Doorstep) -> None:
    wanted = {"service": "shop"}
    read = door.key(Scope.READ)
    door.problem(403, "forbidden", lambda: door.ask("POST", f"{PATH}/runs", json=wanted, key=read))
    door.problem(422, "unknown_service", lambda: door.ask("POST", f"{PATH}/runs", json={"service": "SHOP"}))
    door.problem(
        400, "invalid_request", lambda: door.ask("POST", f"{PATH}/runs", json={**wanted, "suite": "all"})
    )
    door.problem(
        400,
        "invalid_request",
        lambda: door.ask("POST", f"{PATH}/runs", json={**wanted, "suite": "regression"}),
    )
    door.problem(400, "invalid_request", lambda: door.ask("POST", f"{PATH}/runs", json={"service": "a\x00"}))
    made = door.ask("POST", f"{PATH}/runs", json=wanted, key=door.key(Scope.WRITE)).json()
    memory, nobody = made["findings"]
    assert (made["outcome"], made["trouble"], made["looks"]) == ("unknown", "", 2)
    assert memory["figure"] > 1_000_000
    assert memory["note"] == "has no baseline yet: 0 of 12 runs"
    assert (nobody["standing"], nobody["counts"]) == ("failed", False)
    assert "out of reach" in nobody["note"]
    found = door.get(PATH, params={"service": "shop"}, key=read)
    assert [item["name"] for item in found["probes"]] == ["memory", "nobody"]
    assert "url" not in str(found["probes"])
    assert found["runs"][0] == made
    assert found["baselines"] == []
    assert door.get(PATH, params={"service": "bare"})["probes"] == []
    door.problem(422, "unknown_service", lambda: door.ask("GET", PATH, params={"service": "sho%"}))
    door.problem(400, "invalid_request", lambda: door.ask("GET", PATH))
    screen = shown(cli._overview, found)
    assert "memory" in screen
    assert "none yet" in screen
    assert "failed" in shown(cli._run, made)
    assert "no benchmarks" in shown(cli._overview, door.get(PATH, params={"service": "bare"}))


def test_a_person_has_baselines_updated(door: Doorstep) -> None:
    wanted = {"service": "shop", "reason": "it is quiet"}
    write = door.key(Scope.READ, Scope.WRITE)
    door.problem(403, "forbidden", lambda: door.ask("POST", f"{PATH}/baselines", json=wanted, key=write))
    door.problem(
        400, "invalid_request", lambda: door.ask("POST", f"{PATH}/baselines", json={**wanted, "reason": " "})
    )
    door.problem(
        400,
        "invalid_request",
        lambda: door.ask("POST", f"{PATH}/baselines", json={**wanted, "service": "bare"}),
    )
    refused = door.ask("POST", f"{PATH}/baselines", json=wanted).json()
    assert refused["taken"] == {}
    assert "no objective" in refused["refused"]
    assert "Nothing was taken in" in shown(cli._updated, refused)


@pytest.mark.usefixtures("healthy")
def test_what_is_healthy_is_taken_in(door: Doorstep) -> None:
    wanted = {"service": "shop", "reason": "it is quiet"}
    updated = door.ask("POST", f"{PATH}/baselines", json=wanted, key=door.key(Scope.APPROVE)).json()
    assert updated["refused"] == ""
    assert list(updated["taken"]) == ["memory"]
    assert "out of reach" in updated["left"]["nobody"]
    (baseline,) = door.get(PATH, params={"service": "shop"})["baselines"]
    assert baseline == updated["taken"]["memory"]
    assert (len(baseline["figures"]), baseline["settled"], baseline["version"]) == (1, False, 1)
    assert "usually" in shown(cli._updated, updated)
    assert "1" in shown(cli._overview, door.get(PATH, params={"service": "shop"}))
