"""Real HTTP servers for the shop's tests."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Desk:
    """An HTTP server that answers with `reply(method, path, body)` and remembers what it was sent."""

    def __init__(
        self, port: int = 0, reply: Callable[[str, str, bytes], tuple[int, bytes]] | None = None, headers=None
    ):
        self.received = []
        self.reply = reply or (lambda *_: (202, b""))
        desk = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, content = desk.reply(self.command, self.path, body)
                desk.received.append((dict(self.headers), json.loads(body) if body else None, status))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer  # noqa: N815 - the names that http.server asks for

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def accepted(self) -> list:
        return [body for _, body, status in self.received if status < 300]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def opened(**options) -> Iterator[Desk]:
    desk = Desk(**options)
    try:
        yield desk
    finally:
        desk.close()


@pytest.fixture
def open_desk():
    return opened
