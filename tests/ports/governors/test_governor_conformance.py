"""Every Governor gives the same answers to the same questions, and says no to whatever is not plainly a yes."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import opa_shell
import pytest

from penelope.adapters.policy.context_opa import OpaGovernor, OpaServer
from penelope.adapters.policy.context_rego import load_governor, shipped_folder
from penelope.domain.access import Access, AccessQuestion, Asset, Classification, Masking, Subject, Verb
from penelope.domain.semantics import AllOf, AnyOf, Filter, Operator
from penelope.kit.guard import Guard
from penelope.rooms.context.ports import Governor

COLUMNS = {
    "orders.email": Classification.PII,
    "orders.region": Classification.INTERNAL,
    "orders.margin": Classification.RESTRICTED,
    "orders.revenue": Classification.CONFIDENTIAL,
}
Makes = Callable[..., Governor]


@pytest.fixture(params=["embedded", "opa"])
def governor_of(request: pytest.FixtureRequest) -> Iterator[Makes]:
    """Makes a governor of policy files; by default of the shipped ones."""
    if request.param == "opa" and not opa_shell.there():
        pytest.skip(opa_shell.REASON)
    with ExitStack() as stack:

        def made(*files: Path) -> Governor:
            if request.param == "embedded":
                return load_governor(files)
            own = list(files) or [shipped_folder() / "context.rego"]
            url = stack.enter_context(opa_shell.opa_server([*own, shipped_folder() / "context_batch.rego"]))
            return OpaGovernor(OpaServer(url=url, timeout_seconds=20), Guard("policy"))

        yield made


def question(
    role: str = "analyst",
    verb: Verb = Verb.READ,
    classification: Classification = Classification.INTERNAL,
    **more: str,
) -> AccessQuestion:
    subject = Subject(
        actor=more.get("actor", "ann"),
        role=role,
        region=more.get("region", ""),
        purpose=more.get("purpose", ""),
    )
    columns = {} if more.get("kind") == "document" else COLUMNS
    asset = Asset(
        name="orders",
        kind=more.get("kind", "cube"),
        classification=classification,
        owner="team-orders",
        columns=columns,
    )
    return AccessQuestion(subject=subject, verb=verb, asset=asset)


def judged(governor: Governor, *questions: AccessQuestion) -> Sequence[Access]:
    return asyncio.run(governor.judge(questions))


def policy(folder: Path, text: str) -> Path:
    file = folder / "own.rego"
    file.write_text("package penelope.context\n" + text)
    return file


def test_an_analyst_sees_people_only_as_hashes(governor_of: Makes) -> None:
    [found] = judged(governor_of(), question())
    assert found == Access(
        allow=True, masks={"orders.email": Masking.HASH, "orders.margin": Masking.NULL}, reasons=()
    )


def test_rows_are_of_ones_own_region(governor_of: Makes) -> None:
    [found] = judged(governor_of(), question("support", region="APAC"))
    assert found.allow
    assert found.row_filters == (Filter(member="orders.region", operator=Operator.EQUALS, values=("APAC",)),)
    assert found.masks["orders.email"] is Masking.PARTIAL


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (question("stranger"), "this role is not known"),
        (question("support"), "this role sees one region, and has to say which"),
        (question("intern", region="APAC", classification=Classification.CONFIDENTIAL), "may not know of it"),
        (question("admin", classification=Classification.RESTRICTED), "restricted is for its owner"),
        (question(purpose="curiosity"), "this purpose is not known"),
        (question("agent", classification=Classification.CONFIDENTIAL), "for an incident or an analysis"),
        (question("admin", classification=Classification.PII, purpose="marketing"), "not for marketing"),
        (question(classification=Classification.PII, kind="document"), "personal data needs a purpose"),
        (question(actor=""), "the question is not complete"),
    ],
)
def test_a_no_says_why(asked: AccessQuestion, reason: str, governor_of: Makes) -> None:
    [found] = judged(governor_of(), asked)
    assert (found.allow, found.row_filters, found.masks, found.failed) == (False, (), {}, "")
    assert any(reason in each for each in found.reasons)


def test_owners_see_what_is_theirs(governor_of: Makes) -> None:
    asked = question("analyst", classification=Classification.RESTRICTED, actor="team-orders")
    assert judged(governor_of(), asked) == [Access(allow=True)]


def test_what_may_not_be_read_may_be_known(governor_of: Makes) -> None:
    asked = {"role": "support", "classification": Classification.PII, "kind": "document"}
    known, read = judged(
        governor_of(), question(verb=Verb.DISCOVER, **asked), question(verb=Verb.READ, **asked)
    )
    assert (known.allow, read.allow) == (True, False)


def test_many_questions_are_answered_in_their_order(governor_of: Makes) -> None:
    roles = [("analyst", "stranger", "admin")[number % 3] for number in range(250)]
    found = judged(governor_of(), *(question(role) for role in roles))
    assert [item.allow for item in found] == [role != "stranger" for role in roles]
    assert judged(governor_of()) == []


@pytest.mark.parametrize(
    "text", ["a\ud800", "a" * 1001], ids=["half a character", "longer than anybody's name"]
)
def test_what_is_no_proper_text_is_denied_alone(text: str, governor_of: Makes) -> None:
    bad, good = judged(governor_of(), question(actor=text), question())
    assert (bad.allow, good.allow) == (False, True)
    assert "a part of the question" in bad.failed
    assert text not in bad.failed


@pytest.mark.parametrize(
    "broken",
    [
        None,
        AccessQuestion(subject=None, verb=Verb.READ, asset=question().asset),  # type: ignore[arg-type]  # on purpose
        AccessQuestion(subject=question().subject, verb=Verb.READ, asset=None),  # type: ignore[arg-type]  # on purpose
        replace(question(), asset=replace(question().asset, columns=None)),  # type: ignore[arg-type]  # on purpose
        replace(question(), subject=replace(question().subject, actor=7)),  # type: ignore[arg-type]  # on purpose
    ],
)
def test_what_is_no_question_is_denied_alone(broken: AccessQuestion, governor_of: Makes) -> None:
    before, bad, after = judged(governor_of(), question(), broken, question())
    assert (before.allow, bad.allow, after.allow) == (True, False, True)
    assert bad.failed


def test_too_many_columns_are_denied(governor_of: Makes) -> None:
    columns = {f"orders.c{number}": Classification.PUBLIC for number in range(1001)}
    asset = Asset(name="orders", kind="cube", classification=Classification.PUBLIC, columns=columns)
    [found] = judged(
        governor_of(),
        AccessQuestion(subject=Subject(actor="a", role="admin"), verb=Verb.READ, asset=asset),
    )
    assert (found.allow, found.failed) == (False, "the asset has more than 1000 columns")


def test_large_assets_are_judged_among_small_ones(governor_of: Makes) -> None:
    def asked(size: int) -> AccessQuestion:
        columns = {f"orders.c{number}": Classification.PII for number in range(size)}
        asset = Asset(name="orders", kind="cube", classification=Classification.PUBLIC, columns=columns)
        return AccessQuestion(subject=Subject(actor="a", role="analyst"), verb=Verb.READ, asset=asset)

    sizes = [0, 1000, 3, 399, 1, 400, 401, 0, *range(40)]
    found = judged(governor_of(), *map(asked, sizes))
    assert [len(item.masks) for item in found] == sizes
    assert all(item.allow for item in found)


ODD = 'input.asset.name == "orders"'
"""Policies are tried at load with an asset of another name: these answers come only later."""


@pytest.mark.parametrize(
    ("filters", "masks", "why"),
    [
        ("[]", '{"orders.email": "blur"}', "none of hash, partial, null"),
        ("[]", '{"customers.email": "hash"}', "masks a column that the asset does not have"),
        ("[]", "[]", "masks are no mapping"),
        ('{"member": "x"}', "{}", "row filters are no list"),
        ('[{"and": []}]', "{}", "no list with something in it"),
        ('[{"or": "x"}]', "{}", "no list with something in it"),
        ('[{"member": "customers.region", "operator": "equals", "values": ["x"]}]', "{}", "does not have"),
        ('[{"member": "orders.region", "operator": "like", "values": ["x"]}]', "{}", "does not exist"),
        ('[{"member": "orders.region", "operator": "equals", "values": []}]', "{}", "too few or too many"),
        ('[{"member": "orders.region", "operator": "equals", "values": [1]}]', "{}", "no list of texts"),
        ('[{"member": "orders.region", "operator": "equals", "values": "x"}]', "{}", "no list of texts"),
        ('[{"member": "orders.region", "operator": "set", "values": ["x"]}]', "{}", "too few or too many"),
        ('[{"member": "orders.region", "operator": "gt", "values": ["1", "2"]}]', "{}", "too few or too"),
        ('[{"member": "orders.region", "operator": "set", "sql": "1=1"}]', "{}", "not the shape"),
        ("[7]", "{}", "no mapping"),
    ],
)
def test_an_answer_in_another_shape_denies(
    filters: str, masks: str, why: str, governor_of: Makes, tmp_path: Path
) -> None:
    text = f"allow := true\nreasons := []\nmasks := {masks} if {ODD}\nelse := {{}}\nrow_filters := {filters} if {ODD}\nelse := []\n"
    [found] = judged(governor_of(policy(tmp_path, text)), question())
    assert not found.allow
    assert why in found.failed
    assert (found.row_filters, found.masks) == ((), {})


@pytest.mark.parametrize("value", ['"true"', "1", "[]", '"<undefined>"', "null"])
def test_only_true_is_leave(value: str, governor_of: Makes, tmp_path: Path) -> None:
    text = f"allow := {value} if {ODD}\nelse := false\nreasons := []\nmasks := {{}}\nrow_filters := []\n"
    [found] = judged(governor_of(policy(tmp_path, text)), question())
    assert (found.allow, found.failed) == (False, "the policy says neither yes nor no")


@pytest.mark.parametrize("missing", ["allow", "reasons", "masks", "row_filters"])
def test_a_part_that_is_undefined_denies(missing: str, governor_of: Makes, tmp_path: Path) -> None:
    parts = {"allow": "true", "reasons": "[]", "masks": "{}", "row_filters": "[]"}
    lines = [f"{name} := {value}" for name, value in parts.items() if name != missing]
    lines.append(f'{missing} := {parts[missing]} if input.asset.name != "orders"')
    [found] = judged(governor_of(policy(tmp_path, "\n".join(lines) + "\n")), question())
    assert (found.allow, found.failed) == (False, "the policy says nothing")


def test_an_evaluation_that_breaks_denies(governor_of: Makes, tmp_path: Path) -> None:
    text = f"allow := true\nallow := false if {ODD}\nreasons := []\nmasks := {{}}\nrow_filters := []\n"
    [found] = judged(governor_of(policy(tmp_path, text)), question())
    assert not found.allow
    assert found.failed


def test_who_allows_and_objects_denies(governor_of: Makes, tmp_path: Path) -> None:
    text = f'allow := true\nmasks := {{}}\nrow_filters := []\nreasons contains "hm" if {ODD}\n'
    [found] = judged(governor_of(policy(tmp_path, text)), question())
    assert (found.allow, found.reasons) == (False, ("hm",))


def test_trees_of_filters_are_read(governor_of: Makes, tmp_path: Path) -> None:
    tree = '[{"or": [{"member": "orders.region", "operator": "equals", "values": ["APAC", "EMEA"]}, {"and": [{"member": "orders.region", "operator": "notSet"}, {"member": "orders.revenue", "operator": "lt", "values": ["10"]}]}]}]'
    text = f"allow := true\nreasons := []\nmasks := {{}}\nrow_filters := {tree} if {ODD}\nelse := []\n"
    [found] = judged(governor_of(policy(tmp_path, text)), question())
    assert found.row_filters == (
        AnyOf(
            parts=(
                Filter(member="orders.region", operator=Operator.EQUALS, values=("APAC", "EMEA")),
                AllOf(
                    parts=(
                        Filter(member="orders.region", operator=Operator.NOT_SET),
                        Filter(member="orders.revenue", operator=Operator.LT, values=("10",)),
                    )
                ),
            )
        ),
    )
