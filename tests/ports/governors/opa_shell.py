"""OPA's own evaluator behind a small HTTP shell of ours, for no OPA server is to be had from a package registry.

Real engine, substituted shell: what is Rego is OPA's, what is HTTP follows the Data API as OPA documents it.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

POLICIES = Path(__file__).resolve().parents[3] / "policies"
REASON = "REAL_OPA names no folder with OPA in it"


def there() -> bool:
    return "REAL_OPA" in os.environ


@contextmanager
def opa_engine(files: list[Path]) -> Iterator[Any]:
    """OPA's evaluator with files in it."""
    sys.path.append(os.environ["REAL_OPA"])
    try:
        from opa_bindings import OpaEngine  # noqa: PLC0415 - it is there only where REAL_OPA says so

        with OpaEngine() as engine:
            for file in files:
                engine.add_policy(file.name, file.read_text())
            yield engine
    finally:
        sys.path.remove(os.environ["REAL_OPA"])


class _Handler(BaseHTTPRequestHandler):
    answer: Callable[[str, Any], Any]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.removeprefix("/v1/data/").replace("/", ".")
        result = type(self).answer(path, body["input"])
        content = json.dumps({} if result is None else {"result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def shell(answer: Callable[[str, Any], Any]) -> Iterator[str]:
    """The URL of a server that answers by a function of path and input; None is undefined."""
    handler = type("OneEngine", (_Handler,), {"answer": staticmethod(answer)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def opa_server(files: list[Path]) -> Iterator[str]:
    with opa_engine(files) as engine:

        def answer(path: str, given: Any) -> Any:
            try:
                return engine.eval_document(path, given)
            except Exception as error:
                if type(error).__name__ == "OpaUndefinedError":
                    return None
                raise

        with shell(answer) as url:
            yield url
