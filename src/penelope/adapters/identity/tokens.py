"""Access tokens, looked at in one order: form, issuer, type, algorithm, key, signature, and only then what they claim."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jws import CompactSignature, JWSRegistry, validate_compact

from penelope.adapters.identity.claims import Unfit, caller_of, check_audience, expiry_of
from penelope.adapters.identity.form import Malformed, Parts, parts_of
from penelope.adapters.identity.key_shelf import KeyShelf
from penelope.adapters.identity.published import LONGEST_KID, Keys, PublicKey, published
from penelope.adapters.identity.trust import AT_JWT, KINDS, PLAIN, Terms, TokenObserver, Trust
from penelope.errors import InvalidToken, PenelopeError
from penelope.flow.keys import Caller
from penelope.kit.clock import Clock

_TYPES = {AT_JWT: AT_JWT, f"application/{AT_JWT}": AT_JWT, PLAIN: PLAIN, f"application/{PLAIN}": PLAIN}
_REFUSED = "this access token is not good here"
_EXPIRED = "this access token has expired"


class _Admitted(JWSRegistry):
    """The algorithms of one issuer, and no others; that the library's authors advise against a name is for the settings."""

    def __init__(self, algorithms: Collection[str]) -> None:
        super().__init__(algorithms=algorithms, strict_check_header=False)
        self._models = {name: self.algorithms[name] for name in algorithms}

    def get_alg(self, name: str) -> Any:
        try:
            return self._models[name]
        except KeyError:
            raise UnsupportedAlgorithmError(name) from None


class _Issuer:
    def __init__(self, trust: Trust, shelf: KeyShelf) -> None:
        self.trust = trust
        self.shelf = shelf
        self.registry = _Admitted(trust.algorithms)


class AccessTokens:
    """Fulfils flow's TokenReader, for the issuers that are trusted. Asks them nothing before a token comes.

    Headers that bring a key or say where one is (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.
    """

    def __init__(
        self,
        trusts: Iterable[Trust],
        terms: Terms,
        clock: Clock,
        observer: TokenObserver,
        fetch: Callable[[Trust, float], Awaitable[Keys]] = published,
    ) -> None:
        self._leeway: timedelta = terms.leeway
        self._observer = observer
        self._issuers = {}
        for trust in trusts:
            asked = partial(fetch, trust, terms.timeout_seconds)
            shelf = KeyShelf(trust.name, asked, terms, clock, observer)
            self._issuers[trust.issuer] = _Issuer(trust, shelf)

    async def read(self, text: str, now: datetime) -> tuple[Caller, datetime]:
        """Who shows a token, and until when it is good. Raises InvalidToken, and Unavailable."""
        issuer: _Issuer | None = None
        try:
            parts = parts_of(text)
            issuer = self._issuer(parts)
            await _check_signature(issuer, parts)
            expires = expiry_of(parts.claims, now, self._leeway)
            check_audience(parts.claims, issuer.trust.audience)
            caller = caller_of(parts.claims, issuer.trust)
        except Malformed:
            raise self._refused(issuer, "form") from None
        except Unfit as error:
            raise self._refused(issuer, error.outcome) from None
        except PenelopeError:
            self._tell(issuer, "unavailable")
            raise
        self._tell(issuer, "good")
        return caller, expires

    def _issuer(self, parts: Parts) -> _Issuer:
        named = parts.claims.get("iss")
        issuer = self._issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise Unfit("issuer")
        return issuer

    def _refused(self, issuer: _Issuer | None, outcome: str) -> InvalidToken:
        self._tell(issuer, outcome)
        # What is told of the rest would help whoever makes up tokens; the metric tells it to whoever runs the server.
        return InvalidToken(_EXPIRED if outcome == "expired" else _REFUSED)

    def _tell(self, issuer: _Issuer | None, outcome: str) -> None:
        self._observer.token_read(issuer.trust.name if issuer else "", outcome)

    async def close(self) -> None:
        """Gives up requests that are under way."""
        await asyncio.gather(*(issuer.shelf.close() for issuer in self._issuers.values()))


async def _check_signature(issuer: _Issuer, parts: Parts) -> None:
    """Raises Unfit, and Unavailable where the issuer's keys are not to be had."""
    header, trust = parts.header, issuer.trust
    # Whoever writes `crit` says that the token must not be taken by those who do not know what stands there; none is known.
    if "crit" in header or "b64" in header:
        raise Unfit("form")
    kind = header.get("typ", PLAIN)
    if not isinstance(kind, str) or _TYPES.get(kind.lower()) not in trust.types:
        raise Unfit("type")
    algorithm, kid = header.get("alg"), header.get("kid", "")
    if not isinstance(algorithm, str) or algorithm not in trust.algorithms:
        raise Unfit("algorithm")
    if not isinstance(kid, str) or len(kid) > LONGEST_KID:
        raise Unfit("key")
    key = await issuer.shelf.find(kid or None, KINDS[algorithm])
    if key is None:
        raise Unfit("key")
    if _is_signed(parts, key, issuer.registry):
        return
    # Without a name, nothing tells a new key from the old one but that it fits.
    key = None if kid else await issuer.shelf.find(None, KINDS[algorithm], instead_of=key)
    if key is None or not _is_signed(parts, key, issuer.registry):
        raise Unfit("signature")


def _is_signed(parts: Parts, key: PublicKey, registry: JWSRegistry) -> bool:
    signature = CompactSignature({"alg": parts.header["alg"]}, parts.payload)
    head, body, signed = parts.segments
    signature.segments.update({"header": head, "payload": body, "signature": signed})
    try:
        return validate_compact(signature, key, registry=registry)
    except (JoseError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
