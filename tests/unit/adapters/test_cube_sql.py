"""What the SQL of Cube's members is taken to name: rather too much than too little, and soon, whatever it is."""

import time

import pytest

from penelope.adapters.semantic.cube_reads import reads
from penelope.adapters.semantic.cube_sql import CubeSql
from penelope.adapters.semantic.cube_veil import CubeVeil
from penelope.domain.access import Masking
from penelope.domain.semantics import Member, MemberKind


def model(dimensions: dict[str, str], measures: dict[str, tuple[str, str]] | None = None) -> CubeSql:
    """`dimensions` are SQL by name, `measures` their type and SQL."""
    made = {
        name: Member(name=name, kind=MemberKind.DIMENSION, type="string", title=name) for name in dimensions
    }
    texts = {name: (sql,) for name, sql in dimensions.items()}
    for name, (kind, sql) in (measures or {}).items():
        made[name] = Member(name=name, kind=MemberKind.MEASURE, type=kind, title=name)
        texts[name] = (sql,)
    return CubeSql(made, texts)


@pytest.mark.parametrize(
    "sql",
    [
        "upper(email)",
        '"email" || 1',
        "`email`",
        "[email]",
        "EMAIL",
        "{CUBE}.email",
        '{CUBE}."email"',
        "{CUBE}.`email`",
        "${CUBE}.email",
        "{ CUBE }.email",
        "{email}",
        "people.email",
        "to_json({CUBE})",
        # Quotes that end elsewhere than one who knows one database alone would think.
        r"'it\'s ' || email || ' of it'",
        "-- it's\nemail || '.'",
        "/* it's */ email || '.'",
        "$$it's$$ || email || '.'",
        """'"' || email || '"'""",
        "CASE WHEN email IN ('a') THEN 1 END",
    ],
)
def test_what_may_name_a_column_names_it(sql: str) -> None:
    found = model({"people.email": "email", "people.made": sql, "people.city": "city"})
    veil = CubeVeil(found, {"people.email": Masking.HASH})
    assert veil.of("people.made") is Masking.NULL
    assert veil.of("people.email") is Masking.HASH
    assert veil.of("people.city") is None


@pytest.mark.parametrize("column", ["date", "text", "uuid", "year", "time"])
def test_a_column_may_have_the_name_of_a_type(column: str) -> None:
    found = model({"notes.said": column, "notes.loud": f"upper({column})", "notes.length": "length * 2"})
    veil = CubeVeil(found, {"notes.said": Masking.NULL})
    assert veil.of("notes.loud") is Masking.NULL
    assert veil.of("notes.length") is None


def test_a_type_is_no_column_where_none_has_its_name() -> None:
    found = model({"a.one": "CAST(one AS date)", "a.two": "CAST(two AS date)"})
    assert CubeVeil(found, {"a.one": Masking.NULL}).of("a.two") is None


def test_a_measure_reads_what_measures_in_it_read_and_all_where_cube_does_not_tell() -> None:
    found = model(
        {"a.price": "price", "a.email": "email", "b.odd": "{secret}", "b.constant": "1"},
        {
            "a.count": ("count", ""),
            "a.total": ("sum", "price"),
            "a.mean": ("number", "{total} / {count}"),
            "a.rows": ("number", "count({CUBE})"),
            "a.untold": ("sum", ""),
            "a.hidden": ("number", "{count} / {b.secret}"),
        },
    )
    read = reads(found, {})
    everything = {"a.price", "a.email", "b.odd", "b.constant"}
    assert read["a.count"] == frozenset()
    assert read["a.total"] == read["a.mean"] == {"a.price", "b.odd"}
    assert read["a.rows"] == {"a.price", "a.email", "b.odd"}
    assert read["a.untold"] == read["a.hidden"] == everything
    assert read.keys().isdisjoint(everything)


def test_a_view_reads_what_is_behind_it() -> None:
    found = model({"a.price": "price"}, {"a.total": ("sum", "price")})
    members = {
        **found.members,
        "v.cost": Member(name="v.cost", kind=MemberKind.DIMENSION, type="number", title=""),
        "v.total": Member(name="v.total", kind=MemberKind.MEASURE, type="sum", title=""),
        "v.untold": Member(name="v.untold", kind=MemberKind.SEGMENT, type="boolean", title=""),
    }
    sql = CubeSql(members, {"a.price": ("price",), "a.total": ("price",)})
    read = reads(sql, {"v.cost": "a.price", "v.total": "a.total"})
    assert read["a.total"] == read["v.total"] == {"a.price", "v.cost"}
    assert read["v.untold"] == {"a.price", "v.cost"}


@pytest.mark.parametrize(
    "hostile",
    [
        "{" + " " * 200_000,
        "{" * 200_000,
        "'" * 200_001,
        '"' * 200_001,
        "a" * 200_000 + "(",
        "a " * 100_000,
        "a(" * 100_000,
    ],
    ids=["spaces", "braces", "quotes", "double-quotes", "word", "words", "calls"],
)
def test_a_hostile_text_is_soon_read(hostile: str) -> None:
    began = time.process_time()
    found = model({"a.one": hostile, "a.email": "email"}, {"a.most": ("max", hostile)})
    CubeVeil(found, {"a.email": Masking.NULL}).of("a.one")
    reads(found, {})
    assert time.process_time() - began < 2


def test_members_that_are_made_of_each_other_end() -> None:
    ring = {f"a.m{n}": f"{{m{(n + 1) % 5000}}} + {{m{(n + 2) % 5000}}}" for n in range(5000)}
    found = model({**ring, "a.email": "email"}, {"a.most": ("max", "{m0}")})
    assert CubeVeil(found, {"a.m7": Masking.NULL}).of("a.m8") is Masking.NULL
    assert CubeVeil(found, {"a.email": Masking.NULL}).of("a.m8") is None
    assert reads(found, {})["a.most"] == found.members.keys() - {"a.most"}


def test_formulas_that_read_very_much_take_bounded_room() -> None:
    columns = {f"a.d{n}": f"c{n}" for n in range(3000)}
    rows = {f"a.m{n}": ("number", f"{n} + count({{CUBE}})") for n in range(3000)}
    found = reads(model(columns, rows), {})
    assert all(found[name] == columns.keys() for name in rows)
    assert len({id(read) for read in found.values()}) < 500
