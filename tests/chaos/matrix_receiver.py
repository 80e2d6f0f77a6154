"""A service whose cache is flushed by signed events, in a process of its own: ``matrix_receiver.py SECRET PORT_FILE``.

An event is taken in once, by its id, and can be taken back. It outlives whoever sends to it, and needs nothing but Python.
"""

import base64
import hashlib
import hmac
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote

EVENTS = "/events/"


class Cache:
    """What is in force: a poisoned cache is served until an event of this time flushes it."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.poisoned = False
        self.in_effect: dict[str, str] = {}
        self.taken = 0

    @property
    def healthy(self) -> bool:
        return not self.poisoned or bool(self.in_effect)

    def take(self, identity: str, event: dict[str, Any]) -> None:
        with self.lock:
            if event["type"].endswith(".reverted"):
                self.in_effect.pop(event["data"]["reverts"], None)
            elif identity not in self.in_effect:
                self.in_effect[identity] = event["type"]
                self.taken += 1

    def start(self, *, poisoned: bool) -> None:
        with self.lock:
            self.poisoned, self.in_effect, self.taken = poisoned, {}, 0

    def told(self) -> dict[str, Any]:
        with self.lock:
            return {
                "healthy": self.healthy,
                "in effect": sorted(self.in_effect.values()),
                "taken": self.taken,
            }


def is_signed(secret: str, headers: Any, body: bytes) -> bool:
    """By Standard Webhooks."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    made = base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()
    return hmac.compare_digest(f"v1,{made}", headers.get("webhook-signature", ""))


def main() -> None:
    secret, port, cache = sys.argv[1], Path(sys.argv[2]), Cache()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith(EVENTS):
                known = unquote(self.path.removeprefix(EVENTS)) in cache.in_effect
                self._answer(200 if known else 404, {})
            else:
                self._answer(200, cache.told())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.path in {"/mend", "/poison"}:
                cache.start(poisoned=self.path == "/poison")
                self._answer(200, {})
            elif is_signed(secret, self.headers, body):
                cache.take(self.headers["webhook-id"], json.loads(body))
                self._answer(202, {})
            else:
                self._answer(401, {})

        def _answer(self, status: int, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    aside = port.with_suffix(".new")
    aside.write_text(str(server.server_port), encoding="ascii")
    aside.replace(port)
    server.serve_forever()


if __name__ == "__main__":
    main()
