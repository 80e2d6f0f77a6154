"""What the operations on Redis declare that they need must be all that they need."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from bench_redis import EVERYTHING, filled
from benching import an_action

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.redis_store import RedisAdapter
from penelope.domain.action import Action
from penelope.rooms.act.run import perform, undo

KEYS = [f"cache:{kind}" for kind in EVERYTHING]


@pytest.fixture
def client(valkey: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey) as made:
        filled(made)
        yield made
        made.execute_command("ACL", "DELUSER", "medic")


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("delete_keys", {"keys": KEYS}),
        ("delete_keys", {"prefix": "cache:"}),
        ("flush_prefix", {"prefix": "cache:"}),
        ("expire_keys", {"keys": KEYS, "ttl_seconds": 60}),
        ("set_key", {"key": "cache:set", "value": "x"}),
        ("set_key", {"key": "cache:new", "value": "x", "ttl_seconds": 60}),
        ("config_set", {"name": "maxmemory", "value": "100mb"}),
    ],
)
def test_a_user_with_what_is_declared_can_do_it_see_it_and_take_it_back(
    tmp_path: Path, valkey: str, client: "redis.Redis", operation: str, params: dict[str, Any]
) -> None:
    adapter = RedisAdapter(Keep(tmp_path / "keep"))
    declared = [each for text in adapter.operations[operation].permissions for each in text.split(", ")]
    allowed = [f"+{each}" for each in declared]
    client.execute_command(
        "ACL", "SETUSER", "medic", "on", ">s3cret", "~cache:*", "~penelope:action:*", "-@all", *allowed
    )
    options = {"url": valkey, "username": "medic", "password": "s3cret", "settings": ["maxmemory"]}
    asyncio.run(_whole(adapter, an_action("redis", operation, options, params)))


async def _whole(adapter: RedisAdapter, action: Action) -> None:
    before = await adapter.snapshot(action)
    await adapter.dry_run(action, before)
    await perform(adapter, action, before, first_attempt=True)
    await adapter.observe(action)
    await undo(adapter, action, before)
