"""Plans are a function of their input, and values are never read as templates."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from penelope.domain.action import Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.plan import Match, Parameter, Playbook, StepTemplate
from penelope.domain.service import Service, Target
from penelope.domain.signal import Severity
from penelope.rooms.plan.binding import bind, malformed, names
from penelope.rooms.plan.run import Proposal, plan

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
