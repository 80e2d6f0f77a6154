"""Concepts over HTTP: answers for whoever asks, kept in the ledger, made again, corrected, and refused as problems."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from doorstep import Doorstep, key_of, warehoused

from penelope.domain.access import Access
from penelope.errors import Unavailable
from penelope.flow.keys import Scope

MODEL = """\
cubes:
  - name: orders
    sql_table: orders
    joins: []
    measures:
      - {name: revenue, sql: amount, type: sum, title: Revenue, meta: {classification: internal, certified: true, unit: EUR, synonyms: [sales]}}
      - {name: count, type: count, title: Number of orders, meta: {classification: internal}}
      - {name: margin, sql: amount - cost, type: sum, title: Margin, meta: {classification: restricted, owner: "key:boss"}}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, meta: {classification: internal}}
      - {name: region, sql: region, type: string, title: Region, meta: {classification: internal, values: [EMEA, APAC]}}
      - {name: created_at, sql: created_at, type: time, meta: {classification: internal, time: true}}
  - name: refunds
    sql_table: refunds
    measures:
      - {name: volume, sql: amount, type: sum, title: Volume, meta: {classification: internal}}
  - name: payments
    sql_table: payments
    measures:
      - {name: volume, sql: amount, type: sum, title: Volume, meta: {classification: internal}}
"""
ROLES = {
    "ann": {"role": "analyst"},
    "mia": {"role": "analyst"},
    "root": {"role": "analyst"},
    "boss": {"role": "analyst"},
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    folder = tmp_path_factory.mktemp("context")
    made = warehoused(
        folder,
        MODEL,
        "CREATE TABLE orders AS SELECT i AS id, i * 1.0 AS amount, 1.0 AS cost, "
        "CASE WHEN i % 2 = 0 THEN 'APAC' ELSE 'EMEA' END AS region, TIMESTAMP '2026-01-01' AS created_at "
        "FROM range(1, 101) t(i)",
        "CREATE TABLE refunds AS SELECT 1.0 AS amount",
        "CREATE TABLE payments AS SELECT 2.0 AS amount",
        context={"roles": ROLES, "default_role": "guest"},
        context_guard={"attempts": 1, "timeout_seconds": 20},
    )
    with Doorstep(made) as door:
        yield door


@pytest.fixture(scope="module")
def ann(door: Doorstep) -> str:
    return key_of(door, "ann", Scope.READ, Scope.WRITE)


def refused(answer: Any, status: int, code: str) -> Any:
    """The problem of a concept that was not answered; that it was asked for is in the ledger all the same."""
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["hint"]
    return problem


def ask(door: Doorstep, key: str, concept: str, path: str = "resolve", **more: Any) -> Any:
    return door.ask("POST", f"/api/v1/{path}", json={"concept": concept, **more}, key=key)


def entries(door: Doorstep, unit: str) -> list[Any]:
    return list(door.run(door.running.reader.history(unit, 0, 10)))


def test_a_concept_is_answered_with_its_value(door: Doorstep, ann: str) -> None:
    answer = ask(door, ann, "revenue by region", execute=True)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["definition"]["name"] == "orders.revenue"
    assert told["value"]["unit"] == "EUR"
    assert sorted(told["value"]["rows"]) == [["APAC", 2550.0], ["EMEA", 2500.0]]
    assert told["value"]["stale_since"] is None
    assert (told["role"], told["notices"]) == ("analyst", [])
    assert 0.5 < told["confidence"]["value"] <= 1
    assert told["query"]["measures"] == ["orders.revenue"]
    defined = ask(door, ann, "revenue by region").json()
    assert defined["value"] is None
    assert defined["definition"] == told["definition"]


def test_each_answer_is_in_the_ledger_before_it_is_told(door: Doorstep, ann: str) -> None:
    told = ask(door, ann, "revenue", execute=True).json()
    (entry,) = entries(door, told["id"])
    assert (entry.kind, entry.event, entry.actor) == ("answer", "ConceptResolved", "key:ann")
    assert entry.status_after == "resolved"
    assert entry.details["definition"] == "orders.revenue"
    kept = door.ask("GET", f"/api/v1/answers/{told['id']}", key=ann).json()
    assert kept["told"]["value"]["table"]["rows"] == told["value"]["rows"] == [[5050.0]]
    assert kept["request"]["concept"] == "revenue"


def test_what_cannot_be_recorded_is_not_told(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def save(*_: Any) -> Any:
        raise Unavailable("the ledger cannot be written")

    monkeypatch.setattr(door.running.answers._ledger, "save", save)
    with door.refusing("unavailable"):
        answer = ask(door, ann, "revenue", execute=True)
    assert answer.status_code == 503
    assert "5050" not in answer.text


def test_several_meanings_are_choices(door: Doorstep, ann: str) -> None:
    problem = refused(ask(door, ann, "volume", execute=True), 409, "ambiguous_concept")
    assert {choice["name"] for choice in problem["choices"]} == {"refunds.volume", "payments.volume"}
    (entry,) = entries(door, problem["answer"])
    assert entry.status_after == "ambiguous"


def test_what_nobody_defined_is_a_404_with_no_answer(door: Doorstep, ann: str) -> None:
    problem = refused(ask(door, ann, "phlogiston of the zebras", execute=True), 404, "unknown_concept")
    assert entries(door, problem["answer"])[0].status_after == "unresolved"


def test_what_is_hidden_is_as_if_it_were_not(door: Doorstep, ann: str) -> None:
    answer = ask(door, ann, "margin", execute=True)
    refused(answer, 404, "unknown_concept")
    assert "orders.margin" not in answer.text
    names = {item["name"] for item in door.ask("GET", "/api/v1/assets", key=ann).json()["assets"]}
    assert "orders.revenue" in names
    assert "orders.margin" not in names
    for path in ("assets/orders.margin", "lineage/orders.margin", "assets/nothing.there"):
        problem = refused(door.ask("GET", f"/api/v1/{path}", key=ann), 404, "unknown_concept")
        assert problem["detail"] == "nothing that you may see has this name"


def test_nobody_says_who_they_are(door: Doorstep, ann: str) -> None:
    with door.refusing("forbidden"):
        refused = ask(door, ann, "revenue", user_context={"role": "admin"})
    assert refused.status_code == 403
    own = ask(door, ann, "revenue", user_context={"role": "analyst", "purpose": "audit"})
    assert own.status_code == 200
    gateway = key_of(door, "gateway", Scope.READ, Scope.DELEGATE)
    assert ask(door, gateway, "revenue", user_context={"role": "analyst"}).json()["role"] == "analyst"
    stranger = key_of(door, "stranger", Scope.READ)
    with door.refusing("forbidden"):
        ask(door, stranger, "revenue", user_context={"region": "APAC"})
    with door.refusing("forbidden"):
        door.ask("GET", "/api/v1/assets", params={"role": "analyst"}, key=stranger)


def test_while_the_policy_engine_is_down_everything_is_denied(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Down:
        async def judge(self, questions: Any) -> Any:
            return [Access(allow=False, failed="down") for _ in questions]

    stores = door.running.answers.resolver.stores
    monkeypatch.setattr(door.running.answers.resolver, "stores", replace(stores, governor=Down()))
    for concept in ("revenue", "volume", "phlogiston"):
        problem = refused(ask(door, ann, concept, execute=True), 403, "access_denied")
        assert [notice["store"] for notice in problem["notices"]] == ["policy"]
        assert "orders" not in str(problem)
    assert door.ask("GET", "/api/v1/assets", key=ann).json()["assets"] == []


def test_without_figures_the_last_ones_are_told_and_marked(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Down:
        def __init__(self, store: Any) -> None:
            self.model = store.model

        async def run(self, *_: Any) -> Any:
            raise Unavailable("down")

    fresh = ask(door, ann, "number of orders", execute=True).json()
    resolver = door.running.answers.resolver
    stores = replace(resolver.stores, semantic=Down(resolver.stores.semantic))
    monkeypatch.setattr(resolver, "stores", stores)
    stale = ask(door, ann, "number of orders", execute=True).json()
    assert stale["value"]["rows"] == fresh["value"]["rows"] == [[100]]
    assert stale["value"]["stale_since"] is not None
    assert [(notice["store"], notice["mode"]) for notice in stale["notices"]] == [("semantic", "stale")]
    never = ask(door, ann, "number of orders by region", execute=True).json()
    assert never["value"] is None
    assert [notice["mode"] for notice in never["notices"]] == ["approximate"]


def test_an_answer_is_made_again_and_says_what_differs(door: Doorstep, ann: str) -> None:
    told = ask(door, ann, "revenue", execute=True).json()
    path = f"/api/v1/answers/{told['id']}/replay"
    again = door.ask("POST", path, key=ann).json()
    assert again["differences"] == again["changed"] == []
    assert again["identical"]
    assert entries(door, again["again"])[0].details["again_of"] == told["id"]
    kept = door.run(door.running.answers.kept(told["id"]))
    assert kept.actor == "key:ann"
    with door.refusing("unknown_answer"):
        assert door.ask("POST", path, key=key_of(door, "mia", Scope.READ)).status_code == 404
    with door.refusing("unknown_answer"):
        door.ask("GET", "/api/v1/answers/ans_nothing", key=ann)
    as_guest = door.ask(
        "POST", path, key=key_of(door, "root", Scope.ADMIN), json={"user_context": {"role": "guest"}}
    ).json()
    assert not as_guest["identical"]
    assert {"/outcome", "/subject/role"} <= {item["path"] for item in as_guest["differences"]}
    assert {"outcome", "policy"} <= set(as_guest["changed"])


def test_a_figure_that_is_another_now_is_named(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = ask(door, ann, "number of orders", execute=True).json()
    resolver = door.running.answers.resolver
    asked = resolver.stores.semantic

    class Renewed:
        model = asked.model

        async def run(self, *about: Any) -> Any:
            table = await asked.run(*about)
            return replace(table, rows=tuple((101,) for _ in table.rows))

    monkeypatch.setattr(resolver, "stores", replace(resolver.stores, semantic=Renewed()))
    again = door.ask("POST", f"/api/v1/answers/{told['id']}/replay", key=ann).json()
    assert again["changed"] == ["figures"]
    (difference,) = again["differences"]
    assert (difference["path"], difference["recorded"], difference["again"]) == (
        "/value/table/rows/0/0",
        100,
        101,
    )


def test_a_correction_is_understood_at_once_and_kept(door: Doorstep, ann: str) -> None:
    refused(ask(door, ann, "takings", execute=True), 404, "unknown_concept")
    taught = door.ask(
        "POST", "/api/v1/feedback", json={"phrase": "takings", "name": "orders.revenue"}, key=ann
    )
    assert taught.status_code == 201, taught.text
    assert taught.json()["actor"] == "key:ann"
    assert ask(door, ann, "takings", execute=True).json()["value"]["rows"] == [[5050.0]]
    corrected = door.ask(
        "POST", "/api/v1/feedback", json={"phrase": "Takings", "name": "orders.count"}, key=ann
    )
    assert corrected.status_code == 201
    assert ask(door, ann, "takings", execute=True).json()["value"]["rows"] == [[100]]
    (kept,) = door.run(door.running.answers._reader.corrections())
    assert kept.name == "orders.count"
    told = ask(door, ann, "takings").json()["id"]
    body = {"phrase": "takings", "name": "orders.count", "id": told}
    assert door.ask("POST", "/api/v1/feedback", json=body, key=ann).status_code == 201
    with door.refusing("unknown_answer"):
        door.ask("POST", "/api/v1/feedback", json={**body, "id": "ans_0"}, key=ann)
    hidden = door.ask("POST", "/api/v1/feedback", json={**body, "name": "orders.margin"}, key=ann)
    refused(hidden, 404, "unknown_concept")
    with door.refusing("invalid_request"):
        door.ask("POST", "/api/v1/feedback", json={**body, "phrase": "of the"}, key=ann)
    with door.refusing("forbidden"):
        reading = key_of(door, "mia", Scope.READ)
        door.ask("POST", "/api/v1/feedback", json={"phrase": "x", "name": "orders.count"}, key=reading)


def test_it_is_told_how_a_concept_was_understood(door: Doorstep, ann: str) -> None:
    found = ask(door, ann, "sales in APAC", path="explain", execute=True).json()
    assert found["definition"]["name"] == "orders.revenue"
    assert found["candidates"][0]["name"] == "orders.revenue"
    assert found["parsed"]["narrowings"][0]["options"] == [["orders.region", "APAC"]]
    assert found["query"]["filters"][0]["values"] == ["APAC"]
    assert "value" not in found
    assert "orders.margin" not in {choice["name"] for choice in found["candidates"]}


def test_definitions_are_searched_and_listed_by_page(door: Doorstep, ann: str) -> None:
    found = door.ask("POST", "/api/v1/search", json={"query": "revenue"}, key=ann).json()
    assert found["definitions"][0]["name"] == "orders.revenue"
    seen: list[str] = []
    after = ""
    while after is not None:
        page = door.ask("GET", "/api/v1/assets", params={"after": after, "limit": 2}, key=ann).json()
        seen += [item["name"] for item in page["assets"]]
        after = page["next"]
    assert seen == sorted(set(seen))
    assert len(seen) >= 6
    metrics = door.ask("GET", "/api/v1/assets", params={"kind": "metric", "q": "REVEN"}, key=ann).json()
    assert [item["name"] for item in metrics["assets"]] == ["orders.revenue"]
    lineage = door.ask("GET", "/api/v1/lineage/orders.revenue", key=ann).json()
    assert (lineage["name"], lineage["up"], lineage["down"]) == ("orders.revenue", [], [])


def test_each_store_tells_how_it_stands(door: Doorstep, ann: str) -> None:
    stores = {
        item["store"]: item for item in door.ask("GET", "/api/v1/degradation", key=ann).json()["stores"]
    }
    assert set(stores) == {"registry", "semantic", "graph", "vector", "policy"}
    assert stores["graph"]["mode"] == "full"
    assert stores["graph"]["breaker"] == "closed"
    assert stores["registry"]["breaker"] is None


def test_more_phrases_than_are_kept_are_refused(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penelope.flow.answers.MOST_CORRECTIONS", 0)
    with door.refusing("invalid_request"):
        body = {"phrase": "one too many", "name": "orders.revenue"}
        door.ask("POST", "/api/v1/feedback", json=body, key=ann)


def test_what_was_taught_about_the_hidden_stays_hidden(door: Doorstep, ann: str) -> None:
    owner = key_of(door, "boss", Scope.READ, Scope.WRITE)
    body = {"phrase": "sales", "name": "orders.margin"}
    taught = door.ask("POST", "/api/v1/feedback", json=body, key=owner)
    assert taught.status_code == 201, taught.text
    told = ask(door, owner, "sales", path="explain").json()
    assert (told["outcome"], told["candidates"][0]["name"]) == ("denied", "orders.margin")
    assert "masked" in refused(ask(door, owner, "sales", execute=True), 403, "access_denied")["detail"]
    found = ask(door, ann, "sales", execute=True)
    assert found.json()["definition"]["name"] == "orders.revenue"
    assert "margin" not in found.text


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"concept": ""},
        {"concept": "x" * 501},
        {"concept": "a\x00b"},
        {"concept": "x", "more": 1},
        {"concept": "x", "execute": "perhaps"},
        {"concept": "x", "user_context": {"name": "root"}},
        {"concept": "x", "user_context": {"zone": "Europe/Berlim"}},
        {"concept": "x", "user_context": {"zone": "../../etc/passwd"}},
        {"concept": 7},
    ],
)
def test_what_is_no_request_is_a_problem(door: Doorstep, ann: str, body: dict[str, Any]) -> None:
    with door.refusing("invalid_request"):
        assert door.ask("POST", "/api/v1/resolve", json=body, key=ann).status_code == 400
