from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penelope.domain.action import Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.deployment import Course
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.plan import Match, Parameter, Playbook, StepTemplate
from penelope.domain.service import RouterReference, Service, Target
from penelope.domain.signal import Severity
from penelope.kit.ids import digest_id
from penelope.rooms.plan.binding import bind, malformed, names
from penelope.rooms.plan.run import NoPlan, Proposal, plan

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)

INCIDENT = Incident(
    id="inc_1",
    service="shop",
    fingerprint="f",
    name="HighErrorRate",
    severity=Severity.CRITICAL,
    state=IncidentState.RECEIVED,
    opened_at=NOW,
    updated_at=NOW,
    signal_count=1,
    labels={"severity": "critical", "cluster": "test"},
)
SERVICE = Service(
    name="shop",
    owner="team-shop",
    tier=2,
    router=RouterReference(kind="traefik", options={}, arms={"a": "shop-a", "b": "shop-b"}),
    targets={
        "instance-b": Target(
            name="instance-b", service="shop", adapter="process", options={"url": "http://u:s3cret@h"}
        ),
        "traffic": Target(name="traffic", service="shop", adapter="traffic"),
    },
)
STEP = StepTemplate(
    name="Switch to ${release}",
    adapter="process",
    operation="switch_release",
    target="instance-b",
    params={"release": "${release}"},
    tier=Tier.SNAPSHOT,
    timeout_seconds=20.0,
    expect=Contract(
        clauses=(Clause(subject="state.release", comparator=Comparator.EQUALS, expected="${release}"),),
        deadline_seconds=15.0,
    ),
)
SHARE = StepTemplate(
    name="Share",
    adapter="traffic",
    operation="set_weights",
    target="traffic",
    params={"weights": {"a": 50, "b": 50}},
    tier=Tier.LOCAL,
    timeout_seconds=10.0,
)
PLAYBOOK = Playbook(
    name="go-back",
    version="3",
    title="Go back",
    match=Match(names=("HighErrorRate",)),
    steps=(STEP,),
    after=(SHARE,),
    verify=Contract(
        clauses=(Clause(subject="metric.error_ratio", comparator=Comparator.AT_MOST, expected="${most}"),),
        deadline_seconds=60.0,
        hold_seconds=3.0,
    ),
    preconditions=(Clause(subject="metric.error_ratio", comparator=Comparator.AT_LEAST, expected=0.05),),
    parameters=(
        Parameter(name="release", kind="string", source="change.instance-b.previous_release"),
        Parameter(name="most", kind="number", default=0.02),
    ),
    rollout=Course(canary="b", control="a"),
)


def evidence(concept, value, note=""):
    return Evidence(concept=concept, value=value, source="test", observed_at=NOW, confidence=1.0, note=note)


def dossier(release="r1", error_ratio=0.4, **more):
    found = {"change.instance-b.previous_release": release, "metric.error_ratio": error_ratio, **more}
    return Dossier(
        service="shop",
        gathered_at=NOW,
        evidence=tuple(evidence(concept, value) for concept, value in found.items()),
    )


def reasons(playbook=PLAYBOOK, service=SERVICE, known=None):
    answer = plan(INCIDENT, service, known or dossier(), [playbook])
    assert isinstance(answer, NoPlan)
    return answer.reasons


def chosen(*playbooks):
    answer = plan(INCIDENT, SERVICE, dossier(), playbooks)
    return answer.playbook.name if isinstance(answer, Proposal) else None


def named(name, **match):
    return replace(PLAYBOOK, name=name, match=Match(**match))


def test_a_playbook_that_fits_is_bound():
    proposal = plan(INCIDENT, SERVICE, dossier(), [PLAYBOOK])

    assert isinstance(proposal, Proposal)
    assert proposal.playbook is PLAYBOOK
    bound = proposal.plan
    assert bound.id == digest_id("plan", "inc_1", "go-back", "3")
    assert (bound.incident, bound.service) == ("inc_1", "shop")
    assert (bound.playbook, bound.playbook_version) == ("go-back", "3")
    assert bound.rollout == PLAYBOOK.rollout
    assert bound.verify.clauses[0].expected == 0.02
    assert (bound.verify.deadline_seconds, bound.verify.hold_seconds) == (60.0, 3.0)
    [step], [after] = bound.steps, bound.after
    assert step.key == digest_id(bound.id, "steps", "0")
    assert step.name == "Switch to r1"
    assert step.params == {"release": "r1"}
    assert step.target == Target(name="instance-b", service="shop", adapter="process")
    assert (step.adapter, step.operation, step.tier) == ("process", "switch_release", Tier.SNAPSHOT)
    assert step.timeout_seconds == 20.0
    assert step.contract.clauses[0].expected == "r1"
    assert step.contract.deadline_seconds == 15.0
    assert after.key == digest_id(bound.id, "after", "0")
    assert after.params == {"weights": {"a": 50, "b": 50}}
    assert after.contract is None


def test_options_of_targets_stay_out_of_plans():
    assert "s3cret" not in repr(plan(INCIDENT, SERVICE, dossier(), [PLAYBOOK]))


def test_no_playbook_for_the_incident():
    for match in (
        Match(names=("Other",)),
        Match(labels={"severity": "warning"}),
        Match(labels={"severity": "critical", "team": "x"}),
        Match(names=("HighErrorRate",), services=("cart",)),
    ):
        assert reasons(replace(PLAYBOOK, match=match)) == ("no playbook is for HighErrorRate of shop",)
    assert plan(INCIDENT, SERVICE, dossier(), []) == NoPlan(
        reasons=("no playbook is for HighErrorRate of shop",), fits=False
    )


def test_named_services_beat_labels_and_labels_beat_order():
    general = named("general", names=("HighErrorRate",))
    second = named("second", names=("HighErrorRate",))
    one = named("one", labels={"severity": "critical"})
    two = named("two", labels={"severity": "critical", "cluster": "test"})
    ours = named("ours", names=("HighErrorRate",), services=("cart", "shop"))

    assert chosen(general, second) == "general"
    assert chosen(second, general) == "second"
    assert chosen(general, one) == "one"
    assert chosen(one, two) == "two"
    assert chosen(two, ours, general) == "ours"


def test_the_next_fitting_playbook_is_taken_where_the_first_cannot_be_bound():
    unbound = replace(
        named("ours", services=("shop",), names=("HighErrorRate",)), steps=(replace(STEP, target="nowhere"),)
    )

    assert chosen(unbound, PLAYBOOK) == "go-back"


def test_every_fitting_playbook_has_its_reason():
    other = replace(PLAYBOOK, name="other", preconditions=(), steps=(replace(STEP, target="x"),))

    answer = plan(INCIDENT, SERVICE, dossier(error_ratio=0.01), [PLAYBOOK, other, named("no", names=("N",))])

    assert answer == NoPlan(
        reasons=(
            "go-back: metric.error_ratio must be at least 0.05, is 0.01",
            "other: step 'Switch to ${release}' needs the target x, which shop does not have",
        ),
        fits=True,
    )


def test_unknown_evidence_without_a_default():
    concept = "change.instance-b.previous_release"
    said = f"go-back: parameter release needs {concept}, which is unknown"
    silent = Dossier(service="shop", gathered_at=NOW, evidence=())
    explained = replace(silent, evidence=(evidence(concept, None, "supervisor does not answer"),))

    assert reasons(known=silent) == (said,)
    assert reasons(known=explained) == (f"{said} (supervisor does not answer)",)


def test_evidence_comes_before_the_default_and_the_default_before_nothing():
    most = Parameter(name="most", kind="number", source="service.limit", default=0.02)
    playbook = replace(PLAYBOOK, parameters=(PLAYBOOK.parameters[0], most))

    def limit(**known):
        return plan(INCIDENT, SERVICE, dossier(**known), [playbook]).plan.verify.clauses[0].expected

    assert limit() == 0.02
    assert limit(**{"service.limit": 0.5}) == 0.5
    assert limit(**{"service.limit": 0}) == 0
    assert limit(**{"service.limit": None}) == 0.02


@pytest.mark.parametrize(
    ("kind", "value", "bound"),
    [
        ("string", "3", "3"),
        ("string", "", ""),
        ("integer", 3, 3),
        ("integer", 3.0, 3),
        ("number", 3, 3),
        ("number", 0.5, 0.5),
        ("boolean", False, False),
        ("boolean", True, True),
    ],
)
def test_values_of_the_right_type_are_bound(kind, value, bound):
    parameter = Parameter(name="release", kind=kind, source="change.instance-b.previous_release")
    playbook = replace(PLAYBOOK, parameters=(parameter, PLAYBOOK.parameters[1]))

    [step] = plan(INCIDENT, SERVICE, dossier(release=value), [playbook]).plan.steps

    assert step.params == {"release": bound}
    assert type(step.params["release"]) is type(bound)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", 3),
        ("string", True),
        ("string", ["r1"]),
        ("string", "\ud800"),
        ("integer", 3.5),
        ("integer", True),
        ("integer", "3"),
        ("integer", 2**60),
        ("number", "3"),
        ("number", True),
        ("number", float("nan")),
        ("number", float("inf")),
        ("boolean", 1),
        ("boolean", "true"),
        ("map", {}),
        ("string", object()),
    ],
)
def test_values_of_another_type_are_refused(kind, value):
    parameter = Parameter(name="release", kind=kind, source="change.instance-b.previous_release")
    playbook = replace(PLAYBOOK, parameters=(parameter, PLAYBOOK.parameters[1]))

    assert reasons(playbook, known=dossier(release=value)) == (
        f"go-back: parameter release must be of type {kind}, but change.instance-b.previous_release is not",
    )


def test_a_default_of_another_type_is_refused():
    playbook = replace(PLAYBOOK, parameters=(Parameter(name="most", kind="number", default="x"),))

    assert reasons(playbook) == ("go-back: parameter most must be of type number, but its default is not",)


def test_targets_must_exist_and_be_of_the_steps_adapter():
    lost = replace(PLAYBOOK, after=(replace(SHARE, target="gone"),))
    wrong = replace(PLAYBOOK, steps=(replace(STEP, target="traffic"),))

    assert reasons(lost) == ("go-back: step 'Share' needs the target gone, which shop does not have",)
    assert reasons(wrong) == (
        "go-back: step 'Switch to ${release}' needs traffic to be a process target, it is a traffic target",
    )


def test_preconditions_must_be_known_and_hold():
    config = Clause(subject="metric.config_valid", comparator=Comparator.ONE_OF, expected=[0, "${most}"])
    playbook = replace(PLAYBOOK, preconditions=(*PLAYBOOK.preconditions, config))

    [said] = reasons(playbook, known=dossier(error_ratio=1 / 30))
    assert said.partition("; ")[::2] == (
        "go-back: metric.error_ratio must be at least 0.05, is 0.0333333",
        "metric.config_valid must be one of [0,0.02], is unknown",
    )
    known = dossier(**{"metric.config_valid": 0.02})
    assert isinstance(plan(INCIDENT, SERVICE, known, [playbook]), Proposal)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("true", '"true"'),
        (True, "true"),
        ({"a": [1, None]}, '{"a": [1, null]}'),
        (2**60, "1152921504606846976"),
        ("x" * 4096, '"' + "x" * 199 + "…"),
    ],
)
def test_an_unmet_precondition_shows_what_was_seen_as_it_is_written_and_short(value, shown):
    asked = Clause(subject="change.app.state", comparator=Comparator.EQUALS, expected=1)
    playbook = replace(PLAYBOOK, preconditions=(asked,))
    assert reasons(playbook, known=dossier(**{"change.app.state": value})) == (
        f"go-back: change.app.state must be equals 1, is {shown}",
    )


def test_a_rollout_needs_a_router_with_its_arms():
    assert reasons(service=replace(SERVICE, router=None)) == (
        "go-back: it rolls out, but shop has no router",
    )
    router = replace(SERVICE.router, arms={"a": "shop-a"})
    assert reasons(service=replace(SERVICE, router=router)) == (
        "go-back: it rolls out over arm b, which the router of shop does not have",
    )
    plain = replace(PLAYBOOK, rollout=None)
    assert isinstance(plan(INCIDENT, replace(SERVICE, router=None), dossier(), [plain]), Proposal)


def test_a_plan_is_of_its_incident_and_of_the_playbooks_version():
    first = plan(INCIDENT, SERVICE, dossier(), [PLAYBOOK]).plan

    assert plan(INCIDENT, SERVICE, dossier(), [PLAYBOOK]).plan == first
    for incident, playbook in (
        (replace(INCIDENT, id="inc_2"), PLAYBOOK),
        (INCIDENT, replace(PLAYBOOK, version="4")),
        (INCIDENT, replace(PLAYBOOK, name="other")),
    ):
        other = plan(incident, SERVICE, dossier(), [playbook]).plan
        assert other.id != first.id
        assert not {action.key for action in other.actions} & {action.key for action in first.actions}


def test_a_value_is_data_not_a_template():
    hostile = "${most} {0.__class__} $${ %s"
    [step] = plan(INCIDENT, SERVICE, dossier(release=hostile), [PLAYBOOK]).plan.steps

    assert step.params == {"release": hostile}
    assert step.name == f"Switch to {hostile}"


@pytest.mark.parametrize(
    ("template", "bound"),
    [
        ("${n}", 3),
        ("n=${n}", "n=3"),
        ("${n}${n}", "33"),
        ("${s}", "x"),
        ("${b}!", "true!"),
        ("${f}", 1.5),
        ("${f} ms", "1.5 ms"),
        ("$${n}", "${n}"),
        ("$$${n}", "$${n}"),
        ("$n {n}", "$n {n}"),
        ({"${n}": ["${s}", {"a": "${b}"}]}, {"${n}": ["x", {"a": True}]}),
        (("${n}",), [3]),
        (None, None),
        (7, 7),
    ],
)
def test_binding(template, bound):
    assert bind(template, {"n": 3, "s": "x", "b": True, "f": 1.5}) == bound


def test_binding_an_unknown_name_is_the_callers_mistake():
    with pytest.raises(KeyError):
        bind("a ${missing}", {})


def test_names_and_malformed_placeholders_of_templates():
    template = {"a": ["${x} ${y}", "$${z}"], "b": "${x}", "c": 5, "${k}": None}

    assert list(names(template)) == ["x", "y", "x"]
    assert not malformed(template)
    for broken in ("${", "${}", "${X}", "${env:A}", "${a b}", ["ok", {"deep": "a ${-}"}]):
        assert malformed(broken)
