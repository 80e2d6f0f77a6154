"""The memory of past cases: what is found, in which order, and what happens when it is full."""

import numpy as np
import pytest

from penelope.adapters.vector.memory import MemoryIndex


def vector(*values: float) -> bytes:
    made = np.zeros(8, dtype="<f4")
    made[: len(values)] = values
    return (made / np.linalg.norm(made)).astype("<f4").tobytes()


def names(index: MemoryIndex, *terms: str, like: bytes | None = None, limit: int = 10) -> list[str]:
    return [hit.incident for hit in index.search(terms, like, limit)]


def test_nothing_is_found_in_an_empty_memory() -> None:
    assert MemoryIndex(10).search(("disk",), vector(1), 5) == []


def test_rare_words_count_more_than_common_ones() -> None:
    index = MemoryIndex(100)
    for number in range(20):
        index.add(f"common-{number}", ("error", "requests"), None)
    index.add("rare", ("error", "deadlock"), None)
    (found,) = index.search(("error", "deadlock"), None, 3)
    assert found.incident == "rare"
    assert found.by == ("keywords",)
    # Where a question has no other word, a common one is enough.
    assert len(index.search(("error",), None, 30)) == 21


def test_meaning_leads_and_keywords_help() -> None:
    index = MemoryIndex(100)
    for number in range(30):
        index.add(f"far-{number}", ("filler", f"word{number}"), vector(0, 0, 1, number / 100))
    index.add("near", ("something", "else"), vector(1, 0.2))
    index.add("nearer by words", ("disk", "full"), vector(1, 0.3))
    found = index.search(("disk", "full"), vector(1), 5)
    assert [hit.incident for hit in found[:2]] == ["nearer by words", "near"]
    assert found[0].by == ("meaning", "keywords")
    assert found[1].by == ("meaning",)
    assert all(0 <= hit.likeness <= 1 for hit in found)
    assert "far-1" not in [hit.incident for hit in found]


def test_a_case_that_gets_its_vector_later_is_not_there_twice() -> None:
    index = MemoryIndex(10)
    index.add("one", ("disk",), None)
    index.add("one", ("disk",), vector(1))
    assert len(index) == 1
    (hit,) = index.search(("other",), vector(1), 5)
    assert (hit.incident, hit.by) == ("one", ("meaning",))


def test_a_case_without_a_vector_is_found_by_its_words_beside_others_that_have_one() -> None:
    index = MemoryIndex(1000)
    for number in range(300):
        index.add(f"case-{number}", ("word",), vector(0, 1) if number else None)
    index.add("late", ("deadlock",), None)
    assert "late" in names(index, "deadlock", like=vector(1))


@pytest.mark.parametrize("with_vectors", [True, False])
def test_a_full_memory_forgets_the_oldest(*, with_vectors: bool) -> None:
    index = MemoryIndex(10)
    for number in range(25):
        index.add(f"case-{number}", (f"word{number}",), vector(1, number) if with_vectors else None)
    assert len(index) == 10
    assert names(index, "word14") == []
    assert names(index, "word15", limit=1) == ["case-15"]
    if with_vectors:
        assert index.search((), vector(1, 24), 1)[0].incident == "case-24"


def test_cases_of_endless_words_do_not_fill_the_memory() -> None:
    index = MemoryIndex(100)
    for number in range(300):
        index.add(f"case-{number}", [f"{number}-{word}" for word in range(192)], None)
    assert 192 * len(index) <= 64 * 100 + 192
    assert names(index, "299-1", "298-1", limit=2) == ["case-298", "case-299"]
    assert names(index, "0-1") == []


def test_growing_keeps_what_was_there() -> None:
    index = MemoryIndex(2000)
    for number in range(1500):
        index.add(f"case-{number}", (f"word{number}",), vector(1, number / 10))
    # An index that was asked grows on: no view of its arrays stays behind.
    assert names(index, "word3", like=vector(1, 0.3), limit=1) == ["case-3"]
    index.add("one more", ("word3",), vector(0, 0, 1))
    assert names(index, "word3", like=vector(0, 0, 1), limit=1) == ["one more"]
