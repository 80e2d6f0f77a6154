"""The keys that an issuer publishes, by OpenID Connect Discovery 1.0 and RFC 7517."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from penelope.adapters.identity.trust import Trust
from penelope.adapters.outbound import Call, ask
from penelope.errors import Timeout, Unavailable

PublicKey = RSAKey | ECKey | OKPKey
Keys = Mapping[tuple[str, str], PublicKey]
"""By `kid`, which may be empty, and `kty`: one name may stand for keys of several kinds."""

LARGEST_BYTES = 256 * 1024
MOST_KEYS = 64
LONGEST_KID = 256
_LONGEST_URL = 2048
_PATH = "/.well-known/openid-configuration"
_SHORTEST_RSA_BITS, _LONGEST_RSA_BITS = 2048, 8192
_LONGEST_EXPONENT = 8
"""Letters in base64: six bytes. A larger exponent makes each check of a signature slow."""

_LONGEST_COORDINATE = 88
"""Letters in base64, for P-521."""

_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PORTS = {"https": 443, "http": 80}


async def published(trust: Trust, timeout_seconds: float) -> Keys:
    """The issuer's keys of this moment, at least one. Raises Unavailable or Timeout."""
    what = f"the issuer of tokens {trust.name!r}"
    try:
        async with asyncio.timeout(timeout_seconds):
            configuration = await _document(trust, trust.issuer.rstrip("/") + _PATH, timeout_seconds)
            if configuration.get("issuer") != trust.issuer:
                raise Unavailable(f"{what} says that it is another one")
            uri = _admitted(trust, configuration.get("jwks_uri"))
            found = _usable(await _document(trust, uri, timeout_seconds))
    except TimeoutError:
        raise Timeout(f"{what} has not answered within {timeout_seconds:g} s") from None
    if not found:
        raise Unavailable(f"{what} publishes no key that can be used")
    return found


async def _document(trust: Trust, url: str, timeout_seconds: float) -> dict[str, Any]:
    what = f"the issuer of tokens {trust.name!r}"
    answer = await ask(
        Call(
            what=what,
            method="GET",
            url=url,
            headers={"Accept": "application/json"},
            timeout_seconds=timeout_seconds,
            body_limit_bytes=LARGEST_BYTES,
            ca=trust.ca,
        )
    )
    if answer.status != 200:
        raise Unavailable(f"{what} answered {answer.status}")
    if len(answer.body) >= LARGEST_BYTES:
        raise Unavailable(f"{what} answered with {LARGEST_BYTES // 1024} KiB or more")
    try:
        return msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unavailable(f"{what} answered something that is no JSON object") from None


def _admitted(trust: Trust, uri: object) -> str:
    """The address of the keys, if the settings let them come from there: what a document names could be any host inside."""
    refused = Unavailable(
        f"the issuer of tokens {trust.name!r} has its keys where the settings do not let them come from",
        hint="Name the host in key_hosts of that issuer, if it is right.",
    )
    if not isinstance(uri, str) or len(uri) > _LONGEST_URL or not uri.isascii() or not uri.isprintable():
        raise refused
    try:
        found, own = urlsplit(uri), urlsplit(trust.issuer)
        place = _place(found)
        admitted = {_place(own), *(_place(urlsplit(f"https://{host}")) for host in trust.key_hosts)}
    except ValueError:
        raise refused from None
    if place not in admitted or "@" in found.netloc or "\\" in uri or found.fragment or " " in uri:
        raise refused
    return uri


def _place(url: SplitResult) -> tuple[str, str, int]:
    return url.scheme, url.hostname or "", url.port or _PORTS.get(url.scheme, 0)


def _usable(document: Mapping[str, Any]) -> dict[tuple[str, str], PublicKey]:
    """Keys that sign. The rest of a set is of no concern (RFC 7517, 5)."""
    listed = document.get("keys")
    found: dict[tuple[str, str], PublicKey] = {}
    for item in listed[:MOST_KEYS] if isinstance(listed, list) else ():
        key = _key(item)
        if key is not None:
            found.setdefault((item.get("kid", ""), item["kty"]), key)
    return found


def _key(item: Any) -> PublicKey | None:
    parts = _public_parts(item)
    if parts is None or not _is_of_a_sane_size(parts):
        return None
    try:
        key = JWKRegistry.import_key(parts)
    except (JoseError, ValueError, KeyError, TypeError, UnsupportedAlgorithm):
        return None
    if isinstance(key, RSAKey) and not _SHORTEST_RSA_BITS <= key.raw_value.key_size <= _LONGEST_RSA_BITS:
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None


def _public_parts(item: Any) -> dict[str, str | list[str]] | None:
    """Those of a key that signs. Whoever publishes a private key by mistake does not have it kept here too."""
    if not isinstance(item, dict) or item.get("use", "sig") != "sig":
        return None
    kind, kid, operations = item.get("kty"), item.get("kid", ""), item.get("key_ops", ["verify"])
    if not isinstance(kind, str) or kind not in _MEMBERS:
        return None
    if not isinstance(kid, str) or len(kid) > LONGEST_KID:
        return None
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    given = {name: item.get(name) for name in ("kty", *_MEMBERS[kind])}
    if "alg" in item:
        given["alg"] = item["alg"]
    parts: dict[str, str | list[str]] = {
        name: part for name, part in given.items() if isinstance(part, str) and part.isascii()
    }
    return parts if len(parts) == len(given) else None


def _is_of_a_sane_size(parts: Mapping[str, str | list[str]]) -> bool:
    if parts["kty"] == "OKP":
        return parts["crv"] == "Ed25519"
    if parts["kty"] == "EC":
        return len(parts["x"]) <= _LONGEST_COORDINATE and len(parts["y"]) <= _LONGEST_COORDINATE
    bits = len(parts["n"]) * 6
    return _SHORTEST_RSA_BITS <= bits <= _LONGEST_RSA_BITS + 16 and len(parts["e"]) <= _LONGEST_EXPONENT
