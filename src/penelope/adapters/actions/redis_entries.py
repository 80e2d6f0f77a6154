"""What lies under keys of a Redis server, in a form that can be compared and put back."""

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penelope.adapters.actions.redis_model import MOST_BYTES, PROOFS, RedisOptions
from penelope.errors import ActionFailed, InvalidCatalogue, Timeout, Unavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

_AT_ONCE = 200
_MOST_ROUNDS = 20_000
_TRIES = 3
_READS = {
    b"string": lambda pipe, key: pipe.get(key),
    b"list": lambda pipe, key: pipe.lrange(key, 0, -1),
    b"hash": lambda pipe, key: pipe.hgetall(key),
    b"set": lambda pipe, key: pipe.smembers(key),
    b"zset": lambda pipe, key: pipe.zrange(key, 0, -1, withscores=True),
}


class ServerRefused(ActionFailed):
    """The server said no, and nothing was changed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value. `dump` is what RESTORE takes; `digest` is of the value, in whatever order it is stored;
    `expires_at` in milliseconds since 1970.
    """

    key: bytes
    dump: bytes
    digest: str
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class Before:
    """What a key was; no entry where there was none."""

    key: bytes
    entry: Entry | None


@asynccontextmanager
async def connected(options: RedisOptions, timeout_seconds: float) -> "AsyncIterator[Redis]":
    """A client that repeats nothing by itself. Raises Unavailable, Timeout, ServerRefused, InvalidCatalogue, never with the
    server's words: they may show values.
    """
    try:
        from redis import exceptions  # noqa: PLC0415 - only an installation with the extra has it
        from redis.asyncio import Redis  # noqa: PLC0415 - as above
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - as above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    except ImportError as error:
        raise Unavailable("redis is not installed: pip install 'penelope-ops[redis]'") from error
    if not options.url.startswith(("redis://", "rediss://", "unix://")):
        raise InvalidCatalogue("the url of a Redis target is redis://, rediss:// or unix://")
    given: dict[str, Any] = {"username": options.username, "password": options.password}
    try:
        client = Redis.from_url(
            options.url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=min(timeout_seconds, 5.0),
            retry=Retry(NoBackoff(), 0),
            **{name: value for name, value in given.items() if value is not None},
        )
    except ValueError:
        raise InvalidCatalogue("the url of a Redis target does not parse") from None
    try:
        yield client
    except exceptions.TimeoutError:
        raise Timeout("the Redis server did not answer in time") from None
    except (exceptions.ConnectionError, OSError):
        raise Unavailable("the Redis server does not answer, or does not let Penelope in") from None
    except exceptions.RedisError as error:
        word = re.match(r"[A-Z]{2,20}\b", str(error))
        raise ServerRefused(
            f"the Redis server refused ({word[0] if word else type(error).__name__})"
        ) from None
    finally:
        await client.aclose()


async def begin_with(client: "Redis", prefix: str, most: int) -> list[bytes]:
    """The keys that begin with a text, in order, without proofs. Raises ActionFailed where they are more than that."""
    pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", prefix).encode() + b"*"
    found: set[bytes] = set()
    own = PROOFS.encode()
    cursor = 0
    for _ in range(_MOST_ROUNDS):
        cursor, keys = await client.scan(cursor, match=pattern, count=500)
        found.update(key for key in keys if isinstance(key, bytes) and not key.startswith(own))
        if len(found) > most:
            raise ActionFailed(f"more than {most} keys begin so: none is touched")
        if not cursor:
            return sorted(found)
    raise ActionFailed("the server holds too many keys to look through")


async def read(client: "Redis", keys: Sequence[bytes]) -> list[Before]:
    """What lies under keys now. Raises ActionFailed where it is more than can be kept."""
    found: list[Before] = []
    size = 0
    for start in range(0, len(keys), _AT_ONCE):
        chunk = keys[start : start + _AT_ONCE]
        # Asked first, so that a huge value is never fetched.
        async with client.pipeline(transaction=False) as pipe:
            for key in chunk:
                pipe.memory_usage(key)
            size += sum(used or 0 for used in await pipe.execute())
        if size > MOST_BYTES:
            raise ActionFailed(
                f"the values take more than {MOST_BYTES} bytes, which is the most that is kept"
            )
        found += await _read_some(client, chunk)
    return found


async def _read_some(client: "Redis", keys: Sequence[bytes]) -> list[Before]:
    for _ in range(_TRIES):
        async with client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.type(key)
            kinds = await pipe.execute()
        async with client.pipeline(transaction=True) as pipe:
            for key, kind in zip(keys, kinds, strict=True):
                pipe.type(key)
                pipe.dump(key)
                pipe.execute_command("PEXPIRETIME", key)
                _READS.get(kind, lambda pipe, key: pipe.dump(key))(pipe, key)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        rows = [answers[place : place + 4] for place in range(0, len(answers), 4)]
        if [row[0] for row in rows] == kinds:
            if any(isinstance(answer, Exception) for answer in answers):
                raise ServerRefused(
                    "the Redis server does not let keys be read (it must be Redis 7 or later, or Valkey)"
                )
            return [_before(key, *row) for key, row in zip(keys, rows, strict=True)]
        await asyncio.sleep(0.01)
    raise Unavailable("keys change their type while they are read")


def _before(key: bytes, kind: bytes, dump: bytes | None, expires_at: int, value: Any) -> Before:
    if dump is None:
        return Before(key, None)
    return Before(key, Entry(key, dump, digest(kind, value), expires_at if expires_at >= 0 else None))


def digest(kind: bytes, value: Any) -> str:
    """Of a value by what it holds: the order of a hash or a set is the server's own affair."""
    if kind == b"hash":
        value = sorted(value.items())
    elif kind == b"set":
        value = sorted(value)
    return hashlib.sha256(repr((kind, value)).encode()).hexdigest()


async def server_time(client: "Redis") -> int:
    """Milliseconds since 1970, by the server's clock."""
    seconds, micros = await client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def as_bytes(befores: Iterable[Before]) -> bytes:
    """For Keep."""
    return json.dumps(
        [
            [
                _text(each.key),
                each.entry and [_text(each.entry.dump), each.entry.digest, each.entry.expires_at],
            ]
            for each in befores
        ]
    ).encode()


def from_bytes(content: bytes) -> list[Before]:
    found = []
    for name, entry in json.loads(content):
        key = base64.b64decode(name)
        found.append(Before(key, entry and Entry(key, base64.b64decode(entry[0]), entry[1], entry[2])))
    return found


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
