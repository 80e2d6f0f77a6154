"""Who asks: API keys, which are made, shown once, kept as a digest and recognised, and tokens that others vouch for."""

import hashlib
import hmac
import re
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from penelope.domain.people import AGENT, identity_of
from penelope.errors import Unauthenticated

_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PREFIX = "pnl_"
"""What every API key begins with, so that scanners find one that leaked."""

_ID_LENGTH = 10
_SECRET_LENGTH = 43
"""43 characters of 62 are 256 random bits."""

_FORM = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9a-f]{{8}})")


class Scope(StrEnum):
    """What a key may do: look, send signals, answer approvals, break the glass, ask for others, or administer.

    `delegate` is for gateways and agents that ask on behalf of people: it is believed whose role they say. `admin` holds
    all others.
    """

    READ = "read"
    WRITE = "write"
    APPROVE = "approve"
    BREAK_GLASS = "break_glass"
    DELEGATE = "delegate"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, by whatever that was proven.

    `actor` is the name in history, `as_agent` the one where the holder turns out to be an AI agent. `holder` is the name
    that the settings know people and roles by, and `known` says that somebody vouches for it: of those who merely call
    themselves something, all may be the same person. `role` and `region` are those in which questions of the context are
    asked where the settings name none for the holder. `described` is for messages.
    """

    actor: str
    as_agent: str
    holder: str
    known: bool
    scopes: frozenset[Scope]
    described: str
    role: str = ""
    region: str = ""

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class TokenReader(Protocol):
    """Reads access tokens of issuers that are trusted."""

    async def read(self, text: str, now: datetime) -> tuple[Caller, datetime]:
        """Who shows a token, and until when it is good.

        Raises InvalidToken, and Unavailable while nobody can tell because its issuer's keys are not to be had.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key as it is kept. `digest` is HMAC-SHA256 of the whole key under the pepper, in hexadecimal.

    `owner` is the identity of the person or agent who uses it: two keys of one owner have one vote.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    digest: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    owner: str | None = None

    @property
    def holder(self) -> str:
        """The name of whoever speaks with it: its owner or, where none was named, its own name."""
        return self.owner or self.name

    @property
    def caller(self) -> Caller:
        """Who speaks with it."""
        return Caller(
            actor=f"key:{self.name}",
            as_agent=f"{AGENT}{self.name}",
            holder=self.holder,
            known=self.owner is not None,
            scopes=self.scopes,
            described=f"API key {self.id} ({self.name})",
        )

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class KeyStore(Protocol):
    """Where keys are kept."""

    async def add(self, key: Key) -> None: ...

    async def find(self, identifier: str) -> Key | None: ...

    async def all(self) -> Sequence[Key]: ...

    async def revoke(self, identifier: str, at: datetime) -> bool:
        """False when there is no such key, or it was revoked before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a new key is to be: a name for people, its scopes, when it expires (never, if None), and whose it is."""

    name: str
    scopes: frozenset[Scope]
    expires_at: datetime | None = None
    owner: str | None = None


class KeyRing:
    """Makes keys and recognises them."""

    def __init__(self, store: KeyStore, pepper: bytes) -> None:
        self._store = store
        self._pepper = pepper

    async def create(self, order: Order, now: datetime) -> tuple[Key, str]:
        """A new key, and its text: the only time that it is known."""
        identifier = _random_text(_ID_LENGTH)
        body = f"{PREFIX}{identifier}_{_random_text(_SECRET_LENGTH)}"
        text = f"{body}{zlib.crc32(body.encode()):08x}"
        key = Key(
            id=identifier,
            name=order.name,
            scopes=order.scopes,
            digest=self._digest(text),
            created_at=now,
            expires_at=order.expires_at,
            owner=None if order.owner is None else identity_of(order.owner),
        )
        await self._store.add(key)
        return key, text

    async def recognise(self, text: str, now: datetime) -> Key:
        """The key that a caller shows. Raises Unauthenticated, without saying more than a caller may know."""
        form = _FORM.fullmatch(text)
        if form is None or f"{zlib.crc32(text[:-8].encode()):08x}" != form[3]:
            message = "this is not an API key, or it was copied incompletely"
            raise Unauthenticated(message)
        key = await self._store.find(form[1])
        # Compared even where there is no such key, so that time does not tell which ids exist.
        same = hmac.compare_digest(self._digest(text), key.digest if key else "0" * 64)
        if key is None or not same:
            message = "this API key is not known"
            raise Unauthenticated(message)
        if key.revoked_at is not None:
            message = f"API key {key.id} was revoked"
            raise Unauthenticated(message)
        if key.expires_at is not None and now >= key.expires_at:
            message = f"API key {key.id} expired at {key.expires_at:%Y-%m-%d %H:%M:%S} UTC"
            raise Unauthenticated(message)
        return key

    async def all(self) -> Sequence[Key]:
        """Every key that was ever made, oldest first."""
        return await self._store.all()

    async def revoke(self, identifier: str, now: datetime) -> bool:
        """False when there is no such key, or it was revoked before."""
        return await self._store.revoke(identifier, now)

    def _digest(self, text: str) -> str:
        return hmac.new(self._pepper, text.encode(), hashlib.sha256).hexdigest()


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
