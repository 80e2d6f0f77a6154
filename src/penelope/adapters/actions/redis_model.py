"""What a target of the Redis adapter is configured with, and what its operations take."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from penelope.errors import InvalidPlaybook

PROOFS = "penelope:action:"
"""Below it lie the proofs of effect; nothing here touches them but the proofs themselves."""

MOST_KEYS = 1_000
MOST_FLUSHED = 20_000
MOST_BYTES = 32 * 1024 * 1024
"""Of the values that one action keeps."""

Key = Annotated[str, Meta(min_length=1, max_length=1024)]
Seconds = Annotated[int, Meta(ge=1, le=10 * 366 * 24 * 3600)]

_NEVER_SET = re.compile(
    r".*(pass|auth|user|tls|acl|module|debug|protected|socket|file|replicaof|slaveof).*|dir|bind.*|port|include|.*dirname"
)


class RedisStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all shapes here have in common."""


class RedisOptions(RedisStruct, frozen=True, kw_only=True):
    """Options of a target. `url` is ``redis://…``, ``rediss://…`` or ``unix://…``; a password may stand in it or in
    `password`. `settings` are the names that `config_set` may set. How long proofs of effect stay is
    `proof_seconds`.
    """

    url: str
    username: str | None = None
    password: str | None = None
    settings: list[str] = []
    proof_seconds: Annotated[int, Meta(ge=3600, le=90 * 24 * 3600)] = 7 * 24 * 3600


class DeleteKeysParams(RedisStruct, frozen=True, kw_only=True):
    """`keys`, or all that begin with `prefix`; more than `max_keys` are refused. All go at once, or none."""

    keys: Annotated[list[Key], Meta(max_length=MOST_KEYS)] = []
    prefix: Key | None = None
    max_keys: Annotated[int, Meta(ge=1, le=MOST_KEYS)] = 100


class SetKeyParams(RedisStruct, frozen=True, kw_only=True):
    """Writes a text; without `ttl_seconds` it stays for ever."""

    key: Key
    value: Annotated[str, Meta(max_length=100_000)]
    ttl_seconds: Seconds | None = None


class ExpireKeysParams(RedisStruct, frozen=True, kw_only=True):
    """The keys go by themselves after that time."""

    keys: Annotated[list[Key], Meta(min_length=1, max_length=MOST_KEYS)]
    ttl_seconds: Seconds


class FlushPrefixParams(RedisStruct, frozen=True, kw_only=True):
    """All keys that begin with `prefix`, a few hundred at a time; more than `max_keys` are refused. What is written
    anew meanwhile stays.
    """

    prefix: Annotated[str, Meta(min_length=2, max_length=1024)]
    max_keys: Annotated[int, Meta(ge=1, le=MOST_FLUSHED)] = 5_000


class ConfigSetParams(RedisStruct, frozen=True, kw_only=True):
    """`value` is written as the server itself writes it; sizes in bytes may have a unit."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]
    value: int | Annotated[str, Meta(max_length=200)]


def check_key(key: str) -> None:
    """Raises InvalidPlaybook."""
    try:
        key.encode()
    except UnicodeEncodeError:
        raise InvalidPlaybook("keys are texts of Unicode") from None
    if key.startswith(PROOFS):
        raise InvalidPlaybook(f"what lies below {PROOFS} is Penelope's own")


def check_setting(name: str) -> None:
    """Raises InvalidPlaybook for settings that open the server, show a secret, or write files, whatever the catalogue
    allows.
    """
    if _NEVER_SET.fullmatch(name) is not None:
        raise InvalidPlaybook(f"{name} is never set by a playbook")
