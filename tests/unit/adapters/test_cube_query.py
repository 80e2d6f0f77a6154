"""What is sent to Cube, and what is refused because Cube would take it for another question."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.adapters.semantic.cube_query import columns, to_cube
from penelope.domain.access import Masking
from penelope.domain.semantics import (
    AllOf,
    AnyOf,
    Condition,
    Filter,
    Granularity,
    Member,
    MemberKind,
    Operator,
    SemanticQuery,
    TimeDimension,
)
from penelope.errors import InvalidQuery

MEMBERS = {
    name: Member(name=name, kind=kind, type=of, title=name)
    for name, kind, of in (
        ("orders.count", MemberKind.MEASURE, "count"),
        ("orders.revenue", MemberKind.MEASURE, "sum"),
        ("orders.status", MemberKind.DIMENSION, "string"),
        ("orders.number", MemberKind.DIMENSION, "number"),
        ("orders.created_at", MemberKind.DIMENSION, "time"),
        ("orders.email", MemberKind.DIMENSION, "string"),
        ("orders.large", MemberKind.SEGMENT, ""),
    )
}
PAID = Filter(member="orders.status", operator=Operator.EQUALS, values=("paid",))
MONTHS = TimeDimension(
    dimension="orders.created_at", granularity=Granularity.MONTH, date_range=("2026-07-01", "2026-09-30")
)
QUERY = SemanticQuery(measures=("orders.count",), dimensions=("orders.status",))
MASKED = {"orders.email": Masking.HASH}


def sent(query: SemanticQuery, masks: dict[str, Masking] | None = None) -> dict[str, object]:
    return to_cube(query, MEMBERS, masks or {})


def test_a_query_becomes_cubes() -> None:
    query = replace(
        QUERY,
        time_dimensions=(MONTHS,),
        filters=(AnyOf(parts=(PAID, AllOf(parts=(PAID, PAID)))),),
        segments=("orders.large",),
        order=(("orders.count", True), ("orders.status", False)),
        limit=7,
        offset=3,
        timezone="Europe/Berlin",
    )
    paid = {"member": "orders.status", "operator": "equals", "values": ["paid"]}
    assert sent(query) == {
        "measures": ["orders.count"],
        "dimensions": ["orders.status"],
        "timeDimensions": [
            {
                "dimension": "orders.created_at",
                "granularity": "month",
                "dateRange": ["2026-07-01", "2026-09-30"],
            }
        ],
        "filters": [{"or": [paid, {"and": [paid, paid]}]}],
        "segments": ["orders.large"],
        "order": [["orders.count", "desc"], ["orders.status", "asc"], ["orders.created_at.month", "asc"]],
        "limit": 7,
        "offset": 3,
        "timezone": "Europe/Berlin",
        "responseFormat": "compact",
    }
    assert columns(query) == ("orders.status", "orders.created_at.month", "orders.count")


def filtering(*conditions: Condition) -> SemanticQuery:
    return replace(QUERY, filters=conditions)


def nested(depth: int) -> Condition:
    made: Condition = PAID
    for _ in range(depth):
        made = AllOf(parts=(made,))
    return made


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (filtering(AnyOf(parts=())), "empty"),
        (filtering(AllOf(parts=())), "empty"),
        (filtering(AnyOf(parts=(PAID, AllOf(parts=())))), "empty"),
        (filtering(nested(40)), "nested"),
        (filtering(*[PAID] * 501), "500 filters"),
        (filtering(replace(PAID, values=())), "between 1 and"),
        (filtering(replace(PAID, values=("x",) * 1001)), "between 1 and"),
        (filtering(replace(PAID, values=("x" * 5000,))), "too long"),
        (filtering(replace(PAID, values=("a\0b",))), "null byte"),
        (filtering(replace(PAID, member="orders.number")), "numbers"),
        (filtering(replace(PAID, member="orders.number", values=("1_0",))), "numbers"),
        (filtering(Filter(member="orders.count", operator=Operator.GT, values=("nan",))), "numbers"),
        (filtering(Filter(member="orders.count", operator=Operator.GT, values=("1", "2"))), "one value"),
        (filtering(replace(PAID, member="orders.secret")), "has no measure or dimension"),
        (filtering(replace(PAID, member="orders.large")), "has no measure or dimension"),
        (
            filtering(
                Filter(
                    member="orders.created_at", operator=Operator.IN_DATE_RANGE, values=("last year", "today")
                )
            ),
            "a date must",
        ),
        (
            filtering(
                Filter(member="orders.created_at", operator=Operator.IN_DATE_RANGE, values=("2026-01-01",))
            ),
            "a first and a last",
        ),
        (
            filtering(
                Filter(member="orders.created_at", operator=Operator.BEFORE_DATE, values=("2026-02-30",))
            ),
            "a date must",
        ),
        (replace(QUERY, time_dimensions=(replace(MONTHS, date_range=("2026-07-01", "bad")),)), "a date must"),
        (replace(QUERY, time_dimensions=(replace(MONTHS, dimension="orders.status"),)), "is no time"),
        (replace(QUERY, measures=("orders.status",)), "has no measure"),
        (replace(QUERY, dimensions=("orders.count",)), "has no dimension"),
        (replace(QUERY, dimensions=("orders.x'); drop table",)), "has no dimension"),
        (replace(QUERY, segments=("orders.status",)), "has no segment"),
        (replace(QUERY, order=(("orders.revenue", True),)), "cannot order"),
        (replace(QUERY, limit=-1), "limit"),
        (replace(QUERY, limit=50_001), "limit"),
        (replace(QUERY, offset=-1), "offset"),
        (replace(QUERY, timezone="../etc passwd"), "time zone"),
        (SemanticQuery(), "asks for nothing"),
        (SemanticQuery(time_dimensions=(replace(MONTHS, granularity=None),)), "asks for nothing"),
        (replace(QUERY, dimensions=("orders.status",) * 101), "100 members"),
    ],
)
def test_what_cube_would_take_for_another_question_is_refused(query: SemanticQuery, why: str) -> None:
    with pytest.raises(InvalidQuery, match=why):
        sent(query)


@pytest.mark.parametrize(
    "query",
    [
        filtering(AnyOf(parts=(PAID, replace(PAID, member="orders.email")))),
        filtering(Filter(member="orders.email", operator=Operator.NOT_SET)),
        replace(QUERY, dimensions=("orders.email",), order=(("orders.email", False),)),
    ],
)
def test_a_masked_member_is_neither_filtered_nor_ordered_by(query: SemanticQuery) -> None:
    assert sent(query)
    with pytest.raises(InvalidQuery, match="is masked"):
        sent(query, MASKED)


@pytest.mark.parametrize("ordered", ["orders.created_at", "orders.created_at.month"])
def test_a_masked_time_is_neither_bounded_nor_ordered_by(ordered: str) -> None:
    masks = {"orders.created_at": Masking.NULL}
    unbounded = replace(QUERY, time_dimensions=(replace(MONTHS, date_range=None),))
    assert sent(unbounded, masks)["order"] == [["orders.count", "desc"], ["orders.status", "asc"]]
    with pytest.raises(InvalidQuery, match="is masked"):
        sent(replace(QUERY, time_dimensions=(MONTHS,)), masks)
    with pytest.raises(InvalidQuery, match="is masked"):
        sent(replace(unbounded, order=((ordered, True),)), masks)


def test_the_order_that_cube_takes_by_itself_is_never_that_of_a_masked_member() -> None:
    query = SemanticQuery(dimensions=("orders.email", "orders.status"))
    assert sent(query)["order"] == [["orders.email", "asc"], ["orders.status", "asc"]]
    assert sent(query, MASKED)["order"] == [["orders.status", "asc"]]
    alone = SemanticQuery(dimensions=("orders.email",))
    assert "order" not in sent(alone, MASKED)


NAMES = st.sampled_from([*MEMBERS, "orders.secret", "x", "orders.created_at.month", "' or 1=1 --", ""])
TEXTS = st.text(max_size=12) | st.sampled_from(["2026-07-01", "7", "paid"])
FILTERS = st.builds(
    Filter,
    member=NAMES,
    operator=st.sampled_from(list(Operator)),
    values=st.lists(TEXTS, max_size=3).map(tuple),
)
CONDITIONS = st.recursive(
    FILTERS,
    lambda inner: (
        st.builds(AllOf, parts=st.lists(inner, max_size=3).map(tuple))
        | st.builds(AnyOf, parts=st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=6,
)
TIMES = st.builds(
    TimeDimension,
    dimension=NAMES,
    granularity=st.none() | st.sampled_from(list(Granularity)),
    date_range=st.none() | st.tuples(TEXTS, TEXTS),
)
QUERIES = st.builds(
    SemanticQuery,
    measures=st.lists(NAMES, max_size=3).map(tuple),
    dimensions=st.lists(NAMES, max_size=3).map(tuple),
    time_dimensions=st.lists(TIMES, max_size=2).map(tuple),
    filters=st.lists(CONDITIONS, max_size=2).map(tuple),
    order=st.lists(st.tuples(NAMES, st.booleans()), max_size=2).map(tuple),
    limit=st.integers(-1, 60_000),
    timezone=TEXTS | st.just("UTC"),
)


@given(query=QUERIES)
def test_whatever_comes_is_sent_as_known_members_or_refused(query: SemanticQuery) -> None:
    try:
        body = sent(query, MASKED)
    except InvalidQuery:
        return
    assert {*query.measures, *query.dimensions} <= MEMBERS.keys()
    assert "orders.email" not in str(body["filters"])
    assert "orders.email" not in str(body.get("order"))
