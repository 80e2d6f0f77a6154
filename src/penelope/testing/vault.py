"""A double of HashiCorp Vault over HTTP: its key-value store version 2 and two ways to authenticate.

It follows Vault's documented HTTP API (developer.hashicorp.com/vault/api-docs) as far as Penelope uses it, and refuses
everything else. It is no Vault: nobody has run these tests against one.
"""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, Any]]


@dataclass
class _Version:
    data: dict[str, Any]
    deleted: bool = False
    destroyed: bool = False


@dataclass
class FakeVault:
    """`put` writes a new version, as `vault kv put` does; `policies` says of each token below which path it may read ("" for
    all), `roles` which service account token logs in to which role. `sealed` stops it all, `requests` counts.
    """

    mount: str = "secret"
    url: str = ""
    sealed: bool = False
    lease_seconds: float = 3600.0
    policies: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    _paths: dict[str, list[_Version]] = field(default_factory=dict)
    _leases: dict[str, float] = field(default_factory=dict)

    def put(self, path: str, **fields: Any) -> int:
        """The number of the new version."""
        versions = self._paths.setdefault(path, [])
        versions.append(_Version(dict(fields)))
        return len(versions)

    def delete(self, path: str, version: int, *, destroy: bool = False) -> None:
        """As `vault kv delete` and `vault kv destroy`."""
        found = self._paths[path][version - 1]
        found.deleted, found.destroyed = not destroy, destroy
        if destroy:
            found.data = {}

    def revoke_all(self) -> None:
        """Ends every login, as an operator may."""
        self._leases.clear()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """What the API answers to a request."""
        self.requests.append(f"{method} {path}")
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if headers.get("x-vault-request") != "true":  # an agent or proxy may be told to ask for it
            return 412, {"errors": ["missing X-Vault-Request"]}
        split = urlsplit(path)
        if split.path.startswith("/v1/auth/"):
            return self._login(method, split.path, body)
        return self._read(method, split.path, split.query, headers.get("x-vault-token", ""))

    def _login(self, method: str, path: str, body: bytes) -> Answer:
        if path != "/v1/auth/kubernetes/login" or method not in {"POST", "PUT"}:
            return 404, {"errors": []}
        try:
            asked = json.loads(body)
            role, account = asked["role"], asked["jwt"]
        except (ValueError, LookupError, TypeError):
            return 400, {"errors": ["missing client token or role"]}
        if role not in self.roles:
            return 400, {"errors": [f'invalid role name "{role}"']}
        if self.roles[role] != account:
            return 403, {"errors": ["permission denied"]}
        token = "hvs." + secrets.token_urlsafe(24)
        self._leases[token] = time.monotonic() + self.lease_seconds
        lease = {"client_token": token, "lease_duration": int(self.lease_seconds), "renewable": True}
        return 200, {"request_id": secrets.token_hex(8), "auth": {**lease, "token_type": "service"}}

    def _read(self, method: str, path: str, query: str, token: str) -> Answer:
        if not self._may(token, path):
            return 403, {"errors": ["permission denied"]}
        prefix = f"/v1/{self.mount}/data/"
        if not path.startswith(prefix):
            return 404, {"errors": [f"no handler for route {path!r}"]}
        if method != "GET":
            return 405, {"errors": ["unsupported operation"]}
        versions = self._paths.get(path.removeprefix(prefix), [])
        number = int(parse_qs(query).get("version", ["0"])[0]) or len(versions)
        if not 1 <= number <= len(versions):
            return 404, {"errors": []}
        found = versions[number - 1]
        gone = found.deleted or found.destroyed
        metadata = {
            "version": number,
            "destroyed": found.destroyed,
            "deletion_time": "2026-01-01T00:00:00Z" if found.deleted else "",
            "created_time": "2026-01-01T00:00:00Z",
            "custom_metadata": None,
        }
        data = {"data": None if gone else found.data, "metadata": metadata}
        answer = {"request_id": secrets.token_hex(8), "lease_id": "", "lease_duration": 0, "data": data}
        return (404 if gone else 200), answer

    def _may(self, token: str, path: str) -> bool:
        if token in self.policies:
            return path.startswith(f"/v1/{self.mount}/data/{self.policies[token]}")
        return time.monotonic() < self._leases.get(token, 0.0)


@contextmanager
def serving(vault: FakeVault) -> Iterator[FakeVault]:
    """Serves the double on a free local port, as its `url`, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = vault.answer(self.command, self.path, headers, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_LIST = _serve  # noqa: N815 - names that http.server asks for

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vault.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield vault
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
