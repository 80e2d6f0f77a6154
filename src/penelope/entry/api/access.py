"""Who may do what: API keys and access tokens as Bearer tokens, recognised once every few seconds."""

import asyncio
import hashlib
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from penelope.bootstrap import Application
from penelope.errors import Forbidden, Unauthenticated, Unavailable
from penelope.flow.keys import PREFIX, Caller, Key, KeyRing, Scope, TokenReader
from penelope.kit.clock import Clock

REMEMBERED = timedelta(seconds=5)
"""How long a recognised key needs no look into the database, and a recognised token no look at its signature; a revocation
takes effect within this time."""

_MOST_REMEMBERED = 1024


class Acquaintances:
    """Who was recognised a moment ago. What was refused is not remembered.

    Without `tokens`, API keys alone are known.
    """

    def __init__(self, keys: KeyRing, clock: Clock, tokens: TokenReader | None = None) -> None:
        self._keys = keys
        self._clock = clock
        self._tokens = tokens
        self._known: dict[bytes, tuple[Caller, datetime]] = {}
        self._asking: dict[bytes, asyncio.Task[Key]] = {}

    async def recognise(self, text: str) -> Caller:
        """Who shows this text. Raises Unauthenticated, and Unavailable where nobody can tell at the moment."""
        # Only a digest stays in memory.
        name = hashlib.sha256(text.encode()).digest()
        caller, until = self._known.get(name, (None, None))
        now = self._clock.now()
        if caller is not None and until is not None and now < until:
            return caller
        caller, good_until = await self._asked(name, text, now)
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        until = now + REMEMBERED
        self._known[name] = (caller, until if good_until is None else min(until, good_until))
        return caller

    async def _asked(self, name: bytes, text: str, now: datetime) -> tuple[Caller, datetime | None]:
        if self._tokens is not None and not text.startswith(PREFIX):
            return await self._tokens.read(text, now)
        key = await self._asked_once(name, text, now)
        return key.caller, key.expires_at

    async def _asked_once(self, name: bytes, text: str, now: datetime) -> Key:
        """What the database says, asked by the first of those that come with the same key at once."""
        asking = self._asking.get(name)
        if asking is None:
            asking = asyncio.create_task(self._keys.recognise(text, now))
            self._asking[name] = asking
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        # Shielded: the first may hang up, and the others still wait.
        return await asyncio.shield(asking)


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    description="An API key, made with `penelope keys create`, or an access token (JWT) of an issuer that `tokens.issuers` names. "
    "Each operation names the scope that it needs.",
)


async def running(request: Request) -> Application:
    """The parts behind the interface. Raises Unavailable while the server starts or stops."""
    application: Application | None = request.app.state.running
    if application is None:
        raise Unavailable("Penelope is starting or stopping", hint="Try again in a few seconds.")
    return application


Running = Annotated[Application, Depends(running)]


def requires(scope: Scope) -> Any:
    """A dependency that gives the caller, who has the scope. Raises Unauthenticated or Forbidden."""

    async def check(
        request: Request,
        _application: Running,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Caller:
        if credentials is None:
            raise Unauthenticated("the request carries no API key")
        acquaintances: Acquaintances = request.app.state.acquaintances
        caller = await acquaintances.recognise(credentials.credentials)
        if not caller.allows(scope):
            raise Forbidden(f"{caller.described} lacks the scope '{scope}'")
        return caller

    return Depends(check)
