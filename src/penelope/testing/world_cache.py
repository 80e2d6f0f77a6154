"""A world of a real cache that serves wrong prices."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from penelope.domain.service import Service, Target
from penelope.errors import Unavailable
from penelope.kit.canonical import Json
from penelope.testing.servers import ValkeyServer
from penelope.testing.worlds import World

if TYPE_CHECKING:
    from redis import Redis

_PRODUCTS = 450
_PREFIX = "cache:price:"


class PoisonedCacheWorld(World):
    """Prices are read from the cache, and else from their origin. A bad deployment wrote wrong ones into the cache."""

    playbook = "flush-poisoned-cache"
    thing = "a real Valkey (the protocol of Redis) from a wheel"
    real = True
    signal_name = "CachePoisoned"
    labels: ClassVar[Mapping[str, str]] = {"prefix": _PREFIX}

    def __init__(self) -> None:
        self._server = ValkeyServer(password="of-the-world")  # noqa: S106 - on a socket in a private folder

    async def open(self, folder: Path) -> None:  # noqa: ARG002 - the name of its socket must be short
        try:
            import redis  # noqa: F401, PLC0415 - only who tries this world needs it
        except ImportError as error:
            raise Unavailable("redis is not installed: pip install 'penelope-ops[redis]'") from error
        await asyncio.to_thread(self._server.start)
        await self.reset()

    async def close(self) -> None:
        await asyncio.to_thread(self._server.stop)

    async def reset(self) -> None:
        await asyncio.to_thread(self._fill, 1)

    async def break_it(self) -> None:
        await asyncio.to_thread(self._fill, 100)

    def service(self) -> Service:
        options = {"url": self._server.url, "password": self._server.password}
        target = Target(name="cache", service="shop", adapter="redis", options=options)
        return Service(name="shop", owner="team-shop", tier=2, targets={"cache": target})

    async def healthy(self) -> bool:
        return await asyncio.to_thread(self._right)

    async def state(self) -> Json:
        return await asyncio.to_thread(self._all)

    def _client(self) -> "Redis":
        from redis import Redis  # noqa: PLC0415 - only who tries this world needs it

        return Redis.from_url(self._server.url, password=self._server.password)

    def _fill(self, factor: int) -> None:
        """Writes the cache, with each price so many times too high, and what else lies on the server."""
        with self._client() as client:
            client.flushall()
            with client.pipeline(transaction=False) as pipe:
                for number in range(_PRODUCTS):
                    # Far off: a price that lapses in the middle of a trial would be nobody's doing.
                    expires = 4_102_444_800_000 + number if number % 2 else None
                    pipe.set(f"{_PREFIX}{number}", str(_price(number) * factor), pxat=expires)
                pipe.hset("session:1", mapping={"user": "penelope", "cart": "3"})
                pipe.sadd("cache:prices-of-the-day", "1", "2")
                pipe.execute()

    def _right(self) -> bool:
        """Whether customers see the right prices; nothing is written meanwhile."""
        with self._client() as client:
            cached = client.mget([f"{_PREFIX}{number}" for number in range(_PRODUCTS)])
        return all(
            value is None or int(value) == _price(number)
            for number, value in enumerate(cached if isinstance(cached, list) else [])
        )

    def _all(self) -> dict[str, Json]:
        with self._client() as client:
            keys = sorted(key for key in client.scan_iter(count=1000) if not key.startswith(b"penelope:"))
            with client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.execute_command("PEXPIRETIME", key)
                    pipe.get(key) if key.startswith(_PREFIX.encode()) else pipe.dump(key)
                answers = pipe.execute()
        lines = [
            f"{key!r} {expires} {value!r}"
            for key, expires, value in zip(keys, answers[::2], answers[1::2], strict=True)
        ]
        return {"keys": len(keys), "hash": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def _price(number: int) -> int:
    return 100 + number % 37
