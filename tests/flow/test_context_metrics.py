"""What a running server's metrics say of the concepts that it resolved."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from doorstep import Doorstep, warehoused

from penelope.domain.access import Subject
from penelope.domain.answer import Outcome, Told
from penelope.domain.concept import Request
from penelope.domain.degradation import Store
from penelope.errors import Unavailable

MODEL = """\
cubes:
  - name: orders
    sql_table: orders
    meta: {classification: internal}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: status, sql: status, type: string, meta: {classification: internal}}
    measures:
      - {name: revenue, type: sum, sql: amount, title: Revenue, meta: {unit: USD, certified: true, classification: internal}}
"""
ADMIN = Subject(actor="ann", role="admin")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    folder = tmp_path_factory.mktemp("metrics")
    orders = "CREATE TABLE orders AS SELECT 1 AS id, 'new' AS status, 5 AS amount"
    made = warehoused(folder, MODEL, orders, context_guard={"attempts": 1, "failures": 2})
    with Doorstep(made) as opened:
        yield opened


def tell(door: Doorstep, concept: str, subject: Subject = ADMIN) -> Told:
    request = Request(
        concept=concept, subject=subject, at=datetime(2026, 11, 20, 12, tzinfo=UTC), execute=True
    )
    return door.run(door.running.resolver.tell(request))


def page(door: Doorstep) -> dict[str, float]:
    text = door.ask("GET", "/metrics", key=None).text
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("ecp_"))
    return {name: float(value) for name, _, value in lines}


def test_what_was_resolved_is_on_the_page(door: Doorstep) -> None:
    before = page(door)
    assert tell(door, "revenue").outcome is Outcome.RESOLVED
    assert tell(door, "revenue").outcome is Outcome.RESOLVED
    assert tell(door, "weather in Atlantis").outcome is Outcome.UNRESOLVED
    after = page(door)

    def more(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    assert more('ecp_resolve_requests_total{outcome="resolved"}') == 2
    assert more('ecp_resolve_requests_total{outcome="unresolved"}') == 1
    assert more("ecp_resolve_duration_seconds_count") == 3
    assert more("ecp_resolve_confidence_count") == 2
    assert more('ecp_resolve_confidence_bucket{le="0.5"}') == 0
    for store in ("graph", "vector", "policy"):
        assert more(f'ecp_store_query_duration_seconds_count{{store="{store}"}}') >= 2, store
    # The model once, and a value each.
    assert more('ecp_store_query_duration_seconds_count{store="semantic"}') == 3
    assert more('ecp_policy_decisions_total{outcome="allowed"}') > 0
    assert more('ecp_cache_requests_total{cache="model",result="miss"}') == 1
    assert more('ecp_cache_requests_total{cache="model",result="hit"}') == 2
    assert more('ecp_cache_requests_total{cache="registry",result="miss"}') == 1
    assert more('ecp_cache_requests_total{cache="policy",result="hit"}') > 0
    assert after['ecp_degradation{mode="full",store="graph"}'] == 1
    assert after['ecp_breaker_state{store="graph"}'] == 0


def test_a_store_that_fails_is_seen_in_answers_and_breaker(
    door: Doorstep, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Down:
        async def run(self, *_: object) -> None:
            raise Unavailable("it is down")

        async def model(self) -> None:
            raise Unavailable("it is down")

    tell(door, "revenue")
    stores = door.running.resolver.stores
    changed = type(stores)(
        semantic=Down(),  # type: ignore[arg-type]  # it answers nothing
        graph=stores.graph,
        passages=stores.passages,
        governor=stores.governor,
        embedder=stores.embedder,
    )
    monkeypatch.setattr(door.running.resolver, "stores", changed)
    for _ in range(3):
        stale = tell(door, "revenue")
        assert stale.value is not None
        assert stale.value.kept_at is not None
    seen = page(door)
    assert seen['ecp_breaker_state{store="semantic"}'] == 2
    assert seen['ecp_degradation{mode="approximate",store="semantic"}'] == 1
    assert seen['ecp_degraded_answers_total{mode="stale",store="semantic"}'] == 3
    assert seen['ecp_cache_requests_total{cache="last_value",result="hit"}'] == 3


def test_a_request_that_is_cut_off_counts_as_failed(door: Doorstep, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.sleep(60)

    async def cut() -> None:
        request = Request(concept="revenue", subject=ADMIN, at=datetime(2026, 11, 20, tzinfo=UTC))
        async with asyncio.timeout(0.1):
            await door.running.resolver.tell(request)

    before = page(door).get('ecp_resolve_requests_total{outcome="failed"}', 0)
    monkeypatch.setattr(door.running.resolver, "known", never)
    with pytest.raises(TimeoutError):
        door.run(cut())
    assert page(door)['ecp_resolve_requests_total{outcome="failed"}'] == before + 1


def test_no_caller_can_add_lines(door: Doorstep) -> None:
    tell(door, "revenue")
    names = page(door).keys()
    for number in range(50):
        tell(
            door,
            f"revenue number{number}",
            Subject(actor=f"a{number}", role=f"r{number}", region=f"x{number}"),
        )
    new = {name for name in page(door).keys() - names if "resolve_requests" not in name}
    assert not {name for name in new if any(mark in name for mark in ("number", "revenue", "x1", "r1"))}
    assert len(new) <= 3
    assert {store.value for store in Store} >= {
        name.partition('store="')[2].split('"')[0] for name in names if 'store="' in name
    }
