"""Issuers of tokens that a test holds in its hand."""

import asyncio
import hmac
import json
from base64 import urlsafe_b64encode
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from penelope.adapters.identity.published import Keys, PublicKey
from penelope.adapters.identity.tokens import AccessTokens
from penelope.adapters.identity.trust import Role, Terms, Trust
from penelope.errors import InvalidToken, Unavailable
from penelope.flow.keys import Caller, Scope
from penelope.testing.clock import FakeClock

NOW = int(datetime(2026, 11, 21, 7, 0, tzinfo=UTC).timestamp())
CORP, SHOP = "https://id.corp.example", "https://id.shop.example/realms/a"

EC, OTHER_EC = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
RSA = RSAKey.generate_key(2048)
ED = OKPKey.generate_key("Ed25519")
SIGNERS: dict[str, Any] = {"ES256": EC, "RS256": RSA, "EdDSA": ED}


def public(key: Any) -> PublicKey:
    found: PublicKey = type(key).import_key(key.as_dict(private=False))
    return found


TRUST = Trust(
    name="corp",
    issuer=CORP,
    audience="penelope",
    scopes={"sre": frozenset({Scope.READ, Scope.WRITE}), "chief": frozenset({Scope.APPROVE})},
    roles={"chief": Role(role="executive"), "sre": Role(role="analyst", region="EMEA")},
    agents=frozenset({"robots"}),
)


class Observer:
    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str]] = []
        self.asked: Counter[tuple[str, str]] = Counter()

    def token_read(self, issuer: str, outcome: str) -> None:
        self.outcomes.append((issuer, outcome))

    def issuer_asked(self, issuer: str, outcome: str) -> None:
        self.asked[issuer, outcome] += 1


class World:
    """Two issuers with the same names for different keys, and Penelope, who trusts both."""

    def __init__(self, **changes: Any) -> None:
        self.clock = FakeClock()
        self.observer = Observer()
        self.keys: dict[str, Keys] = {
            "corp": {("one", "EC"): public(EC), ("two", "RSA"): public(RSA), ("three", "OKP"): public(ED)},
            "shop": {("one", "EC"): public(OTHER_EC)},
        }
        self.down = False
        trusts = [
            replace(TRUST, **changes),
            Trust(name="shop", issuer=SHOP, audience="penelope", scopes={"sre": frozenset({Scope.READ})}),
        ]
        self.tokens = AccessTokens(trusts, Terms(), self.clock, self.observer, self._fetch)

    async def _fetch(self, trust: Trust, _seconds: float) -> Keys:
        if self.down:
            raise Unavailable("down")
        return self.keys[trust.name]

    def read(self, token: str) -> Caller:
        return asyncio.run(self.tokens.read(token, self.clock.now()))[0]

    def refusal(self, token: str) -> str:
        """The outcome that is counted; holds that nothing of it is told."""
        with pytest.raises(InvalidToken) as refused:
            self.read(token)
        outcome = self.observer.outcomes[-1][1]
        expired = outcome == "expired"
        assert (
            refused.value.message == f"this access token {'has expired' if expired else 'is not good here'}"
        )
        return outcome


def claims(**changes: Any) -> dict[str, Any]:
    made = {
        "iss": CORP,
        "aud": "penelope",
        "sub": "ann",
        "iat": NOW,
        "exp": NOW + 300,
        "groups": ["sre"],
        **changes,
    }
    return {name: value for name, value in made.items() if value is not ...}


def token(key: Any = EC, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A good token, but for the changes; `...` takes a claim or a header away."""
    return raw(json.dumps(claims(**changes)), key, header)


def raw(payload: str, key: Any = EC, header: dict[str, Any] | None = None) -> str:
    head = {"alg": "ES256", "kid": "one", "typ": "at+jwt", **(header or {})}
    return by_hand(
        json.dumps({name: value for name, value in head.items() if value is not ...}), payload, key
    )


def by_hand(head: str, payload: str, key: Any = EC) -> str:
    """Signed whatever it says, by the algorithm that fits the key: the library would not sign some of it."""
    signed = f"{part(head.encode())}.{part(payload.encode())}".encode()
    if isinstance(key, bytes):
        return f"{signed.decode()}.{part(hmac.digest(key, signed, 'sha256'))}"
    name = {"EC": "ES256", "RSA": "RS256", "OKP": "Ed25519"}[key.key_type]
    return f"{signed.decode()}.{part(jws.JWSRegistry.algorithms[name].sign(signed, key))}"


def part(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
