"""Plans are a function of their input, and values are never read as templates."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.action import Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.plan import (
    BlockKind,
    BlockTemplate,
    Match,
    NodeKind,
    Parameter,
    Plan,
    Playbook,
    StepTemplate,
)
from penelope.domain.service import Service, Target
from penelope.domain.signal import Severity
from penelope.kit.codec import from_data, to_data
from penelope.rooms.plan.binding import bind, malformed, names
from penelope.rooms.plan.run import NoPlan, Proposal, plan

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
SERVICE = Service(
    name="shop",
    owner="o",
    tier=2,
    targets={"t": Target(name="t", service="shop", adapter="process")},
)

tricky = st.sampled_from(["${", "$${", "}", "${p}", "${q}", "{0}", "%s", "$", "\\1", "\\g<0>"])
texts = (
    st.lists(st.one_of(tricky, st.text(max_size=4)), max_size=6)
    .map("".join)
    .filter(lambda text: not any("\ud800" <= character <= "\udfff" for character in text))
)
pieces = st.lists(
    st.one_of(st.sampled_from(["${p}", "${q}", "$${"]), st.sampled_from("ab {}%\\")), max_size=6
)
templates = st.recursive(
    pieces.map("".join),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)


def incident(identifier):
    return Incident(
        id=identifier,
        service="shop",
        fingerprint="f",
        name="N",
        severity=Severity.ERROR,
        state=IncidentState.RECEIVED,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
    )


def step(params):
    return StepTemplate(
        name="s",
        adapter="process",
        operation="restart",
        target="t",
        params=params,
        tier=Tier.LOCAL,
        timeout_seconds=1.0,
    )


def playbook(steps, after):
    return Playbook(
        name="p",
        version="1",
        title="P",
        match=Match(names=("N",)),
        parameters=(
            Parameter(name="p", kind="string", source="change.t.p"),
            Parameter(name="q", kind="string", source="change.t.q"),
        ),
        steps=tuple(step({"value": template}) for template in steps),
        after=tuple(step({"value": template}) for template in after),
        verify=Contract(
            clauses=(Clause(subject="metric.x", comparator=Comparator.EQUALS, expected="${p}"),),
            deadline_seconds=1.0,
        ),
    )


def dossier(values):
    return Dossier(
        service="shop",
        gathered_at=NOW,
        evidence=tuple(
            Evidence(concept=f"change.t.{name}", value=value, source="s", observed_at=NOW, confidence=1.0)
            for name, value in values.items()
        ),
    )


values = st.fixed_dictionaries({"p": texts, "q": texts})
lists = st.lists(templates, max_size=4)


@given(values, lists, lists, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8))
def test_the_same_input_gives_the_same_plan_with_unique_keys(found, steps, after, identifier):
    book = playbook(steps, after)

    first = plan(incident(identifier), SERVICE, dossier(found), [book])
    second = plan(incident(identifier), SERVICE, dossier(dict(found)), [playbook(steps, after)])

    assert isinstance(first, Proposal)
    assert first == second
    assert first.plan.digest == second.plan.digest
    keys = [action.key for action in first.plan.actions]
    assert len(set(keys)) == len(keys) == len(steps) + len(after)


@given(values, texts)
def test_keys_depend_on_the_place_not_on_what_is_bound(found, other):
    book = playbook(["${p}"], ["${q}"])

    first = plan(incident("i"), SERVICE, dossier(found), [book]).plan
    second = plan(incident("i"), SERVICE, dossier({"p": other, "q": other}), [book]).plan

    assert [action.key for action in first.actions] == [action.key for action in second.actions]


@given(values)
def test_a_whole_placeholder_becomes_exactly_the_value(found):
    bound = plan(incident("i"), SERVICE, dossier(found), [playbook(["${p}"], ["${q}"])]).plan

    assert bound.steps[0].params["value"] == found["p"]
    assert bound.after[0].params["value"] == found["q"]
    assert bound.verify.clauses[0].expected == found["p"]


@given(pieces, values)
def test_a_text_is_its_pieces_with_each_value_put_in_once(parts, found):
    written = {"${p}": found["p"], "${q}": found["q"], "$${": "${"}

    assert bind("".join(parts), found) == "".join(written.get(part, part) for part in parts)


@given(templates)
def test_binding_with_inert_values_leaves_the_shape(template):
    def shape(value):
        if isinstance(value, dict):
            return {key: shape(item) for key, item in value.items()}
        return [shape(item) for item in value] if isinstance(value, list) else str

    assert shape(bind(template, {"p": "v", "q": "w"})) == shape(template)
    assert set(names(template)) <= {"p", "q"}
    assert not malformed(template)


# --- courses ----------------------------------------------------------------------------------------------

items = st.lists(texts, max_size=3, unique=True)
steps = st.builds(lambda template: step({"value": template}), templates)
CLAUSE = Clause(subject="metric.x", comparator=Comparator.EQUALS, expected="${p}")
ASKED = Contract(clauses=(CLAUSE,), deadline_seconds=1.0)


def blocks(inner):
    rows = st.lists(inner, min_size=1, max_size=3).map(tuple)
    kinds = st.sampled_from([BlockKind.SEQUENCE, BlockKind.CONDITION])
    return st.one_of(
        st.builds(BlockTemplate, kind=kinds, name=st.just("b"), steps=rows, condition=st.just(ASKED)),
        st.builds(
            BlockTemplate, kind=st.just(BlockKind.CONDITION), name=st.just("c"), steps=rows, otherwise=rows
        ),
        st.builds(
            BlockTemplate,
            kind=st.just(BlockKind.FOREACH),
            name=st.just("f"),
            steps=rows,
            items=st.just("list"),
            variable=st.sampled_from(["m", "n"]),
            at_most=st.just(3),
        ),
        st.just(BlockTemplate(kind=BlockKind.WAIT, name="w", condition=ASKED)),
    )


trees = st.lists(st.recursive(steps, blocks, max_leaves=6), max_size=4).map(tuple)


def with_blocks(first, after):
    book = playbook([], [])
    listed = Parameter(name="list", kind="list", source="change.t.list")
    return replace(book, parameters=(*book.parameters, listed), steps=first, after=after)


def reached(nodes):
    for node in nodes:
        if node.kind is NodeKind.ACTION:
            yield node.key
        yield from reached(node.children)
        yield from reached(node.otherwise)


def every_node(nodes):
    for node in nodes:
        yield node
        yield from every_node((*node.children, *node.otherwise))


@given(values, items, trees, trees)
def test_every_action_is_reached_exactly_once_and_every_key_is_its_own(found, listed, first, after):
    answers = [
        plan(incident("i"), SERVICE, dossier({**found, "list": listed}), [with_blocks(first, after)])
        for _ in range(2)
    ]

    assert answers[0] == answers[1]
    if isinstance(answers[0], NoPlan):
        assert "nothing to do" in answers[0].reasons[0]
        return
    made = answers[0].plan
    for actions, course in ((made.steps, made.course), (made.after, made.after_course)):
        keys = [action.key for action in actions]
        assert not course or list(reached(course)) == keys
    nodes = [*every_node(made.course), *every_node(made.after_course)]
    keys = {action.key for action in made.actions} | {node.key for node in nodes}
    assert len(keys) == len(made.actions) + sum(node.kind is not NodeKind.ACTION for node in nodes)
    assert all(
        node.children or node.otherwise or node.kind in {NodeKind.ACTION, NodeKind.WAIT} for node in nodes
    )
    assert from_data(Plan, to_data(made)) == made


@given(values, items, items, trees)
def test_an_item_has_the_same_keys_whatever_else_is_in_the_list(found, listed, others, first):
    def keys(given):
        answer = plan(incident("i"), SERVICE, dossier({**found, "list": given}), [with_blocks(first, ())])
        return {action.key: action for action in answer.plan.actions} if isinstance(answer, Proposal) else {}

    before, after = keys(listed), keys(others)

    assert all(before[key] == after[key] for key in before.keys() & after.keys())
    assert set(listed) & set(others) or all(
        # What is the same in both stands outside of lists.
        key in keys(["only"])
        for key in before.keys() & after.keys()
    )


@given(values, items)
def test_items_are_never_read_as_templates(found, listed):
    foreach = BlockTemplate(
        kind=BlockKind.FOREACH,
        name="f",
        steps=(step({"alone": "${m}", "within": ["<${m}>"], "literal": "$${m}"}),),
        items="list",
        variable="m",
        at_most=3,
    )
    answer = plan(incident("i"), SERVICE, dossier({**found, "list": listed}), [with_blocks((foreach,), ())])

    actions = answer.plan.steps if isinstance(answer, Proposal) else ()
    assert [action.params for action in actions] == [
        {"alone": item, "within": [f"<{item}>"], "literal": "${m}"} for item in listed
    ]
