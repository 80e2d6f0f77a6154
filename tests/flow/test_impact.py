"""What an incident costs: governed measures, as fresh as their data, and nothing made up where there is none."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penelope.domain.access import Access, AccessQuestion, Masking, Subject
from penelope.domain.degradation import Store
from penelope.domain.evidence import Evidence
from penelope.domain.semantics import Member, MemberKind, Model, SemanticQuery, Table
from penelope.domain.surroundings import IMPACT
from penelope.errors import Unavailable
from penelope.flow.enquiry import Enquiry
from penelope.flow.impact import ask_impact
from penelope.flow.resolving import Definitions, Resolver, Stores
from penelope.kit.guard import Guard, Patience
from penelope.rooms.context.registry_of import registry_of
from penelope.rooms.context.resolve import Rules
from penelope.testing.clock import FakeClock

NOW = datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)
SUBJECT = Subject(actor="penelope", role="service", purpose="incident")


def measure(name: str, **meta: Any) -> Member:
    given = {
        "service": "checkout",
        "impact": "per_minute",
        "time": "sales.at",
        "classification": "internal",
        **meta,
    }
    return Member(name=f"sales.{name}", kind=MemberKind.MEASURE, type="sum", title=name, meta=given)


AT = Member(
    name="sales.at", kind=MemberKind.DIMENSION, type="time", title="at", meta={"classification": "internal"}
)


class Layer:
    """Answers as it is told, by the first moment asked for, and keeps the questions."""

    def __init__(self, members: Sequence[Member], values: Any, as_of: datetime | None) -> None:
        self.members, self.values, self.as_of = members, values, as_of
        self.queries: list[SemanticQuery] = []
        self.down = False

    async def model(self) -> Model:
        if self.down:
            raise Unavailable("down")
        return Model(members=(*self.members, AT))

    async def run(self, query: SemanticQuery, masks: Mapping[str, Masking]) -> Table:  # noqa: ARG002 - none are masked
        self.queries.append(query)
        value = self.values(query)
        return Table(columns=query.measures, rows=((value,),), query="", as_of=self.as_of)


class Open:
    async def judge(self, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
        return [
            Access(allow=question.asset.name != "sales.hidden", reasons=("no",)) for question in questions
        ]


class Empty:
    async def ask(self, name: str, parameters: Mapping[str, Any]) -> Sequence[Any]:  # noqa: ARG002 - it is empty
        return []


def asked(layer: Layer, *, zone: str = "UTC", now: datetime = NOW, minutes: int = 60) -> list[Evidence]:
    stores = Stores(semantic=layer, graph=Empty(), passages=None, governor=Open())  # type: ignore[arg-type]  # as far as they are asked
    guards = {store: Guard(store.value, Patience(attempts=1)) for store in Store}
    resolver = Resolver(
        stores, guards, Definitions(registry_of=registry_of), Rules(zone=zone), FakeClock(now)
    )

    async def run() -> list[Evidence]:
        return await ask_impact(Enquiry(resolver, SUBJECT, 5.0), "checkout", minutes)

    return asyncio.run(run())


def by_week(now: Any, before: Any) -> Any:
    def value(query: SemanticQuery) -> Any:
        (stretch,) = query.time_dimensions
        assert stretch.date_range is not None
        return now if stretch.date_range[0] > "2026-11-15" else before

    return value


def test_a_sum_is_told_by_the_minute_beside_the_week_before() -> None:
    layer = Layer([measure("revenue", unit="USD")], by_week(600.0, 2400), NOW)
    (item,) = asked(layer)
    assert item.concept == f"{IMPACT}.sales.revenue"
    assert isinstance(item.value, dict)
    assert (item.value["now"], item.value["before"], item.value["per"]) == (10.0, 40.0, "minute")
    assert (item.confidence, item.note) == (1.0, "")
    stretches = [query.time_dimensions[0].date_range for query in layer.queries]
    assert stretches == [
        ("2026-11-20T11:00:00.000", "2026-11-20T11:59:59.999"),
        ("2026-11-13T11:00:00.000", "2026-11-13T11:59:59.999"),
    ]


def test_a_rate_is_taken_as_it_is() -> None:
    (item,) = asked(Layer([measure("rate", impact="as_it_is")], by_week(0.5, 0.25), NOW))
    assert isinstance(item.value, dict)
    assert (item.value["now"], item.value["before"]) == (0.5, 0.25)


def test_what_was_not_loaded_yet_was_not_lost() -> None:
    loaded = NOW - timedelta(hours=3)
    layer = Layer([measure("revenue")], by_week(60.0, 60.0), loaded)
    (item,) = asked(layer)
    assert item.observed_at == loaded.replace(second=0)
    assert layer.queries[-2].time_dimensions[0].date_range == (
        "2026-11-20T08:00:00.000",
        "2026-11-20T08:59:59.999",
    )


def test_data_of_long_ago_tells_nothing() -> None:
    (item,) = asked(Layer([measure("revenue")], by_week(0.0, 60.0), NOW - timedelta(days=2)))
    assert not item.known
    assert "2026-11-18" in item.note


@pytest.mark.parametrize(("as_of", "now"), [(NOW, 0.0), (None, None)])
def test_no_rows_are_nothing_sold_only_where_the_data_is_known_to_reach_so_far(
    as_of: datetime | None, now: float | None
) -> None:
    (item,) = asked(Layer([measure("revenue")], by_week(None, 60.0), as_of))
    assert (item.value["now"] if isinstance(item.value, dict) else None) == now


def test_data_of_unknown_age_is_less_sure() -> None:
    (item,) = asked(Layer([measure("revenue")], by_week(60.0, 60.0), None))
    assert (item.known, item.confidence) == (True, 0.5)
    assert "how fresh" in item.note


def test_the_week_before_is_by_the_clock_on_the_wall() -> None:
    layer = Layer([measure("revenue")], lambda _query: 1.0, None)
    # In Berlin clocks went back on 25 October 2026.
    asked(layer, zone="Europe/Berlin", now=datetime(2026, 10, 28, 12, tzinfo=UTC))
    starts = [query.time_dimensions[0].date_range for query in layer.queries]
    assert [start[0] for start in starts if start] == ["2026-10-28T11:00:00.000", "2026-10-21T10:00:00.000"]


def test_only_measures_that_say_so_and_may_be_known_of_are_asked() -> None:
    members = [
        measure("hidden"),
        measure("other", service="search"),
        measure("neither", impact="some"),
        measure("odd", impact=["per_minute"]),
        measure("odder", service={"a": 1}),
    ]
    layer = Layer(members, by_week(1.0, 1.0), NOW)
    assert asked(layer) == []
    assert layer.queries == []


def test_no_more_than_five_measures_are_asked() -> None:
    assert len(asked(Layer([measure(f"m{number}") for number in range(9)], by_week(1.0, 1.0), NOW))) == 5


def test_a_value_that_is_no_number_is_none() -> None:
    for value in ("10", True, float("nan"), float("inf")):
        (item,) = asked(Layer([measure("revenue")], by_week(value, value), None))
        assert not item.known


def test_without_a_model_nobody_can_tell() -> None:
    layer = Layer([], by_week(1.0, 1.0), NOW)
    layer.down = True
    with pytest.raises(Unavailable):
        asked(layer)
