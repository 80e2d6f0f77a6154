"""What Traefik's HTTP provider asks: an ASGI application that answers with the configuration, to whoever bears the token."""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from penelope.adapters.routers.traefik_http import served
from penelope.domain.service import Service
from penelope.errors import BadSettings, PenelopeError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
_FEWEST_CHARACTERS = 16


class TraefikProvider:
    """Mount it, and set in Traefik ``providers.http.endpoint`` to it and ``providers.http.headers.Authorization`` to
    ``Bearer TOKEN``. Where the configuration cannot be read it answers 503, and Traefik keeps what it has.
    """

    def __init__(self, services: Mapping[str, Service], token: str) -> None:
        """Raises BadSettings for a token that is too short to be secret: the answer names servers inside."""
        if len(token) < _FEWEST_CHARACTERS:
            raise BadSettings(f"the token for Traefik has fewer than {_FEWEST_CHARACTERS} characters")
        self._services = services
        self._expected = f"Bearer {token}".encode()

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Message]],  # noqa: ARG002 - ASGI gives it; a GET has no body
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] != "http":
            return
        status, body = await self._answer(scope)
        content = json.dumps(body).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Scope) -> tuple[int, Any]:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._expected):
            return 401, {"detail": "the token is missing or wrong"}
        if scope["method"] != "GET":
            return 405, {"detail": "only GET"}
        try:
            return 200, await asyncio.to_thread(served, self._services)
        except PenelopeError as error:
            return 503, {"detail": error.message}
