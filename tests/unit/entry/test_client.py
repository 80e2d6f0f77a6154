import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from penelope.entry.cli.client import Client, address_of
from penelope.errors import BadSettings, InvalidRequest, PenelopeError, Unauthenticated, Unavailable
from penelope.settings import Settings

PROBLEM = {"code": "already_decided", "detail": "it was approved", "hint": "look", "request_id": "r1"}


class Answering(BaseHTTPRequestHandler):
    """Answers each path in its own way and keeps what it was asked."""

    answers: ClassVar[dict[str, tuple[int, str, str]]] = {
        "/good": (200, "application/json", '{"ok": true}'),
        "/refused": (409, "application/problem+json", json.dumps(PROBLEM)),
        "/failed": (500, "application/problem+json", json.dumps(PROBLEM)),
        "/page": (200, "text/html", "<h1>Welcome to the proxy</h1>"),
        "/gateway": (502, "text/html", "<h1>Bad gateway</h1>"),
        "/other": (404, "application/json", '{"error": "x"}'),
        "/lines": (200, "application/x-ndjson", "{}\n" * 10_000),
        "/broken": (200, "application/x-ndjson", "{}\n"),
    }
    asked: ClassVar[list[tuple[str, str, str | None, bytes]]] = []

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.command, self.path, self.headers.get("Authorization"), body))
        status, media, text = self.answers[self.path.partition("?")[0]]
        self.send_response(status)
        self.send_header("Content-Type", media)
        # What is broken off announces more than comes.
        self.send_header("Content-Length", str(len(text) + (self.path == "/broken")))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}/"
        finally:
            listening.shutdown()
            thread.join()


def test_it_asks_with_the_key_and_without_what_is_not_given(server: str) -> None:
    with Client(server, "pnl_key") as client:
        assert client.get("/good", limit=5, before=None, state=["a", "b"]) == {"ok": True}
    method, path, shown, _ = Answering.asked[-1]
    assert (method, path, shown) == ("GET", "/good?limit=5&state=a&state=b", "Bearer pnl_key")


def test_it_asks_without_a_key_if_there_is_none(server: str) -> None:
    with Client(server, None) as client:
        assert client.post("/good", {"comment": "é"}) == {"ok": True}
    method, _, shown, body = Answering.asked[-1]
    assert (method, shown, json.loads(body)) == ("POST", None, {"comment": "é"})


def test_a_problem_is_raised_in_the_servers_words(server: str) -> None:
    with Client(server, None) as client, pytest.raises(PenelopeError) as raised:
        client.get("/refused")
    assert (raised.value.message, raised.value.advice) == ("it was approved", "look")


def test_a_failure_of_the_server_names_the_request(server: str) -> None:
    with Client(server, None) as client, pytest.raises(PenelopeError) as raised:
        client.get("/failed")
    assert raised.value.advice == "look (request r1)"


@pytest.mark.parametrize(("path", "said"), [("/page", "200"), ("/gateway", "502"), ("/other", "404")])
def test_what_is_no_penelope_is_said_to_be_none(server: str, path: str, said: str) -> None:
    with Client(server, None) as client, pytest.raises(Unavailable, match=f"no Penelope: {said}"):
        client.get(path)


def test_a_large_answer_comes_piece_by_piece(server: str) -> None:
    with Client(server, None) as client:
        pieces = list(client.pieces("/lines", where=["a=b"], since=None))
    assert b"".join(pieces) == b"{}\n" * 10_000
    assert Answering.asked[-1][1] == "/lines?where=a%3Db"


def test_a_large_answer_that_breaks_off_is_not_taken_for_whole(server: str) -> None:
    with Client(server, None) as client, pytest.raises(Unavailable, match="broke off"):
        list(client.pieces("/broken"))


def test_what_is_refused_is_raised_before_any_piece(server: str) -> None:
    with Client(server, None) as client, pytest.raises(PenelopeError, match="it was approved"):
        next(client.pieces("/refused"))
    with Client(server, None) as client, pytest.raises(Unavailable, match="no Penelope: 502"):
        next(client.pieces("/gateway"))


def test_an_address_where_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            Client(address, None) as client,
            pytest.raises(Unavailable, match=f"no server answers at {address}") as raised,
        ):
            client.get("/good")
    assert "penelope serve" in raised.value.advice


@pytest.mark.parametrize(
    "address", ["", "penelope", "ftp://host", "http://", "http://[::1", "localhost:8420"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadSettings, match="no address"):
        Client(address, None)


@pytest.mark.parametrize("key", ["a b", "a\nHost: evil", "ключ", "a\x00"])
def test_what_cannot_be_a_key_is_never_sent(key: str) -> None:
    with pytest.raises(Unauthenticated) as raised:
        Client("http://127.0.0.1:9", key)
    assert key not in raised.value.message


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:8420"),
        ("0.0.0.0", "http://127.0.0.1:8420"),
        ("::", "http://[::1]:8420"),
        ("penelope.internal", "http://penelope.internal:8420"),
    ],
)
def test_the_server_of_the_settings_is_reached_from_here(host: str, address: str) -> None:
    assert address_of(Settings.model_validate({"api": {"host": host}})) == address


@pytest.mark.parametrize(
    ("address", "uses_proxy"),
    [
        ("http://127.0.0.1:1", False),
        ("http://localhost:1", False),
        ("http://[::1]:1", False),
        ("http://penelope:1", True),
    ],
)
def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch, address: str, *, uses_proxy: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with Client(address, None) as client:
        assert bool(client._client._mounts) == uses_proxy


def test_what_is_no_text_is_refused_before_it_is_sent(server: str) -> None:
    with Client(server, None) as client, pytest.raises(InvalidRequest, match="UTF-8"):
        client.post("/good", {"reason": "caf\udce9"})
