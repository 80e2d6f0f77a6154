"""What policies can tell apart is found in their text, and remembering answers by it changes none of them."""

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import regorus

from penelope.adapters.policy.context_rego import EmbeddedGovernor, load_governor, shipped_folder
from penelope.adapters.policy.sight import PARTS, Compared, Sight, sight_of
from penelope.domain.access import Access, AccessQuestion, Asset, Classification, Subject, Verb

SHIPPED = (shipped_folder() / "context.rego").read_text(encoding="utf-8")
BATCH = (shipped_folder() / "context_batch.rego").read_text(encoding="utf-8")
REST = """
default allow := false
row_filters := []
masks := {}
reasons := []
"""
POLICIES = {
    "shipped": SHIPPED.partition("package penelope.context")[2],
    "names": REST + 'allow if startswith(input.asset.name, "orders")',
    "owners": REST + 'allow if { input.asset.owner == "team-a"\n input.asset.kind != "team" }',
    "owned": REST + "allow if input.subject.actor == input.asset.owner",
    "alias": "import input.asset as it\n" + REST + 'allow if it.name == "orders.revenue"',
    "swapped": REST
    + "owned if input.subject.actor == input.asset.owner\n"
    + 'allow if owned with input.subject.actor as "team-b"',
    "by key": REST + 'allow if { some part; input.asset[part] == "team-a" }',
    "whole": REST + 'allow if { it := input.asset\n it.owner == "team-b" }',
    "one column": """
default allow := true
row_filters := []
reasons := []
masks["orders.email"] := "null" if input.subject.region == "team-a"
""",
}


def seen_by(text: str) -> Sight:
    engine = regorus.Engine()
    engine.add_policy("own.rego", f"package penelope.context\n{text}")
    return sight_of(json.loads(engine.get_ast_as_json()))


ALL = frozenset(PARTS)


@pytest.mark.parametrize(
    ("text", "read", "compared"),
    [
        ('a if input.asset.owner == "x"', set(), {"owner": Compared(texts=frozenset({"x"}))}),
        ('a if "x" != input.asset.owner', set(), {"owner": Compared(texts=frozenset({"x"}))}),
        (
            "a if input.asset.owner == input.subject.actor",
            set(),
            {"owner": Compared(subject=frozenset({"actor"}))},
        ),
        ("a if is_string(input.asset.name)", set(), {}),
        ("a if input.asset.owner == input.asset.name", {"owner", "name"}, {}),
        ('a if { input.asset.owner == "x"; count(input.asset.owner) > 1 }', {"owner"}, {}),
        ('a if input.asset.name < "x"', {"name"}, {}),
        ('a if input.asset.owner == "\\u0061"', set(), None),
        ("a[input.asset.kind] := 1", {"kind"}, {}),
        ('a := sprintf("%s", [input.asset.name])', {"name"}, {}),
        ('a if { {"x"}[input.asset.kind] }', {"kind"}, {}),
        ('a if input["asset"].owner == "x"', ALL, {}),
        ('a if input.asset["owner"] == "x"', ALL, {}),
        ("a if { it := input; it.asset.owner == 1 }", ALL, {}),
        ("a if { walk(input, [p, v]); v == 1 }", ALL, {}),
        ("import input.asset.name as n\na if n == 1", {"name"}, {}),
        ("is_string(x) if x == 1\na if is_string(input.asset.name)", {"name"}, {}),
        ('b if input.asset.owner == "x"\na if b with input.subject.actor as "x"', ALL, {}),
        ("a if every k, v in input.asset { k != v }", ALL, {}),
    ],
)
def test_what_is_not_understood_counts_as_read(
    text: str, read: set[str], compared: dict[str, Compared] | None
) -> None:
    found = seen_by(text)
    if compared is None:
        # However the tree tells an escaped text: it must not be taken for another one.
        assert found.read == {"owner"} or found.compared["owner"].texts == {"a"}
    else:
        assert (found.read, found.compared) == (read, compared)


def test_the_policy_that_ships_tells_names_not_apart() -> None:
    governor = load_governor([])
    one = Asset(name="orders.revenue", kind="metric", owner="team-a")
    assert governor.alike(one) == governor.alike(Asset(name="orders.count", kind="metric", owner="team-a"))
    assert governor.alike(one) != governor.alike(Asset(name="orders.revenue", kind="cube", owner="team-a"))
    assert governor.alike(one) != governor.alike(Asset(name="orders.revenue", kind="metric", owner="team-b"))
    assert governor.alike(one) != governor.alike(
        Asset(name="orders.revenue", kind="metric", owner="team-a", columns={"a.b": Classification.PII})
    )


def asked(chance: random.Random, number: int) -> list[AccessQuestion]:
    owners = ("", "team-a", "team-b", "ann", "eve", "x" * 1001)
    columns = ({}, {"orders.email": Classification.PII}, {"orders.region": Classification.INTERNAL})
    return [
        AccessQuestion(
            subject=Subject(
                actor=chance.choice(("ann", "team-a", "eve")),
                role=chance.choice(("admin", "analyst", "support", "agent", "intern", "nobody")),
                region=chance.choice(("", "APAC", "team-a")),
                purpose=chance.choice(("", "analysis", "marketing")),
            ),
            verb=chance.choice(list(Verb)),
            asset=Asset(
                name=chance.choice(("orders.revenue", "orders.count", "team-a", "x")),
                kind=chance.choice(("metric", "team", "document", "team-a")),
                classification=chance.choice(list(Classification)),
                owner=chance.choice(owners),
                columns=chance.choice(columns),
            ),
        )
        for _ in range(number)
    ]


def judged(governor: EmbeddedGovernor, questions: Sequence[AccessQuestion]) -> Sequence[Access]:
    return asyncio.run(governor.judge(questions))


@pytest.mark.parametrize("name", POLICIES)
def test_remembering_by_what_is_told_apart_changes_no_answer(name: str, tmp_path: Path) -> None:
    file = tmp_path / "own.rego"
    file.write_text(f"package penelope.context\n{POLICIES[name]}", encoding="utf-8")
    governor = load_governor([file])
    sources = [("own.rego", file.read_text(encoding="utf-8")), ("batch.rego", BATCH)]
    questions = asked(random.Random(name), 600)
    answers = judged(governor, questions)
    assert answers == judged(EmbeddedGovernor(sources), questions)
    assert any(answer.allow for answer in answers)
    assert any(not answer.allow for answer in answers)
    # And what is said to be alike is answered alike, by a governor that remembers nothing.
    by_kind: dict[object, Asset] = {}
    swapped = [
        AccessQuestion(
            subject=each.subject,
            verb=each.verb,
            asset=by_kind.setdefault(governor.alike(each.asset), each.asset),
        )
        for each in questions
    ]
    assert [each.allow for each in judged(EmbeddedGovernor(sources), swapped)] == [
        each.allow for each in answers
    ]
