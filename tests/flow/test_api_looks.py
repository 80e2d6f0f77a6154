"""What is looked up over HTTP is in the ledger before it is told, also a no; and what was taught is taken back."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from doorstep import Doorstep, key_of, warehoused

from penelope.domain.access import Access, Subject
from penelope.errors import Unavailable
from penelope.flow import looks
from penelope.flow.keys import Scope

MODEL = """\
cubes:
  - name: orders
    sql_table: orders
    joins: []
    measures:
      - {name: revenue, sql: amount, type: sum, title: Revenue, meta: {classification: internal, unit: EUR, synonyms: [sales]}}
      - {name: count, type: count, title: Number of orders, meta: {classification: internal}}
      - {name: margin, sql: amount - 1, type: sum, title: Margin, meta: {classification: restricted, owner: "key:boss"}}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, meta: {classification: internal}}
"""
ROLES = {name: {"role": "analyst"} for name in ("ann", "mia", "boss")}
FEEDBACK, WITHDRAW = "/api/v1/feedback", "/api/v1/feedback/withdraw"

Ask = Callable[[Doorstep, str], Any]
LOOKS: dict[str, Ask] = {
    "search": lambda door, key: door.ask("POST", "/api/v1/search", json={"query": "revenue"}, key=key),
    "assets": lambda door, key: door.ask("GET", "/api/v1/assets", params={"q": "reven"}, key=key),
    "asset": lambda door, key: door.ask("GET", "/api/v1/assets/orders.revenue", key=key),
    "lineage": lambda door, key: door.ask("GET", "/api/v1/lineage/orders.revenue", key=key),
    "explain": lambda door, key: door.ask("POST", "/api/v1/explain", json={"concept": "revenue"}, key=key),
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    folder = tmp_path_factory.mktemp("looks")
    made = warehoused(
        folder,
        MODEL,
        "CREATE TABLE orders AS SELECT i AS id, i * 1.0 AS amount FROM range(1, 101) t(i)",
        context={"roles": ROLES, "default_role": "guest"},
        context_guard={"attempts": 1, "timeout_seconds": 20},
    )
    with Doorstep(made) as door:
        yield door


@pytest.fixture(scope="module")
def ann(door: Doorstep) -> str:
    return key_of(door, "ann", Scope.READ, Scope.WRITE)


def no(answer: Any) -> Any:
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (404, "unknown_concept"), problem
    return problem


def entry(door: Doorstep, unit: str) -> Any:
    """The one entry of a look, and the attributes that it sets, which its patch holds."""
    (found,) = door.run(door.running.reader.history(unit, 0, 10))
    assert (found.kind, found.event) == ("look", "ContextLookedUp")
    return found


def recorded(door: Doorstep, unit: str) -> Any:
    (patch,) = entry(door, unit).patch
    return patch["value"]


def means(door: Doorstep, key: str, words: str) -> Any:
    answer = door.ask("POST", "/api/v1/resolve", json={"concept": words}, key=key)
    return answer.json()["definition"]["name"] if answer.status_code == 200 else answer.status_code


def teach(door: Doorstep, key: str, phrase: str, name: str) -> None:
    answer = door.ask("POST", FEEDBACK, json={"phrase": phrase, "name": name}, key=key)
    assert answer.status_code == 201, answer.text


def withdraw(door: Doorstep, key: str, phrase: str) -> Any:
    return door.ask("POST", WITHDRAW, json={"phrase": phrase}, key=key)


@pytest.mark.parametrize("about", LOOKS)
def test_each_look_is_in_the_ledger_with_ids_and_without_content(
    door: Doorstep, ann: str, about: str
) -> None:
    answer = LOOKS[about](door, ann)
    assert answer.status_code == 200, answer.text
    look = answer.json()["look"]
    assert (entry(door, look).actor, entry(door, look).details["role"]) == ("key:ann", "analyst")
    kept = recorded(door, look)
    assert kept["about"] == about
    assert kept["ids"]["definitions"][0] == "orders.revenue"
    assert kept["counts"]["definitions"] == len(kept["ids"]["definitions"])
    assert kept["policy"]["asked"] is True
    assert kept["name"] == ("orders.revenue" if about in {"asset", "lineage"} else "")
    # Neither a title, nor a unit, nor the words.
    assert not {"Revenue", "EUR", "sales", "reven"} & {*strings(kept)}
    assert len(str(kept)) < 2_000


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(each)


@pytest.mark.parametrize("about", LOOKS)
def test_the_same_look_has_the_same_digests_and_another_has_others(
    door: Doorstep, ann: str, about: str
) -> None:
    one, same = (recorded(door, LOOKS[about](door, ann).json()["look"]) for _ in range(2))
    assert (one["asked"], one["told"]) == (same["asked"], same["told"])
    other = recorded(door, LOOKS[about](door, key_of(door, "mia", Scope.READ)).json()["look"])
    assert other["asked"] != one["asked"]
    assert other["told"] == one["told"]
    assert one["told"] != hashlib.sha256(b"null").hexdigest()


@pytest.mark.parametrize("about", LOOKS)
def test_what_cannot_be_recorded_is_not_told(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch, about: str
) -> None:
    async def save(*_: Any) -> Any:
        raise Unavailable("the ledger cannot be written")

    monkeypatch.setattr(door.running.answers._ledger, "save", save)
    with door.refusing("unavailable"):
        answer = LOOKS[about](door, ann)
    assert answer.status_code == 503
    assert "Revenue" not in answer.text
    # Not even that there is nothing.
    with door.refusing("unavailable"):
        door.ask("GET", "/api/v1/assets/nothing.there", key=ann)
    with door.refusing("unavailable"):
        withdraw(door, ann, "never taught")


@pytest.mark.parametrize("path", ["assets", "lineage"])
def test_of_the_hidden_the_ledger_says_what_it_says_of_what_is_not_there(
    door: Doorstep, ann: str, path: str
) -> None:
    def kept(name: str) -> Any:
        problem = no(door.ask("GET", f"/api/v1/{path}/{name}", key=ann))
        found = recorded(door, problem["look"])
        assert found.pop("name") == name
        found.pop("asked")
        return found, entry(door, problem["look"]).status_after, dict(entry(door, problem["look"]).details)

    assert kept("orders.margin") == kept("orders.nothing")
    assert kept("orders.margin")[1] == "unknown_concept"


def test_a_search_says_nothing_of_the_hidden_in_the_ledger(door: Doorstep, ann: str) -> None:
    def kept(key: str) -> Any:
        answer = door.ask("POST", "/api/v1/search", json={"query": "margin"}, key=key).json()
        return recorded(door, answer["look"])

    assert kept(key_of(door, "boss", Scope.READ))["ids"]["definitions"] == ["orders.margin"]
    hidden = kept(ann)
    assert "orders.margin" not in {*strings(hidden)}
    assert set(hidden["policy"]) == {"asked"}


def test_a_no_of_a_policy_engine_that_is_down_is_recorded_as_such(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Down:
        async def judge(self, questions: Any) -> Any:
            return [Access(allow=False, failed="down") for _ in questions]

    stores = door.running.answers.resolver.stores
    monkeypatch.setattr(door.running.answers.resolver, "stores", replace(stores, governor=Down()))
    for about, outcome in (("search", "nothing"), ("assets", "nothing"), ("explain", "denied")):
        look = LOOKS[about](door, ann).json()["look"]
        kept = recorded(door, look)
        assert entry(door, look).status_after == outcome
        assert (kept["policy"]["asked"], kept["notices"]) == (False, ["policy"])
        assert kept["ids"]["definitions"] == []


def test_an_entry_stays_small_whatever_was_listed(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "MOST_IDS", 2)
    answer = door.ask("GET", "/api/v1/assets", key=ann).json()
    kept = recorded(door, answer["look"])
    assert len(answer["assets"]) == kept["counts"]["definitions"] > 2
    assert kept["ids"]["definitions"] == [item["name"] for item in answer["assets"][:2]]


def test_that_a_store_gave_more_than_it_may_is_recorded_and_nothing_of_it(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = door.running.answers.resolver
    asked = resolver.stores.semantic

    class Lying:
        model = asked.model

        async def run(self, *about: Any) -> Any:
            table = await asked.run(*about)
            rows = tuple((*row, "of others") for row in table.rows)
            return replace(table, columns=(*table.columns, "orders.secret"), rows=rows)

    monkeypatch.setattr(resolver, "stores", replace(resolver.stores, semantic=Lying()))
    body = {"concept": "revenue", "execute": True}
    answer = door.ask("POST", "/api/v1/resolve", json=body, key=ann)
    assert (answer.status_code, answer.json()["code"]) == (502, "access_broken")
    kept = entry(door, answer.json()["look"])
    assert (kept.status_after, kept.details["about"]) == ("access_broken", "resolve")
    assert not {"of others", "orders.secret"} & {*strings(recorded(door, answer.json()["look"]))}


# --- what was taught is taken back ------------------------------------------------------------------------------


def test_a_correction_is_taken_back_at_once_and_stays_in_the_ledger(door: Doorstep, ann: str) -> None:
    before = means(door, ann, "sales")
    teach(door, ann, "Sales", "orders.count")
    assert (before, means(door, ann, "sales")) == ("orders.revenue", "orders.count")
    taken = withdraw(door, key_of(door, "mia", Scope.WRITE, Scope.READ), "sales")
    assert (taken.status_code, taken.json()["actor"]) == (200, "key:mia")
    assert means(door, ann, "sales") == "orders.revenue"
    assert door.run(door.running.answers._reader.corrections()) == []
    no(withdraw(door, ann, "sales"))
    teach(door, ann, "sales", "orders.count")
    assert means(door, ann, "sales") == "orders.count"
    assert withdraw(door, ann, "sales").status_code == 200
    history = door.run(door.running.reader.history(unit_of("sales"), 0, 10))
    assert [(each.event, each.actor, each.status_after) for each in history] == [
        ("ConceptCorrected", "key:ann", "in_force"),
        ("CorrectionWithdrawn", "key:mia", "withdrawn"),
        ("ConceptCorrected", "key:ann", "in_force"),
        ("CorrectionWithdrawn", "key:ann", "withdrawn"),
    ]
    assert history[1].details["taught_by"] == "key:ann"


def unit_of(phrase: str) -> str:
    from penelope.flow.answers import _correction_id, _stems  # noqa: PLC0415 - its own name for a phrase

    return _correction_id(_stems(phrase))


def test_what_was_taught_of_the_hidden_is_as_if_it_were_not(door: Doorstep, ann: str) -> None:
    boss = key_of(door, "boss", Scope.READ, Scope.WRITE)
    teach(door, boss, "winnings", "orders.margin")
    hidden, absent = no(withdraw(door, ann, "winnings")), no(withdraw(door, ann, "losses"))
    assert hidden["detail"] == absent["detail"]
    assert "margin" not in str(hidden)
    one, other = (recorded(door, problem["look"]) for problem in (hidden, absent))
    assert one == other
    assert len(door.run(door.running.answers._reader.corrections())) == 1
    chief = key_of(door, "chief", Scope.ADMIN)
    taken = withdraw(door, chief, "winnings")
    assert taken.status_code == 200, taken.text
    assert "margin" not in taken.text
    assert door.run(door.running.answers._reader.corrections()) == []


def test_who_may_not_teach_may_not_take_back(door: Doorstep, ann: str) -> None:
    teach(door, ann, "incomings", "orders.revenue")
    with door.refusing("forbidden"):
        assert withdraw(door, key_of(door, "mia", Scope.READ), "incomings").status_code == 403
    for body in (
        {},
        {"phrase": ""},
        {"phrase": "of the"},
        {"phrase": "a\x00b"},
        {"phrase": "x", "name": "y"},
    ):
        with door.refusing("invalid_request"):
            assert door.ask("POST", WITHDRAW, json=body, key=ann).status_code == 400
    assert means(door, ann, "incomings") == "orders.revenue"
    assert withdraw(door, ann, "incomings").status_code == 200


def test_what_was_taught_anew_meanwhile_is_not_taken_back(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    teach(door, ann, "proceeds", "orders.count")
    reader = door.running.answers._reader
    read = reader.correction

    async def slow(identifier: str) -> Any:
        unit = await read(identifier)
        await door.running.answers.correct(
            "proceeds", "orders.revenue", Subject(actor="key:mia", role="analyst")
        )
        return unit

    monkeypatch.setattr(reader, "correction", slow)
    answer = withdraw(door, ann, "proceeds")
    assert (answer.status_code, answer.json()["code"]) == (409, "append_conflict")
    assert means(door, ann, "proceeds") == "orders.revenue"


def test_what_is_taken_back_ends_at_once_though_no_model_can_be_read(
    door: Doorstep, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Down:
        async def model(self) -> Any:
            raise Unavailable("down")

    teach(door, ann, "sales", "orders.count")
    assert means(door, ann, "sales") == "orders.count"
    resolver = door.running.answers.resolver
    monkeypatch.setattr(resolver, "stores", replace(resolver.stores, semantic=Down()))
    assert withdraw(door, ann, "sales").status_code == 200
    assert means(door, ann, "sales") == "orders.revenue"
    teach(door, ann, "sales", "orders.count")
    assert means(door, ann, "sales") == "orders.count"
    assert withdraw(door, ann, "sales").status_code == 200


def test_what_others_were_told_does_not_leave_by_the_ledger(door: Doorstep, ann: str) -> None:
    body = {"concept": "revenue", "execute": True}
    told = door.ask("POST", "/api/v1/resolve", json=body, key=ann).json()
    assert "5050" in str(told["value"])
    look = door.ask("GET", "/api/v1/assets/orders.revenue", key=ann).json()["look"]
    teach(door, ann, "harvest of ann", "orders.revenue")
    stranger, boss = key_of(door, "eve", Scope.READ), key_of(door, "root", Scope.ADMIN)
    assert door.ask("POST", "/api/v1/resolve", json=body, key=stranger).status_code == 404
    for unit in (told["id"], look):
        path = f"/api/v1/ledger/export?where=unit={unit}"
        (line,) = door.ask("GET", path, key=boss).text.splitlines()
        assert "orders.revenue" in line
        (line,) = door.ask("GET", path, key=stranger).text.splitlines()
        record = orjson.loads(line)
        assert record["unit"] == unit
        assert record["hash"]
        assert [record[name] for name in ("actor", "reason", "details", "patch", "salt")] == [None] * 5
        history = f"/api/v1/ledger/units/{unit}/history"
        assert "key:ann" in door.ask("GET", history, key=boss).text
        (shown,) = door.ask("GET", history, key=stranger).json()["entries"]
        assert shown["event"] in {"ConceptResolved", "ContextLookedUp"}
        assert "orders.revenue" not in str(shown)
        assert "key:ann" not in str(shown)
    whole = door.ask("GET", "/api/v1/ledger/export", key=stranger).text
    for word in ("5050", "harvest of ann", "orders.revenue"):
        assert word not in whole
        assert word in door.ask("GET", "/api/v1/ledger/export", key=boss).text
