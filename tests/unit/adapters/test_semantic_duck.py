"""The embedded semantic layer: hostile queries, bounds, masks, and a warehouse that can do nothing but be read."""

import asyncio
import hmac
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penelope.adapters.semantic.duck import DuckLayer
from penelope.adapters.semantic.load import load_models
from penelope.adapters.semantic.question import question
from penelope.domain.access import Masking
from penelope.domain.masking import mask
from penelope.domain.semantics import AllOf, AnyOf, Filter, Operator, SemanticQuery, TimeDimension
from penelope.errors import InvalidQuery, Timeout, Unavailable

KEY = b"k" * 70
MODEL = """\
cubes:
  - name: people
    sql_table: people
    meta: {as_of: seen}
    joins:
      - {name: visits, relationship: one_to_many, sql: "{CUBE.id} = {visits}.person"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true, public: true}
      - {name: email, sql: email, type: string}
      - {name: born, sql: born, type: time}
      - {name: weight, sql: weight, type: number}
      - {name: member, sql: member, type: boolean}
      - {name: domain, sql: "split_part({email}, '@', 2)", type: string}
      - {name: shout, sql: "upper({CUBE}.email)", type: string}
      - {name: whole, sql: "to_json({CUBE})", type: string}
      - {name: visits_paid, sql: "{visits.paid}", type: number, sub_query: true}
    measures:
      - {name: count, type: count}
      - {name: last_email, type: max, sql: email}
      - {name: emails, type: count_distinct, sql: email}
      - {name: all_emails, type: string, sql: "string_agg({CUBE}.email, ',')"}
      - {name: weight_sum, type: sum, sql: weight}
      - {name: weight_share, type: number, sql: "{weight_sum} / NULLIF({count}, 0)"}
      - {name: seen, type: time, sql: "MAX({CUBE}.seen)"}
      - {name: broken, type: number, sql: "sum(CAST({CUBE}.email AS INTEGER))"}
    segments:
      - {name: private, sql: "{CUBE}.email LIKE '%home%'"}
  - name: visits
    sql_table: visits
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: page, sql: page, type: string}
    measures:
      - {name: paid, type: sum, sql: paid}
  - name: lost
    sql_table: nowhere
    measures:
      - {name: count, type: count}
  - name: slow
    sql: SELECT a.i AS i FROM range(100000000) a(i), range(1000) b(j) WHERE hash(a.i * b.j) % 7 = 1
    measures:
      - {name: count, type: count}
  - name: files
    sql: SELECT content FROM read_text('/etc/hostname')
    measures:
      - {name: count, type: count}
  - name: greedy
    sql: SELECT array_agg(i) AS l FROM range(300000000) t(i)
    measures:
      - {name: most, type: max, sql: "len({CUBE}.l)"}
views:
  - name: guests
    cubes:
      - {join_path: people, includes: [count, {name: email, alias: address}]}
"""
ROWS = """
CREATE TABLE people AS SELECT * FROM (VALUES
  (1, 'ann@home.example', DATE '1990-02-03', 61.5::DECIMAL(6,2), true, TIMESTAMP '2026-11-20 10:00:00'),
  (2, 'bo@work.example', DATE '1991-03-04', 70.0, false, TIMESTAMP '2026-11-21 10:00:00'),
  (3, NULL, NULL, NULL, NULL, TIMESTAMP '2026-11-19 10:00:00'),
  (4, 'x', DATE '2000-01-01', 1e6, true, NULL)) t(id, email, born, weight, member, seen);
CREATE TABLE visits AS SELECT * FROM (VALUES (1, 1, 'a', 5), (2, 1, 'b', 7), (3, 2, 'a', 11)) t(id, person, page, paid);
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("semantic")
    (made / "model.yaml").write_text(MODEL)
    with duckdb.connect(str(made / "people.duckdb")) as connection:
        connection.execute(ROWS)
    return made


@pytest.fixture(scope="module")
def layer(folder: Path) -> Iterator[DuckLayer]:
    with DuckLayer(load_models([folder]), folder / "people.duckdb", mask_key=KEY) as made:
        yield made


def ask(
    layer: DuckLayer, query: SemanticQuery, masks: dict[str, Masking] | None = None
) -> list[tuple[object, ...]]:
    return list(asyncio.run(layer.run(query, masks or {})).rows)


COUNT = SemanticQuery(measures=("people.count",))


# --- injection ---------------------------------------------------------------------------------------------------

HOSTILE = [
    "'; DROP TABLE people; --",
    "' OR '1'='1",
    "$1",
    "?",
    "\\",
    "%' ESCAPE '",
    "{CUBE}",
    '"',
    "x' UNION SELECT 1",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("operator", [Operator.EQUALS, Operator.CONTAINS, Operator.STARTS_WITH, Operator.GT])
def test_values_are_never_sql(layer: DuckLayer, value: str, operator: Operator) -> None:
    query = SemanticQuery(
        measures=("people.count",),
        filters=(Filter(member="people.email", operator=operator, values=(value,)),),
    )
    table = asyncio.run(layer.run(query, {}))
    assert value not in table.query or value in {"$1", "\\", '"', "?"}
    assert ask(layer, COUNT) == [(4,)]


@given(value=st.text(max_size=60))
@settings(max_examples=150, deadline=None)
def test_contains_means_what_it_says(layer: DuckLayer, value: str) -> None:
    query = SemanticQuery(
        dimensions=("people.email",),
        filters=(Filter(member="people.email", operator=Operator.CONTAINS, values=(value,)),),
    )
    try:
        found = [row[0] for row in ask(layer, query)]
    except InvalidQuery:
        assert "\x00" in value
        return
    emails = ["ann@home.example", "bo@work.example", "x"]
    assert all(isinstance(item, str) for item in found)
    if value.isascii():
        assert sorted(map(str, found)) == sorted(item for item in emails if value.lower() in item)


@pytest.mark.parametrize(
    "name",
    [
        "people.count; --",
        'people"."count',
        "people.count.x",
        "",
        ".",
        "people.",
        "x" * 5000,
        "pe\x00ople.count",
    ],
)
def test_names_are_looked_up_and_nothing_else(layer: DuckLayer, name: str) -> None:
    for query in (
        SemanticQuery(measures=(name,)),
        SemanticQuery(dimensions=(name,)),
        SemanticQuery(measures=("people.count",), segments=(name,)),
        SemanticQuery(measures=("people.count",), order=((name, True),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member=name, operator=Operator.SET),)),
        SemanticQuery(measures=("people.count",), time_dimensions=(TimeDimension(dimension=name),)),
    ):
        with pytest.raises(InvalidQuery) as error:
            ask(layer, query)
        assert len(error.value.message) < 300


@pytest.mark.parametrize(
    "query",
    [
        SemanticQuery(measures=("people.count",), timezone="'; DROP TABLE people; --"),
        SemanticQuery(measures=("people.count",), timezone="../../etc/passwd"),
        SemanticQuery(measures=("people.count",), timezone=""),
        SemanticQuery(measures=("people.count",), limit=-1),
        SemanticQuery(measures=("people.count",), limit=10**9),
        SemanticQuery(measures=("people.count",), offset=-1),
        SemanticQuery(measures=("people.count",) * 101),
        SemanticQuery(measures=("people.count",), filters=(AnyOf(parts=()),)),
        SemanticQuery(measures=("people.count",), filters=(AllOf(parts=()),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.weight", operator=Operator.GT, values=("nan",)),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.weight", operator=Operator.GT, values=("1e999",)),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.weight", operator=Operator.GT, values=("1", "2")),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.member", operator=Operator.EQUALS, values=("yes",)),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.weight", operator=Operator.CONTAINS, values=("1",)),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.email", operator=Operator.BEFORE_DATE, values=("2026-01-01",)),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.born", operator=Operator.BEFORE_DATE, values=("yesterday",)),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.born", operator=Operator.BEFORE_DATE, values=("2026-02-30",)),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.email", operator=Operator.EQUALS, values=("x" * 5000,)),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.email", operator=Operator.EQUALS, values=("a\x00",)),)),
        SemanticQuery(measures=("people.count",), filters=(Filter(member="people.email", operator=Operator.EQUALS, values=("\ud800",)),)),
        SemanticQuery(dimensions=("people.id",), order=(("people.count", True),)),
        SemanticQuery(dimensions=("people.id",), time_dimensions=(TimeDimension(dimension="people.email"),)),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(layer: DuckLayer, query: SemanticQuery) -> None:
    with pytest.raises(InvalidQuery):
        ask(layer, query)


def test_filters_have_a_depth(layer: DuckLayer) -> None:
    nested = Filter(member="people.email", operator=Operator.SET)
    for _ in range(2000):
        nested = AllOf(parts=(nested,))  # type: ignore[assignment]  # a tree of conditions
    with pytest.raises(InvalidQuery, match="nested"):
        ask(layer, SemanticQuery(measures=("people.count",), filters=(nested,)))


@given(st.binary(max_size=200))
def test_any_json_is_a_query_or_refused(content: bytes) -> None:
    try:
        found = question(content)
    except InvalidQuery:
        return
    assert isinstance(found, SemanticQuery)


def test_deep_json_is_refused() -> None:
    with pytest.raises(InvalidQuery):
        question(b'{"filters":' + b'[{"or":' * 3000 + b"[]" + b"}]" * 3000 + b"}")


# --- joins -------------------------------------------------------------------------------------------------------


def test_sums_are_right_where_joins_repeat_rows(layer: DuckLayer) -> None:
    query = SemanticQuery(measures=("people.weight_sum", "people.count", "visits.paid"))
    assert ask(layer, query) == [(1_000_131.5, 4, 23)]
    by_page = SemanticQuery(
        measures=("people.weight_sum", "people.weight_share"),
        dimensions=("visits.page",),
        order=(("visits.page", False),),
    )
    assert ask(layer, by_page) == [("a", 131.5, 65.75), ("b", 61.5, 61.5), (None, 1e6, 500_000.0)]


def test_a_sub_query_counts_each_row_once(layer: DuckLayer) -> None:
    query = SemanticQuery(dimensions=("people.id", "people.visits_paid"))
    assert ask(layer, query) == [(1, 12), (2, 11), (3, None), (4, None)]
    grouped = SemanticQuery(
        measures=("people.count",),
        filters=(Filter(member="people.visits_paid", operator=Operator.GTE, values=("11",)),),
    )
    assert ask(layer, grouped) == [(2,)]


# --- masks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masking", list(Masking))
@pytest.mark.parametrize(
    "member", ["people.email", "people.born", "people.weight", "people.member", "people.id"]
)
def test_masks_in_the_query_are_those_of_every_tier(layer: DuckLayer, member: str, masking: Masking) -> None:
    dimensions = tuple(dict.fromkeys(("people.id", member)))
    open_rows = ask(layer, SemanticQuery(dimensions=dimensions))
    masked = ask(layer, SemanticQuery(dimensions=dimensions), {member: masking})
    expected = [(*row[:-1], mask(row[-1], masking, KEY)) for row in open_rows]  # type: ignore[arg-type]  # cells are JSON
    assert sorted(masked, key=repr) == sorted(expected, key=repr)


def test_a_hash_is_keyed(layer: DuckLayer, folder: Path) -> None:
    query = SemanticQuery(dimensions=("people.email",))
    expected = hmac.new(KEY, b"x", sha256).hexdigest()[:16]
    assert (expected,) in ask(layer, query, {"people.email": Masking.HASH})
    text = asyncio.run(layer.run(query, {"people.email": Masking.HASH})).query
    assert "kkkk" not in text
    with (
        DuckLayer(load_models([folder]), folder / "people.duckdb") as keyless,
        pytest.raises(InvalidQuery, match="needs a key"),
    ):
        ask(keyless, query, {"people.email": Masking.HASH})


@pytest.mark.parametrize("masking", list(Masking))
@pytest.mark.parametrize("named", ["people.email", "guests.address"])
@pytest.mark.parametrize(
    "member", ["people.domain", "people.shout", "people.whole", "guests.address", "people.email"]
)
def test_no_other_name_shows_a_masked_value(
    layer: DuckLayer, member: str, named: str, masking: Masking
) -> None:
    shown = repr(ask(layer, SemanticQuery(dimensions=(member,)), {named: masking}))
    for secret in ("ann", "home", "bo@", "work", "ANN", "HOME"):
        assert secret not in shown


@pytest.mark.parametrize("member", ["people.last_email", "people.all_emails"])
def test_no_measure_shows_a_masked_value(layer: DuckLayer, member: str) -> None:
    assert ask(layer, SemanticQuery(measures=(member,)), {"people.email": Masking.PARTIAL}) == [(None,)]
    assert ask(layer, SemanticQuery(measures=("people.emails",)), {"people.email": Masking.PARTIAL}) == [(3,)]


def test_a_masked_measure_hides_what_is_calculated_from_it(layer: DuckLayer) -> None:
    query = SemanticQuery(measures=("people.weight_share", "people.weight_sum", "people.count"))
    assert ask(layer, query, {"people.weight_sum": Masking.NULL}) == [(None, None, 4)]


@pytest.mark.parametrize(
    "query",
    [
        SemanticQuery(
            measures=("people.count",), filters=(Filter(member="people.domain", operator=Operator.SET),)
        ),
        SemanticQuery(
            measures=("people.count",), filters=(Filter(member="guests.address", operator=Operator.SET),)
        ),
        SemanticQuery(
            measures=("people.count",), filters=(Filter(member="people.last_email", operator=Operator.SET),)
        ),
        SemanticQuery(measures=("people.count",), segments=("people.private",)),
        SemanticQuery(dimensions=("people.shout",), order=(("people.shout", False),)),
    ],
)
def test_a_masked_value_cannot_be_guessed(layer: DuckLayer, query: SemanticQuery) -> None:
    with pytest.raises(InvalidQuery, match="masked"):
        ask(layer, query, {"people.email": Masking.NULL})


def test_rows_are_not_in_the_order_of_masked_values(layer: DuckLayer) -> None:
    rows = ask(layer, SemanticQuery(dimensions=("people.email",)), {"people.email": Masking.HASH})
    shown = [row[0] for row in rows if row[0] is not None]
    assert shown == sorted(map(str, shown))


def test_a_mask_for_nothing_is_refused(layer: DuckLayer) -> None:
    with pytest.raises(InvalidQuery, match="mask"):
        ask(layer, COUNT, {"people.e-mail": Masking.NULL})


# --- the warehouse -----------------------------------------------------------------------------------------------


def test_cells_are_json(layer: DuckLayer) -> None:
    query = SemanticQuery(
        dimensions=("people.id", "people.born", "people.weight", "people.member"),
        order=(("people.id", False),),
    )
    assert ask(layer, query)[:3] == [
        (1, "1990-02-03T00:00:00.000", 61.5, True),
        (2, "1991-03-04T00:00:00.000", 70.0, False),
        (3, None, None, None),
    ]


def test_the_stalest_cube_says_how_old_the_data_is(layer: DuckLayer) -> None:
    table = asyncio.run(layer.run(COUNT, {}))
    assert table.as_of is not None
    assert table.as_of.isoformat() == "2026-11-21T10:00:00+00:00"


def test_errors_tell_no_values(layer: DuckLayer) -> None:
    with pytest.raises(InvalidQuery) as error:
        ask(layer, SemanticQuery(measures=("people.broken",)))
    assert "home" not in f"{error.value!r}{error.value.__cause__!r}"
    assert error.value.__suppress_context__


def test_a_model_that_does_not_fit_the_warehouse(layer: DuckLayer) -> None:
    with pytest.raises(Unavailable, match="does not fit"):
        ask(layer, SemanticQuery(measures=("lost.count",)))


def test_models_read_no_files(layer: DuckLayer) -> None:
    with pytest.raises(InvalidQuery):
        ask(layer, SemanticQuery(measures=("files.count",)))


def test_a_slow_question_is_interrupted(folder: Path) -> None:
    slow = SemanticQuery(measures=("slow.count",))
    with DuckLayer(load_models([folder]), folder / "people.duckdb", timeout_seconds=0.3, threads=1) as layer:
        began = time.monotonic()
        with pytest.raises(Timeout):
            ask(layer, slow)
        assert time.monotonic() - began < 5
    with DuckLayer(load_models([folder]), folder / "people.duckdb", threads=1) as layer:
        asyncio.run(_given_up(layer, slow))


async def _given_up(layer: DuckLayer, slow: SemanticQuery) -> None:
    """The one thread is free again at once when the asker of a slow question goes away."""
    asking = asyncio.create_task(layer.run(slow, {}))
    await asyncio.sleep(0.3)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert list((await layer.run(COUNT, {})).rows) == [(4,)]


def test_a_greedy_question_is_refused(folder: Path) -> None:
    query = SemanticQuery(measures=("greedy.most",))
    with (
        DuckLayer(load_models([folder]), folder / "people.duckdb", memory_bytes=64_000_000) as layer,
        pytest.raises(Unavailable, match="memory"),
    ):
        ask(layer, query)


def test_many_ask_at_once(layer: DuckLayer) -> None:
    async def all_of_them() -> list[object]:
        return [table.rows for table in await asyncio.gather(*(layer.run(COUNT, {}) for _ in range(50)))]

    assert asyncio.run(all_of_them()) == [((4,),)] * 50


def test_a_warehouse_that_is_replaced_is_seen(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "people.duckdb"
    with DuckLayer(load_models([folder]), file) as layer:
        with pytest.raises(Unavailable):
            ask(layer, COUNT)
        for wanted in (1, 2):
            aside = tmp_path / "next"
            with duckdb.connect(str(aside)) as connection:
                connection.execute(ROWS)
                connection.execute(f"DELETE FROM people WHERE id > {wanted}")
            aside.replace(file)
            assert ask(layer, COUNT) == [(wanted,)]


def test_a_folder_of_parquet(folder: Path, tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(ROWS)
        connection.execute(f"COPY people TO '{tmp_path}/people.parquet'")
        connection.execute(f"COPY visits TO '{tmp_path}/visits.parquet'")
    with DuckLayer(load_models([folder]), tmp_path) as layer:
        assert ask(layer, SemanticQuery(measures=("people.count", "visits.paid"))) == [(4, 23)]
        with pytest.raises(InvalidQuery):
            ask(layer, SemanticQuery(measures=("files.count",)))


def test_a_closed_layer_says_so(folder: Path) -> None:
    layer = DuckLayer(load_models([folder]), folder / "people.duckdb")
    layer.close()
    with pytest.raises(Unavailable):
        ask(layer, COUNT)
