import re
import time

from penelope.kit.ids import digest_id, new_id


def test_new_ids_carry_their_prefix_differ_and_sort_by_time():
    first = new_id("inc")
    began = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == began:
        pass
    later = {new_id("inc") for _ in range(500)}
    assert re.fullmatch(r"inc_[0-9a-hjkmnp-tv-z]{20}", first)
    assert len(later) == 500
    assert all(first < other for other in later)


def test_the_time_in_an_id_is_the_milliseconds_since_1970():
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    before = time.time_ns() // 1_000_000
    moment = 0
    for character in new_id("x").removeprefix("x_")[:10]:
        moment = moment * 32 + alphabet.index(character)
    assert before <= moment <= time.time_ns() // 1_000_000


def test_digest_ids_depend_on_every_part_and_on_where_parts_end():
    assert digest_id("a", "b") == digest_id("a", "b")
    assert re.fullmatch(r"[0-9a-f]{32}", digest_id("a"))
    different = [("a", "b"), ("b", "a"), ("ab",), ("a", "", "b"), ("a\x1fb",), ("a", "b", ""), ("a\x1f", "b")]
    assert len({digest_id(*parts) for parts in different}) == len(different)


def test_hostile_text_has_a_digest_too():
    assert digest_id("\ud800") != digest_id("?")
