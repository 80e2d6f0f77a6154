"""What settings change about past incidents."""

import json
from pathlib import Path
from typing import Any

from doorstep import Doorstep, settings

EXAMPLES = Path(__file__).parents[2] / "examples" / "past-incidents.jsonl"


def line(summary: str) -> bytes:
    made = {"service": "shop", "name": "Odd", "opened_at": "2026-01-02", "duration": 60, "summary": summary}
    return json.dumps(made).encode()


def send(door: Doorstep, content: bytes) -> Any:
    return door.ask("POST", "/api/v1/wisdom/import", content=content)


def test_more_than_an_import_may_hold_is_refused(tmp_path: Path) -> None:
    with Doorstep(settings(tmp_path, wisdom={"max_import": 3})) as door:
        lines = [line(str(number)) for number in range(4)]
        door.problem(413, "too_large", lambda: send(door, b"\n".join(lines)))
        assert send(door, b"\n".join(lines[1:])).json()["new"] == 3


def test_without_meaning_the_search_goes_by_words_and_says_so(tmp_path: Path) -> None:
    with Doorstep(settings(tmp_path, wisdom={"meaning": False, "refresh_seconds": 0.1})) as door:
        send(door, EXAMPLES.read_bytes())
        answer = door.until(
            lambda: door.get("/api/v1/wisdom", params={"q": "backup disk slow"}),
            lambda answer: answer["found"],
        )
        assert "switched off" in answer["degraded"]
        assert {by for hit in answer["found"] for by in hit["by"]} == {"keywords"}
        assert "backup" in answer["found"][0]["case"]["summary"]
