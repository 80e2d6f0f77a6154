"""The API server of Kubernetes over REST, for actions and routers alike: where it is, who asks it, and what it answers.

Nothing is kept between two calls, and whatever a proxy on the way may answer, only an object is taken for one.
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from penelope.adapters.outbound import Answer, Call, ask
from penelope.errors import Unavailable
from penelope.kit.canonical import Json

MANAGER = "penelope"
"""Under this name the server remembers which fields are ours."""

_MOUNTED = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_IN_CLUSTER = "https://kubernetes.default.svc"
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Access(Protocol):
    """What the catalogue says of a server: its URL, the path of the certificates that it is trusted by, and a token or the
    path of one; `in_cluster` takes all of them from the service account of the pod that Penelope runs in.
    """

    @property
    def server(self) -> str | None: ...
    @property
    def ca(self) -> str | None: ...
    @property
    def token(self) -> str | None: ...
    @property
    def token_file(self) -> str | None: ...
    @property
    def in_cluster(self) -> bool: ...


class Conflict(Exception):
    """The object has changed since it was read, is another one, or somebody made it at the same time."""


def is_name(text: str) -> bool:
    """Whether Kubernetes knows such names, of objects and namespaces."""
    return _NAME.fullmatch(text) is not None


def flaw_of(access: Access) -> str:
    """Why a server cannot be asked; empty where it can. Shows no value, for it may be secret."""
    if access.in_cluster:
        return "in_cluster brings its own server, token and ca" if access.server or access.token else ""
    url = urlsplit(access.server or "")
    plain = url.scheme == "http" and url.hostname in _LOOPBACK
    if (url.scheme != "https" and not plain) or not url.hostname or url.query or url.fragment:
        return "needs in_cluster, or a server with https"
    if access.token and access.token_file:
        return "takes a token or a token_file, not both"
    return ""


class ApiServer:
    """One server; `what` names it in errors."""

    def __init__(self, access: Access, what: str, *, timeout_seconds: float, body_limit_bytes: int) -> None:
        self.what = what
        self._access = access
        self._timeout_seconds = timeout_seconds
        self._body_limit_bytes = body_limit_bytes

    async def ask(self, method: str, path: str, body: Json = None, kind: str = "application/json") -> Answer:
        """What it answers, whatever the status; `kind` is the media type of the body. Raises Unavailable, Timeout."""
        headers = {"Accept": "application/json", "Content-Type": kind}
        if token := await asyncio.to_thread(self._token):
            headers["Authorization"] = f"Bearer {token}"
        access = self._access
        server = _IN_CLUSTER if access.in_cluster else access.server or ""
        mounted = str(_MOUNTED / "ca.crt") if access.in_cluster else ""
        return await ask(
            Call(
                what=self.what,
                method=method,
                url=server.rstrip("/") + path,
                headers=headers,
                content=b"" if body is None else json.dumps(body).encode(),
                timeout_seconds=self._timeout_seconds,
                body_limit_bytes=self._body_limit_bytes,
                ca=access.ca or mounted,
            )
        )

    def json(self, answer: Answer) -> dict[str, Json]:
        """The object in an answer. Raises Unavailable for anything else, and for one that was too large."""
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Unavailable(f"{self.what} answered something that is no object, or is too large")
        return found

    def _token(self) -> str:
        """Read anew each time: tokens of service accounts are renewed."""
        file = str(_MOUNTED / "token") if self._access.in_cluster else self._access.token_file
        if not file:
            return self._access.token or ""
        try:
            return Path(file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise Unavailable(f"the token for {self.what} cannot be read: {type(error).__name__}") from None
