"""A receiver of Standard Webhooks that checks every signature, and takes an event in once."""

import base64
import hashlib
import hmac
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

KEY = b"0123456789abcdef-a-real-key"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@dataclass
class Receiver:
    """`events` are in effect by id. POST /hook takes events, GET /events/<id> tells of one."""

    url: str = ""
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Answered in this order in place of the true ones; the event is taken in all the same."""
    stubborn: bool = False

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        self.requests.append((method, path, headers, body))
        if method == "GET":
            return 200 if unquote(path.removeprefix("/events/")) in self.events else 404
        reason = self._wrong(path, headers, body)
        if reason:
            self.refused.append(reason)
            return 400
        self._take(headers["webhook-id"], json.loads(body))
        return self.statuses.pop(0) if self.statuses else 204

    def _wrong(self, path: str, headers: dict[str, str], body: bytes) -> str:
        try:
            identity, at = headers["webhook-id"], headers["webhook-timestamp"]
            versions = dict(each.split(",", 1) for each in headers["webhook-signature"].split(" "))
        except (KeyError, ValueError):
            return "headers are missing"
        digest = hmac.new(KEY, f"{identity}.{at}.".encode() + body, hashlib.sha256).digest()
        if path != "/hook" or not hmac.compare_digest(versions["v1"], base64.b64encode(digest).decode()):
            return "the signature does not fit"
        if abs(time.time() - int(at)) > 300:
            return "too old"
        return "" if set(json.loads(body)) == {"type", "timestamp", "data"} else "not the shape of an event"

    def _take(self, identity: str, event: dict[str, Any]) -> None:
        if identity in self.taken:
            return
        self.taken.append(identity)
        if event["type"].endswith(".reverted"):
            if not self.stubborn:
                self.events.pop(event["data"]["reverts"], None)
        else:
            self.events[identity] = event


def receive(request: Any) -> Receiver:
    """A receiver that serves until the test ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.answer(self.command, self.path, headers, body)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", f"{receiver.url}/hook")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = _serve  # noqa: N815 - names that http.server asks for

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    request.addfinalizer(close)
    return receiver
