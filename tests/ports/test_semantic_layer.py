"""What every semantic layer does alike: the same queries give the same tables, and the same ones are refused."""

import asyncio
from collections.abc import Iterator

import cubing
import pytest
from semantic_cases import Case, cases, differences, plain, shared_warehouse

from penelope.adapters.example import MODELS
from penelope.adapters.semantic.cube import CubeLayer
from penelope.adapters.semantic.cube_client import CubeOptions
from penelope.adapters.semantic.duck import DuckLayer
from penelope.adapters.semantic.load import load_models
from penelope.domain.access import Masking
from penelope.domain.masking import mask
from penelope.domain.semantics import AnyOf, Filter, MemberKind, Operator, SemanticQuery
from penelope.errors import InvalidQuery
from penelope.rooms.context.ports import SemanticLayer

KEY = b"the key of the masks"
SEGMENTS_OF_VIEWS = frozenset(
    {
        "sales.completed",
        "sales.large",
        "sales.customers_in_europe",
        "sales.customers_reachable",
        "catalogue_sales.product_premium",
    }
)


@pytest.fixture(scope="module")
def embedded() -> Iterator[SemanticLayer]:
    with DuckLayer(load_models([MODELS]), shared_warehouse(), mask_key=KEY, timeout_seconds=120) as layer:
        yield layer


@pytest.fixture(scope="module")
def cube() -> Iterator[SemanticLayer]:
    """A real Cube; `cube/shell.cjs` says what stands in for its native part."""
    try:
        with cubing.running(MODELS, shared_warehouse()) as server:
            options = CubeOptions(url=server.url, api_secret=cubing.SECRET, timeout_seconds=120)
            yield CubeLayer(options, KEY)
    except cubing.NoCube as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["embedded", "cube"])
def layer(request: pytest.FixtureRequest) -> SemanticLayer:
    """Each layer in turn, over the same models and the same warehouse."""
    found: SemanticLayer = request.getfixturevalue(request.param)
    return found


def test_the_list_is_long_enough() -> None:
    found = cases()
    assert len(found) >= 150
    assert sum(1 for case in found if case.sql) >= 60
    assert len({case.name for case in found}) == len(found)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_query_gives_what_plain_sql_gives(layer: SemanticLayer, case: Case) -> None:
    if isinstance(layer, CubeLayer) and case.cube_differs:
        pytest.skip(case.cube_differs)
    if case.refused:
        with pytest.raises(InvalidQuery):
            asyncio.run(layer.run(case.query, {}))
        return
    query = case.query
    table = asyncio.run(layer.run(query, {}))

    times = [f"{item.dimension}.{item.granularity}" for item in query.time_dimensions if item.granularity]
    assert table.columns == (*query.dimensions, *times, *query.measures)
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.query
    if case.sql:
        assert not differences(table.rows, plain(case.sql), ordered=case.ordered)
    else:
        assert table.rows


@pytest.mark.parametrize(
    "case",
    [case for case in cases() if not case.refused and not case.cube_differs],
    ids=lambda case: case.name,
)
def test_both_layers_give_one_table(embedded: SemanticLayer, cube: SemanticLayer, case: Case) -> None:
    ours = asyncio.run(embedded.run(case.query, {}))
    theirs = asyncio.run(cube.run(case.query, {}))
    assert ours.columns == theirs.columns
    assert not differences(ours.rows, theirs.rows, ordered=True)


def test_what_cube_tells_otherwise_is_little() -> None:
    assert sum(1 for case in cases() if case.cube_differs) <= 2


def test_a_query_names_when_its_data_was_renewed(layer: SemanticLayer) -> None:
    table = asyncio.run(layer.run(SemanticQuery(measures=("orders.count",)), {}))
    (renewed,) = plain("SELECT max(loaded_at) FROM orders")
    assert table.as_of is not None
    assert table.as_of.strftime("%Y-%m-%dT%H:%M:%S") == str(renewed[0])[:19]
    unknown = asyncio.run(layer.run(SemanticQuery(measures=("deployments.count",)), {}))
    assert unknown.as_of is None


def test_the_model_offers_cubes_and_views(layer: SemanticLayer) -> None:
    model = asyncio.run(layer.model())
    members = {member.name: member for member in model.members}
    assert model.views == {"sales", "catalogue_sales", "reliability"}
    assert set(model.joins["orders"]) == {"customers", "refunds"}
    assert members["orders.revenue"].kind is MemberKind.MEASURE
    assert members["orders.revenue"].type == "sum"
    assert members["orders.revenue"].meta["owner"] == "team-finance"
    assert "turnover" in members["orders.revenue"].meta["synonyms"]
    assert members["sales.customers_email"].meta["classification"] == "pii"
    assert members["orders.completed"].kind is MemberKind.SEGMENT
    assert "sales.customers_phone" not in members


@pytest.mark.parametrize("masking", list(Masking))
@pytest.mark.parametrize("member", ["customers.email", "sales.customers_email"])
def test_masked_members_show_what_the_mask_leaves(
    layer: SemanticLayer, masking: Masking, member: str
) -> None:
    query = SemanticQuery(
        dimensions=("customers.id", "customers.email"),
        filters=(Filter(member="customers.id", operator=Operator.LTE, values=("50",)),),
    )
    table = asyncio.run(layer.run(query, {member: masking}))
    expected = [
        (number, mask(email, masking, KEY))
        for number, email in plain("SELECT id, email FROM customers WHERE id <= 50")
    ]
    assert not differences(table.rows, expected, ordered=True)


@pytest.mark.parametrize(
    "query",
    [
        SemanticQuery(
            measures=("customers.count",),
            filters=(Filter(member="customers.email", operator=Operator.EQUALS, values=("x",)),),
        ),
        SemanticQuery(
            measures=("customers.count",),
            filters=(
                AnyOf(
                    parts=(
                        Filter(member="customers.country", operator=Operator.EQUALS, values=("JP",)),
                        Filter(member="sales.customers_email", operator=Operator.STARTS_WITH, values=("a",)),
                    )
                ),
            ),
        ),
        SemanticQuery(dimensions=("customers.email",), order=(("customers.email", True),)),
    ],
    ids=["filter", "filter in a group, through a view", "order"],
)
def test_masked_members_cannot_be_guessed_by_filter_or_order(
    layer: SemanticLayer, query: SemanticQuery
) -> None:
    with pytest.raises(InvalidQuery, match="masked"):
        asyncio.run(layer.run(query, {"customers.email": Masking.HASH}))


def test_cube_tells_at_least_the_columns_that_a_measure_reads(
    embedded: SemanticLayer, cube: SemanticLayer
) -> None:
    """More is a measure refused beside a mask that does not touch it; less would be a leak."""
    ours, theirs = asyncio.run(embedded.model()), asyncio.run(cube.model())
    shown = {member.name for member in theirs.members}
    asked = {name: read & shown for name, read in ours.reads.items() if name in shown}
    assert len(asked) >= 20
    assert any(asked.values())
    assert {name for name, read in asked.items() if not read <= theirs.reads[name]} == set()
    # Cube does not say what a view's segments show, and not what a member is made from that is not public.
    untold = {name for name in asked if name in SEGMENTS_OF_VIEWS} | {"orders.revenue_per_minute"}
    assert {name for name, read in asked.items() if theirs.reads[name] != read} == untold
