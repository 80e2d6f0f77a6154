"""What a concept in words is resolved to, on the shop's registry of the benchmark and on small ones."""

import importlib.util
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penelope.domain.access import Classification, Subject
from penelope.domain.concept import (
    Ambiguous,
    Answer,
    Correction,
    Definition,
    DefinitionKind,
    DocumentSearch,
    GraphQuestion,
    Request,
    Resolution,
    Unresolved,
)
from penelope.domain.passage import Document, Passage
from penelope.domain.semantics import (
    Filter,
    Granularity,
    Member,
    MemberKind,
    Model,
    Operator,
    SemanticQuery,
    TimeDimension,
)
from penelope.rooms.context.registry import BadRegistry, Registry
from penelope.rooms.context.registry_of import registry_of
from penelope.rooms.context.resolve import Rules, resolve

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
RULES = Rules(zone="Europe/Berlin", fiscal_month=4)
ASKER = Subject(actor="ana", role="analyst")


def _bench() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "bench" / "_questions.py"
    spec = importlib.util.spec_from_file_location("bench_questions", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bench_questions"] = module
    spec.loader.exec_module(module)
    return module


BENCH = _bench()
SHOP: Registry = BENCH.registry()
QUESTIONS = BENCH.questions()


def ask(text: str, registry: Registry = SHOP, *, region: str = "", zone: str = "", **more: Any) -> Answer:
    request = Request(concept=text, subject=replace(ASKER, region=region), at=NOW, zone=zone)
    return resolve(request, registry, RULES, **more)


def resolved(text: str, registry: Registry = SHOP, **more: Any) -> Resolution:
    answer = ask(text, registry, **more)
    assert isinstance(answer, Resolution), answer
    return answer


def query(text: str) -> SemanticQuery:
    question = resolved(text).question
    assert isinstance(question, SemanticQuery)
    return question


def metric(name: str, title: str, **more: Any) -> Definition:
    return Definition(name=name, kind=DefinitionKind.METRIC, title=title, **more)


# --- the whole query ----------------------------------------------------------------------------------------


def test_a_concept_becomes_one_query() -> None:
    assert query("top 5 products by revenue in EMEA this fiscal year") == SemanticQuery(
        measures=("order_items.revenue",),
        dimensions=("products.name",),
        time_dimensions=(
            TimeDimension(dimension="order_items.sold_at", date_range=("2026-04-01", "2027-03-31")),
        ),
        filters=(Filter(member="orders.region", operator=Operator.EQUALS, values=("EMEA",)),),
        order=(("order_items.revenue", True),),
        limit=5,
        timezone="Europe/Berlin",
    )


def test_hours_are_told_as_moments() -> None:
    (time,) = query("error rate of checkout in the last 15 minutes").time_dimensions
    assert time.date_range == ("2026-11-20T10:15:00.000", "2026-11-20T10:29:59.999")


def test_a_period_over_a_change_of_clocks_is_told_in_utc() -> None:
    request = Request(
        concept="error rate of checkout in the last 3 hours",
        subject=ASKER,
        at=datetime(2026, 10, 25, 2, 0, tzinfo=UTC),
    )
    answer = resolve(request, SHOP, RULES)
    assert isinstance(answer, Resolution)
    assert isinstance(answer.question, SemanticQuery)
    assert answer.question.timezone == "UTC"
    assert answer.question.time_dimensions[0].date_range == (
        "2026-10-24T23:00:00.000",
        "2026-10-25T01:59:59.999",
    )


def test_the_compared_query_differs_in_its_period_alone() -> None:
    answer = resolved("revenue by region last quarter vs last year")
    assert isinstance(answer.question, SemanticQuery)
    assert answer.compared is not None
    (then,) = answer.compared.time_dimensions
    assert then.date_range == ("2025-07-01", "2025-09-30")
    assert replace(answer.compared, time_dimensions=answer.question.time_dimensions) == answer.question


def test_a_series_is_cut_into_what_was_said() -> None:
    (time,) = query("monthly revenue 2025").time_dimensions
    assert (time.granularity, time.date_range) == (Granularity.MONTH, ("2025-01-01", "2025-12-31"))


def test_values_of_one_dimension_are_alternatives() -> None:
    asked = query("revenue in germany and france")
    assert asked.filters == (Filter(member="orders.country", operator=Operator.EQUALS, values=("DE", "FR")),)


def test_small_words_are_no_codes_of_countries() -> None:
    country = Definition(
        name="a.country",
        kind=DefinitionKind.DIMENSION,
        title="Country",
        values={"IN": (), "US": (), "IT": ()},
    )
    known = Registry([metric("a.x", "Burn", certified=True), country])

    def filtered(text: str) -> tuple[str, ...]:
        question = resolved(text, known).question
        assert isinstance(question, SemanticQuery)
        return tuple(value for part in question.filters if isinstance(part, Filter) for value in part.values)

    assert filtered("tell us the burn in it") == ()
    assert filtered("TELL US THE BURN IN IT") == ()
    assert filtered("the burn in US and IN") == ("US", "IN")


def test_what_is_excluded_is_excluded() -> None:
    asked = query("revenue without APAC")
    assert asked.filters == (Filter(member="orders.region", operator=Operator.NOT_EQUALS, values=("APAC",)),)


def test_a_segment_is_counted() -> None:
    asked = query("first orders last month")
    assert (asked.segments, asked.measures) == (("orders.first_orders",), ("orders.count",))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("revenue by device", "orders.revenue cannot be broken down by “device”"),
        ("bounce rate in electronics", "“electronics” is no part of sessions.bounce_rate"),
    ],
)
def test_what_a_metric_cannot_be_asked_with_is_said(text: str, why: str) -> None:
    answer = ask(text)
    assert isinstance(answer, Unresolved)
    assert answer.why == why


def test_a_metric_without_a_time_says_so() -> None:
    known = Registry([metric("a.x", "Burn", certified=True)])
    answer = resolved("burn last month", known)
    assert isinstance(answer.question, SemanticQuery)
    assert answer.question.time_dimensions == ()
    assert answer.unmet == ("a has no time to be asked by",)


# --- other stores -------------------------------------------------------------------------------------------


def test_a_relation_is_a_named_question_to_the_graph() -> None:
    assert resolved("who owns payments?").question == GraphQuestion(
        name="owner_of", parameters={"id": "service:payments"}
    )
    assert resolved("what does checkout depend on").question == GraphQuestion(
        name="depends_on", parameters={"id": "service:checkout", "depth": 4}
    )
    assert resolved("lineage of net revenue").question == GraphQuestion(
        name="lineage_up", parameters={"id": "metric:orders.net_revenue", "depth": 4}
    )


def test_changes_are_asked_for_since_a_moment() -> None:
    said = resolved("what changed on checkout in the last 2 hours").question
    unsaid = resolved("what changed on checkout").question
    assert isinstance(said, GraphQuestion)
    assert isinstance(unsaid, GraphQuestion)
    # Seconds since 1970, as the graph's queries take them.
    assert said.parameters["since"] == datetime(2026, 11, 20, 7, 30, tzinfo=UTC).timestamp()
    assert unsaid.parameters["since"] == datetime(2026, 11, 13, 9, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "name", "node"),
    [
        ("owner of checkout", "owner_of", "service:checkout"),
        ("who is responsible for checkout", "owner_of", "service:checkout"),
        ("what depends on checkout", "dependents_of", "service:checkout"),
        ("who depends on checkout today", "dependents_of", "service:checkout"),
        ("what does checkout depend on today", "depends_on", "service:checkout"),
        ("dependencies of checkout", "depends_on", "service:checkout"),
        ("what breaks if checkout goes down", "blast_radius", "service:checkout"),
        ("impact of checkout", "blast_radius", "service:checkout"),
        ("root cause for checkout", "upstream_causes", "service:checkout"),
        ("incident history of checkout", "incidents_of", "service:checkout"),
        ("hosts of checkout", "hosts_of", "service:checkout"),
        ("where does net revenue come from", "lineage_up", "metric:orders.net_revenue"),
        ("what uses net revenue", "lineage_down", "metric:orders.net_revenue"),
        ("which dashboards show net revenue", "impacted_dashboards", "metric:orders.net_revenue"),
        ("members of team-checkout", "members_of", "team:team-checkout"),
        ("where does order status come from", "lineage_up", "dataset:orders"),
    ],
)
def test_each_relation_has_its_words(text: str, name: str, node: str) -> None:
    question = resolved(text).question
    assert isinstance(question, GraphQuestion)
    assert (question.name, question.parameters["id"]) == (name, node)


def test_a_runbook_is_searched_for() -> None:
    assert resolved("runbook for stuck jobs").question == DocumentSearch(
        words="Fix stuck jobs", kinds=("runbook",)
    )
    assert resolved("runbook for checkout").question == GraphQuestion(
        name="runbooks_of", parameters={"id": "service:checkout"}
    )


def passage(title: str, text: str, kind: str = "guide") -> Passage:
    document = Document(id=title.lower(), kind=kind, title=title, source="docs", digest="0" * 64)
    return Passage(document=document, heading="", text=text, score=1.0, by=("words",))


def test_a_passage_answers_only_if_it_shares_the_words() -> None:
    found = [passage("Espresso machine", "How to descale the espresso machine.", "runbook")]
    answer = resolved("runbook for the espresso machine", passages=found)
    assert answer.definition.name == "document:espresso machine"
    other = [passage("Payments outage", "Restart the gateway.", "runbook")]
    assert isinstance(ask("runbook for the espresso machine", passages=other), Unresolved)


# --- registry -----------------------------------------------------------------------------------------------


def test_a_persons_correction_is_followed_and_the_latest_stands() -> None:
    definitions = [metric("a.x", "Alpha yield"), metric("a.y", "Beta yield")]
    early = Correction(phrase="Our Yield", name="a.x", actor="ana", at=NOW)
    late = Correction(phrase="our yield", name="a.y", actor="bo", at=NOW.replace(day=21))
    assert resolved("our yield", Registry(definitions, corrections=[early])).definition.name == "a.x"
    assert resolved("our yield", Registry(definitions, corrections=[late, early])).definition.name == "a.y"


def test_a_correction_to_what_is_no_more_is_forgotten() -> None:
    gone = Correction(phrase="alpha yield", name="a.gone", actor="ana", at=NOW)
    known = Registry([metric("a.x", "Alpha yield", certified=True)], corrections=[gone])
    assert resolved("alpha yield", known).definition.name == "a.x"


@pytest.mark.parametrize(
    ("better", "worse"),
    [({"certified": True}, {}), ({}, {"deprecated": "yes"}), ({"region": "EMEA"}, {"region": "APAC"})],
)
def test_ties_are_broken_by_standing_and_nearness(better: dict[str, Any], worse: dict[str, Any]) -> None:
    # The worse one has the better name to be sorted by.
    first, second = {"certified": True} | better, worse
    if "region" in better or "deprecated" in worse:
        second = {"certified": True} | worse
    known = Registry([metric("a.x", "Burn", **second), metric("b.x", "Burn", **first)])
    assert resolved("burn", known, region="EMEA").definition.name == "b.x"


def test_equals_are_for_a_person_to_choose_from() -> None:
    known = Registry([metric("a.x", "Burn", certified=True), metric("b.x", "Burn", certified=True)])
    answer = ask("burn last month", known)
    assert isinstance(answer, Ambiguous)
    assert [choice.definition.name for choice in answer.choices] == ["a.x", "b.x"]
    assert answer.why == "this may mean Burn (a.x) or Burn (b.x)"


HIDDEN = {"order_items.gross_margin", "orders.region", "customers.segment", "order_items.sold_at"}


@pytest.mark.parametrize(
    "text",
    [
        "gross margin",
        "gros margin",
        "margin",
        "revenue in APAC",
        "revenue by region",
        "region",
        "b2b",
        "revenue b2b",
    ],
)
def test_what_is_hidden_is_as_if_it_were_not_there(text: str) -> None:
    data = [item for item in SHOP.definitions.values() if item.name not in HIDDEN]
    joins = {"order_items": ["orders", "products"], "orders": ["customers"], "refunds": ["orders"]}
    joins["sessions"] = ["customers"]
    bare = Registry(data, joins=joins, times=SHOP.times)
    hidden = Registry(SHOP.definitions.values(), joins=joins, times=SHOP.times).without(HIDDEN)
    answer = ask(text, hidden)
    assert answer == ask(text, bare)
    assert not any(name in repr(answer) for name in HIDDEN)


def test_nobody_is_kept_from_what_is_not_hidden() -> None:
    assert SHOP.without({"no.such"}) is SHOP
    assert resolved("net revenue", SHOP.without(HIDDEN)).definition.name == "orders.net_revenue"


def test_a_name_stands_once() -> None:
    with pytest.raises(BadRegistry, match=r"a\.x is defined twice"):
        Registry([metric("a.x", "X"), metric("a.x", "Y")])


def test_nothing_in_a_models_meta_is_believed() -> None:
    hostile: dict[str, Any] = {
        "synonyms": ["good", 7, None, ["bad"], True, "x" * 5000],
        "values": [{"a": 1}, "v", 3],
        "classification": ["public"],
        "certified": "yes",
        "unit": {"a": 1},
        "deprecated": True,
        "owner": 5,
    }
    member = Member(name="a.b", kind=MemberKind.DIMENSION, type="string", title="", meta=hostile)
    private = replace(member, name="a.c", public=False)
    known = registry_of(Model(members=(member, private)))
    made = known.definitions["a.b"]
    assert made.synonyms == ("good", "7", "x" * 200)
    assert made.values == {"v": (), "3": ()}
    assert made.classification is Classification.CONFIDENTIAL
    assert (made.certified, made.unit, made.deprecated, made.owner) == (False, "", "yes", "")
    assert list(known.definitions) == ["a.b"]


def test_a_view_repeats_nothing() -> None:
    members = tuple(
        Member(name=name, kind=MemberKind.MEASURE, type="sum", title=title)
        for name, title in (
            ("orders.revenue", "Revenue"),
            ("sales.revenue", "Revenue"),
            ("sales.more", "More"),
        )
    )
    known = registry_of(Model(members=members, views=frozenset({"sales"})))
    assert set(known.definitions) == {"orders.revenue", "sales.more"}


def test_a_measure_may_name_its_time() -> None:
    def member(name: str, kind: MemberKind, type_: str, **meta: Any) -> Member:
        return Member(name=name, kind=kind, type=type_, title=name, meta=meta)

    known = registry_of(
        Model(
            members=(
                member("a.one", MemberKind.DIMENSION, "time"),
                member("a.two", MemberKind.DIMENSION, "time"),
                member("a.sum", MemberKind.MEASURE, "sum", time="a.two"),
                member("a.count", MemberKind.MEASURE, "count"),
                member("a.lost", MemberKind.MEASURE, "count", time="a.nowhere"),
            )
        )
    )
    times = [known.time_of(known.definitions[name]) for name in ("a.sum", "a.count", "a.lost")]
    assert times == ["a.two", "", ""]


def test_a_cube_is_asked_by_its_marked_or_only_time() -> None:
    def time(name: str, **meta: Any) -> Member:
        return Member(name=name, kind=MemberKind.DIMENSION, type="time", title=name, meta=meta)

    members = (time("a.one"), time("b.one"), time("b.two", time=True), time("c.one"), time("c.two"))
    assert registry_of(Model(members=members)).times == {"a": "a.one", "b": "b.two"}


# --- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no word"),
        ("?!…", "no word"),
        ("x" * 501, "at most 500 characters"),
        ("a " * 61, "at most 60 words"),
        ("revenue on 2026-02-30", "is no date"),
        ("frobnication of EMEA", "“frobnication”"),
        ("last quarter", "nothing that you may see"),
    ],
)
def test_a_refusal_is_a_value_that_says_why(text: str, why: str) -> None:
    answer = ask(text)
    assert isinstance(answer, Unresolved)
    assert why in answer.why


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "America", "\0", "x" * 300])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    answer = ask("revenue today", zone=zone)
    assert isinstance(answer, Unresolved)
    assert "time zone" in answer.why


def test_the_askers_zone_stands_above_the_default() -> None:
    period = resolved("revenue today", zone="Asia/Tokyo").parsed.period
    assert period is not None
    assert period.start == datetime(2026, 11, 19, 15, tzinfo=UTC)


# --- confidence ---------------------------------------------------------------------------------------------


def test_contributions_add_up_to_the_log_odds() -> None:
    from math import log  # noqa: PLC0415 - wanted here alone

    sure = resolved("APAC revenue last quarter").confidence
    assert sure.value > 0.9
    total = sum(value for _, value in sure.contributions)
    assert total == pytest.approx(log(sure.value / (1 - sure.value)), abs=1e-6)


def test_a_deprecated_definition_is_less_sure() -> None:
    fresh = Registry([metric("a.x", "Burn", certified=True)])
    old = Registry([metric("a.x", "Burn", certified=True, deprecated="b.x")])
    assert resolved("burn", old).confidence.value < resolved("burn", fresh).confidence.value


def test_a_misspelt_word_is_understood_and_less_sure() -> None:
    right, wrong = resolved("conversion rate"), resolved("convertion rate")
    assert right.definition == wrong.definition
    assert wrong.confidence.value < right.confidence.value


def test_the_questions_of_the_benchmark_stay_answered() -> None:
    answered = [
        item
        for item in QUESTIONS.items
        if "is" in item
        and isinstance(answer := QUESTIONS.ask(item["q"], SHOP), Resolution)
        and answer.definition.name == item["is"]
        and BENCH.period_is_right(item, answer, "Europe/Berlin")
    ]
    refused = [
        item
        for item in QUESTIONS.items
        if "none" in item and isinstance(QUESTIONS.ask(item["q"], SHOP), Unresolved)
    ]
    assert len(answered) >= 0.95 * sum("is" in item for item in QUESTIONS.items)
    assert len(refused) >= 0.93 * sum("none" in item for item in QUESTIONS.items)
