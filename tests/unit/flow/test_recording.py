"""Decisions that were recorded before are made again today, bit by bit."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from penelope.errors import NotReplayable
from penelope.flow.recording import made_again
from penelope.rooms.decide.facts import SCHEMA

CORPUS = Path(__file__).parents[2] / "corpus" / "decisions"


def recorded() -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (CORPUS / f"version-{SCHEMA}.jsonl").read_bytes().splitlines()]


def test_the_corpus_has_decisions_of_every_kind() -> None:
    assert {attributes["judgement"] for attributes in recorded()} == {"observe", "intervene", "escalate"}
    assert any(attributes["healing"] for attributes in recorded())
    assert any(attributes["leaned_on"] for attributes in recorded())


@pytest.mark.parametrize("attributes", recorded())
def test_what_this_version_recorded_is_made_again(attributes: dict[str, Any]) -> None:
    """Where this fails, the same facts lead to another decision: raise SCHEMA, and run tests/corpus/decisions/write.py."""
    again = made_again(attributes)
    assert again == {name: attributes[name] for name in again}


@pytest.mark.parametrize("version", [None, SCHEMA - 1, SCHEMA + 1])
def test_what_another_version_recorded_says_so(version: int | None) -> None:
    attributes = recorded()[0]
    inputs = {name: value for name, value in attributes["inputs"].items() if name != "schema"}
    if version is not None:
        inputs["schema"] = version
    with pytest.raises(NotReplayable, match=f"this Penelope has version {SCHEMA}"):
        made_again({**attributes, "inputs": inputs})
