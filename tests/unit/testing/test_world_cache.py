import asyncio
from pathlib import Path

from carrying import tried

from penelope.testing.world_cache import PoisonedCacheWorld


def test_a_poisoned_cache_is_flushed_and_all_else_on_the_server_stays(tmp_path: Path) -> None:
    params = {"prefix": "cache:price:", "max_keys": 1000}
    asyncio.run(tried(PoisonedCacheWorld(), [("cache", "flush_prefix", params)], tmp_path))
