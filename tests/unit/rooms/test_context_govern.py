"""What the policy said is in the question before it is asked, and nothing comes back against it."""

from dataclasses import replace
from typing import Any

import pytest

from penelope.domain.access import Access, Classification, Masking
from penelope.domain.masking import mask
from penelope.domain.passage import Document
from penelope.domain.semantics import (
    AllOf,
    AnyOf,
    Condition,
    Filter,
    Granularity,
    Member,
    MemberKind,
    Model,
    Operator,
    SemanticQuery,
    Table,
    TimeDimension,
)
from penelope.errors import AccessBroken
from penelope.rooms.context.assets import classification_of, cube_asset, document_asset
from penelope.rooms.context.govern import Governed, Refusal, checked, cubes_of, govern, visible
from penelope.rooms.context.rows import meets

KEY = b"a key of the tests"
ONLY_APAC = Filter(member="orders.region", operator=Operator.EQUALS, values=("APAC",))
MASKS = {"orders.email": Masking.HASH, "orders.phone": Masking.PARTIAL, "orders.salary": Masking.NULL}
ACCESS = Access(allow=True, row_filters=(ONLY_APAC,), masks=MASKS)
READS = {
    "orders.revenue": frozenset({"orders.amount"}),
    "orders.count": frozenset[str](),
    "orders.last_email": frozenset({"orders.email"}),
    "orders.of_ann": frozenset({"orders.email"}),
    "orders.paid": frozenset({"orders.status"}),
    "orders.domain": frozenset({"orders.email"}),
}
MODEL = Model(members=(), reads=READS)
NO = Access(allow=False, reasons=("this role may not know of it",))


def governed(query: SemanticQuery, **accesses: Access) -> Governed:
    found = govern(query, accesses or {"orders": ACCESS}, MODEL)
    assert isinstance(found, Governed), found
    return found


def refused(query: SemanticQuery, **accesses: Access) -> str:
    found = govern(query, accesses or {"orders": ACCESS}, MODEL)
    assert isinstance(found, Refusal), found
    return "; ".join(found.reasons)


def test_row_filters_are_added_and_masks_passed_on() -> None:
    own = Filter(member="orders.status", operator=Operator.EQUALS, values=("paid",))
    query = SemanticQuery(
        measures=("orders.revenue",), dimensions=("orders.email", "orders.region"), filters=(own,)
    )
    found = governed(query)
    assert found.query.filters == (own, ONLY_APAC)
    assert found.masks == {"orders.email": Masking.HASH}
    assert found.row_filters == (ONLY_APAC,)


def test_a_column_that_is_null_is_not_asked_for_and_comes_back_null() -> None:
    query = SemanticQuery(measures=("orders.count",), dimensions=("orders.salary", "orders.region"))
    found = governed(query)
    assert found.query.dimensions == ("orders.region",)
    table = Table(columns=("orders.region", "orders.count"), rows=(("APAC", 3),), query="")
    told = checked(table, found)
    assert told.columns == ("orders.salary", "orders.region", "orders.count")
    assert told.rows == ((None, "APAC", 3),)


@pytest.mark.parametrize(
    "query",
    [
        SemanticQuery(measures=("orders.last_email",)),
        SemanticQuery(measures=("orders.nobody_knows_what",)),
        SemanticQuery(measures=("orders.count",), segments=("orders.of_ann",)),
        SemanticQuery(measures=("orders.count",), segments=("orders.unknown",)),
        SemanticQuery(
            measures=("orders.count",),
            filters=(Filter(member="orders.email", operator=Operator.CONTAINS, values=("ann",)),),
        ),
        SemanticQuery(
            measures=("orders.count",),
            filters=(
                AnyOf(
                    parts=(
                        Filter(member="orders.status", operator=Operator.SET),
                        AllOf(parts=(Filter(member="orders.salary", operator=Operator.SET),)),
                    )
                ),
            ),
        ),
        SemanticQuery(dimensions=("orders.email",), order=(("orders.email", False),)),
        SemanticQuery(
            measures=("orders.count",),
            time_dimensions=(TimeDimension(dimension="orders.phone", granularity=Granularity.DAY),),
        ),
        SemanticQuery(measures=("orders.count",), dimensions=("orders.domain",)),
    ],
)
def test_what_is_masked_is_not_filtered_ordered_or_calculated_with(query: SemanticQuery) -> None:
    assert "masked for you" in refused(query)


def test_of_what_is_masked_whole_nothing_is_left() -> None:
    assert "nothing is left" in refused(SemanticQuery(dimensions=("orders.salary",)))


def test_all_that_a_question_touches_must_be_allowed() -> None:
    query = SemanticQuery(measures=("orders.count",), dimensions=("customers.country",))
    assert "nothing was decided" in refused(query)
    assert refused(query, orders=ACCESS, customers=NO) == "this role may not know of it"
    assert refused(query, orders=ACCESS, customers=Access(allow=False)) == "the policy denies it"
    assert "denies" in refused(SemanticQuery())


SALES = Model(
    members=(),
    views=frozenset({"sales", "elsewhere"}),
    behind={
        "sales.mail": "orders.email",
        "sales.region": "orders.region",
        "sales.revenue": "orders.revenue",
        "sales.last_email": "orders.last_email",
        "elsewhere.mail": "orders.email",
        "elsewhere.count": "orders.count",
    },
    reads={
        **READS,
        "sales.revenue": frozenset({"orders.amount"}),
        "sales.last_email": frozenset({"orders.email", "sales.mail", "elsewhere.mail"}),
        "elsewhere.count": frozenset[str](),
        "visits.of_buyers": frozenset({"orders.email", "visits.buyer"}),
    },
)
OPEN = Access(allow=True)


def test_the_policy_is_asked_about_all_that_a_query_takes_from() -> None:
    assert cubes_of(SemanticQuery(measures=("orders.count",)), SALES) == ("orders",)
    assert cubes_of(SemanticQuery(dimensions=("sales.mail",)), SALES) == ("orders", "sales")
    assert cubes_of(SemanticQuery(measures=("visits.of_buyers",)), SALES) == ("orders", "visits")
    # Another view may show the same column: the query has nothing to do with it.
    assert cubes_of(SemanticQuery(measures=("sales.last_email",)), SALES) == ("orders", "sales")
    assert cubes_of(SemanticQuery(), SALES) == ()


def on_sales(query: SemanticQuery, orders: Access, **others: Access) -> Governed | Refusal:
    return govern(query, {"sales": OPEN, "orders": orders, **others}, SALES)


def test_masks_of_the_cubes_behind_a_view_count() -> None:
    hidden = Access(allow=True, masks={"orders.email": Masking.HASH})
    assert isinstance(on_sales(SemanticQuery(measures=("sales.last_email",)), hidden), Refusal)
    by_mail = Filter(member="sales.mail", operator=Operator.STARTS_WITH, values=("a",))
    assert isinstance(
        on_sales(SemanticQuery(measures=("sales.revenue",), filters=(by_mail,)), hidden), Refusal
    )
    ordered = SemanticQuery(dimensions=("sales.mail",), order=(("sales.mail", True),))
    assert isinstance(on_sales(ordered, hidden), Refusal)
    shown = on_sales(SemanticQuery(measures=("sales.revenue",), dimensions=("sales.mail",)), hidden)
    assert isinstance(shown, Governed)
    assert shown.masks == {"sales.mail": Masking.HASH}


def test_of_a_mask_of_the_view_and_one_of_its_cube_the_stricter_holds() -> None:
    query = SemanticQuery(measures=("sales.revenue",), dimensions=("sales.mail",))
    for one, other in ((Masking.PARTIAL, Masking.HASH), (Masking.HASH, Masking.PARTIAL)):
        found = govern(
            query,
            {
                "sales": Access(allow=True, masks={"sales.mail": one}),
                "orders": Access(allow=True, masks={"orders.email": other}),
            },
            SALES,
        )
        assert isinstance(found, Governed)
        assert found.masks == {"sales.mail": Masking.HASH}


def test_whoever_may_not_read_a_cube_does_not_read_it_through_a_view() -> None:
    assert isinstance(on_sales(SemanticQuery(measures=("sales.revenue",)), NO), Refusal)
    assert isinstance(govern(SemanticQuery(measures=("sales.revenue",)), {"sales": OPEN}, SALES), Refusal)


def test_a_formula_reads_other_cubes_under_their_own_policy() -> None:
    query = SemanticQuery(measures=("visits.of_buyers",))
    hidden = Access(allow=True, masks={"orders.email": Masking.HASH})
    assert isinstance(govern(query, {"visits": OPEN, "orders": NO}, SALES), Refusal)
    assert isinstance(govern(query, {"visits": OPEN, "orders": hidden}, SALES), Refusal)
    bound = govern(query, {"visits": OPEN, "orders": Access(allow=True, row_filters=(ONLY_APAC,))}, SALES)
    assert isinstance(bound, Governed)
    assert bound.query.filters == (ONLY_APAC,)


def test_rows_that_are_left_out_of_a_cube_are_left_out_of_its_view() -> None:
    query = SemanticQuery(measures=("sales.revenue",))
    on_view = Filter(member="sales.region", operator=Operator.EQUALS, values=("APAC",))
    open_or = AnyOf(parts=(ONLY_APAC, AllOf(parts=(ONLY_APAC,))))
    for given, expected in ((ONLY_APAC, on_view), (open_or, AnyOf(parts=(on_view, AllOf(parts=(on_view,)))))):
        found = on_sales(query, Access(allow=True, row_filters=(given,)))
        assert isinstance(found, Governed)
        assert found.query.filters == found.row_filters == (expected,)


def test_a_view_without_the_column_that_a_row_filter_needs_tells_nothing() -> None:
    bound = Access(allow=True, row_filters=(ONLY_APAC,))
    query = SemanticQuery(measures=("elsewhere.count",))
    found = govern(query, {"elsewhere": OPEN, "orders": bound}, SALES)
    assert isinstance(found, Refusal)
    assert "the view does not show" in found.reasons[0]


def test_a_row_filter_on_a_measure_filters_no_rows_and_so_denies() -> None:
    odd = Filter(member="orders.revenue", operator=Operator.GT, values=("5",))
    query = SemanticQuery(measures=("orders.count",))
    assert "is on what is no column" in refused(query, orders=Access(allow=True, row_filters=(odd,)))


def test_the_order_of_a_store_tells_nothing_of_what_is_masked() -> None:
    by_measure = governed(SemanticQuery(measures=("orders.count",), dimensions=("orders.email",)))
    assert by_measure.query.order == (("orders.count", True),)
    by_other = governed(SemanticQuery(dimensions=("orders.email", "orders.region")))
    assert by_other.query.order == (("orders.region", False),)
    alone = governed(SemanticQuery(dimensions=("orders.email",)))
    hashes = [str(mask(f"{name}@x.example", Masking.HASH, KEY)) for name in "abcdef"]
    rows = tuple((value,) for value in hashes)
    told = checked(Table(columns=("orders.email",), rows=rows, query=""), alone)
    assert [row[0] for row in told.rows] == sorted(hashes)
    plain = governed(SemanticQuery(measures=("orders.count",), dimensions=("orders.region",)))
    assert plain.query.order == ()


GOOD = ("APAC", mask("ann@x.example", Masking.HASH, KEY), mask("030 1234 5678", Masking.PARTIAL, KEY), 5)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, "EMEA"),
        (0, None),
        (0, "apac "),
        (1, "ann@x.example"),
        (1, 7),
        (1, "ABCDEF0123456789"),
        (1, ""),
        (2, "030 1234 5678"),
        (2, "***34 5678"),
        (2, 5678),
    ],
)
def test_a_breach_is_an_error_that_shows_nothing(place: int, value: Any) -> None:
    query = SemanticQuery(
        measures=("orders.revenue",), dimensions=("orders.region", "orders.email", "orders.phone")
    )
    found = governed(query)
    columns = (*query.dimensions, *query.measures)
    table = Table(columns=columns, rows=(GOOD, GOOD), query="")
    assert checked(table, found).rows == (GOOD, GOOD)
    bad = (*GOOD[:place], value, *GOOD[place + 1 :])
    with pytest.raises(AccessBroken) as caught:
        checked(replace(table, rows=(GOOD, bad)), found)
    assert str(value) not in caught.value.message or value in {None, "", 7}
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "columns",
    [
        ("orders.count", "orders.salary"),
        ("orders.count", "orders.secret"),
        ("orders.count", "orders.count"),
        ("orders.count",),
    ],
)
def test_columns_that_nobody_asked_for_are_a_breach(columns: tuple[str, ...]) -> None:
    found = governed(SemanticQuery(measures=("orders.count",)))
    with pytest.raises(AccessBroken):
        checked(Table(columns=columns, rows=((1, 2),), query=""), found)


def test_texts_that_would_have_to_be_masked_stay_away() -> None:
    accesses = [Access(allow=True), NO, ACCESS, Access(allow=True, masks={"text": Masking.HASH})]
    assert visible(["a", "b", "c", "d"], accesses) == ["a"]
    with pytest.raises(ValueError, match="zip"):
        visible(["a"], [])


@pytest.mark.parametrize(
    ("operator", "values", "cell", "told"),
    [
        (Operator.EQUALS, ("a", "b"), "b", True),
        (Operator.EQUALS, ("7",), 7.0, True),
        (Operator.EQUALS, ("true",), True, True),
        (Operator.EQUALS, ("a",), None, False),
        (Operator.NOT_EQUALS, ("a", "b"), "b", False),
        (Operator.NOT_EQUALS, ("a",), None, True),
        (Operator.CONTAINS, ("PA",), "apac", True),
        (Operator.NOT_CONTAINS, ("pa",), "APAC", False),
        (Operator.STARTS_WITH, ("ap",), "APAC", True),
        (Operator.NOT_STARTS_WITH, ("ap",), "EMEA", True),
        (Operator.ENDS_WITH, ("ac",), "APAC", True),
        (Operator.NOT_ENDS_WITH, ("ac",), "APAC", False),
        (Operator.GT, ("5",), 6, True),
        (Operator.LTE, ("5",), "6", False),
        (Operator.GTE, ("x",), 6, None),
        (Operator.SET, (), None, False),
        (Operator.NOT_SET, (), None, True),
        (Operator.BEFORE_DATE, ("2026-01-01",), "2025-01-01", None),
    ],
)
def test_conditions_on_a_row(operator: Operator, values: tuple[str, ...], cell: Any, told: Any) -> None:
    condition = Filter(member="c.x", operator=operator, values=values)
    assert meets({"c.x": cell}, condition) is told


def test_what_cannot_be_seen_is_neither_met_nor_not() -> None:
    here = Filter(member="c.x", operator=Operator.EQUALS, values=("1",))
    gone = Filter(member="c.y", operator=Operator.EQUALS, values=("1",))

    def told(condition: Condition, cell: str) -> bool | None:
        return meets({"c.x": cell}, condition)

    assert told(AllOf(parts=(here, gone)), "1") is None
    assert told(AllOf(parts=(here, gone)), "2") is False
    assert told(AnyOf(parts=(here, gone)), "1") is True
    assert told(AnyOf(parts=(here, gone)), "2") is None


def test_assets_are_told_with_their_columns() -> None:
    def member(name: str, told: Any, owner: str = "team") -> Member:
        meta = {"owner": owner} | ({} if told is None else {"classification": told})
        return Member(name=name, kind=MemberKind.DIMENSION, type="string", title=name, meta=meta)

    model = Model(members=(member("o.email", "pii"), member("o.status", "internal"), member("c.x", None)))
    asset = cube_asset(model, "o")
    assert (asset.classification, asset.owner) == (Classification.INTERNAL, "team")
    assert asset.columns == {"o.email": Classification.PII, "o.status": Classification.INTERNAL}
    assert cube_asset(model, "c").classification is Classification.CONFIDENTIAL
    assert cube_asset(model, "nothing").classification is Classification.CONFIDENTIAL
    mixed = Model(members=(member("o.a", "public"), member("o.b", "public", "other")))
    assert cube_asset(mixed, "o").owner == ""
    assert [classification_of(told) for told in (None, "pii", "PII", [])] == [
        Classification.CONFIDENTIAL,
        Classification.PII,
        Classification.RESTRICTED,
        Classification.RESTRICTED,
    ]
    document = Document(id="d", kind="guide", title="", source="", digest="", owner="team")
    assert (document_asset(document).owner, document_asset(document).columns) == ("team", {})
