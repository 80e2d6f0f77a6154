"""What `penelope decision explain` says about a decision."""

from io import StringIO
from typing import Any

from rich.console import Console

from penelope.entry.cli.decision_screens import explanation

FIGURE: dict[str, Any] = {"value": 0.0, "interval": None, "contributions": []}


def shown(**changes: Any) -> list[str]:
    answer = {
        "incident": "inc_1",
        "version": 1,
        "service": "shop",
        "decided_at": "2026-11-21T07:00:00Z",
        "judgement": "escalate",
        "rationale": "none fits",
        "needs_approval": False,
        "recheck_seconds": None,
        "healing": None,
        "risk": FIGURE,
        "cost": FIGURE,
        "confidence": FIGURE,
        "precedents": [],
        "leaned_on": [],
        "articles": [],
        "briefing": None,
        "schema_version": 2,
        **changes,
    }
    screen = Console(file=StringIO(), width=80)
    screen.print(explanation(answer))
    return screen.file.getvalue().splitlines()  # type: ignore[attr-defined]  # the text that was given to it


def test_past_cases_are_listed_with_what_they_speak_for() -> None:
    near = {"incident": "past_1", "similarity": 0.93, "by": ["fingerprint"], "verified": True, "agrees": True}
    lines = [line.strip() for line in shown(leaned_on=[near])]
    assert lines[lines.index("like past incidents") + 1] == "0.93 agrees     past_1, by fingerprint"
    assert "like past incidents" not in "".join(shown())


def test_articles_are_told_in_words() -> None:
    told = {
        "article": "Sophia",
        "principle": "waiting",
        "measure": 0.1,
        "limit": 0.2,
        "reason": "it lasts\x1b",
    }
    lines = shown(articles=[{**told, "kept": True}, {**told, "kept": False}])
    assert [line.split()[0] for line in lines if "Sophia (waiting): it lasts" in line] == ["kept", "broken"]
    assert "\x1b" not in "".join(lines)
