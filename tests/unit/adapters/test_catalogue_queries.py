"""Queries of people's own that could never be asked are mistakes of the catalogue, told when it is loaded."""

from pathlib import Path

import pytest
import yaml

from penelope.adapters.catalogue.load import load_services
from penelope.adapters.metrics.promql import LONGEST
from penelope.errors import InvalidCatalogue

GOOD = 'sum(rate(orders_total{version=~"{{ arm }}",app="{{ service }}"}[{{ window }}]))'


def load(folder: Path, queries: object, source: str = "prometheus") -> object:
    options = {"url": "http://127.0.0.1:9", "arm_label": "v", "arms": {"a": "1"}, "queries": queries}
    shop = {"owner": "team", "tier": 2, "counts": {"source": source, "options": options}}
    content = {"apiVersion": "penelope.dev/v1", "kind": "Services", "services": {"shop": shop}}
    file = folder / "services.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False, width=10_000))
    counts = load_services(file, {"EMPTY": ""})["shop"].counts
    assert counts is not None
    return counts.options["queries"]


@pytest.mark.parametrize(
    "query", [GOOD, "up # {{ anything }} in a comment", "vector(1)", GOOD.ljust(LONGEST)]
)
def test_what_can_be_asked_is_taken(tmp_path: Path, query: str) -> None:
    assert load(tmp_path, {"orders": query}) == {"orders": query}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("${env:EMPTY}", "is empty"),
        (GOOD.ljust(LONGEST + 1), f"longer than {LONGEST} characters"),
        ('up{secret="{{ password }}"}', "placeholder that is none here; there are arm, service, window"),
        ('up{secret="{{ window }}"}', "placeholder that is none here"),
        ('up{secret="{{ ARM }}"}', "begins no placeholder"),
        ('up{secret="{{ arm"}', "begins no placeholder"),
        ("up{secret={{ arm }}}", "must stand inside a quoted string"),
        ("up{secret=`{{ arm }}`}", "must stand inside a quoted string"),
        ('up{secret="', "a string without an end"),
        (7, "must be text in PromQL"),
        (None, "must be text in PromQL"),
    ],
)
def test_what_never_could_be_asked_is_refused_at_its_place(tmp_path: Path, query: object, said: str) -> None:
    with pytest.raises(InvalidCatalogue) as refused:
        load(tmp_path, {"good": GOOD, "orders": query})
    (line,) = str(refused.value).splitlines()
    assert said in line
    text = (tmp_path / "services.yaml").read_text().splitlines()
    number = next(number for number, found in enumerate(text, 1) if found.strip().startswith("orders:"))
    assert line.startswith(f"{tmp_path / 'services.yaml'}:{number}:")
    assert "secret" not in line
    assert refused.value.advice


@pytest.mark.parametrize("queries", [["up"], "up", 7, None])
def test_queries_have_names(tmp_path: Path, queries: object) -> None:
    with pytest.raises(InvalidCatalogue, match="must be queries by their names"):
        load(tmp_path, queries)


def test_options_of_other_sources_are_their_own(tmp_path: Path) -> None:
    assert load(tmp_path, {"orders": ""}, source="their-own") == {"orders": ""}
