import asyncio
import json
import sqlite3
from contextlib import closing
from threading import Barrier, Thread

import httpx
import pytest

from shop.configuration import ConfigurationInvalid, read_configuration
from shop.database import SHARED, AlreadyMigrated, Database
from shop.files import SHOP_TOML, corrupted, with_coupons
from shop.release import BAD, GOOD, TIRING, Release, history_file, switch
from shop.scrape import parse
from shop.service import Shop, note_start


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "shop.toml").write_text(SHOP_TOML)
    return folder


@pytest.fixture
def database(tmp_path):
    with closing(Database(tmp_path / "shop.db")) as database:
        yield database


@pytest.fixture
def shop(repository, database):
    return Shop(instance="a", release=GOOD, repository=repository, database=database)


def ask(shop, *requests):
    """Answers to (method, path, keyword arguments) in turn."""

    async def run():
        transport = httpx.ASGITransport(shop.application())
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return [await client.request(method, path, **rest) for method, path, rest in requests]

    return asyncio.run(run())


def one(shop, method, path, **rest):
    return ask(shop, (method, path, rest))[0]


def buy(shop, **basket):
    return one(shop, "POST", "/checkout", json={"product": "thread"} | basket)


def keyed(key):
    return {"headers": {"Idempotency-Key": key}}


def test_sells_what_the_configuration_lists(shop):
    assert one(shop, "GET", "/").json() == {"shop": "a", "release": "1.0"}
    assert one(shop, "GET", "/products").json() == {
        "currency": "EUR",
        "cents": {"loom": 24000, "shuttle": 1850, "thread": 420},
    }
    assert buy(shop, quantity=3).json() == {"order": 1, "cents": 1260, "currency": "EUR"}
    assert buy(shop, coupon="ITHACA").json()["order"] == 2
    assert one(shop, "GET", "/health").json()["release"] == "1.0"


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        (b"{", 400, ""),
        (b"[]", 400, "object"),
        (b'{"product": 7}', 400, "product"),
        (b'{"product": "sail"}', 404, "product"),
        (b'{"product": "loom", "quantity": 0}', 400, "quantity"),
        (b'{"product": "loom", "quantity": true}', 400, "quantity"),
        (b'{"product": "loom", "coupon": "\\ud800"}', 400, "coupon"),
        (b'{"product": "loom", "coupon": 3}', 400, "coupon"),
    ],
)
def test_refuses_a_bad_order(shop, body, status, word):
    answer = one(shop, "POST", "/checkout", content=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]


def test_counts_customers_and_nobody_else(shop):
    ask(
        shop,
        ("GET", "/", {}),
        ("GET", "/products", {}),
        ("POST", "/checkout", {"json": {"product": "sail"}}),
        ("GET", "/health", {}),
        ("POST", "/admin/reload", {}),
        ("GET", "/nowhere", {}),
    )
    text = one(shop, "GET", "/metrics").text
    assert parse(text).counters.requests == 3
    assert 'shop_requests_total{code="404",route="/checkout"} 1.0' in text
    assert 'shop_release_info{release="1.0"} 1.0' in text
    assert "shop_request_duration_seconds_count 3.0" in text


def test_a_bad_release_fails_and_slows_requests(repository, database):
    slow = Release(name="9", error_ratio=0.5, delay_seconds=(0.02, 0.03))
    shop = Shop(instance="a", release=slow, repository=repository, database=database)
    codes = [answer.status_code for answer in ask(shop, *[("GET", "/products", {})] * 20)]
    assert set(codes) == {200, 500}
    figures = parse(one(shop, "GET", "/metrics").text).counters
    assert figures.errors == codes.count(500)
    assert figures.buckets[0.01] == 0
    assert figures.buckets[0.1] == 20


def test_fate_is_chance_that_repeats_itself():
    fates = [BAD.fate(number, 1.0) for number in range(2000)]
    assert fates == [BAD.fate(number, 1.0) for number in range(2000)]
    assert 0.27 < sum(fails for fails, _ in fates) / 2000 < 0.33
    assert all(0.3 <= delay <= 0.6 for _, delay in fates)
    assert all(GOOD.fate(number, 1.0) == (False, 0.0) for number in range(100))


def test_a_release_that_tires_is_slow_some_time_after_its_start():
    fresh, tired = TIRING.tires_seconds - 0.1, TIRING.tires_seconds
    assert all(TIRING.fate(number, fresh) == (False, 0.0) for number in range(100))
    assert all(0.3 <= TIRING.fate(number, tired)[1] <= 0.6 for number in range(100))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (corrupted(SHOP_TOML), "line 5"),
        (SHOP_TOML.replace("24000", '"abc"'), "loom"),
        (SHOP_TOML.replace("24000", "-1"), "loom"),
        (SHOP_TOML.replace("24000", "true"), "loom"),
        (SHOP_TOML.replace("EUR", "obols"), "currency"),
        ('currency = "EUR"', "prices"),
        (SHOP_TOML.replace("false", '"no"'), "coupons"),
        ('flags = 3\ncurrency = "EUR"\n[prices]\nloom = 1', "coupons"),
        (b"\xff".decode("latin-1").join("ab"), "shop.toml"),
    ],
)
def test_says_what_is_wrong_with_a_configuration(repository, text, word):
    (repository / "shop.toml").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationInvalid, match=word):
        read_configuration(repository / "shop.toml")


def test_an_invalid_configuration_closes_checkout_until_a_good_one_is_read(shop, repository):
    (repository / "shop.toml").write_text(corrupted(SHOP_TOML))
    assert buy(shop).status_code == 200  # not read yet
    refused = one(shop, "POST", "/admin/reload", **keyed("r1"))
    assert refused.status_code == 500
    assert "line 5" in refused.json()["detail"]
    assert buy(shop).status_code == 503
    assert one(shop, "GET", "/products").status_code == 200  # from the last good one
    assert "shop_config_valid 0.0" in one(shop, "GET", "/metrics").text
    assert one(shop, "GET", "/admin/operations/r1").status_code == 404

    (repository / "shop.toml").write_text(SHOP_TOML)
    assert one(shop, "POST", "/admin/reload", **keyed("r1")).json()["valid"] is True
    assert buy(shop).status_code == 200
    assert "shop_config_valid 1.0" in one(shop, "GET", "/metrics").text


def test_starts_without_a_valid_configuration(repository, database):
    (repository / "shop.toml").unlink()
    shop = Shop(instance="a", release=GOOD, repository=repository, database=database)
    assert one(shop, "GET", "/products").status_code == 503
    assert buy(shop).status_code == 503
    assert "shop_config_valid 0.0" in one(shop, "GET", "/metrics").text


def test_a_reload_is_recorded_by_instance(shop, repository, database):
    other = Shop(instance="b", release=GOOD, repository=repository, database=database)
    assert one(shop, "POST", "/admin/reload").json() == {"valid": True}
    first = one(shop, "POST", "/admin/reload", **keyed("w:1")).json()
    assert first["repeated"] is False
    (repository / "shop.toml").write_text("broken")
    again = one(shop, "POST", "/admin/reload", **keyed("w:1"))
    assert again.json() == first | {"repeated": True}
    assert one(other, "GET", "/admin/operations/w:1").status_code == 404
    assert one(shop, "GET", "/admin/operations/w:1").json()["scope"] == "a"
    assert one(shop, "POST", "/admin/reload", **keyed("k" * 201)).status_code == 400


def test_a_coupon_needs_the_schema_that_keeps_it(shop, repository):
    (repository / "shop.toml").write_text(with_coupons(SHOP_TOML))
    one(shop, "POST", "/admin/reload")
    failed = buy(shop, coupon="ITHACA")
    assert failed.status_code == 500
    assert "coupon" in failed.json()["detail"]
    assert buy(shop).status_code == 200
    assert parse(one(shop, "GET", "/metrics").text).counters.schema_lag == 1

    assert one(shop, "POST", "/admin/migrate", **keyed("m")).json()["schema_version"] == 2
    assert buy(shop, coupon="ITHACA").status_code == 200
    assert parse(one(shop, "GET", "/metrics").text).counters.schema_lag == 0


def test_migrates_once_a_key_and_never_twice(shop, database):
    assert one(shop, "POST", "/admin/migrate").status_code == 400
    assert one(shop, "GET", "/admin/operations/run/1:2").status_code == 404
    first = one(shop, "POST", "/admin/migrate", **keyed("run/1:2")).json()
    again = one(shop, "POST", "/admin/migrate", **keyed("run/1:2"))
    assert first["repeated"] is False
    assert again.status_code == 200
    assert again.json() == first | {"repeated": True}
    assert one(shop, "POST", "/admin/migrate", **keyed("other")).status_code == 409
    assert one(shop, "GET", "/admin/operations/run/1:2").json()["kind"] == "migrate"
    assert [row["key"] for row in database.operations()] == ["run/1:2"]


def test_the_same_key_at_the_same_moment_migrates_once(tmp_path):
    path, results, barrier = tmp_path / "shop.db", [], Barrier(6)

    def migrate():
        with closing(Database(path)) as database:
            barrier.wait()
            results.append(database.migrate("k"))

    threads = [Thread(target=migrate) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result["repeated"] for result in results) == [False] + [True] * 5


def test_a_migration_that_fails_leaves_nothing(tmp_path, database):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as raw:
        raw.execute("ALTER TABLE orders ADD COLUMN coupon TEXT")
    with pytest.raises(sqlite3.OperationalError):
        database.migrate("k")
    assert database.schema_version() == 1
    assert database.operation("k", SHARED) is None


def test_an_instance_learns_of_a_migration_by_another(tmp_path, database):
    with closing(Database(tmp_path / "shop.db")) as other:
        other.migrate("theirs")
    assert database.schema_version() == 2
    with pytest.raises(AlreadyMigrated):
        database.migrate("ours")


def test_a_release_is_written_read_and_switched_to(tmp_path):
    BAD.write(tmp_path / "releases")
    GOOD.write(tmp_path / "releases")
    assert Release.read(tmp_path / "releases" / "2.0") == BAD
    link = tmp_path / "current-a"
    for name in ("1.0", "2.0"):
        switch(link, tmp_path / "releases" / name)
    with pytest.raises(FileNotFoundError, match=r"3\.0"):
        switch(link, tmp_path / "releases" / "3.0")
    assert link.resolve().name == "2.0"
    assert history_file(link).read_text() == "1.0\n2.0\n"


def test_a_start_is_one_line(tmp_path):
    for instance in ("a", "b"):
        note_start(tmp_path / "starts.jsonl", instance, "1.0")
    lines = [json.loads(line) for line in (tmp_path / "starts.jsonl").read_text().splitlines()]
    assert [line["instance"] for line in lines] == ["a", "b"]
    assert set(lines[0]) == {"instance", "release", "pid", "at"}
