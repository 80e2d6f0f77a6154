"""What is trusted: an issuer of tokens, and what its claims mean here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Protocol

from penelope.flow.keys import Scope

KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
        **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
        **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
    }
)
"""The algorithms there are, each with the kind of its keys: with a shared secret, whoever checks could also sign."""

AT_JWT: Final = "at+jwt"
"""What an access token says that it is (RFC 9068, 2.1)."""

PLAIN: Final = "jwt"
"""What any token may be, an ID token too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """In which role, and bound to which region, questions of the context are asked."""

    role: str
    region: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """An issuer, under a `name` of ours that has no colon, and what its tokens must and may say.

    `issuer` is compared letter by letter. `key_hosts` are hosts, maybe with a port, from which its keys may come beside its
    own. `groups_claim` holds what `scopes`, `roles` (the first that fits counts) and `agents` name.
    """

    name: str
    issuer: str
    audience: str
    algorithms: frozenset[str] = frozenset({"RS256", "ES256", "EdDSA"})
    types: frozenset[str] = frozenset({AT_JWT})
    actor_claim: str = "sub"
    groups_claim: str = "groups"
    scopes: Mapping[str, frozenset[Scope]] = field(default_factory=dict)
    roles: Mapping[str, Role] = field(default_factory=dict)
    agents: frozenset[str] = frozenset()
    key_hosts: frozenset[str] = frozenset()
    ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How long things are good: how far clocks may differ; after what time keys are asked for anew, and how long they go on
    where that fails; the least time between two requests to an issuer, and the longest that one may take, in seconds.
    """

    leeway: timedelta = timedelta(seconds=10)
    fresh: timedelta = timedelta(minutes=5)
    kept: timedelta = timedelta(hours=1)
    pause: timedelta = timedelta(seconds=10)
    timeout_seconds: float = 5.0


class TokenObserver(Protocol):
    """Is told what became of tokens and of requests to issuers; must not block or raise."""

    def token_read(self, issuer: str, outcome: str) -> None:
        """A token was looked at, said to be of the issuer of this name; empty is one that is not trusted."""

    def issuer_asked(self, issuer: str, outcome: str) -> None:
        """An issuer was asked for its keys: `good` or `failed`."""
