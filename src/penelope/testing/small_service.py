"""A small real HTTP service for worlds, run as a script: it can be made slow or failing, it queues, it sheds load.

GET / is what users ask for. POST /fault breaks it until it is restarted. /admin/admission is how an operator lowers the
share of requests that it takes in; it remembers each change by its idempotency key. It needs nothing but Python.
"""

import argparse
import json
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_WINDOW_SECONDS = 2.0
_LONGEST_QUEUE = 15
_ADMISSION = "/admin/admission"


class Service:
    """The state of one instance; `release` is read once, when it starts."""

    def __init__(self, name: str, release: Path | None, slots: int, busy_seconds: float) -> None:
        self.name = name
        settings = json.loads(release.read_text(encoding="utf-8")) if release else {}
        self.release = str(settings.get("name", ""))
        self.fails = float(settings.get("fails", 0.0))
        self.slow_seconds = 0.0
        self.share = 100
        self._busy_seconds = busy_seconds
        self._slots = threading.Semaphore(slots)
        self._lock = threading.Lock()
        self._waiting = 0
        self._number = 0
        self._seen: deque[tuple[float, float, bool]] = deque()
        self._changes: dict[str, tuple[int, bool]] = {}

    def serve(self) -> tuple[int, float]:
        """Status and seconds of one request of a user."""
        start = time.monotonic()
        with self._lock:
            self._number += 1
            number = self._number
            # Whole numbers spread what is let in evenly: 30 of 100 is not the first 30.
            if number * self.share // 100 == (number - 1) * self.share // 100:
                return 429, 0.0
            if self._waiting >= _LONGEST_QUEUE:
                self._seen.append((time.monotonic(), 0.0, False))
                return 503, 0.0
            self._waiting += 1
        with self._slots:
            time.sleep(self._busy_seconds + self.slow_seconds)
        seconds = time.monotonic() - start
        failed = int(number * self.fails) != int((number - 1) * self.fails)
        with self._lock:
            self._waiting -= 1
            self._seen.append((time.monotonic(), seconds, not failed))
        return (500 if failed else 200), seconds

    def figures(self) -> dict[str, Any]:
        """What those who were let in got lately."""
        with self._lock:
            now = time.monotonic()
            while self._seen and self._seen[0][0] < now - _WINDOW_SECONDS:
                self._seen.popleft()
            seconds = sorted(item[1] for item in self._seen)
            return {
                "requests": len(seconds),
                "errors": sum(not item[2] for item in self._seen),
                "slowest_seconds": seconds[-1] if seconds else 0.0,
                "waiting": self._waiting,
            }

    def admission(self, method: str, path: str, key: str, body: dict[str, Any]) -> tuple[int, Any]:
        """GET tells the share or whether a change is in effect, PUT makes a change, POST to /undo takes it back."""
        rest = unquote(path.removeprefix(_ADMISSION).removeprefix("/"))
        with self._lock:
            if method == "GET" and not rest:
                return 200, {"share": self.share}
            if method == "GET":
                return (200 if self._changes.get(rest, (0, False))[1] else 404), {}
            if method == "PUT" and not rest:
                return self._change(key, body.get("share"))
            if method == "POST" and rest.endswith("/undo"):
                return self._take_back(rest.removesuffix("/undo"))
        return 404, {}

    def _change(self, key: str, share: Any) -> tuple[int, Any]:
        if not key or not isinstance(share, int) or isinstance(share, bool) or not 1 <= share <= 100:
            return 400, {"error": "a change needs an Idempotency-Key and a share from 1 to 100"}
        if key not in self._changes:
            self._changes[key] = (self.share, True)
            self.share = share
        return 200, {"share": self.share}

    def _take_back(self, key: str) -> tuple[int, Any]:
        before, in_effect = self._changes.get(key, (0, False))
        if in_effect:
            self.share = before
            self._changes[key] = (before, False)
        return (200 if key in self._changes else 404), {"share": self.share}

    def reset(self) -> None:
        with self._lock:
            self.share, self.slow_seconds, self.fails = 100, 0.0, 0.0
            self._changes.clear()
            self._seen.clear()

    def break_it(self, fault: dict[str, Any]) -> None:
        with self._lock:
            self.slow_seconds = float(fault.get("slow_seconds", self.slow_seconds))
            self.fails = float(fault.get("fails", self.fails))


def handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(text) if text else {}
            seconds, answer = 0.0, {}
            if self.path == "/":
                status, seconds = service.serve()
            elif self.path == "/health":
                status = 200
            elif self.path == "/figures":
                status, answer = 200, service.figures()
            elif self.path == "/fault" and self.command == "POST":
                status = 200
                service.break_it(body)
            elif self.path == "/reset" and self.command == "POST":
                status = 200
                service.reset()
            elif self.path.startswith(_ADMISSION):
                key = self.headers.get("Idempotency-Key", "")
                status, answer = service.admission(self.command, self.path, key, body)
            else:
                status = 404
            self._answer(status, seconds, answer)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - names that http.server asks for

        def _answer(self, status: int, seconds: float, answer: Any) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("X-Instance", service.name)
            self.send_header("X-Release", service.release)
            self.send_header("X-Seconds", f"{seconds:.4f}")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silent."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="app")
    parser.add_argument("--release", type=Path)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--busy", type=float, default=0.0)
    given = parser.parse_args()
    service = Service(given.name, given.release, given.slots, given.busy)
    _Server(("127.0.0.1", given.port), handler(service)).serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    main()
