"""What the terminal shows of requests and reviews; nothing in them is obeyed by it."""

from io import StringIO
from typing import Any

from rich.console import Console

from penelope.entry.cli import approvals

VOTE = {"actor": "key:ada", "approve": True, "channel": "slack", "reason": "go \x1b[31m"}
TRIED = [
    {
        "name": "write",
        "target": "conf",
        "tier": 2,
        "diff": "",
        "preview": "1 file would be changed \x1b[2J",
        "preview_diff": "-old\n+new \x1b[31m",
    },
    {"name": "restart", "target": "web", "tier": 1, "diff": "", "not_previewed": "nobody answers \x9b"},
]
REQUEST: dict[str, Any] = {
    "id": "r1",
    "incident": "inc_1",
    "status": "pending",
    "expires_at": "2026-11-22T07:00:00Z",
    "quorum": [{"role": "approver", "needed": 2, "seats": 2}],
    "brief": {
        "service": "shop",
        "playbook": "fix",
        "rationale": "risk 0.80 is above 0.70",
        "silence": "needs 2 approver",
        "risk": 0.8,
        "confidence": 0.6,
        "risks": [{"name": "reversibility", "value": 0.8, "reason": "tier 4"}],
        "steps": [{"name": "patch", "target": "repo", "tier": 2, "diff": "-a\n+b"}, *TRIED],
        "twin": "passed in 1.2 s: all is well",
        "twin_checks": ["smoke: passes → passes"],
        "previewed_at": "2026-11-22T06:59:00Z",
        "evidence": ["slo.availability: NOT met"],
    },
    "votes": [VOTE],
    "comments": [{"actor": "key:bob", "text": "who knows?"}],
    "delegations": [{"by": "eve", "seat": "approver", "to": "bob"}],
}


def shown(thing: Any) -> str:
    console = Console(width=160, record=True, file=StringIO())
    console.print(thing)
    return console.export_text()


def test_a_request_shows_all_that_it_rests_on() -> None:
    text = shown(approvals._one(REQUEST))
    for part in (
        "fix on shop",
        "1 yes, 0 no; needs 2 approver",
        "+0.80 tier 4",
        "+b",
        "NOT met",
        "who knows?",
    ):
        assert part in text
    assert "eve handed a seat (approver) to bob" in text
    assert "would: 1 file would be changed \\x1b[2J" in text
    assert "      +new \\x1b[31m" in text
    assert "not previewed: nobody answers \\x9b" in text
    assert "on the twin: passed in 1.2 s: all is well" in text
    assert "smoke: passes → passes" in text
    assert "previewed at 2026-11-22T06:59:00Z" in text
    assert "\x1b" not in text
    assert "\x9b" not in text


def test_requests_and_reviews_are_listed() -> None:
    assert "2026-11-22 07:00" in shown(approvals._list({"approvals": [REQUEST]}))
    assert "no such requests" in shown(approvals._list({"approvals": []}))
    review = {
        "id": "g1",
        "status": "open",
        "overdue": True,
        "playbook": "fix",
        "service": "shop",
        "incident": "inc_1",
        "actor": "key:ada",
        "reason": "now",
        "reviews": [],
    }
    text = shown(approvals._reviews({"reviews": [review]}))
    assert "overdue" in text
    assert "0 of 2" in text
    assert "no such reviews" in shown(approvals._reviews({"reviews": []}))
