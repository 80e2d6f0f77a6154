"""Our side of Cube's REST API, held against a real Cube."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cubing
import duckdb
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from typer.testing import CliRunner

from penelope.adapters.semantic.cube import CubeLayer
from penelope.adapters.semantic.cube_client import CubeOptions
from penelope.domain.access import Access, Masking
from penelope.domain.masking import mask
from penelope.domain.semantics import (
    AnyOf,
    Filter,
    Granularity,
    MemberKind,
    Operator,
    SemanticQuery,
    Table,
    TimeDimension,
)
from penelope.entry.cli.main import app
from penelope.errors import InvalidQuery, Timeout, Unavailable
from penelope.rooms.context.govern import Governed, Refusal, checked, govern

KEY = b"a key of masks, for tests"
MODEL = Path(__file__).parent / "cube" / "model"
EMAILS = ("ann@example.org", "bob@example.org", "cid@example.org")


def write_database(file: Path) -> None:
    with duckdb.connect() as connection:
        # What the older DuckDB inside of Cube's driver reads.
        connection.execute(f"ATTACH '{file}' AS made (STORAGE_VERSION 'v1.4.0')")
        connection.execute("USE made")
        connection.execute(
            "CREATE TABLE orders AS SELECT i AS id, i % 3 + 1 AS customer_id, "
            "CASE WHEN i % 4 = 0 THEN 'open' ELSE 'paid' END AS status, i % 2 = 0 AS vip, "
            "TIMESTAMP '2026-06-29 22:30:00' + i * INTERVAL 8 HOUR AS created_at, "
            "CASE WHEN i % 7 = 0 THEN NULL ELSE CAST(i * 1.25 AS DECIMAL(12, 2)) END AS price FROM range(1, 61) t(i)"
        )
        connection.execute("CREATE TABLE customers (id INTEGER, email VARCHAR)")
        connection.executemany("INSERT INTO customers VALUES (?, ?)", list(enumerate(EMAILS, 1)))


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("cube") / "shop.duckdb"
    write_database(file)
    return file


@pytest.fixture(scope="module")
def cube(database: Path) -> Iterator[cubing.Cube]:
    try:
        with cubing.running(MODEL, database) as server:
            yield server
    except cubing.NoCube as error:
        pytest.skip(str(error))


@pytest.fixture
def layer(cube: cubing.Cube) -> CubeLayer:
    return CubeLayer(CubeOptions(url=cube.url, api_secret=cubing.SECRET, timeout_seconds=60), KEY)


def run(layer: CubeLayer, query: SemanticQuery, masks: dict[str, Masking] | None = None) -> Table:
    return asyncio.run(layer.run(query, masks or {}))


BY_STATUS = SemanticQuery(measures=("orders.count", "orders.revenue"), dimensions=("orders.status",))
BY_EMAIL = SemanticQuery(measures=("orders.count",), dimensions=("customers.email",))


def test_the_model_tells_what_can_be_asked_for(layer: CubeLayer) -> None:
    model = asyncio.run(layer.model())
    members = {each.name: each for each in model.members}
    assert members["orders.status"].kind is MemberKind.DIMENSION
    assert members["orders.status"].title == "State of it"
    assert members["orders.status"].meta == {"synonyms": ["state"]}
    assert members["orders.revenue"].type == "sum"
    assert members["orders.buyers"].type == "count_distinct"
    assert members["orders.created_at"].type == "time"
    assert members["orders.paid"].kind is MemberKind.SEGMENT
    assert members["sales.customers_email"].meta == {"classification": "pii"}
    assert "customers.secret" not in members
    assert model.views == {"sales"}
    assert model.joins["orders"] == ("customers",)


def test_a_table_has_the_values_of_plain_sql(layer: CubeLayer, database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        expected = connection.execute(
            "SELECT status, count(*), CAST(sum(price) AS DOUBLE) FROM orders GROUP BY 1 ORDER BY 1"
        ).fetchall()
    table = run(layer, replace(BY_STATUS, order=(("orders.status", False),)))
    assert table.columns == ("orders.status", "orders.count", "orders.revenue")
    assert table.rows == tuple(expected)
    assert "GROUP BY" in table.query
    assert table.as_of == datetime(2026, 7, 19, 22, 30, tzinfo=UTC)
    assert run(layer, SemanticQuery(measures=("customers.count",))).as_of is None


def test_cells_have_the_form_of_their_type(layer: CubeLayer) -> None:
    query = SemanticQuery(
        measures=("orders.count", "orders.share"),
        dimensions=("orders.vip", "orders.price", "orders.created_at"),
        filters=(Filter(member="orders.price", operator=Operator.LT, values=("3",)),),
        order=(("orders.price", False),),
    )
    assert run(layer, query).rows == (
        (False, 1.25, "2026-06-30T06:30:00.000", 1, None),
        (True, 2.5, "2026-06-30T14:30:00.000", 1, None),
    )


def test_times_are_rounded_in_the_time_zone_of_the_query(layer: CubeLayer) -> None:
    june = TimeDimension(
        dimension="orders.created_at", granularity=Granularity.DAY, date_range=("2026-06-30", "2026-07-01")
    )
    query = SemanticQuery(measures=("orders.count",), time_dimensions=(june,))
    days = ("2026-06-30T00:00:00.000", "2026-07-01T00:00:00.000")
    assert [row[0] for row in run(layer, query).rows] == list(days)
    assert [row[1] for row in run(layer, query).rows] == [3, 3]
    later = run(layer, replace(query, timezone="Asia/Tokyo"))
    assert [row[0] for row in later.rows] == list(days)
    # 22:30 and 14:30 UTC of a day are 07:30 of the next and 23:30 of the same one.
    assert [row[1] for row in later.rows] == [2, 3]


def test_limit_offset_and_order_pick_the_rows(layer: CubeLayer) -> None:
    query = SemanticQuery(dimensions=("customers.email",), order=(("customers.email", True),))
    assert run(layer, replace(query, limit=1, offset=1)).rows == (("bob@example.org",),)


def test_nothing_found_is_an_empty_table(layer: CubeLayer) -> None:
    nobody = Filter(member="orders.status", operator=Operator.EQUALS, values=("none",))
    assert run(layer, replace(BY_STATUS, filters=(nobody,))).rows == ()


@pytest.mark.parametrize("masking", list(Masking))
def test_a_masked_dimension_never_shows_its_values(layer: CubeLayer, masking: Masking) -> None:
    table = run(layer, BY_EMAIL, {"customers.email": masking})
    assert sorted(map(str, table.rows)) == sorted(str((mask(each, masking, KEY), 20)) for each in EMAILS)
    assert not any(each in repr(table) for each in EMAILS)


def test_a_mask_of_a_cube_holds_in_its_views(layer: CubeLayer) -> None:
    query = SemanticQuery(measures=("sales.count",), dimensions=("sales.customers_email",))
    table = run(layer, query, {"customers.email": Masking.HASH})
    assert {row[0] for row in table.rows} == {mask(each, Masking.HASH, KEY) for each in EMAILS}
    guess = Filter(member="sales.customers_email", operator=Operator.STARTS_WITH, values=("a",))
    with pytest.raises(InvalidQuery, match="masked"):
        run(layer, replace(query, filters=(guess,)), {"customers.email": Masking.HASH})


@pytest.mark.parametrize("made", ["domain", "mailbox", "upper", "hidden_too", "initial"])
def test_what_is_made_from_a_masked_member_is_not_shown(layer: CubeLayer, made: str) -> None:
    query = SemanticQuery(dimensions=("customers.number", f"customers.{made}"))
    masks = {"customers.email": Masking.PARTIAL}
    assert [row[1] for row in run(layer, query, masks).rows] == [None, None, None]
    assert None not in [row[1] for row in run(layer, query).rows]
    guess = Filter(member=f"customers.{made}", operator=Operator.CONTAINS, values=("a",))
    with pytest.raises(InvalidQuery, match="masked"):
        run(layer, replace(query, filters=(guess,)), masks)


def test_what_folds_many_masked_values_is_shown_and_what_picks_one_is_not(layer: CubeLayer) -> None:
    measures = ("customers.count", "customers.kinds", "customers.with_a", "customers.last")
    query = SemanticQuery(measures=measures)
    assert run(layer, query, {"customers.email": Masking.HASH}).rows == ((3, 3, 1, None),)
    assert run(layer, query).rows == ((3, 3, 1, EMAILS[-1]),)


def test_a_segment_made_from_a_masked_member_is_refused(layer: CubeLayer) -> None:
    query = SemanticQuery(measures=("customers.count",), segments=("customers.begins_with_a",))
    assert run(layer, query).rows == ((1,),)
    with pytest.raises(InvalidQuery, match="masked"):
        run(layer, query, {"customers.email": Masking.HASH})


def test_a_mask_leaves_alone_what_is_not_made_from_it(layer: CubeLayer) -> None:
    query = SemanticQuery(dimensions=("customers.number",), measures=("orders.share", "orders.count"))
    assert [row[0] for row in run(layer, query, {"customers.email": Masking.NULL}).rows] == [2, 4, 6]


def test_rows_of_masked_members_alone_do_not_come_in_the_order_of_what_they_hide(layer: CubeLayer) -> None:
    rows = run(layer, SemanticQuery(dimensions=("customers.email",)), {"customers.email": Masking.HASH}).rows
    assert list(rows) == sorted(rows)


def test_a_mask_of_a_view_holds_in_its_cube(layer: CubeLayer) -> None:
    table = run(layer, BY_EMAIL, {"sales.customers_email": Masking.NULL})
    assert [row[0] for row in table.rows] == [None, None, None]


@pytest.mark.parametrize("name", ["email", "customers.emial", "customers.secret"])
def test_a_mask_of_what_is_not_there_is_refused(layer: CubeLayer, name: str) -> None:
    with pytest.raises(InvalidQuery, match="a mask is for"):
        run(layer, BY_EMAIL, {name: Masking.HASH})


@pytest.mark.parametrize(
    "query",
    [
        SemanticQuery(measures=("orders.nothing",)),
        SemanticQuery(dimensions=("customers.secret",)),
        SemanticQuery(dimensions=("orders.id",)),
        replace(BY_STATUS, timezone="Not/There"),
        replace(
            BY_STATUS,
            filters=(
                AnyOf(
                    parts=(
                        Filter(member="orders.status", operator=Operator.SET),
                        Filter(member="orders.count", operator=Operator.GT, values=("1",)),
                    )
                ),
            ),
        ),
        SemanticQuery(measures=("orders.count", "slow.count")),
    ],
)
def test_what_the_model_cannot_answer_is_the_askers_mistake(layer: CubeLayer, query: SemanticQuery) -> None:
    with pytest.raises(InvalidQuery):
        run(layer, query)


def test_what_the_database_says_is_not_told_on(layer: CubeLayer) -> None:
    with pytest.raises(Unavailable) as raised:
        run(layer, SemanticQuery(dimensions=("orders.broken",)))
    assert "open" not in str(raised.value)
    assert "paid" not in str(raised.value)


def test_a_query_that_takes_long_is_waited_for(layer: CubeLayer) -> None:
    started = time.monotonic()
    assert run(layer, SemanticQuery(measures=("slow.count",))).rows == ((1,),)
    # Longer than Cube lets one request wait, so it said "Continue wait" in between.
    assert time.monotonic() - started > 1


def test_a_query_that_takes_too_long_is_given_up(cube: cubing.Cube) -> None:
    impatient = CubeLayer(CubeOptions(url=cube.url, api_secret=cubing.SECRET, timeout_seconds=1.2), KEY)
    started = time.monotonic()
    with pytest.raises(Timeout):
        run(impatient, SemanticQuery(dimensions=("slow.n",)))
    assert time.monotonic() - started < 2.5


def test_another_secret_is_not_let_in(cube: cubing.Cube) -> None:
    stranger = CubeLayer(CubeOptions(url=cube.url, api_secret="another secret, long enough too"), KEY)
    with pytest.raises(Unavailable, match="does not accept our token"):
        run(stranger, BY_STATUS)
    with pytest.raises(Unavailable, match="does not accept our token"):
        run(CubeLayer(CubeOptions(url=cube.url), KEY), BY_STATUS)


def test_a_token_from_a_file_is_read_anew_for_each_question(cube: cubing.Cube, tmp_path: Path) -> None:
    file = tmp_path / "token"
    layer = CubeLayer(CubeOptions(url=cube.url, token_file=str(file), timeout_seconds=60), KEY)
    with pytest.raises(Unavailable, match="cannot be read"):
        run(layer, BY_STATUS)
    file.write_text("no token")
    with pytest.raises(Unavailable, match="does not accept our token"):
        run(layer, BY_STATUS)
    key = OctKey.import_key(cubing.SECRET)
    file.write_text(jwt.encode({"alg": "HS256"}, {"exp": int(time.time()) + 60}, key) + "\n")
    assert len(run(layer, BY_STATUS).rows) == 2


def test_a_stopped_cube_is_unavailable_and_one_that_is_back_answers(database: Path) -> None:
    try:
        cubing.install()
    except cubing.NoCube as error:
        pytest.skip(str(error))
    with cubing.running(MODEL, database) as server:
        layer = CubeLayer(CubeOptions(url=server.url, api_secret=cubing.SECRET), KEY)
        assert len(run(layer, BY_STATUS).rows) == 2
        server.process.kill()
        server.process.wait()
        with pytest.raises(Unavailable, match="out of reach"):
            run(layer, BY_STATUS)


def test_measures_beside_a_mask_are_answered_unless_they_read_what_is_masked(layer: CubeLayer) -> None:
    model = asyncio.run(layer.model())
    assert asyncio.run(layer.model()) is model
    assert model.reads["customers.count"] == frozenset()
    # Cube does not tell what one dimension is made from: it may be anything that a formula reads.
    assert model.reads["orders.revenue"] == {"orders.price", "customers.hidden_too"}
    assert {"customers.email", "customers.domain", "sales.customers_email"} <= model.reads["customers.last"]
    assert "customers.number" not in model.reads["customers.last"]
    assert "customers.email" in model.reads["customers.begins_with_a"]
    assert model.reads["orders.share"] == model.reads["orders.revenue"]
    masked = Access(allow=True, masks={"customers.email": Masking.HASH})
    refused = govern(
        SemanticQuery(measures=("customers.last",), dimensions=("customers.email",)),
        {"customers": masked},
        model,
    )
    assert isinstance(refused, Refusal)
    query = SemanticQuery(measures=("customers.count",), dimensions=("customers.email",))
    governed = govern(query, {"customers": masked}, model)
    assert isinstance(governed, Governed)
    table = checked(run(layer, governed.query, dict(governed.masks)), governed)
    assert sorted(row[0] for row in table.rows) == sorted(mask(email, Masking.HASH, KEY) for email in EMAILS)
    assert [row[1] for row in table.rows] == [1, 1, 1]


def test_the_settings_lead_to_cube(cube: cubing.Cube) -> None:
    query = json.dumps({"measures": ["orders.revenue"], "dimensions": ["orders.status"]})
    given = {
        "PENELOPE_SEMANTIC__KIND": "cube",
        "PENELOPE_SEMANTIC__URL": cube.url,
        "PENELOPE_SEMANTIC__API_SECRET": cubing.SECRET,
    }
    cli = CliRunner(env={**given, "COLUMNS": "200"})
    shown = cli.invoke(app, ["context", "model", "revenue"])
    assert shown.exit_code == 0, shown.output
    assert "orders.revenue" in shown.output
    answered = cli.invoke(app, ["context", "query", "-", "--json"], input=query)
    assert answered.exit_code == 0, answered.output
    rows = [json.loads(line) for line in answered.output.splitlines()]
    assert {row["orders.status"] for row in rows} == {"open", "paid"}
    statement = cli.invoke(app, ["context", "query", "-", "--sql"], input=query)
    assert "GROUP BY" in statement.output
    found = cli.invoke(app, ["doctor", "--json"])
    cubes = [item for item in json.loads(found.stdout)["findings"] if item["name"] == "Cube"]
    assert [item["works"] for item in cubes] == [True]
    wrong = CliRunner(env={**given, "PENELOPE_SEMANTIC__API_SECRET": "another secret, long enough too"})
    told = wrong.invoke(app, ["context", "query", "-"], input=query)
    assert told.exit_code != 0
    assert "does not accept our token" in told.output
    assert "another secret" not in told.output


def test_the_server_ends_with_whoever_started_it(cube: cubing.Cube, database: Path, tmp_path: Path) -> None:
    """A test run that is killed leaves no server behind."""
    pid = tmp_path / "pid"
    script = (
        f"import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import pathlib, cubing\n"
        f"with cubing.running(pathlib.Path({str(MODEL)!r}), pathlib.Path({str(database)!r})) as cube:\n"
        f"    pathlib.Path({str(pid)!r}).write_text(f'{{cube.process.pid}} {{cube.folder}}')\n"
        "    time.sleep(60)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", script])
    wait_until(lambda: pid.exists() and pid.read_text())
    server, folder = pid.read_text().split()
    starter.kill()
    starter.wait()
    wait_until(lambda: not running(int(server)))
    subprocess.run(["rm", "-rf", folder], check=True)
    assert cube.process.poll() is None


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(holds: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
