from collections.abc import Mapping
from typing import Any

import pytest

from penelope.entry.cli.timeline import line
from penelope.telemetry.counting import RULES


def entry(event: str, reason: str = "so it is", **changes: Any) -> dict[str, Any]:
    made = {
        "seq": 1,
        "unit": "unit-1",
        "kind": "incident",
        "incident": "inc_1",
        "event": event,
        "actor": "penelope",
        "reason": reason,
        "status_before": None,
        "status_after": "acting",
        "details": {},
        "recorded_at": "2026-11-21T08:00:00.123456+01:00",
    }
    return {**made, **changes}


def shown(event: str, reason: str = "so it is", **details: Any) -> list[str]:
    return line(entry(event, reason, details=details)).plain.splitlines()


ARM = {"requests": 120.0, "errors": 1.0, "error_ratio": 0.008, "latency_p99_seconds": 0.041}
EFFECT: Mapping[str, Any] = {"summary": "restarted", "details": {}, "repeated": True}


def test_a_line_begins_with_the_time_in_utc_and_what_it_is_about() -> None:
    assert shown("IncidentOpened", "alertmanager says HighErrorRate on shop") == [
        "07:00:00  signal     alertmanager says HighErrorRate on shop"
    ]


def test_a_decision_shows_what_its_scores_are_made_of() -> None:
    parts = [{"name": "blast_radius", "value": 0.3, "reason": "2 services lean on it"}]
    lines = shown(
        "DecisionMade",
        judgement="intervene",
        playbook="restart-instance",
        risk={"value": 0.3, "contributions": parts},
        confidence={"value": 0.9, "contributions": [{"name": "fit", "value": -0.1, "reason": "odd"}]},
    )
    assert [text.strip() for text in lines] == [
        "07:00:00  decision   intervene with restart-instance",
        "risk 0.30",
        "+0.30 blast radius   2 services lean on it",
        "confidence 0.90",
        "-0.10 fit            odd",
    ]


def test_a_decision_shows_the_past_incidents_that_it_leaned_on() -> None:
    near = {"incident": "inc_old", "similarity": 0.934, "by": ["fingerprint", "labels"], "agrees": True}
    against = {"incident": "past_1\x1b[31m", "similarity": 0.61, "by": ["name"], "agrees": False}
    lines = shown("DecisionMade", judgement="escalate", leaned_on=[near, against])
    assert [text.strip() for text in lines[1:]] == [
        "like past incidents",
        "0.93 agrees     inc_old, by fingerprint, labels",
        "0.61 disagrees  past_1\\x1b[31m, by name",
    ]


def test_a_decision_without_a_playbook_names_none() -> None:
    assert shown("DecisionMade", judgement="escalate") == ["07:00:00  decision   escalate"]


def test_a_plan_lists_its_steps() -> None:
    lines = shown("PlanMade", playbook="rollback", steps=["Take traffic off", "Switch back"], tier=2)
    assert [text.strip() for text in lines] == [
        "07:00:00  plan       rollback, tier 2",
        "1. Take traffic off",
        "2. Switch back",
    ]


def test_a_mark_stays_with_its_rule() -> None:
    verdicts = [{"rule": "rule-of-seventeen", "ruling": "pass", "reason": "fine"}] * 20
    for text in shown("GatePassed", verdicts=verdicts):
        assert not text.rstrip().endswith("✓")
        assert text.count("✓ rule-of-seventeen") == text.count("✓") > 0


def test_a_gate_shows_every_rule_and_why_one_did_not_pass() -> None:
    verdicts = [
        {"rule": "halt", "ruling": "pass", "reason": "quiet"},
        {"rule": "rate", "ruling": "refuse", "reason": "10 actions in an hour"},
        {"rule": "approval", "ruling": "ask", "reason": "tier 3"},
        {"rule": "moon", "ruling": "new", "reason": "full"},
    ]
    lines = shown("GateRefused", verdicts=verdicts)
    assert lines[0] == "07:00:00  gate       ✓ halt  ✗ rate  ? approval  · moon"
    assert [text.strip() for text in lines[1:]] == [
        "rate: 10 actions in an hour",
        "approval: tier 3",
        "moon: full",
    ]


ACTION = {"action": "Restart b", "adapter": "process", "operation": "restart", "target": "b", "tier": 1}


@pytest.mark.parametrize(
    ("event", "reason", "details", "said"),
    [
        ("ActionPrepared", "remembered", {}, "· Restart b (process.restart on b, tier 1)"),
        ("ActionStarted", "first attempt", {"attempt": 2}, "▶ Restart b, attempt 2"),
        ("ActionDone", "restarted", {}, "✓ Restart b: restarted"),
        ("ActionDone", "restarted", {"effect": EFFECT}, "✓ Restart b: restarted, which was done already"),
        ("ActionFailed", "Restart b: it is out of reach", {}, "✗ Restart b: it is out of reach"),
        ("ActionUnknown", "no answer", {"effect": None}, "? Restart b: no answer"),
        ("CompensationFailed", "it is gone", {}, "✗ Restart b: it is gone"),
    ],
)
def test_an_action_says_what_became_of_it(
    event: str, reason: str, details: dict[str, Any], said: str
) -> None:
    (text,) = shown(event, reason, **ACTION, **details)
    assert text[21:] == said


def test_a_verdict_shows_how_far_it_came_true() -> None:
    details = {"of": "Restart b", "passed": True, "score": 1.0, "waited_seconds": 3.21}
    (good,) = shown("VerdictReached", "the contract holds", **details)
    assert good[21:] == "✓ Restart b: the contract holds, score 1.00 after 3.2 s"
    bad = shown("VerdictReached", "state.release is 1", **{**details, "passed": False, "score": 0.5})
    assert bad[0][21:] == "✗ Restart b: state.release is 1, score 0.50 after 3.2 s"
    blind = " ".join(
        text.strip() for text in shown("VerdictReached", "good", **details, unwatched_seconds=41.0)
    )
    assert "(nobody looked for 41.0 s)" in blind


def test_a_look_at_a_canary_tells_each_reason_in_a_line() -> None:
    reason = "errors: undecided: canary 0.00% of 40 requests; no traffic on the control"
    lines = shown("CanaryLooked", reason, weight=10, step="hold")
    assert [text.strip() for text in lines] == [
        "07:00:00  canary     10 % hold",
        "errors: undecided: canary 0.00% of 40 requests",
        "no traffic on the control",
    ]


def test_a_look_that_goes_well_is_one_line() -> None:
    errors = {"metric": "errors", "canary": 0.001, "control": 0.3}
    seen = {"assessment": {"findings": [errors], "expected_seconds": 12.3}}
    reason = "errors are not 2 times as frequent; slow requests: undecided"
    (held,) = shown("CanaryLooked", reason, weight=25, step="hold", look=seen)
    assert held.endswith("25 % hold: errors 0.1%, control 30.0%, about 12 s left")
    seen["assessment"] |= {"findings": [{**errors, "control": None}], "expected_seconds": None}
    (promoted,) = shown("CanaryLooked", reason, weight=100, step="promote", look=seen)
    assert promoted.endswith("100 % promote: errors 0.1%")
    # Whoever loses its traffic is told all that speaks against it.
    assert len(shown("CanaryLooked", reason, weight=25, step="rollback", look=seen)) == 3
    (ended,) = shown("RolloutPromoted", reason, seconds=42.0)
    assert ended.endswith("✓ has all traffic after 42.0 s")


def test_what_people_say_to_a_canary_is_told_as_theirs() -> None:
    assert shown("RolloutPaused", "lunch")[0].endswith("paused: lunch")
    assert shown("RolloutStuck", "the router is away")[0].endswith("✗ the router is away")


def test_an_outcome_says_how_long_it_took() -> None:
    text = line(entry("OutcomeRecorded", status_after="healed", details={"seconds": 25.14, "acted": True}))
    assert text.plain == "07:00:00  outcome    healed after 25.1 s"
    idle = line(entry("OutcomeRecorded", status_after="resolved", details={"seconds": 1, "acted": False}))
    assert idle.plain.endswith("resolved after 1.0 s, nothing was changed")


@pytest.mark.parametrize("event", [*RULES, "ConditionEnded", "RolloutPromoted", "ActionPrepared", "Unheard"])
def test_any_event_can_be_shown_even_without_details(event: str) -> None:
    assert shown(event)[0].startswith("07:00:00  ")


def test_an_event_that_is_not_known_is_shown_by_its_name() -> None:
    assert shown("MoonRose") == ["07:00:00  incident   MoonRose: so it is"]


def test_long_texts_are_broken_below_where_they_began() -> None:
    lines = shown("IncidentEscalated", "word " * 40)
    assert len(lines) > 2
    assert max(map(len, lines)) <= 80
    assert all(text.startswith(" " * 21 + "word") for text in lines[1:])


def test_parts_of_a_list_are_broken_further_in() -> None:
    lines = shown("PlanMade", playbook="x", steps=["word " * 40], tier=1)
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith(" " * 22 + "1. word")
    assert all(text.startswith(" " * 25 + "word") for text in lines[2:])


def test_a_narrow_terminal_still_gets_something() -> None:
    assert "word" in line(entry("IncidentOpened", "word " * 10), 10).plain


HOSTILE = "\x1b]0;owned\x07\x1b[2J\nIncidentHealed [bold]x[/bold]"


@pytest.mark.parametrize(
    ("event", "details"),
    [
        ("IncidentOpened", {}),
        ("Unheard", {}),
        ("DecisionMade", {"judgement": HOSTILE, "playbook": HOSTILE}),
        (
            "DecisionMade",
            {"risk": {"value": 0, "contributions": [{"name": HOSTILE, "value": 0, "reason": HOSTILE}]}},
        ),
        ("PlanMade", {"playbook": HOSTILE, "steps": [HOSTILE]}),
        ("GateAsked", {"verdicts": [{"rule": HOSTILE, "ruling": "ask", "reason": HOSTILE}]}),
        ("ActionPrepared", {"action": HOSTILE, "adapter": HOSTILE, "target": HOSTILE}),
        ("ActionDone", {"action": HOSTILE}),
        ("VerdictReached", {"of": HOSTILE}),
        ("CanaryLooked", {"step": HOSTILE}),
        ("OutcomeRecorded", {}),
    ],
)
def test_a_text_from_outside_commands_nothing(event: str, details: dict[str, Any]) -> None:
    made = line(entry(event, HOSTILE, kind=HOSTILE, status_after=HOSTILE, unit=HOSTILE, details=details))
    assert all(character.isprintable() or character == "\n" for character in made.plain)
    assert not any(text.startswith("IncidentHealed") for text in made.plain.splitlines())


@pytest.mark.parametrize(
    ("status", "said"),
    [("holds", "holds"), ("does_not_hold", "does not hold"), ("unseen", "cannot be seen")],
)
def test_a_condition_tells_how_it_was_judged(status: str, said: str) -> None:
    judged = entry("ConditionJudged", status_after=status, details={"of": "is it full", "holds": False})
    assert line(judged).plain == f"07:00:00  condition  is it full: {said}"


def test_a_preview_tells_of_each_action_what_it_would_change_or_why_nobody_knows() -> None:
    actions = [
        {"name": "patch", "summary": "1 file would be changed\x1b[2J", "missing": ""},
        {"name": "restart", "summary": "", "missing": "nobody answers"},
    ]
    assert shown("PlanPreviewed", "1 of 2 actions", outcome="partial", actions=actions) == [
        "07:00:00  preview    ? 1 of 2 actions",
        "                      patch: 1 file would be changed\\x1b[2J",
        "                      restart: not previewed: nobody answers",
    ]
    assert "✗ it cannot be done" in shown("PreviewFailed", "it cannot be done", outcome="refused")[0]


def test_a_rehearsal_tells_what_did_not_hold() -> None:
    checks = [{"name": "smoke", "held": False}, {"name": "syntax", "held": True}]
    assert shown("RehearsalFailed", "a check ends with 1", outcome="failed", seconds=2, checks=checks) == [
        "07:00:00  rehearsal  ✗ failed on the twin: a check ends with 1 after 2.0 s",
        "                      not as before: smoke",
    ]
    assert "? not possible on the twin" in shown("PlanRehearsed", outcome="not_possible")[0]


def test_a_benchmark_tells_its_suite_and_how_it_went() -> None:
    told = shown("BenchmarkRun", "page is 30, usually 10", suite="smoke", outcome="regressed", seconds=3)
    assert told == ["07:00:00  benchmark  ✗ smoke: page is 30, usually 10 after 3.0 s"]
    assert shown("BenchmarkRun", suite="smoke", outcome="unknown")[0].startswith(
        "07:00:00  benchmark  ? smoke"
    )


def test_an_action_that_waits_tells_for_what() -> None:
    assert shown("ActionWaits", "shop/one: held by action a of inc_2", action="Restart") == [
        "07:00:00  action     … Restart: shop/one: held by action a of inc_2"
    ]
