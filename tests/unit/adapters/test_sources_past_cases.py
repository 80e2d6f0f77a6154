"""Past incidents as lines of JSON: what is filled in, what is refused, and that the schema says the same."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from penelope.adapters.sources.past_cases import past_case_schema, read_line
from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase
from penelope.domain.signal import Severity, problem_fingerprint
from penelope.errors import InvalidRequest

NOW = datetime(2026, 11, 21, tzinfo=UTC)
EXAMPLES = Path(__file__).parents[3] / "examples" / "past-incidents.jsonl"
SCHEMA = Draft202012Validator(past_case_schema())
REMOVED = object()


def given(**changes: Any) -> dict[str, Any]:
    made = {
        "service": "shop",
        "name": "Odd",
        "opened_at": "2026-01-02T03:04:05Z",
        "duration": "10m",
        **changes,
    }
    return {name: value for name, value in made.items() if value is not REMOVED}


def read(**changes: Any) -> PastCase:
    case = read_line(json.dumps(given(**changes)).encode(), NOW)
    assert case is not None
    return case


def test_little_is_enough() -> None:
    case = read()
    assert case.fingerprint == problem_fingerprint("shop", "Odd")
    assert case.severity is Severity.ERROR
    assert case.kind is OutcomeKind.ESCALATED
    assert (case.playbook, case.verified, case.healed_itself) == (None, None, False)
    assert case.alone_seconds == 600
    assert case.ended_at - case.opened_at == timedelta(minutes=10)
    assert case.imported
    assert case.incident.startswith("past_")


@pytest.mark.parametrize(
    ("changes", "kind", "verified"),
    [
        ({"playbook": "fix"}, OutcomeKind.HEALED, True),
        ({"playbook": "fix", "outcome": "escalated"}, OutcomeKind.ESCALATED, False),
        ({"playbook": "fix", "outcome": "escalated", "verified": True}, OutcomeKind.ESCALATED, True),
        ({"outcome": "resolved"}, OutcomeKind.RESOLVED, None),
        ({"outcome": "healed"}, OutcomeKind.HEALED, None),
    ],
)
def test_the_outcome_follows_from_what_is_said(
    changes: dict[str, Any],
    kind: OutcomeKind,
    verified: bool | None,  # noqa: FBT001 - the expected answer
) -> None:
    case = read(**changes)
    assert (case.kind, case.verified) == (kind, verified)
    assert case.healed_itself is (kind is OutcomeKind.RESOLVED)


def test_times_may_be_written_in_several_ways() -> None:
    ended = {"duration": REMOVED, "ended_at": "2026-01-02T04:14:05+01:00"}
    same = [read(), read(duration=600), read(opened_at="2026-01-02 03:04:05"), read(**ended)]
    assert len({case.incident for case in same}) == 1
    assert read(acted_after="2m").alone_seconds == 120
    assert read(acted_after="2h").alone_seconds == 600


def test_the_name_is_a_digest_of_all_that_is_said() -> None:
    assert read().incident == read(severity="error", labels={}).incident
    changes: list[dict[str, Any]] = [
        {"summary": "x"},
        {"labels": {"a": "b"}},
        {"duration": 601},
        {"outcome": "resolved"},
        {"acted_after": 1},
        {"reference": "INC-1"},
        {"severity": "info"},
    ]
    assert len({read(**change).incident for change in changes} | {read().incident}) == 8


def test_empty_lines_are_nothing() -> None:
    assert read_line(b"", NOW) is None
    assert read_line(b" \t ", NOW) is None


def test_the_examples_follow_the_schema_and_are_all_different() -> None:
    lines = EXAMPLES.read_bytes().splitlines()
    assert len(lines) >= 30
    for line in lines:
        SCHEMA.validate(json.loads(line))
    assert len({case.incident for line in lines if (case := read_line(line, NOW))}) == len(lines)


@pytest.mark.parametrize(
    "changes",
    [
        {"service": REMOVED},
        {"service": ""},
        {"service": "x" * 257},
        {"name": 5},
        {"opened_at": REMOVED},
        {"opened_at": "yesterday"},
        {"duration": "soon"},
        {"duration": -1},
        {"severity": "loud"},
        {"labels": {"a": 1}},
        {"labels": []},
        {"outcome": "won"},
        {"verified": "yes", "playbook": "fix"},
        {"summary": "x" * 4097},
        {"surprise": 1},
    ],
)
def test_what_the_schema_refuses_is_refused(changes: dict[str, Any]) -> None:
    content = given(**changes)
    with pytest.raises(InvalidRequest):
        read_line(json.dumps(content).encode(), NOW)
    # Formats such as date-time are notes to a reader of the schema only.
    assert list(SCHEMA.iter_errors(content)) or "opened_at" in changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ended_at": "2026-01-03T00:00:00Z"}, "either"),
        ({"duration": REMOVED}, "either"),
        ({"duration": REMOVED, "ended_at": "2026-01-01T00:00:00Z"}, "before"),
        ({"verified": True}, "name it"),
        ({"outcome": "resolved", "playbook": "fix"}, "nothing was done"),
        ({"outcome": "resolved", "acted_after": "1m"}, "nothing was done"),
        ({"opened_at": "1815-06-18T00:00:00Z"}, "year 1815"),
        ({"opened_at": "2026-11-25T00:00:00Z"}, "ahead of now"),
        ({"duration": 1e18}, "beyond all years"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read(**changes)
