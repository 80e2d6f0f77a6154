"""What is special about Redis: values of every kind, others who write meanwhile, hostile names, settings that open a server."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from bench_redis import EVERYTHING, filled
from benching import an_action
from redis.asyncio import Redis

from penelope.adapters.actions.keep import Keep
from penelope.adapters.actions.redis_store import RedisAdapter
from penelope.domain.action import Action, Progress, Snapshot
from penelope.errors import ActionFailed, CompensationFailed, InvalidCatalogue, InvalidPlaybook, Unavailable
from penelope.rooms.act.run import perform, undo

KEYS = [f"cache:{kind}" for kind in EVERYTHING]


@pytest.fixture
def adapter(tmp_path: Path) -> RedisAdapter:
    return RedisAdapter(Keep(tmp_path / "keep"))


@pytest.fixture
def client(valkey: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey) as made:
        filled(made)
        yield made


def acting(url: str, operation: str, params: dict[str, Any], **options: Any) -> Action:
    return an_action("redis", operation, {"url": url, **options}, params)


def taken(adapter: RedisAdapter, action: Action) -> Snapshot:
    return asyncio.run(adapter.snapshot(action))


def done(adapter: RedisAdapter, action: Action) -> Snapshot:
    snapshot = taken(adapter, action)
    asyncio.run(perform(adapter, action, snapshot, first_attempt=True))
    return snapshot


def everything(client: "redis.Redis") -> dict[str, Any]:
    """Values by what they hold, with the time at which they go."""
    reads: dict[bytes, Any] = {
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    return {
        key.decode(): (reads[client.type(key)](key), client.execute_command("PEXPIRETIME", key))
        for key in client.keys("*")
        if not key.startswith(b"penelope:")
    }


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("delete_keys", {"keys": KEYS}),
        ("delete_keys", {"prefix": "cache:"}),
        ("flush_prefix", {"prefix": "cache:"}),
        ("expire_keys", {"keys": KEYS, "ttl_seconds": 60}),
        ("set_key", {"key": "cache:set", "value": "x"}),
        ("set_key", {"key": "cache:new", "value": "x", "ttl_seconds": 60}),
    ],
)
def test_values_of_every_kind_come_back_with_their_time(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis", operation: str, params: dict[str, Any]
) -> None:
    before = everything(client)
    action = acting(valkey, operation, params)
    snapshot = done(adapter, action)
    assert everything(client) != before
    assert asyncio.run(adapter.differences(action, snapshot))
    asyncio.run(undo(adapter, action, snapshot))
    assert everything(client) == before
    assert asyncio.run(adapter.differences(action, snapshot)) == []
    assert asyncio.run(adapter.probe(action, snapshot)) is Progress.NOT_APPLIED


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("delete_keys", {"keys": KEYS}),
        ("expire_keys", {"keys": KEYS, "ttl_seconds": 60}),
        ("set_key", {"key": "cache:string", "value": "x"}),
    ],
)
def test_a_key_that_somebody_else_wrote_since_is_not_overwritten(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis", operation: str, params: dict[str, Any]
) -> None:
    action = acting(valkey, operation, params)
    snapshot = done(adapter, action)
    client.set("cache:string", "theirs")
    after = everything(client)
    with pytest.raises(CompensationFailed, match="something else wrote 1 of"):
        asyncio.run(undo(adapter, action, snapshot))
    assert everything(client) == after, "nothing half put back"


def test_a_key_that_changed_after_the_snapshot_stops_the_action(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    action = acting(valkey, "delete_keys", {"keys": KEYS})
    snapshot = taken(adapter, action)
    client.hset("cache:hash", "new", "field")
    after = everything(client)
    with pytest.raises(ActionFailed, match="1 of 7 keys changed"):
        asyncio.run(adapter.execute(action, snapshot))
    assert everything(client) == after
    assert asyncio.run(adapter.probe(action, snapshot)) is Progress.NOT_APPLIED


def test_a_cache_that_fills_again_keeps_what_is_newer(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    action = acting(valkey, "flush_prefix", {"prefix": "cache:"})
    snapshot = taken(adapter, action)
    client.set("cache:brief", "newer than the snapshot")
    assert asyncio.run(adapter.execute(action, snapshot)).details == {
        "deleted": 6,
        "not_there_or_written_anew": 1,
    }
    assert client.keys("cache:*") == [b"cache:brief"]
    client.set("cache:string", "newer than the flush")
    asyncio.run(undo(adapter, action, snapshot))
    assert client.get("cache:brief") == b"newer than the snapshot"
    assert client.get("cache:string") == b"newer than the flush"
    assert sorted(client.keys("cache:*")) == sorted(key.encode() for key in KEYS)
    assert asyncio.run(adapter.differences(action, snapshot)) == []


def test_a_flush_in_a_cache_that_is_written_all_the_time_still_ends(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    with client.pipeline(transaction=False) as pipe:
        for number in range(600):
            pipe.set(f"busy:{number}", "v")
        pipe.execute()
    action = acting(valkey, "flush_prefix", {"prefix": "busy:"})

    async def flushed() -> Snapshot:
        snapshot = await adapter.snapshot(action)
        async with Redis.from_url(valkey) as writer:
            flushing = asyncio.ensure_future(adapter.execute(action, snapshot))
            while not flushing.done():
                await writer.set("busy:300", str(time.monotonic_ns()))
        assert (await flushing).details["deleted"] >= 599
        return snapshot

    asyncio.run(flushed())
    assert set(client.keys("busy:*")) <= {b"busy:300"}


def test_two_who_execute_the_same_action_at_once_make_one_effect(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    action = acting(valkey, "set_key", {"key": "cache:string", "value": "x"})
    snapshot = taken(adapter, action)

    async def race() -> list[bool]:
        effects = await asyncio.gather(*(adapter.execute(action, snapshot) for _ in range(4)))
        return sorted(effect.repeated for effect in effects)

    assert asyncio.run(race()) == [False, True, True, True]
    assert client.get("cache:string") == b"x"


def test_a_key_whose_time_comes_meanwhile_is_rightly_gone(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    client.set("cache:brief", "v", px=400)
    action = acting(valkey, "delete_keys", {"keys": ["cache:brief", "cache:set"]})
    snapshot = done(adapter, action)
    time.sleep(0.5)
    asyncio.run(undo(adapter, action, snapshot))
    assert not client.exists("cache:brief")
    assert asyncio.run(adapter.differences(action, snapshot)) == []


@pytest.mark.parametrize("prefix", ["ca*", "ca[c]he:", "c?che:", "ca\\che:", "CACHE:"])
def test_a_prefix_is_no_pattern(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis", prefix: str
) -> None:
    with pytest.raises(ActionFailed, match="no key"):
        taken(adapter, acting(valkey, "flush_prefix", {"prefix": prefix}))
    client.set(f"{prefix}odd", "v")
    done(adapter, acting(valkey, "flush_prefix", {"prefix": prefix}))
    assert not client.exists(f"{prefix}odd")
    assert client.exists(*KEYS) == len(KEYS)


def test_more_keys_or_bytes_than_allowed_are_all_left_alone(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    for operation in ("flush_prefix", "delete_keys"):
        with pytest.raises(ActionFailed, match="more than 3"):
            taken(adapter, acting(valkey, operation, {"prefix": "cache:", "max_keys": 3}))
    client.set("cache:huge", b"x" * (33 * 1024 * 1024))
    with pytest.raises(ActionFailed, match="the most that is kept"):
        taken(adapter, acting(valkey, "delete_keys", {"keys": ["cache:huge"]}))
    assert client.exists(*KEYS, "cache:huge") == len(KEYS) + 1


def test_penelopes_own_proofs_are_out_of_reach(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    client.set("penelope:action:other", "applied")
    done(adapter, acting(valkey, "flush_prefix", {"prefix": "pe"}) if client.set("pen", "x") else None)
    assert client.get("penelope:action:other") == b"applied"
    for params in ({"keys": ["penelope:action:other"]}, {"prefix": "penelope:action:"}):
        with pytest.raises(InvalidPlaybook, match="own"):
            adapter.validate("delete_keys", params)


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("delete_keys", {}),
        ("delete_keys", {"keys": ["a"], "prefix": "b"}),
        ("delete_keys", {"keys": [""]}),
        ("delete_keys", {"prefix": ""}),
        ("delete_keys", {"keys": ["\ud800"]}),
        ("delete_keys", {"keys": ["k"] * 1001}),
        ("delete_keys", {"prefix": "cache:", "max_keys": 10**9}),
        ("flush_prefix", {"prefix": "c"}),
        ("flush_prefix", {"prefix": "cache:", "script": "return 1"}),
        ("set_key", {"key": "k", "value": 1}),
        ("set_key", {"key": "k", "value": "v", "ttl_seconds": 0}),
        ("expire_keys", {"keys": [], "ttl_seconds": 1}),
        ("expire_keys", {"keys": ["k"], "ttl_seconds": -1}),
        ("config_set", {"name": "maxmemory\r\nFLUSHALL", "value": 1}),
        ("config_set", {"name": "*", "value": 1}),
    ],
)
def test_hostile_parameters_are_refused_before_anything_runs(
    adapter: RedisAdapter, operation: str, params: dict[str, Any]
) -> None:
    with pytest.raises(InvalidPlaybook):
        adapter.validate(operation, params)


@pytest.mark.parametrize(
    "name",
    [
        "dir", "dbfilename", "logfile", "requirepass", "masterauth", "aclfile", "replicaof", "slaveof", "bind",
        "port", "unixsocket", "protected-mode", "enable-debug-command", "enable-module-command", "tls-port",
        "primaryuser", "appendfilename", "include",
    ],
)  # fmt: skip
def test_settings_that_open_a_server_or_write_files_are_never_set(adapter: RedisAdapter, name: str) -> None:
    with pytest.raises(InvalidPlaybook, match="never set"):
        adapter.validate("config_set", {"name": name, "value": "x"})


def test_a_setting_must_be_listed_and_be_as_the_server_writes_it(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    params = {"name": "maxmemory-policy", "value": "allkeys-lru"}
    with pytest.raises(InvalidPlaybook, match="not among"):
        taken(adapter, acting(valkey, "config_set", params))
    odd = {"name": "notify-keyspace-events", "value": "KEA"}
    action = acting(valkey, "config_set", odd, settings=["notify-keyspace-events"])
    snapshot = taken(adapter, action)
    with pytest.raises(ActionFailed, match="write it so"):
        asyncio.run(adapter.execute(action, snapshot))
    assert asyncio.run(adapter.differences(action, snapshot)) == []
    action = acting(valkey, "config_set", params, settings=["maxmemory-policy"])
    snapshot = done(adapter, action)
    client.config_set("maxmemory-policy", "volatile-lru")
    with pytest.raises(CompensationFailed, match="something else"):
        asyncio.run(undo(adapter, action, snapshot))
    client.config_set("maxmemory-policy", "noeviction")


def test_what_the_server_does_not_allow_is_refused_without_its_words(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    client.execute_command(
        "ACL", "SETUSER", "weak", "on", ">s3cret", "~cache:*", "~penelope:*", "+@all", "-unlink"
    )
    options = {"username": "weak", "password": "s3cret"}
    action = acting(valkey, "delete_keys", {"keys": ["cache:set"]}, **options)
    snapshot = taken(adapter, action)
    with pytest.raises(ActionFailed, match="refused") as caught:
        asyncio.run(adapter.execute(action, snapshot))
    assert "s3cret" not in caught.value.message
    assert client.exists("cache:set")
    wrong = acting(valkey, "delete_keys", {"keys": ["cache:set"]}, username="weak", password="other")
    with pytest.raises(Unavailable, match="let Penelope in"):
        taken(adapter, wrong)


def test_private_names_and_values_are_not_in_the_snapshot(
    adapter: RedisAdapter, valkey: str, client: "redis.Redis"
) -> None:
    client.set("session:s3cret", "s3cret")
    action = acting(valkey, "delete_keys", {"prefix": "session:"})
    snapshot = taken(adapter, action)
    asyncio.run(adapter.execute(action, snapshot))
    assert "s3cret" not in f"{snapshot} {asyncio.run(adapter.differences(action, snapshot))}"


@pytest.mark.parametrize("url", ["http://x", "redis.example", "redis://x:notaport/s3cret", ""])
def test_urls_that_name_no_server_are_refused_unseen(adapter: RedisAdapter, url: str) -> None:
    with pytest.raises((InvalidCatalogue, Unavailable)) as caught:
        taken(adapter, acting(url, "delete_keys", {"keys": ["k"]}))
    assert "s3cret" not in caught.value.message
