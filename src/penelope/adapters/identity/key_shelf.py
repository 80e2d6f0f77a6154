"""An issuer's keys, fetched when they are needed, and kept for a while where it does not answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta

from penelope.adapters.identity.published import Keys, PublicKey
from penelope.adapters.identity.trust import Terms, TokenObserver
from penelope.errors import PenelopeError, Unavailable
from penelope.kit.clock import Clock

_log = logging.getLogger(__name__)


class KeyShelf:
    """Keys of one issuer. However many ask, it is asked once at a time, and once within `terms.pause`."""

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Awaitable[Keys]],
        terms: Terms,
        clock: Clock,
        observer: TokenObserver,
    ) -> None:
        self._name = name
        self._observer = observer
        self._fetch = fetch
        self._terms = terms
        self._clock = clock
        self._keys: Keys = {}
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None
        self._failing = False
        self._asking: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, kind: str, instead_of: PublicKey | None = None) -> PublicKey | None:
        """The key of this name or, without one, the only one of its kind; None where the issuer has none.

        `instead_of` is a key that did not fit: where nothing else is known, the issuer may have another one by now.

        A known key that is no longer fresh waits for the issuer once; while that fails it goes on without waiting, until
        it is too old. Raises Unavailable where nobody can tell.
        """
        now = self._clock.now()
        found = self._known(kid, kind, instead_of)
        if found is not None and self._age(now) < self._terms.fresh:
            return found
        # Set before it is awaited: while the issuer fails, callers whose key is known need not wait.
        failing = self._failing
        asking = self._ask(now)
        if asking is not None and (found is None or not failing or self._is_too_old(now)):
            # Shielded: the first may hang up, and the others still wait.
            await asyncio.shield(asking)
        if self._is_too_old(self._clock.now()):
            raise Unavailable(f"the keys of the issuer {self._name!r} are not to be had at the moment")
        found = self._known(kid, kind, instead_of)
        if found is None and self._failing:
            raise Unavailable(
                f"whether the issuer {self._name!r} has such a key cannot be found out at the moment"
            )
        return found

    def _known(self, kid: str | None, kind: str, instead_of: PublicKey | None) -> PublicKey | None:
        if kid is not None:
            return self._keys.get((kid, kind))
        of_kind = [key for (_, of), key in self._keys.items() if of == kind]
        return of_kind[0] if len(of_kind) == 1 and of_kind[0] is not instead_of else None

    async def close(self) -> None:
        """Gives up a request that is under way."""
        asking = self._asking
        if asking is not None:
            asking.cancel()
            with suppress(asyncio.CancelledError):
                await asking

    def _age(self, now: datetime) -> timedelta:
        # A clock that was set back makes no key younger.
        return timedelta.max if self._fetched_at is None else abs(now - self._fetched_at)

    def _is_too_old(self, now: datetime) -> bool:
        return self._age(now) > self._terms.kept

    def _ask(self, now: datetime) -> asyncio.Task[None] | None:
        """The request under way, a new one, or none where the last one was a moment ago."""
        if self._asking is None and (
            self._tried_at is None or abs(now - self._tried_at) >= self._terms.pause
        ):
            self._tried_at = now
            self._asking = asyncio.create_task(self._renew(now))
            self._asking.add_done_callback(self._is_done)
        return self._asking

    def _is_done(self, _: asyncio.Task[None]) -> None:
        self._asking = None

    async def _renew(self, now: datetime) -> None:
        try:
            self._keys = await self._fetch()
        except PenelopeError as error:
            self._failing = True
            _log.warning("the keys of the issuer %r cannot be had: %s", self._name, error)
        else:
            self._failing = False
            self._fetched_at = now
        self._observer.issuer_asked(self._name, "failed" if self._failing else "good")
