"""What a message in Slack shows of a text that is longer than Slack takes."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from penelope.adapters.notify.slack import SlackChannel
from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.notice import NoticeKind
from penelope.flow.courier import Message

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
ASKED = Approval(
    id="appr_1",
    incident="inc_1",
    plan_digest="p",
    reasons=(),
    status=ApprovalStatus.PENDING,
    requested_at=NOW,
    expires_at=NOW + timedelta(hours=1),
)


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append(posted)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.posted = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def shown(hook: Any, text: str, approval: Approval | None = ASKED) -> str:
    message = Message(
        kind=NoticeKind.REQUESTED, about="appr_1", incident="inc_1", title="t", text=text, approval=approval
    )
    asyncio.run(SlackChannel("ops", f"http://127.0.0.1:{hook.server_port}/x").send(message))
    said: str = hook.posted[-1]["blocks"][1]["text"]["text"]
    assert len(said) <= 3000
    return said


@pytest.mark.parametrize(
    ("approval", "where"), [(ASKED, "penelope approvals show appr_1"), (None, "penelope show inc_1")]
)
def test_who_is_asked_sees_that_steps_are_missing_and_where_they_are(
    hook: Any, approval: Approval | None, where: str
) -> None:
    steps = "\n".join(
        f"- Restart instance {number:03} (process.restart on web-{number:03})" for number in range(100)
    )
    *told, end = shown(hook, steps, approval).splitlines()
    assert told == steps.splitlines()[: len(told)]
    left = len(steps) - len("\n".join(told))
    assert end == f"… {left} more characters are not shown here: {where}"


def test_one_long_line_is_cut_in_the_middle(hook: Any) -> None:
    assert shown(hook, "why\n" + "x" * 5_000).startswith("why\n" + "x" * 2_000)


def test_a_short_text_is_shown_as_it_is(hook: Any) -> None:
    assert shown(hook, "x" * 2_700) == "x" * 2_700
