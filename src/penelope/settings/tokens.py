"""Settings of access tokens: who may say who somebody is."""

from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, Strict, field_validator

from penelope.flow.keys import Scope
from penelope.settings.context import Standing
from penelope.settings.section import Address, Location, Seconds, Section

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"
]


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    if parts.query or parts.fragment or any(letter.isspace() for letter in text):
        raise ValueError("should have nothing behind host, port and path")
    if parts.scheme != "https" and not _is_this_machine(parts.hostname or ""):
        raise ValueError("should begin with https://, for keys that come without TLS may be anybody's")
    return text


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(text: str) -> str:
    parts = urlsplit(f"https://{text}")
    if parts.netloc != text or not parts.hostname or "@" in text:
        raise ValueError("should be a host, maybe with a port, such as keys.example.com")
    return text


IssuerAddress = Annotated[Address, AfterValidator(_issuer)]
Host = Annotated[str, Field(max_length=255, pattern=r"^[A-Za-z0-9.:\[\]-]+$"), AfterValidator(_host)]
IssuerName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
Claim = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")]
Group = Annotated[str, Field(min_length=1, max_length=256)]
Scopes = Annotated[tuple[Annotated[Scope, Strict(False)], ...], Strict(False), Field(min_length=1)]


class Issuer(Section):
    """Somebody who makes tokens, and what they mean here."""

    issuer: IssuerAddress
    """The issuer, letter by letter as it stands in `iss`."""

    audience: Annotated[str, Field(min_length=1, max_length=512)]
    """What must stand in `aud`."""

    algorithms: Annotated[tuple[Algorithm, ...], Strict(False), Field(min_length=1)] = (
        "RS256",
        "ES256",
        "EdDSA",
    )
    """How tokens may be signed."""

    types: Annotated[tuple[Literal["at+jwt", "jwt"], ...], Strict(False), Field(min_length=1)] = ("at+jwt",)
    """What `typ` may be; `jwt` is also what has none."""

    actor_claim: Claim = "sub"
    """The claim with the name of whoever asks."""

    groups_claim: Claim = "groups"
    """The claim with groups, roles or scopes; or a path such as `realm_access.roles`."""

    scopes: dict[Group, Scopes] = Field(default_factory=dict)
    """Which scopes a value of that claim gives."""

    roles: dict[Group, Standing] = Field(default_factory=dict)
    """In which role questions of the context are asked, by a value of that claim; the first that fits counts."""

    agents: Annotated[tuple[Group, ...], Strict(False)] = ()
    """The values of that claim that programs have, and no person."""

    key_hosts: Annotated[tuple[Host, ...], Strict(False)] = ()
    """Hosts from which its keys may come beside its own."""

    ca_file: Location | None = None
    """A file with the certificates that the issuer's is held against."""


class Tokens(Section):
    """Access tokens (JWT) of OpenID Connect issuers, beside API keys, see [who may ask](../access.md)."""

    issuers: dict[IssuerName, Issuer] = Field(default_factory=dict)
    """Whose tokens are good here, each under a name that stands in history before that of the person. By default nobody's.
    The keys of each are explained on [that page](../access.md#access-tokens)."""

    leeway_seconds: Annotated[float, Field(ge=0, le=60)] = 10
    """How far, in seconds, an issuer's clock may differ from ours."""

    keys_seconds: Annotated[float, Field(ge=10, le=86_400)] = 300
    """After how many seconds an issuer's keys are asked for anew. One that it has withdrawn is good for so long."""

    keys_kept_seconds: Annotated[float, Field(ge=10, le=604_800)] = 3600
    """How long, in seconds, keys that are known go on while their issuer does not answer; then its tokens are answered 503."""

    pause_seconds: Annotated[float, Field(ge=1, le=3600)] = 10
    """The least time, in seconds, between two requests to an issuer, whatever keys tokens name."""

    timeout_seconds: Annotated[Seconds, Field(le=60)] = 5
    """How long, in seconds, an issuer may take to tell its keys."""

    @field_validator("issuers")
    @classmethod
    def _issuers_are_distinct(cls, issuers: Any) -> Any:
        addresses = [each.issuer for each in issuers.values()]
        if len(set(addresses)) < len(addresses):
            raise ValueError("names an issuer twice")
        return issuers

    @field_validator("keys_kept_seconds")
    @classmethod
    def _kept_is_longer(cls, kept: float, info: Any) -> float:
        fresh = info.data.get("keys_seconds", kept)
        if kept < fresh:
            raise ValueError(f"should not be less than tokens.keys_seconds, which is {fresh:g}")
        return kept
