"""How rollouts and forecasts look, whoever answers: nothing is styled or obeyed that a server says."""

import json
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from penelope.entry.cli import rollout_screens
from penelope.entry.cli.main import app

HOSTILE = "[red]x[/red][/no]\x1b[2J"
SHOWN = "[red]x[/red][/no]\\x1b[2J"


def deployment(**changes: Any) -> dict[str, Any]:
    plain = {
        "id": "deployment_1",
        "service": "shop",
        "status": "progressing",
        "course": {"canary": "b", "stages": [{"weight": 10}, {"weight": 100}]},
        "weight": 10,
        "wanted": 10,
        "moving": False,
        "paused": False,
        "awaits": "",
        "reason": "",
    }
    return {**plain, **changes}


def look(weight: int = 10, errors: float | None = 0.01, **changes: Any) -> dict[str, Any]:
    finding = {"metric": "errors", "canary": errors, "control": 0.02, "reason": "errors look alike"}
    assessment = {
        "step": "hold",
        "reasons": ["errors look alike"],
        "findings": [finding],
        "harm": 0.6,
        "expected_seconds": 42.0,
    }
    return {"weight": weight, "doubts": [], "assessment": {**assessment, **changes}}


def event(name: str = "CanaryLooked", reason: str = "", **details: Any) -> dict[str, Any]:
    return {"at": "2026-11-22T10:00:01Z", "event": name, "reason": reason, "details": details}


def printed(screen: Any, width: int = 80) -> str:
    console = Console(width=width, force_terminal=True, no_color=True)
    with console.capture() as captured:
        console.print(screen)
    return captured.get()


def plain(screen: Any, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(screen)
    text = captured.get()
    assert max(map(len, text.splitlines())) <= width
    return text


def test_a_hostile_server_styles_nothing() -> None:
    item = deployment(
        id=HOSTILE,
        service=HOSTILE,
        status=HOSTILE,
        awaits=HOSTILE,
        cause=HOSTILE,
        reason=HOSTILE,
        noise=HOSTILE,
        course={
            "canary": HOSTILE,
            "stages": [{"weight": 10}],
        },
    )
    seen = look(step=HOSTILE)
    seen["assessment"]["findings"][0]["reason"] = HOSTILE
    seen["doubts"] = [HOSTILE]
    answer = {"deployment": item, "look": seen}
    events = [event(HOSTILE, HOSTILE), {**event(look=seen), "at": "\x1b[2J" * 9}]
    screens = (
        rollout_screens.table({"deployments": [item]}),
        rollout_screens.line(item),
        rollout_screens.detail(answer),
        rollout_screens.chart(answer, events),
    )
    for screen in screens:
        text = printed(screen, 200)
        assert "\x1b[2J" not in text
        assert SHOWN in text
    assert printed(screens[2], 200).count(SHOWN) == 10


def test_a_deployment_shows_where_it_is_and_what_it_waits_for() -> None:
    item = deployment(weight=10, wanted=25, moving=True, paused=True, awaits="rollback", reason="told so")
    text = plain(rollout_screens.detail({"deployment": item, "look": None}))
    assert "deployment_1 progressing, paused, waits at 10 % -> 25 % to b" in text
    assert "####...................................." in text
    assert "waits for your word: rollback" in text
    assert "told so" in text
    assert "No look yet." in text


def test_what_a_look_said_is_told_once() -> None:
    answer = {"deployment": deployment(reason="errors look alike"), "look": look()}
    text = plain(rollout_screens.detail(answer))
    assert text.count("errors look alike") == 1
    assert "a verdict in about 42 s" in text


def test_a_chart_draws_the_looks_and_the_last_events() -> None:
    events = [event("RolloutBegun", "v2")]
    events += [event(look=look(errors=None if number == 0 else number / 1000)) for number in range(60)]
    events.append(event("TrafficShifted", "a long story " * 20))
    answer = {"deployment": deployment(), "look": look()}
    lines = plain(rollout_screens.chart(answer, events)).splitlines()
    curve = next(each for each in lines if "canary errors" in each)
    assert curve.rstrip().endswith("▇▇▇████ 5.90%")
    assert "weight" in "".join(lines)
    assert len([each for each in lines if each.startswith("10:00:01")]) == 8
    assert lines[-1].endswith("…")


def test_a_chart_without_looks_has_no_curves() -> None:
    answer = {"deployment": deployment(), "look": None}
    text = plain(rollout_screens.chart(answer, [event("RolloutBegun", "v2")]))
    assert "canary errors" not in text
    assert "RolloutBegun" in text
    assert "No look yet." in plain(rollout_screens.chart(answer, []))


def test_an_arm_that_was_never_seen_is_not_drawn_as_healthy() -> None:
    answer = {"deployment": deployment(), "look": look(errors=None)}
    text = plain(rollout_screens.chart(answer, [event(look=look(errors=None))]))
    assert "not seen" in next(each for each in text.splitlines() if "canary errors" in each)


# --- rollout plan -----------------------------------------------------------------------------------------

TRAFFIC = ["--requests-per-second=100", "--error-ratio=0.005", "--worse=0.02"]


def planned(*arguments: str) -> Any:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["rollout", "plan", *arguments])


def figures(*arguments: str) -> list[dict[str, Any]]:
    done = planned(*arguments, "--json")
    assert done.exit_code == 0, done.output
    stages: list[dict[str, Any]] = json.loads(done.stdout)["stages"]
    return stages


def test_a_plan_says_how_soon_a_fault_is_seen_and_how_long_health_takes() -> None:
    screen = planned(*TRAFFIC)
    assert screen.exit_code == 0
    assert "A rise from 0.5 % to 2 % errors, at 10 %, will be seen within" in screen.stdout
    assert "requests of both arms (nine of ten times)" in " ".join(screen.stdout.split())
    assert "passes these 3 stages in about" in screen.stdout
    assert max(map(len, screen.stdout.splitlines())) <= 80
    stages = figures(*TRAFFIC)
    assert [stage["share_percent"] for stage in stages] == [10, 25, 50]
    for stage in stages:
        assert 0 < stage["seen"]["p50_seconds"] < stage["seen"]["p90_seconds"] < 900
        assert stage["seen"]["p90_requests"] == pytest.approx(100 * stage["seen"]["p90_seconds"], rel=1e-3)
        assert stage["cleared"]["p50_seconds"] > 0


def test_more_traffic_and_a_larger_alpha_see_sooner_and_noise_later() -> None:
    (one,) = figures(*TRAFFIC, "--share=10")
    (ten,) = figures("--requests-per-second=1000", *TRAFFIC[1:], "--share=10")
    assert ten["seen"]["p90_seconds"] == pytest.approx(one["seen"]["p90_seconds"] / 10, rel=0.01)
    (bolder,) = figures(*TRAFFIC, "--share=10", "--alpha=0.2")
    (noisy,) = figures(*TRAFFIC, "--share=10", "--noise=3")
    assert bolder["seen"]["p50_seconds"] < one["seen"]["p50_seconds"] < noisy["seen"]["p50_seconds"]
    (sampled,) = figures(*TRAFFIC, "--share=10", "--min-requests=100000")
    assert sampled["cleared"]["p50_seconds"] == 10_000


def test_what_is_never_seen_is_said_to_be() -> None:
    traffic = ["--requests-per-second=1", "--share=1", "--error-ratio=0.0199", "--worse=0.02"]
    assert figures(*traffic)[0]["seen"]["p90_seconds"] is None
    assert "is not sure to be seen" in " ".join(planned(*traffic).stdout.split())


@pytest.mark.parametrize(
    "odd",
    [
        "--requests-per-second=0",
        "--requests-per-second=nan",
        "--requests-per-second=inf",
        "--error-ratio=-1",
        "--error-ratio=nan",
        "--worse=0.005",
        "--worse=1",
        "--worse=nan",
        "--share=0",
        "--share=100",
        "--alpha=0",
        "--noise=inf",
        "--factor=1",
        "--step-seconds=nan",
        "--step-seconds=inf",
    ],
)
def test_what_is_no_traffic_is_refused(odd: str) -> None:
    refused = planned(*TRAFFIC, odd)
    assert refused.exit_code == 1
    assert "rollout plan --help" in refused.stderr
