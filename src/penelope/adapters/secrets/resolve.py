"""Fills references to secrets in, and finds what they stood for again in whatever comes out."""

import re
from collections.abc import Mapping
from urllib.parse import quote

from penelope.adapters.secrets.reference import LARGEST_BYTES, SCHEME, Reference, Store, parse
from penelope.errors import BadSettings
from penelope.kit.canonical import Json
from penelope.rooms.act.ports import Secrets

_EMBEDDED = re.compile(r"\$\{(secret://[^}]*)\}")
_A_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DEEPEST = 32
SHORTEST = 4
"""Shorter values could not be told from ordinary text, and so not be kept out of what is shown."""


class StoredSecrets:
    """Fulfils `Secrets` with the stores that are set up, by the name that references give them."""

    def __init__(self, stores: Mapping[str, Store]) -> None:
        self._stores = stores

    async def read(self, reference: str) -> str:
        parsed = parse(reference)
        store = self._stores.get(parsed.store)
        if store is None:
            known = ", ".join(sorted(self._stores)) or "none"
            raise BadSettings(f"{parsed.text} names no store that is set up", hint=f"Set up: {known}.")
        return _checked(await store.read(parsed), parsed)


def _checked(value: str, reference: Reference) -> str:
    if len(value) < SHORTEST:
        raise BadSettings(
            f"{reference.text} has fewer than {SHORTEST} characters",
            hint="So short a secret cannot be kept out of history; choose a longer one.",
        )
    if len(value.encode("utf-8", "surrogatepass")) > LARGEST_BYTES or "\0" in value:
        raise BadSettings(f"{reference.text} is too large, or holds a zero character")
    return value


class Resolved:
    """Options with their references filled in; `values` are the secrets by reference."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self.values: dict[str, str] = {}

    async def options(self, options: Mapping[str, Json]) -> dict[str, Json]:
        """Raises BadSettings for a reference that names nothing or is malformed, Unavailable, Timeout."""
        return {name: await self._filled(value, 0) for name, value in options.items()}

    async def _filled(self, value: Json, depth: int) -> Json:
        if depth > _DEEPEST:
            raise BadSettings("the options of a target nest too deeply")
        if isinstance(value, str):
            return await self._text(value)
        if isinstance(value, Mapping):
            return {key: await self._filled(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [await self._filled(item, depth + 1) for item in value]
        return value

    async def _text(self, text: str) -> str:
        if text.startswith(SCHEME):
            return await self._value(text)
        pieces, end = [], 0
        for found in _EMBEDDED.finditer(text):
            value = await self._value(found[1])
            # In a URL a password may hold what would end it there, or even lead to another host.
            pieces += [text[end : found.start()], quote(value, safe="") if _A_URL.match(text) else value]
            end = found.end()
        if SCHEME in _EMBEDDED.sub("", text):
            raise BadSettings(
                "an option holds a reference to a secret amid other text",
                hint="Amid other text it is written as ${secret://…}.",
            )
        return "".join([*pieces, text[end:]])

    async def _value(self, reference: str) -> str:
        if reference not in self.values:
            self.values[reference] = await self._secrets.read(reference)
        return self.values[reference]


def has_references(options: Json) -> bool:
    """Whether there is any reference to a secret in a target's options."""
    if isinstance(options, str):
        return SCHEME in options
    if isinstance(options, Mapping):
        return any(has_references(item) for item in options.values())
    return isinstance(options, list | tuple) and any(has_references(item) for item in options)
