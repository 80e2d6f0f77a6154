"""`penelope rollout watch` asks for what it draws, however long the history is."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from penelope.entry.cli.main import app

LOOKS = 20_000


class History(ThreadingHTTPServer):
    """A deployment that has been looked at for a day; it ends when it was shown three times, and goes on until then."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.shown = 0
        self.sent: list[int] = []

    def deployment(self) -> dict[str, Any]:
        self.shown += 1
        ended = "2026-11-22T10:00:00Z" if self.shown > 2 else None
        return {
            "id": "deployment_1",
            "course": {"canary": "b", "stages": [{"weight": 10}, {"weight": 100}]},
            "status": "promoted" if ended else "progressing",
            "weight": 10,
            "wanted": 10,
            "moving": False,
            "paused": False,
            "awaits": "",
            "cause": None,
            "reason": "",
            "ended_at": ended,
        }

    def events(self, after: int, limit: int, *, newest: bool) -> list[dict[str, Any]]:
        versions = range(after + 1, LOOKS + self.shown + 1)
        chosen = versions[-limit:] if newest else versions[:limit]
        self.sent.append(len(chosen))
        return [event(version) for version in chosen]


def event(version: int) -> dict[str, Any]:
    assessment = {"harm": 0.1, "findings": [], "step": "hold", "expected_seconds": None, "reasons": []}
    return {
        "version": version,
        "at": "2026-11-22T10:00:00Z",
        "event": "CanaryLooked",
        "reason": f"look {version}.",
        "details": {"look": {"weight": 10, "assessment": assessment, "doubts": []}},
    }


class Answering(BaseHTTPRequestHandler):
    server: History

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path.endswith("/events"):
            newest = given.get("newest") == "true"
            content: Any = {
                "events": self.server.events(int(given["after"]), int(given["limit"]), newest=newest)
            }
        else:
            content = {"deployment": self.server.deployment(), "look": None}
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@pytest.fixture
def history() -> Iterator[History]:
    with History() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_only_what_is_drawn_is_fetched(history: History) -> None:
    address = f"http://127.0.0.1:{history.server_port}"
    ran = CliRunner(env={"PENELOPE_API_KEY": "pnl_x", "COLUMNS": "100"}).invoke(
        app, ["rollout", "watch", "deployment_1", "--server", address]
    )
    assert ran.exit_code == 0, ran.output
    assert history.sent[0] == 90
    assert sum(history.sent[1:]) == history.shown, "each look that came meanwhile is fetched once"
    for version in range(LOOKS + history.shown - 7, LOOKS + history.shown + 1):
        assert f"look {version}." in ran.stdout
    assert f"look {LOOKS - 100}." not in ran.stdout
