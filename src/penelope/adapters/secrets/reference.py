"""What a reference to a secret says, such as ``secret://vault/shop/db?version=2#password``."""

import re
from dataclasses import dataclass
from typing import Protocol

from penelope.errors import BadSettings

SCHEME = "secret://"
LARGEST_BYTES = 64 * 1024
"""No secret is larger: a private key with its chain has some 10 KB."""

_FORM = re.compile(
    r"secret://(?P<store>[a-z]+)/(?P<path>[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*)"
    r"(?:\?version=(?P<version>[1-9][0-9]{0,8}))?(?:#(?P<field>[A-Za-z0-9_.-]+))?"
)
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class Reference:
    """The parts of a reference. `version` 0 means the newest; `field` is empty where a store has none."""

    store: str
    path: str
    field: str = ""
    version: int = 0

    @property
    def text(self) -> str:
        version = f"?version={self.version}" if self.version else ""
        return f"{SCHEME}{self.store}/{self.path}{version}" + (f"#{self.field}" if self.field else "")


class Store(Protocol):
    """One place where secrets lie. Errors never show a value."""

    async def read(self, reference: Reference) -> str:
        """Raises BadSettings for what is not there or is not allowed, Unavailable, Timeout."""


def parse(text: str) -> Reference:
    """Raises BadSettings for what has not the form of a reference, a path that climbs among it."""
    found = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or any(set(step) == {"."} for step in found["path"].split("/")):
        raise BadSettings(
            f"{text[:80]!r} is no reference to a secret",
            hint="It has the form secret://<store>/<path>, for some stores with #<field>; see docs/secrets.md.",
        )
    return Reference(found["store"], found["path"], found["field"] or "", int(found["version"] or 0))


def plain(reference: Reference) -> Reference:
    """The reference itself. Raises BadSettings where it has a field or a version that its store does not know."""
    if reference.field or reference.version:
        raise BadSettings(f"{reference.text} has a field or a version, which its store does not know")
    return reference


def missing(reference: Reference, why: str = "names nothing") -> BadSettings:
    return BadSettings(
        f"{reference.text} {why}", hint="Correct the reference in services.yaml, or put the secret there."
    )
