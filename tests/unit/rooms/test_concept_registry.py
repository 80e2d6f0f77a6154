"""How definitions are found by words: exactly, in part, misspelt; and what the settings say of it."""

from datetime import UTC, datetime

import pytest

from penelope.domain.concept import Correction, Definition, DefinitionKind
from penelope.errors import BadSettings
from penelope.rooms.context.registry import Registry
from penelope.rooms.context.words import stem_of, words_of
from penelope.settings.loading import load


def metric(name: str, title: str, *synonyms: str) -> Definition:
    return Definition(name=name, kind=DefinitionKind.METRIC, title=title, synonyms=synonyms)


SMALL = Registry(
    [metric("a.x", "Conversion rate", "cr"), metric("a.y", "Availability"), metric("b.z", "Bounce rate")],
    joins={"a": ["b"], "b": ["c"], "c": ["a"]},
)


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("orders", "order"),
        ("categories", "category"),
        ("boxes", "box"),
        ("classes", "class"),
        ("status", "status"),
        ("business", "business"),
        ("analysis", "analysis"),
        ("gas", "gas"),
        ("churches", "church"),
    ],
)
def test_a_plural_has_the_stem_of_its_singular(word: str, stem: str) -> None:
    assert stem_of(word) == stem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("What's our Caf\u00e9\u2019s AOV?", "what our cafe aov"),
        ("warehouse-etl", "warehouse etl"),
        ("orders.net_revenue", "orders net revenue"),
        ("2026-03-05T10:00:00Z", "2026-03-05t10:00:00z"),
        ("1\u201315 March", "1 - 15 march"),
        ("Jan-Mar", "jan - mar"),
        ("2026-01-01..2026-02-01", "2026-01-01 - 2026-02-01"),
        ("\uff32\uff25\uff36\uff25\uff2e\uff35\uff25", "revenue"),
        ("売上 2026", "売上 2026"),
    ],
)
def test_words_are_cut_and_folded(text: str, words: str) -> None:
    assert " ".join(word.text for word in words_of(text)) == words


@pytest.mark.parametrize(
    "typo", ["convertion", "conversio", "conversioon", "covnersion", "cnversion", "conversionn"]
)
def test_one_letter_wrong_is_understood(typo: str) -> None:
    assert SMALL.spelt(typo) == "conversion"


@pytest.mark.parametrize(
    "word", ["conversion", "cnvrsion", "bonversion", "rat", "raet", "", "x" * 400, "c0nversion"]
)
def test_more_than_one_letter_wrong_is_not(word: str) -> None:
    assert SMALL.spelt(word) is None


def test_a_typo_between_two_words_is_neither() -> None:
    known = Registry([metric("a.x", "Planting"), metric("a.y", "Planking")])
    assert known.spelt("planning") is None


def test_rare_words_tell_more() -> None:
    assert SMALL.weight("availability") > SMALL.weight("rate")
    assert SMALL.weight("nobody-knows") == 1.0


def test_reach_counts_joins_and_ends_in_circles() -> None:
    assert SMALL.reach("a") == {"a": 0, "b": 1}
    assert SMALL.reach("b") == {"b": 0, "a": 2}
    assert SMALL.reach("elsewhere") == {"elsewhere": 0}


def test_what_was_taught_stands_above_names() -> None:
    taught = Correction(phrase="Availability", name="b.z", actor="ana", at=datetime(2026, 1, 1, tzinfo=UTC))
    known = Registry(SMALL.definitions.values(), corrections=[taught])
    assert [naming.name for naming in known.named(("availability",))] == ["b.z"]
    bare = known.without({"b.z"})
    assert [naming.name for naming in bare.named(("availability",))] == ["a.y"]
    assert not bare.knows("bounce")
    assert known.knows("bounce")


def test_the_settings_name_a_zone_that_there_is() -> None:
    good = load(None, {}, ["context.zone=Asia/Tokyo", "context.fiscal_month=4"])
    assert (good.context.zone, good.context.fiscal_month) == ("Asia/Tokyo", 4)
    with pytest.raises(BadSettings, match="time zone"):
        load(None, {}, ["context.zone=Mars/Olympus"])
    with pytest.raises(BadSettings, match=r"context\.fiscal_month"):
        load(None, {}, ["context.fiscal_month=13"])
