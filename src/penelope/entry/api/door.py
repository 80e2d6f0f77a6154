"""The door that every request passes: its id, its size, its time, and what nobody expected."""

import re
import secrets
from time import perf_counter

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penelope.entry.api import problems
from penelope.errors import TooLarge
from penelope.telemetry.names import REQUEST_ID

HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Door:
    """ASGI middleware, written plainly, for every signal passes it."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = _identifier(scope)
        scope.setdefault("state", {})[REQUEST_ID] = identifier
        begun, status = perf_counter(), 0

        async def outward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, identifier.encode())]
            await send(message)

        request = Request(scope)
        with structlog.contextvars.bound_contextvars(**{REQUEST_ID: identifier}):
            try:
                await self._app(scope, self._bounded(scope, receive), outward)
            except Exception as error:
                response = problems.answer(request, error, problems.telemetry_of(request))
                if status:
                    raise
                await response(scope, receive, outward)
            finally:
                _count(request, status, perf_counter() - begun)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Refuses a body beyond the limit: unread where its length was announced, else as soon as it shows."""
        announced, read = _announced(scope), 0

        async def inward() -> Message:
            nonlocal read
            message: Message = {} if announced > self._max_body_bytes else await receive()
            read += len(message.get("body", b""))
            if max(announced, read) > self._max_body_bytes:
                raise TooLarge(f"the body has more than {self._max_body_bytes} bytes")
            return message

        return inward


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _announced(scope: Scope) -> int:
    """The length that the request says its body has; 0 where it says none."""
    text = _header(scope, b"content-length")
    return int(text[:18]) if text.isdigit() else 0


def _identifier(scope: Scope) -> str:
    """The caller's id for the request, if it is one that can stand in a log; else a new one."""
    given = _header(scope, HEADER)
    return given.decode() if _SANE.fullmatch(given) else secrets.token_hex(16)


def _count(request: Request, status: int, seconds: float) -> None:
    telemetry = problems.telemetry_of(request)
    if telemetry is not None and status:
        route = getattr(request.scope.get("route"), "path", "unmatched")
        telemetry.request_answered(request.method, route, status, seconds)
