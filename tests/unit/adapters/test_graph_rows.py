"""What comes back from a store is held against what was asked."""

from typing import Any

import pytest

from penelope.adapters.graph.library import library
from penelope.adapters.graph.records import rows_of
from penelope.errors import Unavailable

GOOD = ["service:a", "Service", "a", "internal", "failing", 3, '{"tier":1}']


def test_rows_are_given_by_column_with_their_properties_read() -> None:
    (row,) = rows_of(library()["thing"], [GOOD])
    assert row == {
        "id": "service:a",
        "kind": "Service",
        "name": "a",
        "classification": "internal",
        "status": "failing",
        "at": 3,
        "properties": {"tier": 1},
    }
    way = [
        {"id": name, "kind": "Service", "name": name.upper(), "classification": "internal"} for name in "ab"
    ]
    stored = [{**each, "weight": 7, "generation": "3"} for each in way]
    assert rows_of(library()["shortest_path"], [[stored, stored, 1]]) == [
        {"path": ["a", "b"], "things": way, "distance": 1}
    ]


def test_a_way_over_a_thing_that_does_not_say_what_it_is_is_refused() -> None:
    with pytest.raises(Unavailable, match="makes no sense"):
        rows_of(library()["shortest_path"], [[[{"id": "a"}], [{"id": "a"}], 1]])


@pytest.mark.parametrize(
    "row",
    [
        [],
        GOOD[:-1],
        [*GOOD, "more"],
        [None, *GOOD[1:]],
        [*GOOD[:5], "3", GOOD[6]],
        [*GOOD[:5], True, GOOD[6]],
        [*GOOD[:6], "{not json"],
        [*GOOD[:6], None],
    ],
)
def test_garbage_is_refused(row: list[Any]) -> None:
    with pytest.raises(Unavailable, match="makes no sense"):
        rows_of(library()["thing"], [row])
