"""Notices through real parts: an SMTP server, a webhook, and channels that fail."""

import asyncio
import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiosmtpd.controller import Controller
from doorstep import Doorstep, settings

from penelope.adapters.notify.apprise import AppriseChannel, MailChannel
from penelope.adapters.notify.threads import MOST
from penelope.domain.notice import NoticeKind
from penelope.errors import BadSettings, Unavailable
from penelope.flow.courier import Message
from penelope.flow.keys import Scope

PEOPLE = ["ada@example.com slack=U0ADA", "bob@example.com", "carl"]
QUICK = {
    "poll_seconds": 0.05,
    "backoff_seconds": 0.05,
    "attempts": 2,
    "public_address": "http://penelope.test",
}


class Inbox:
    """What an SMTP server was given."""

    def __init__(self) -> None:
        self.letters: list[Any] = []
        self.refuse = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802 - the server's own
        if self.refuse:
            return "451 not now"
        self.letters.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=policy.default)))
        return "250 taken"

    def text(self, to: str) -> str:
        letter = next(letter for rcpt, letter in self.letters if rcpt == [to])
        return str(letter.get_body(("plain",)).get_content())


@contextmanager
def mailing() -> Iterator[tuple[Inbox, str]]:
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=0)
    controller.port = _free_port()
    controller.start()
    try:
        yield inbox, f"mailto://127.0.0.1:{controller.port}?from=penelope@example.com&mode=insecure"
    finally:
        controller.stop()


def _free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        return int(server.server_address[1])


class Hook:
    """What a webhook was given; `status` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[Any] = []


@contextmanager
def hooking() -> Iterator[tuple[Hook, str]]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.bodies.append(json.loads(body))
            self.send_response(hook.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook, f"http://127.0.0.1:{server.server_address[1]}/hook"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def standing(folder: Path, channels: list[str], **approval: Any) -> Iterator[Doorstep]:
    sections = {"approval": {"people": PEOPLE, **approval}, "notify": {"channels": channels, **QUICK}}
    with Doorstep(settings(folder, **sections)) as door:
        yield door


def notices(folder: Path) -> dict[str, str]:
    """What became of each kind of notice."""
    with closing(sqlite3.connect(folder / "penelope.db")) as database:
        return dict(database.execute("SELECT kind, state FROM notices"))


def waiting(door: Doorstep) -> str:
    incident = door.open(data={"labels": {"stuck": "yes"}})
    door.wait_for(incident, "awaiting_approval")
    return incident


def told(door: Doorstep, incident: str, event: str) -> list[str]:
    entries = door.get(f"/api/v1/incidents/{incident}/timeline")["entries"]
    return [entry["reason"] for entry in entries if entry["event"] == event]


def until_told(door: Doorstep, incident: str, event: str, times: int = 1) -> list[str]:
    found: list[str] = door.until(lambda: told(door, incident, event), lambda seen: len(seen) >= times)
    return found


def test_a_letter_lets_each_person_answer_once(tmp_path: Path) -> None:
    with mailing() as (inbox, url), standing(tmp_path, [f"mail {url}"]) as door:
        incident = waiting(door)
        assert until_told(door, incident, "NoticeSent") == ["requested: told on mail"]
        assert sorted(rcpt for rcpts, _ in inbox.letters for rcpt in rcpts) == [
            "ada@example.com",
            "bob@example.com",
        ]
        text = inbox.text("ada@example.com")
        assert "Risk" in text
        assert text != inbox.text("bob@example.com")
        link = re.search(r"Reject:\s+(\S+)", text)
        assert link is not None
        token = parse_qs(urlsplit(link[1]).query)["token"][0]
        path = urlsplit(link[1]).path
        assert "Reject this plan?" in door.ask("GET", path, key=None, params={"token": token}).text
        given = door.ask("POST", path, key=None, params={"token": token}, content=b"reason=too+late")
        assert given.status_code == 200
        door.wait_for(incident, "escalated")
        assert told(door, incident, "ApprovalRefused") == ["too late"]


def test_a_failing_channel_is_tried_again_then_the_next_one_has_its_turn(tmp_path: Path) -> None:
    with hooking() as (hook, address), mailing() as (inbox, url):
        hook.status = 500
        with standing(tmp_path, [f"ops slack+{address}", f"mail {url}"]) as door:
            incident = waiting(door)
            assert until_told(door, incident, "NoticeSent") == ["requested: told on mail"]
            assert told(door, incident, "NoticeFailed") == [
                "ops: the channel ops answered 500",
                "ops: the channel ops answered 500; mail is next",
            ]
            assert len(hook.bodies) == 2
            assert len(inbox.letters) == 2
            assert door.metric("penelope_notices_total", channel="mail", result="sent") == 1
            # The request is where it was.
            assert door.incident(incident)["state"] == "awaiting_approval"


def test_when_no_channel_takes_it_that_shows_and_the_request_stays(tmp_path: Path) -> None:
    with mailing() as (inbox, url):
        inbox.refuse = True
        with standing(tmp_path, [f"mail {url}"]) as door:
            incident = waiting(door)
            (lost,) = until_told(door, incident, "NoticeLost")
            assert "no channel took it" in lost
            assert door.incident(incident)["state"] == "awaiting_approval"
            assert inbox.letters == []


def test_buttons_name_the_request_and_reminders_come_once(tmp_path: Path) -> None:
    with hooking() as (hook, address):
        channels = [f"ops slack+{address}"]
        moments = {"expires_seconds": 600, "reminders": [0.2], "escalation": ["0.3 ops"]}
        with standing(tmp_path, channels, **moments) as door:
            incident = waiting(door)
            for times in (1, 2, 3):
                until_told(door, incident, "NoticeSent", times=times)
                door.clock.ahead += timedelta(seconds=125 if times == 1 else 60)
            # Nothing waits to be said any more.
            assert notices(tmp_path) == {"requested": "sent", "reminder": "sent", "escalation": "sent"}
            assert [body["text"].partition(":")[0] for body in hook.bodies] == [
                "approval needed",
                "Reminder",
                "Escalated",
            ]
            (approval,) = door.get("/api/v1/approvals")["approvals"]
            buttons = hook.bodies[0]["blocks"][-1]["elements"]
            assert [(item["action_id"], item["value"]) for item in buttons] == [
                ("penelope_approve", approval["id"]),
                ("penelope_reject", approval["id"]),
            ]


def test_what_was_answered_is_not_spoken_of_any_more(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"expires_seconds": 600, "reminders": [0.5]}
    with (
        hooking() as (hook, address),
        standing(tmp_path, [f"any json://{address.removeprefix('http://')}"], **limits) as door,
    ):
        incident = waiting(door)
        until_told(door, incident, "NoticeSent")
        word = door.ask("POST", f"/api/v1/incidents/{incident}/reject", json={"comment": "no"})
        assert word.status_code == 200
        door.clock.ahead += timedelta(seconds=301)
        door.until(lambda: notices(tmp_path)["reminder"], lambda state: state == "void")
        assert len(hook.bodies) == 1
        assert "free-the-lock on shop" in hook.bodies[0]["title"]


def test_notices_survive_a_restart(tmp_path: Path) -> None:
    with hooking() as (hook, address):
        hook.status = 503
        channels = [f"ops slack+{address}"]
        patient = {"channels": channels, **QUICK, "attempts": 1000, "backoff_seconds": 0.2}
        wanted = {"approval": {"people": PEOPLE}, "notify": patient}
        with Doorstep(settings(tmp_path, **wanted)) as door:
            incident = waiting(door)
            until_told(door, incident, "NoticeFailed")
        hook.status = 200
        with Doorstep(settings(tmp_path, **wanted)) as door:
            assert until_told(door, incident, "NoticeSent") == ["requested: told on ops"]
            assert door.incident(incident)["state"] == "awaiting_approval"


def test_a_url_that_nothing_can_use_is_found_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot use the URL of 'ops'") as refused:
        AppriseChannel("ops", "nonsense://secret")
    assert "secret" not in str(refused.value)
    with (
        pytest.raises(BadSettings, match="no channel 'managers'"),
        standing(tmp_path, ["ops json://127.0.0.1:9"], escalation=["0.5 managers"]),
    ):
        pass


@pytest.mark.parametrize("more", ["/team@example.com", "?cc=team@example.com", "?bcc=team@example.com"])
def test_a_letter_with_somebodys_own_links_goes_to_nobody_else(more: str) -> None:
    answering: Any = None  # is asked for nothing before a letter is written
    with pytest.raises(BadSettings, match=r"would not reach nobody@example\.com alone") as refused:
        MailChannel("mail", f"mailtos://penelope:secret@smtp.example.com{more}", answering)
    assert "secret" not in str(refused.value)


def test_a_channel_that_hangs_holds_up_nothing_else() -> None:
    async def run(port: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        channel = AppriseChannel("ops", f"json://127.0.0.1:{port}?rto=60")
        message = Message(kind=NoticeKind.REQUESTED, about="a", incident="i", title="Well", text="well?")
        for _ in range(MOST):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(channel.send(message), 0.001)
        # The loop's own threads are free, and those of the channel are counted.
        assert await asyncio.wait_for(asyncio.to_thread(int), 5) == 0
        with pytest.raises(Unavailable, match="has not come back"):
            await channel.send(message)

    with socket.create_server(("127.0.0.1", 0), backlog=MOST) as silent:
        begun = time.monotonic()
        asyncio.run(run(silent.getsockname()[1]))
        assert time.monotonic() - begun < 30


def test_broken_glass_is_told_on_every_channel(tmp_path: Path) -> None:
    with (
        hooking() as (first, one),
        hooking() as (second, two),
        standing(tmp_path, [f"ops slack+{one}", f"boss slack+{two}"]) as door,
    ):
        incident = waiting(door)
        path = f"/api/v1/incidents/{incident}/break-glass"
        key = door.new_key(name="ada", scopes=frozenset({Scope.BREAK_GLASS}))[1]
        broken = door.ask("POST", path, key=key, json={"reason": "all shops are down"}).json()
        door.clock.ahead += timedelta(days=2)
        door.until(lambda: len(first.bodies) + len(second.bodies), lambda seen: seen >= 5)
        for hook in (first, second):
            texts = [body["text"] for body in hook.bodies]
            assert "GLASS BROKEN: key:ada runs free-the-lock on shop" in texts
            assert "REVIEW OVERDUE: key:ada broke the glass on shop" in texts
        (review,) = door.get("/api/v1/reviews", params={"status": "open"})["reviews"]
        assert (review["id"], review["overdue"]) == (broken["id"], True)
        door.ask("GET", "/metrics", key=None)
        assert door.metric("penelope_reviews_overdue") == 1
