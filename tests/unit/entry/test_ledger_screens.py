"""What is shown of the ledger where there is little, or something odd."""

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console, RenderableType

from penelope.domain.work import Entry
from penelope.entry.cli import ledger_screens
from penelope.ledger.notes import Checkpoint
from penelope.ledger.receipt import Story

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
STATS = {
    "entries": 0,
    "log_size": 0,
    "waiting": 0,
    "xmin_age": 0,
    "checkpoint": None,
    "oldest_at": None,
    "payloads": 0,
    "removed": 0,
    "events": {},
}


def shown(*parts: RenderableType) -> str:
    console = Console(width=80, file=None)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert max(map(len, lines)) <= 80
    return "\n".join(lines)


def test_an_empty_ledger() -> None:
    assert shown(ledger_screens.figures(STATS)).splitlines() == [
        "entries       0",
        "in the log    0, none waits",
        "checkpoint    none was signed yet",
        "payloads      0 in the database, 0 archived or erased",
        "oldest entry  none",
    ]


@pytest.mark.parametrize(
    ("age", "said"), [(0, "1,234 wait"), (77, "1,234 wait; the oldest open transaction is 77 behind")]
)
def test_a_log_that_is_behind(age: int, said: str) -> None:
    checkpoint = {"size": 9, "age_seconds": 75.2, "witnesses": ["a.example/w", "b.example/\x1b[31m"]}
    stats = {**STATS, "waiting": 1234, "xmin_age": age, "checkpoint": checkpoint}
    text = shown(ledger_screens.figures(stats))
    assert f"in the log    0, {said}\n" in text
    assert "9 entries, signed 1 min 15 s ago\n" in text
    assert "cosigned by a.example/w, b.example/\\x1b[31m" in text


def story(*entries: Entry) -> Story:
    return Story(
        incident="inc_1",
        checkpoint=Checkpoint("example.com/log", 9, b"\x01" * 32),
        entries=entries,
        signers=("example.com/log (00000000)",),
        witnesses=("a.example/w (11111111)", "b.example/w (22222222)"),
        remarks=("It proves little. " * 9,),
    )


def entry(event: str, **changes: Any) -> Entry:
    given = {"actor": "key:ada", "reason": "because", "details": {}, "salt": "5a", **changes}
    return Entry(
        unit="inc_1:x",
        version=1,
        kind="canary",
        incident="inc_1",
        event=event,
        actor_id="act_1",
        status_before=None,
        status_after="promote",
        state_before=None,
        state_hash="",
        interaction_before=None,
        interaction_after="done",
        recorded_at=NOW,
        previous_hash="",
        payload_hash="",
        body=b"",
        hash="",
        **given,
    )


def test_a_story_names_all_who_vouch_and_all_who_acted() -> None:
    told = story(entry("Odd", actor="penelope"), entry("Odd"), entry("Odd"), entry("Odd", salt="", actor=""))
    text = shown(*ledger_screens.story(told, 80))
    assert "cosigned by  a.example/w (11111111)\n             b.example/w (22222222)\n" in text
    assert "acted        penelope, key:ada\n" in text
    assert text.count("07:00:00  canary     Odd: because\n") == 3
    assert "07:00:00  canary     Odd (promote): its payload was erased\n" in text
    assert "Every entry is proven: 4 of 4.\n· It proves little. It" in text


@pytest.mark.parametrize("details", [{"verdicts": [{}]}, {"verdicts": [7]}, {"verdicts": 7}])
def test_details_of_another_shape_do_not_break_the_screen(details: dict[str, Any]) -> None:
    text = shown(*ledger_screens.story(story(entry("GatePassed", details=details, reason="why\x1b")), 80))
    assert "07:00:00  canary     GatePassed (promote): why\\x1b\n" in text
