"""Benches of the adapter for Redis, against a real Valkey from its wheel."""

from dataclasses import replace
from typing import Any

import pytest
import redis
from benching import Bench, an_action, with_options

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.redis_store import RedisAdapter
from penelope.domain.action import Snapshot, Tier

EVERYTHING = ("string", "list", "hash", "set", "zset", "stream", "brief")


def filled(client: "redis.Redis[bytes]", prefix: str = "cache:") -> None:
    """One key of each kind; one that expires."""
    client.set(f"{prefix}string", b"\x00\xffs3cret")
    client.rpush(f"{prefix}list", "b", "a", "b")
    client.hset(f"{prefix}hash", mapping={str(number): "v" * 70 for number in range(200)})
    client.sadd(f"{prefix}set", *[f"m{number}" for number in range(600)])
    client.zadd(f"{prefix}zset", {"a": 1.5, "b": float("inf")})
    client.xadd(f"{prefix}stream", {"f": "v"})
    client.set(f"{prefix}brief", "v", ex=3600)


def _redis(
    request: pytest.FixtureRequest, operation: str, params: dict[str, Any], *shown: str, **options: Any
) -> tuple[Bench, "redis.Redis[bytes]"]:
    url: str = request.getfixturevalue("valkey")
    client = redis.Redis.from_url(url)
    request.addfinalizer(client.close)
    filled(client)
    keep = Keep(request.getfixturevalue("tmp_path") / "keep")
    action = replace(
        an_action("redis", operation, {"url": url, **options}, params), tier=Tier.HARD_TO_REVERSE
    )
    return (
        Bench(
            adapter=RedisAdapter(keep),
            action=action,
            effects=lambda: 0,
            shown=shown,
            unreachable=(RedisAdapter(keep), with_options(action, url="redis://penny:s3cret@127.0.0.1:9/0")),
        ),
        client,
    )


def redis_delete(request: pytest.FixtureRequest) -> Bench:
    keys = [f"cache:{kind}" for kind in EVERYTHING]
    bench, client = _redis(request, "delete_keys", {"keys": keys}, "keys", "hash")
    bench.effects = lambda: int(not client.exists(*keys))
    return bench


def redis_set(request: pytest.FixtureRequest) -> Bench:
    params = {"key": "cache:hash", "value": "schlüssel", "ttl_seconds": 600}
    bench, client = _redis(request, "set_key", params, "keys", "hash")
    bench.effects = lambda: int(client.type("cache:hash") == b"string")
    return bench


def redis_expire(request: pytest.FixtureRequest) -> Bench:
    params = {"keys": ["cache:brief", "cache:set"], "ttl_seconds": 60}
    bench, client = _redis(request, "expire_keys", params, "keys", "hash")
    bench.effects = lambda: int(0 <= client.ttl("cache:set") <= 60)
    return bench


def redis_flush(request: pytest.FixtureRequest) -> Bench:
    bench, client = _redis(request, "flush_prefix", {"prefix": "cache:"}, "keys", "hash")
    bench.effects = lambda: int(not client.keys("cache:*"))

    async def half(_: Snapshot) -> None:
        """As a crash between two transactions leaves it."""
        with client.pipeline(transaction=True) as pipe:
            pipe.unlink("cache:set", "cache:list")
            pipe.set(f"penelope:action:{bench.action.key}", "partial", ex=3600)
            pipe.execute()

    bench.half = half
    return bench


def redis_config(request: pytest.FixtureRequest) -> Bench:
    params = {"name": "maxmemory", "value": "64mb"}
    bench, client = _redis(request, "config_set", params, "value", settings=["maxmemory"])
    bench.effects = lambda: int(client.config_get("maxmemory")["maxmemory"] == str(64 * 1024 * 1024))
    return bench


BENCHES = [redis_delete, redis_set, redis_expire, redis_flush, redis_config]
HALVED = [redis_flush]
