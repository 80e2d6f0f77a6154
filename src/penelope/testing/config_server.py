"""A small service whose configuration lies in a git repository; started by its path, with stdlib only.

Arguments: the repository, and the file that gets the port. POST /admin/reload reads the configuration again, once a key;
GET /admin/operations/{key} says whether it did; GET /health says whether what was read is valid.
"""

import json
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import unquote

_OPERATIONS = "/admin/operations/"


class Service:
    """What is in force, and which reloads were done."""

    def __init__(self, repository: Path) -> None:
        self._file = repository / "shop.toml"
        self.workers = 0
        self.valid = False
        self.done: set[str] = set()
        self.reload()

    def reload(self) -> bool:
        """Whether the file holds a valid configuration; an invalid one closes the service."""
        try:
            workers = tomllib.loads(self._file.read_text(encoding="utf-8"))["workers"]
        except (OSError, ValueError, LookupError):
            workers = 0
        self.valid = isinstance(workers, int) and workers >= 1
        self.workers = workers if self.valid else self.workers
        return self.valid


def main() -> None:
    """Serves until it is killed."""
    service = Service(Path(sys.argv[1]))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith(_OPERATIONS):
                known = unquote(self.path.removeprefix(_OPERATIONS)) in service.done
                self._answer(200 if known else 404, {"known": known})
            else:
                status = 200 if service.valid else 503
                self._answer(status, {"valid": service.valid, "workers": service.workers})

        def do_POST(self) -> None:
            if self.path != "/admin/reload":
                self._answer(404, {})
                return
            key = self.headers.get("Idempotency-Key", "")
            if key.startswith("reset-"):
                service.done.clear()  # A new trial, whose keys may be those of the one before.
            if key not in service.done and not service.reload():
                self._answer(500, {"valid": False})
                return
            service.done.add(key)
            self._answer(200, {"valid": True})

        def _answer(self, status: int, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    port = Path(sys.argv[2])
    aside = port.with_suffix(".new")
    aside.write_text(str(server.server_port), encoding="ascii")
    aside.replace(port)
    server.serve_forever()


if __name__ == "__main__":
    main()
