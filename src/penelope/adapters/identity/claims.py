"""What the claims of a token that is good come to here: who it is, and what that person or program may do."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from penelope.adapters.identity.trust import Trust
from penelope.domain.people import AGENT
from penelope.flow.keys import Caller

PREFIX: Final = "oidc"
LONGEST_NAME: Final = 255
"""Of a subject, in ASCII (OpenID Connect Core 1.0, 2)."""

MOST_GROUPS: Final = 1000
_LATEST = 253_402_300_799.0
"""The last second of the year 9999: what is later cannot be told as a moment."""

_SPACED = {"scope", "scp"}
"""Claims that hold several values in one text (RFC 9068, 2.2.3)."""

_CLIENTS = ("client_id", "azp", "appid", "cid")


class Unfit(Exception):
    """Claims that are not good here; `outcome` is one word for the metric."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def expiry_of(claims: Mapping[str, Any], now: datetime, leeway: timedelta) -> datetime:
    """Until when claims are good, by the issuer's clock. Raises Unfit where they are not, or say nothing of it."""
    expires = _moment(claims["exp"]) if "exp" in claims else None
    if expires is None:
        raise Unfit("form")
    for name in ("nbf", "iat"):
        if name in claims:
            begins = _moment(claims[name])
            if begins is None:
                raise Unfit("form")
            if begins - now > leeway:
                raise Unfit("early")
    if now - expires >= leeway:
        raise Unfit("expired")
    return expires


def _moment(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return datetime.fromtimestamp(value, UTC) if 0 <= value <= _LATEST else None


def check_audience(claims: Mapping[str, Any], audience: str) -> None:
    """Raises Unfit where a token is not meant for us."""
    given = claims.get("aud")
    if given != audience and not (isinstance(given, list) and audience in given):
        raise Unfit("audience")


def caller_of(claims: Mapping[str, Any], trust: Trust) -> Caller:
    """Who shows these claims. Raises Unfit for a name that could be taken for another one.

    Two issuers never make the same name, for those of ours have no colon; and no key, for the names of keys have none.
    """
    name = _name(claims, trust)
    groups = _groups(claims, trust.groups_claim)
    full = f"{PREFIX}:{trust.name}:{name}"
    is_agent = _is_program(claims) or not trust.agents.isdisjoint(groups)
    role = next((role for group, role in trust.roles.items() if group in groups), None)
    return Caller(
        actor=f"{AGENT}{full}" if is_agent else full,
        as_agent=f"{AGENT}{full}",
        # A seat in a quorum is named without a second colon.
        holder=f"{AGENT}{PREFIX}.{trust.name}.{name}" if is_agent else full,
        known=True,
        scopes=frozenset(
            scope for group, scopes in trust.scopes.items() if group in groups for scope in scopes
        ),
        described=f"the access token of {full}",
        role=role.role if role else "",
        region=role.region if role else "",
    )


def _name(claims: Mapping[str, Any], trust: Trust) -> str:
    name = claims.get(trust.actor_claim)
    # Of printable ASCII alone, no two names look the same, and none breaks a line of a log.
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise Unfit("name")
    if not all("!" <= letter <= "~" for letter in name):
        raise Unfit("name")
    # Some issuers let people write down any address.
    if trust.actor_claim == "email" and claims.get("email_verified") is not True:
        raise Unfit("name")
    return name


def _is_program(claims: Mapping[str, Any]) -> bool:
    """Whether a client asked for itself and not for a person (RFC 9068, 5, and what some issuers say instead)."""
    subject = claims.get("sub")
    if isinstance(subject, str) and any(claims.get(name) == subject for name in _CLIENTS):
        return True
    return claims.get("gty") == "client-credentials" or claims.get("idtyp") == "app"


def _groups(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """The texts in a claim, or below a path of dots such as `realm_access.roles`; what is no text counts for nothing."""
    value: Any = claims.get(name)
    if value is None:
        value = claims
        for step in name.split("."):
            value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, str):
        value = value.split(" ") if name in _SPACED else [value]
    if not isinstance(value, list):
        return frozenset()
    return frozenset(item for item in value[:MOST_GROUPS] if isinstance(item, str))
