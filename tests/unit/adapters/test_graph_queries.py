"""The library of named queries: only the tested subset of Cypher is admitted, and parameters are checked."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penelope.adapters.graph.cypher import NotAdmitted, parse
from penelope.adapters.graph.library import bind, folded, library
from penelope.domain.access import Classification
from penelope.errors import InvalidQuery

GOOD = """\
// Who owns a thing.
// param id: text
// param allowed: classifications
// param limit: limit
// column id: text
MATCH (a:Thing {generation: $generation, id: $id})-[:OWNED_BY]->(b:Thing)
WHERE a.classification IN $allowed AND b.classification IN $allowed
WITH DISTINCT b
RETURN b.id AS id
ORDER BY b.place
LIMIT $limit
"""
WALK = """\
// What a thing depends on.
// param id: text
// param allowed: classifications
// param limit: limit
// column id: text
WITH $allowed AS allowed
MATCH p = (a:Thing {generation: $generation, id: $id})-[:DEPENDS_ON*1..4]->(b:Thing)
WHERE all(x IN nodes(p) WHERE x.classification IN allowed)
WITH DISTINCT b
RETURN b.id AS id
ORDER BY b.place
LIMIT $limit
"""


def test_the_examples_of_this_file_are_admitted() -> None:
    assert parse("good", GOOD).parameters == {"id": "text", "allowed": "classifications", "limit": "limit"}
    assert parse("walk", WALK).columns == {"id": "text"}


@pytest.mark.parametrize(
    ("source", "old", "new", "why"),
    [
        (GOOD, "WITH DISTINCT b", "DETACH DELETE b", "DETACH is not in the tested subset"),
        (GOOD, "WITH DISTINCT b", "SET b.name = 'x'", "SET is not in the tested subset"),
        (GOOD, "WITH DISTINCT b", "set b.name = 'x'", "set is not in the tested subset"),
        (GOOD, "WITH DISTINCT b", "Detach Delete b", "Detach is not in the tested subset"),
        (GOOD, "WITH DISTINCT b", "WITH b AS set set b.name = 'x'", "no alias may be a word of the language"),
        (GOOD, "WITH DISTINCT b", "MERGE (b)", "MERGE is not in the tested subset"),
        (GOOD, "WITH DISTINCT b", "CALL { RETURN 1 }", "CALL is not in the tested subset"),
        (GOOD, "WITH DISTINCT b", "call db.labels()", "call is not in the tested subset"),
        (GOOD, "b.id AS id", "b.id + 'x' AS id", "not admitted: \"+ 'x' AS id"),
        (GOOD, "b.id AS id", "b.id AS id; MATCH (n)", "not admitted: '; MATCH (n)"),
        (GOOD, "b.id AS id", "b.secret AS id", "secret is not in the tested subset"),
        (GOOD, "b.id AS id", "b.id AS name", "it returns ['name'], and says ['id']"),
        (GOOD, "OWNED_BY", "HATES", "HATES is not in the tested subset"),
        (GOOD, "LIMIT $limit", "LIMIT 5000", "must end with LIMIT"),
        (GOOD, "LIMIT $limit", "", "must end with LIMIT"),
        (GOOD, " AND b.classification IN $allowed", "", "b may be a thing that is not allowed"),
        (GOOD, "a.classification IN $allowed AND ", "", "a may be a thing that is not allowed"),
        (GOOD, "$allowed AND b", "$allowed OR b", "may not hold OR or NOT"),
        (GOOD, "generation: $generation, ", "", "hangs on no node of its generation"),
        (GOOD, "(b:Thing)", "(:Thing)", "must be written as (name:Thing)"),
        (GOOD, "$id", "$other", "it declares"),
        (GOOD, "// param allowed: classifications\n", "", "does not take the classifications"),
        (GOOD, "// column id: text", "// column id: blob", "unknown kinds of columns"),
        (GOOD, "// param id: text", "// param id, text", "its header must be"),
        (WALK, "*1..4", "*1..6", "a walk must be bounded"),
        (WALK, "*1..4", "*", "a walk must be bounded"),
        (WALK, "*1..4", "*2", "a walk must be bounded"),
        (
            WALK,
            "x IN nodes(p) WHERE x.classification",
            "x IN nodes(p) WHERE a.classification",
            "a walk passes",
        ),
        (WALK, "WITH $allowed AS allowed", "WITH $allowed AS others", "a walk passes"),
    ],
)
def test_what_leaves_the_tested_subset_is_refused(source: str, old: str, new: str, why: str) -> None:
    assert old in source
    with pytest.raises(NotAdmitted) as refused:
        parse("bad", source.replace(old, new))
    assert why in str(refused.value)


def test_every_query_that_ships_is_admitted_and_says_what_it_answers() -> None:
    known = library()
    assert len(known) >= 14
    assert all(query.meaning.endswith(".") and query.columns for query in known.values())
    assert all(re.search(r"LIMIT (\$limit|1)$", query.text.strip()) for query in known.values())


ALLOWED = {"allowed": [Classification.PUBLIC]}


@pytest.mark.parametrize(
    ("name", "parameters", "why"),
    [
        ("owner_off", {}, "did you mean 'owner_of'?"),
        ("owner_of", ALLOWED, "'id' is missing"),
        ("owner_of", {"id": "a"}, "'allowed' is missing"),
        ("owner_of", {"id": "", **ALLOWED}, "'id' must be a text"),
        ("owner_of", {"id": 3, **ALLOWED}, "'id' must be a text"),
        ("owner_of", {"id": ["a"], **ALLOWED}, "'id' must be a text"),
        ("owner_of", {"id": "a\0b", **ALLOWED}, "zero character"),
        ("owner_of", {"id": "\ud800", **ALLOWED}, "surrogate"),
        ("owner_of", {"id": "a" * 513, **ALLOWED}, "more than 512"),
        ("owner_of", {"id": "a", "allowed": "public"}, "a list of classifications"),
        ("owner_of", {"id": "a", "allowed": ["secret"]}, "a list of classifications"),
        ("owner_of", {"id": "a", "allowed": [1]}, "a list of classifications"),
        ("owner_of", {"id": "a", "generation": "x", **ALLOWED}, "takes no 'generation'"),
        ("owner_of", {"id": "a", "limit": 1001, **ALLOWED}, "'limit' must be a whole number of 1 to 1000"),
        ("depends_on", {"id": "a", "depth": 5, **ALLOWED}, "'depth' must be a whole number of 1 to 4"),
        ("depends_on", {"id": "a", "depth": True, **ALLOWED}, "'depth' must be"),
        ("changes_of", {"id": "a", "since": 1.5, **ALLOWED}, "'since' must be"),
    ],
)
def test_wrong_parameters_are_told(name: str, parameters: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidQuery) as refused:
        bind(name, parameters)
    assert why in refused.value.message


def test_a_depth_bounds_the_walk_itself() -> None:
    query, bound = bind("depends_on", {"id": "a", "depth": 2, **ALLOWED})
    assert "*1..2]" in query.text_for(bound)
    assert query.text_for(bound).replace("..2]", "..4]") == query.text
    with pytest.raises(NotAdmitted, match="one walk of at most 4 hops"):
        parse(
            "bad", WALK.replace("// param id", "// param depth: depth\n// param id").replace("1..4", "1..3")
        )


def test_who_may_see_nothing_is_bound_to_what_fits_nothing() -> None:
    _, bound = bind("owner_of", {"id": "a", "allowed": []})
    assert bound["allowed"] == [""]
    assert bound["limit"] == 200


@given(st.text(max_size=80))
def test_folding_twice_is_folding_once_for_what_is_asked_and_what_is_kept(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert folded(text.upper().lower()) == folded(folded(text.upper().lower()))


@given(
    st.sampled_from(sorted(library())),
    st.dictionaries(
        st.sampled_from(["id", "to", "depth", "since", "name", "limit", "allowed", "other"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    ),
)
def test_whatever_is_given_it_is_bound_or_refused(name: str, parameters: dict[str, Any]) -> None:
    try:
        query, bound = bind(name, parameters)
    except InvalidQuery:
        return
    assert bound.keys() == query.parameters.keys()
    assert 1 <= bound.get("limit", 1) <= 1000
    assert set(bound["allowed"]) <= {"", *Classification}


def test_every_query_is_on_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "graph.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*) \| (.*) \|$", page, re.MULTILINE)
    for name, query in library().items():
        words = [f"`{word}`" for word in query.parameters if word not in {"allowed", "limit"}]
        assert (name, ", ".join(words) or "—", query.meaning) in rows
    assert {name for name, _, meaning in rows if meaning.endswith(".")} == library().keys()
