"""What a router can be told of a service's traffic beside its weights."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

# Both end up in the rules of routers, some of them in regular expressions there: nothing that could end or widen one.
NAME_FORM = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
VALUE_FORM = r"^[A-Za-z0-9_-]{1,128}$"
LONGEST_AGE_SECONDS = 400 * 86_400


class Feature(StrEnum):
    """What a router may be able to do beside weights; each has one request of a kind at a time."""

    MIRROR = "mirror"
    PIN = "pin"
    AFFINITY = "affinity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """Copies of `percent` of the requests (1…100) go to an arm; its answers are thrown away."""

    arm: str
    percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Requests that bear a header, or a cookie, of this value go to an arm whatever the weights; one of the two is named."""

    arm: str
    value: str
    header: str = ""
    cookie: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affinity:
    """Who was served by an arm comes back to it, by a cookie of this name, until the arm's weight is 0."""

    cookie: str
    max_age_seconds: int = 86_400


Extra = Mirror | Pin | Affinity


def unfit(extra: Extra) -> str:
    """Why no router is told this, whatever its arms are; empty where one may be."""
    return next((why for why, wrong in _faults(extra) if wrong), "")


def _faults(extra: Extra) -> Iterator[tuple[str, bool]]:
    match extra:
        case Mirror(percent=percent):
            yield "a mirror gets from 1 to 100 percent of the requests", not 1 <= percent <= 100
        case Pin(header=header, cookie=cookie, value=value):
            yield "a pin goes by a header or by a cookie", bool(header) == bool(cookie)
            named = re.fullmatch(NAME_FORM, header or cookie)
            yield "a pin's header or cookie is named with letters, digits, - and _", not named
            yield "a pin's value is made of letters, digits, - and _", not re.fullmatch(VALUE_FORM, value)
        case Affinity(cookie=cookie, max_age_seconds=age):
            named = re.fullmatch(NAME_FORM, cookie)
            yield "the cookie of an affinity is named with letters, digits, - and _", not named
            yield "an affinity lasts from 1 second to 400 days", not 1 <= age <= LONGEST_AGE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterFinding:
    """One thing that was looked at in a router's set-up. `said` tells a person what to do where it does not work."""

    name: str
    works: bool
    said: str
