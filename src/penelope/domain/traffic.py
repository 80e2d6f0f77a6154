"""What a router can be told of a service's traffic beside its weights."""

from dataclasses import dataclass
from enum import StrEnum


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterFinding:
    """One thing that was looked at in a router's set-up. `said` tells a person what to do where it does not work."""

    name: str
    works: bool
    said: str
