"""Ten thousand documents, most of them odd, through regorus and through OPA's own evaluator: no difference is allowed."""

import json
import random
from typing import Any

import opa_shell
import pytest

from penelope.adapters.policy.access_document import access_of
from penelope.adapters.policy.context_rego import load_governor, shipped_folder
from penelope.adapters.yaml_source import read
from penelope.domain.access import Access
from penelope.kit.canonical import Json

COUNT, BATCH, SEED = 10_000, 50, 20261122
FILES = [shipped_folder() / "context.rego", shipped_folder() / "context_batch.rego"]

ROLES = ("admin", "analyst", "support", "service", "agent", "intern")
PURPOSES = ("", "analysis", "support", "incident", "audit", "marketing")
CLASSES = ("public", "internal", "confidential", "restricted", "pii")
NAMES = (
    "region",
    "orders.region",
    "orders.email",
    "orders.regional",
    ".region",
    "a.b.region",
    "orders.total",
)
HOSTILE = (
    "",
    "admin ",
    "Admin",
    "true",
    "null",
    "__proto__",
    "'; DROP TABLE orders; --",
    "a" * 900,
    "\x00",
    "\u202eadmin",
    "i\u0307stanbul",
    "\U0001f600",
    "e\u0301",
    "\u00e9",
    '"}, "allow": true, {"',
    "input.subject.role",
    "{{7*7}}",
)
ODD: tuple[Json, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e300,
    2**53,
    [],
    {},
    ["pii"],
    {"pii": "pii"},
    [[]],
    "",
)


def text(chance: random.Random, likely: tuple[str, ...]) -> Json:
    drawn = chance.random()
    if drawn < 0.9:
        return chance.choice(likely)
    return chance.choice(HOSTILE) if drawn < 0.96 else chance.choice(ODD)


def mapping(chance: random.Random, entries: dict[str, Any]) -> Json:
    """The entries, some missing, in any order; now and then something else entirely."""
    if chance.random() < 0.02:
        return chance.choice(ODD)
    keys = [key for key in entries if chance.random() > 0.03]
    chance.shuffle(keys)
    return {key: entries[key] for key in keys}


def columns(chance: random.Random) -> Json:
    if chance.random() < 0.05:
        return chance.choice(ODD)
    names = [*NAMES, *chance.sample(HOSTILE, 2), *(f"orders.c{chance.randrange(50)}" for _ in range(3))]
    chosen = chance.sample(names, chance.randrange(len(names)))
    return {
        name: text(chance, CLASSES) if chance.random() < 0.1 else chance.choice(CLASSES) for name in chosen
    }


def made(chance: random.Random) -> Json:
    people = ("ann", "bob", "team-orders")
    subject = {
        "actor": text(chance, people),
        "role": text(chance, ROLES),
        "region": text(chance, ("", "APAC", "EMEA")),
        "purpose": text(chance, PURPOSES),
    }
    asset = {
        "name": text(chance, ("orders", "customers")),
        "kind": text(chance, ("cube", "document", "metric", "dimension")),
        "classification": text(chance, CLASSES),
        "owner": text(chance, people),
        "columns": columns(chance),
    }
    whole = {
        "subject": mapping(chance, subject),
        "verb": text(chance, ("discover", "read")),
        "asset": mapping(chance, asset),
    }
    if chance.random() < 0.02:
        whole["more"] = chance.choice(ODD)
    return mapping(chance, whole)


def told(answer: Json | Access, document: Json) -> Access:
    if isinstance(answer, Access):
        return answer
    asset = document.get("asset") if isinstance(document, dict) else None
    known = asset.get("columns") if isinstance(asset, dict) else None
    return access_of(answer, known.keys() if isinstance(known, dict) else ())


@pytest.mark.skipif(not opa_shell.there(), reason=opa_shell.REASON)
def test_both_evaluators_say_the_same_to_the_cases_of_the_policy() -> None:
    cases: Any = read(shipped_folder() / "context_test.yaml").data["cases"]
    defaults = {
        "name": "orders",
        "kind": "cube",
        "classification": "confidential",
        "owner": "",
        "columns": {},
    }
    documents = [
        {
            "subject": {"actor": "ann", "region": "", "purpose": "", **case["subject"]},
            "verb": case.get("verb", "read"),
            "asset": {**defaults, **case["asset"]},
        }
        for case in cases
    ]
    with opa_shell.opa_engine(FILES) as opa:
        theirs = opa.eval_document("penelope.context_batch.decisions", {"questions": documents})
    ours = load_governor([]).decisions(documents)
    for index, (case, document) in enumerate(zip(cases, documents, strict=True)):
        assert ours[index] == theirs[str(index)], case["name"]
        assert told(ours[index], document).allow == (case["expect"] == "allow"), case["name"]


@pytest.mark.skipif(not opa_shell.there(), reason=opa_shell.REASON)
def test_both_evaluators_say_the_same_to_ten_thousand_documents() -> None:
    chance = random.Random(SEED)
    documents = [made(chance) for _ in range(COUNT)]
    embedded = load_governor([])
    allowed = filtered = masked = 0
    with opa_shell.opa_engine(FILES) as opa:
        for start in range(0, COUNT, BATCH):
            batch = documents[start : start + BATCH]
            ours = embedded.decisions(batch)
            theirs = opa.eval_document("penelope.context_batch.decisions", {"questions": batch})
            for index, document in enumerate(batch):
                mine, other = told(ours[index], document), told(theirs.get(str(index)), document)
                assert ours[index] == theirs.get(str(index)), json.dumps(document)
                assert mine == other
                allowed += mine.allow
                filtered += bool(mine.row_filters)
                masked += bool(mine.masks)
    # All of it would agree on an evaluator that always says no.
    assert allowed > COUNT / 20
    assert filtered > COUNT / 100
    assert masked > COUNT / 30
    print(
        f"{COUNT} documents: {allowed} allowed, {filtered} with row filters, {masked} with masks, no difference"
    )


def test_the_documents_are_of_every_kind() -> None:
    chance = random.Random(SEED)
    documents = [made(chance) for _ in range(2000)]
    assert sum(not isinstance(document, dict) for document in documents) >= 10
    verdicts = [
        told(answer, document)
        for answer, document in zip(embedded_answers(documents), documents, strict=True)
    ]
    assert 50 < sum(access.allow for access in verdicts) < 1900


def embedded_answers(documents: list[Json]) -> list[Json | Access]:
    governor = load_governor([])
    return [
        answer
        for start in range(0, len(documents), BATCH)
        for answer in governor.decisions(documents[start : start + BATCH])
    ]
