"""Blocks become a course, lists become actions of their own, bounds are kept, rollbacks are found."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penelope.domain.action import ONCE, Retry, Tier
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.evidence import Dossier, Evidence
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.plan import (
    BlockKind,
    BlockTemplate,
    Match,
    Parameter,
    Plan,
    Playbook,
    RollbackTemplate,
    StepTemplate,
)
from penelope.domain.service import Service, Target
from penelope.domain.signal import Severity
from penelope.kit.codec import from_data, to_data
from penelope.kit.ids import digest_id
from penelope.rooms.plan.course import action_keys
from penelope.rooms.plan.run import NoPlan, Proposal, plan

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
INCIDENT = Incident(
    id="inc_1",
    service="shop",
    fingerprint="f1",
    name="Slow",
    severity=Severity.ERROR,
    state=IncidentState.RECEIVED,
    opened_at=NOW,
    updated_at=NOW,
    signal_count=1,
    labels={"pod": "web-1", "port": "8080", "ratio": "0.5", "on": "true", "evil": "--rm -rf"},
)
SERVICE = Service(
    name="shop",
    owner="o",
    tier=2,
    targets={
        name: Target(name=name, service="shop", adapter="process", options={"secret": "s3cret"})
        for name in ("a", "b", "c")
    }
    | {"hook": Target(name="hook", service="shop", adapter="http")},
)
MEMBERS = Parameter(name="members", kind="list", source="change.pool.members")


def clause(subject="metric.up", expected=1):
    return Clause(subject=subject, comparator=Comparator.AT_LEAST, expected=expected)


def contract(*clauses, deadline=5.0):
    return Contract(clauses=clauses or (clause(),), deadline_seconds=deadline)


def step(name="Do", target="a", **more):
    given = {"params": {}, "tier": Tier.LOCAL, "timeout_seconds": 60.0, **more}
    return StepTemplate(name=name, adapter="process", operation="restart", target=target, **given)


def block(kind, *steps, name="Block", **more):
    return BlockTemplate(kind=kind, name=name, steps=steps, **more)


def each(*steps, name="Each", **more):
    given = {"items": "members", "variable": "member", "at_most": 5, **more}
    return block(BlockKind.FOREACH, *steps, name=name, **given)


def playbook(*steps, after=(), parameters=(MEMBERS,), match=None, preconditions=()):
    return Playbook(
        name="p",
        version="1",
        title="P",
        match=match or Match(names=("Slow",)),
        steps=steps,
        after=after,
        parameters=parameters,
        preconditions=preconditions,
        verify=contract(),
    )


def dossier(**found):
    values = {"members": ["a", "b"], **found}
    evidence = [
        Evidence(concept=f"change.pool.{name}", value=value, source="s", observed_at=NOW, confidence=1.0)
        for name, value in values.items()
    ]
    return Dossier(service="shop", gathered_at=NOW, evidence=tuple(evidence))


def bound(book, incident=INCIDENT, **found):
    answer = plan(incident, SERVICE, dossier(**found), [book])
    assert isinstance(answer, Proposal), answer
    return answer.plan


def why_not(book, incident=INCIDENT, **found):
    answer = plan(incident, SERVICE, dossier(**found), [book])
    assert isinstance(answer, NoPlan)
    return answer.reasons


def drawn(nodes):
    """A course as nested lists: kind and name, and what is below."""
    return [
        (node.kind.value, node.name, *([drawn(node.children)] if node.children else []))
        + ((drawn(node.otherwise),) if node.otherwise else ())
        for node in nodes
    ]


# --- courses ----------------------------------------------------------------------------------------------


def test_plain_steps_need_no_course():
    made = bound(playbook(step(), step("Then", "b"), after=(step("Last", "c"),)))

    assert (made.course, made.after_course) == ((), ())
    assert [action.key for action in made.steps] == [digest_id(made.id, "steps", str(n)) for n in (0, 1)]


def test_blocks_become_the_course_and_all_actions_are_listed_as_they_are_written():
    asked, awaited = contract(clause("metric.error_ratio", 0.1)), contract(deadline=30.0)
    made = bound(
        playbook(
            step("First", "a"),
            block(
                BlockKind.PARALLEL,
                step("Left", "a"),
                block(BlockKind.SEQUENCE, step("Right", "b"), step("Right again", "b"), name="In order"),
                name="Both",
            ),
            block(
                BlockKind.CONDITION,
                step("Yes", "b"),
                name="Failing?",
                otherwise=(step("No", "c"),),
                condition=asked,
            ),
            block(BlockKind.WAIT, name="Up?", condition=awaited),
            after=(step("Last", "c"),),
        )
    )

    assert [action.name for action in made.steps] == ["First", "Left", "Right", "Right again", "Yes", "No"]
    assert drawn(made.course) == [
        ("action", "First"),
        (
            "parallel",
            "Both",
            [
                ("action", "Left"),
                ("sequence", "In order", [("action", "Right"), ("action", "Right again")]),
            ],
        ),
        ("condition", "Failing?", [("action", "Yes")], [("action", "No")]),
        ("wait", "Up?"),
    ]
    assert made.course[2].condition == asked
    assert made.course[3].condition == awaited
    assert action_keys(made.course) == [action.key for action in made.steps]
    assert made.after_course == ()
    assert made.steps[0].key == digest_id(made.id, "steps", "0")
    assert from_data(Plan, to_data(made)) == made


def test_every_item_of_a_list_has_its_actions():
    made = bound(playbook(each(step("Restart ${member}", "${member}"), step("Note", "c"))))

    assert [action.name for action in made.steps] == ["Restart a", "Note (a)", "Restart b", "Note (b)"]
    assert [action.target.name for action in made.steps] == ["a", "c", "b", "c"]
    assert drawn(made.course) == [
        (
            "sequence",
            "Each",
            [
                ("sequence", "a", [("action", "Restart a"), ("action", "Note (a)")]),
                ("sequence", "b", [("action", "Restart b"), ("action", "Note (b)")]),
            ],
        )
    ]


def test_names_stay_short_and_keys_apart_however_long_items_are():
    items = ["x" * 5_000, "x" * 5_000 + "y"]
    made = bound(playbook(each(step("Do ${member}", "a"), step("Note", "c"))), members=items)

    assert {action.name for action in made.steps} == {"Do " + "x" * 197 + "…", "Note (" + "x" * 194 + "…"}
    assert len({action.key for action in made.steps}) == 4
    assert {node.name for node in made.course[0].children} == {"x" * 200 + "…"}
    (said,) = why_not(playbook(each(step("Do", "${member}"))), members=items)
    assert said == f"p: step 'Do' needs the target {'x' * 200}…, which shop does not have"


def test_an_item_keeps_its_key_when_the_list_changes():
    book = playbook(each(step("Restart ${member}", "${member}")))
    keys = {action.name: action.key for action in bound(book, members=["a", "b", "c"]).steps}

    assert {action.name: action.key for action in bound(book, members=["c", "a"]).steps} == {
        name: keys[name] for name in ("Restart a", "Restart c")
    }


def test_lists_in_lists():
    inner = each(step("Do", params={"v": "${member}-${other}"}), items="others", variable="other")
    others = Parameter(name="others", kind="list", default=["x", "y"])

    made = bound(playbook(each(inner), parameters=(MEMBERS, others)))

    assert [action.name for action in made.steps] == ["Do (a, x)", "Do (a, y)", "Do (b, x)", "Do (b, y)"]
    assert [action.params["v"] for action in made.steps] == ["a-x", "a-y", "b-x", "b-y"]


def test_an_item_is_data_not_a_template():
    book = playbook(each(step("Do", params={"v": "${member}"})))

    [action] = bound(book, members=["${member} $${"]).steps

    assert action.params == {"v": "${member} $${"}


def test_what_a_list_may_not_be():
    book = playbook(step("Always"), each(step("Do", params={"v": "${member}"})))

    assert why_not(book, members=list("abcdef")) == ("p: members has 6 items, 'Each' goes through 5 at most",)
    assert why_not(book, members=["a", "b", "a"]) == ("p: members names something twice",)
    assert why_not(book, members=["a", 1]) == (
        "p: parameter members must be of type list, but change.pool.members is not",
    )
    assert why_not(book, members="a") == (
        "p: parameter members must be of type list, but change.pool.members is not",
    )
    assert why_not(book, members=["a"] * 1001)[0].endswith("change.pool.members is not")


def test_an_empty_list_is_nothing_to_do():
    alone = playbook(each(step("Do ${member}")))
    beside = playbook(step("Always"), each(block(BlockKind.PARALLEL, each(step("Do ${member}")))))

    assert why_not(alone, members=[]) == (
        "p: there is nothing to do: every list that it goes through is empty",
    )
    assert drawn(bound(beside, members=[]).course) == [("action", "Always")]


def test_a_plan_has_a_hundred_actions_at_most():
    many = [f"m{number}" for number in range(100)]
    once = each(step("Do", params={"v": "${member}"}), at_most=100)

    assert len(bound(playbook(once), members=many).steps) == 100
    assert why_not(playbook(once, step("More")), members=many) == (
        "p: it would take 101 actions, more than 100",
    )
    deep = each(each(step("Do"), variable="other", at_most=100), at_most=100)
    assert why_not(playbook(deep), members=many) == ("p: its lists are too long: more than 1000 places",)


def test_branches_keep_to_targets_of_their_own():
    book = playbook(
        block(BlockKind.PARALLEL, each(step("Do ${member}", "${member}")), step("Other", "c"), name="Both")
    )

    assert len(bound(book, members=["a", "b"]).steps) == 3
    assert why_not(book, members=["a", "c"]) == ("p: two branches of 'Both' act on c",)


def test_conditions_are_bound():
    limit = Parameter(name="limit", kind="number", default=0.25)
    asked = contract(clause("metric.error_ratio", "${limit}"))
    made = bound(playbook(block(BlockKind.CONDITION, step(), condition=asked), parameters=(MEMBERS, limit)))

    assert made.course[0].condition.clauses[0].expected == 0.25


def test_targets_named_by_evidence_must_exist_and_be_of_the_adapter():
    book = playbook(each(step("Do ${member}", "${member}")))

    assert why_not(book, members=["z"]) == (
        "p: step 'Do ${member}' needs the target z, which shop does not have",
    )
    assert why_not(book, members=["hook"]) == (
        "p: step 'Do ${member}' needs hook to be a process target, it is a http target",
    )


# --- steps ------------------------------------------------------------------------------------------------


def test_a_rollback_becomes_an_action_of_its_own():
    back = RollbackTemplate(
        adapter="http",
        operation="call",
        target="hook",
        params={"path": "/${member}"},
        timeout_seconds=7.0,
    )
    retry = Retry(attempts=3, pause_seconds=2.0)
    given = step("Do ${member}", "${member}", tier=Tier.SNAPSHOT, rollback=back, retry=retry, idempotent=True)

    action = bound(playbook(each(given))).steps[1]

    assert (action.retry, action.idempotent, action.keep) == (retry, True, False)
    rollback = action.rollback
    assert rollback.key == digest_id(action.key, "rollback")
    assert rollback.name == "Take back: Do b"
    assert (rollback.adapter, rollback.operation, rollback.target.name) == ("http", "call", "hook")
    assert rollback.target.options == {}
    assert (rollback.params, rollback.timeout_seconds) == ({"path": "/b"}, 7.0)
    assert (rollback.tier, rollback.rollback, rollback.retry) == (Tier.SNAPSHOT, None, ONCE)
    nowhere = replace(given, rollback=replace(back, target="gone"))
    assert why_not(playbook(each(nowhere))) == (
        "p: step 'Do ${member}' needs the target gone, which shop does not have",
    )


def test_what_stays_is_said():
    assert bound(playbook(step(keep=True))).steps[0].keep is True


# --- parameters -------------------------------------------------------------------------------------------


def labelled(kind="string", label="pod", **more):
    return Parameter(name="v", kind=kind, source=f"label.{label}", **more)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (labelled(pattern="web-[0-9]+"), "web-1"),
        (labelled(choices=("web-1", "web-2")), "web-1"),
        (labelled("integer", "port", at_least=1, at_most=65535), 8080),
        (labelled("number", "ratio"), 0.5),
        (labelled("boolean", "on"), True),
        (labelled(label="gone", default="fallback", pattern="[a-z]+"), "fallback"),
    ],
)
def test_labels_are_bound_with_their_type(parameter, value):
    [action] = bound(playbook(step(params={"v": "${v}"}), parameters=(parameter,))).steps

    assert action.params == {"v": value}
    assert type(action.params["v"]) is type(value)


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        (labelled(label="evil", pattern="[a-z-]+"), "v has a value that does not follow its pattern [a-z-]+"),
        (labelled(label="evil", choices=("x",)), 'v has a value that is not one of ["x"]'),
        (labelled(label="gone"), "v needs label.gone, which is unknown (the incident has no such label)"),
        (labelled("integer", "ratio"), "v must be of type integer, but label.ratio is not"),
        (labelled("number", "evil"), "v must be of type number, but label.evil is not"),
        (labelled("boolean", "pod"), "v must be of type boolean, but label.pod is not"),
        (labelled("list", "pod"), "v must be of type list, but label.pod is not"),
        (labelled("integer", "port", at_most=1024), "v must be at most 1024, is 8080"),
        (labelled(at_most=3), "v must be at most 3 characters, is 5 characters"),
    ],
)
def test_labels_that_break_their_bounds_are_refused_without_being_shown(parameter, said):
    [reason] = why_not(playbook(step(params={"v": "${v}"}), parameters=(parameter,)))

    assert reason == f"p: parameter {said}"
    assert "--rm" not in reason


@pytest.mark.parametrize("port", ["1e3", "0x10", " 80", "+1", "8080\n", "\u0661", "9" * 16, "--1", ""])
def test_only_plain_figures_are_figures(port):
    incident = replace(INCIDENT, labels={"port": port})
    parameter = labelled("integer", "port", at_least=0, at_most=10**15)

    [reason] = why_not(playbook(step(params={"v": "${v}"}), parameters=(parameter,)), incident)

    assert reason == "p: parameter v must be of type integer, but label.port is not"


@pytest.mark.parametrize(
    ("bounds", "members", "said"),
    [
        ({"pattern": "[a-c]"}, ["a", "x"], "has an item that does not follow its pattern [a-c]"),
        ({"choices": ("a",)}, ["a", "b"], 'has an item that is not one of ["a"]'),
        ({"at_least": 3}, ["a", "b"], "must be at least 3 items, is 2 items"),
        ({"at_most": 1}, ["a", "b"], "must be at most 1 items, is 2 items"),
    ],
)
def test_bounds_of_lists_hold_for_their_items_and_their_length(bounds, members, said):
    book = playbook(each(step("Do ${member}")), parameters=(replace(MEMBERS, **bounds),))

    assert why_not(book, members=members) == (f"p: parameter members {said}",)


def test_a_long_text_is_not_held_against_a_pattern():
    parameter = labelled(pattern="[a-z]+")
    book = playbook(step(params={"v": "${v}"}), parameters=(parameter,))

    assert bound(book, replace(INCIDENT, labels={"pod": "a" * 1024}))
    assert why_not(book, replace(INCIDENT, labels={"pod": "a" * 1025})) == (
        "p: parameter v has a value that is longer than 1024 characters",
    )


def test_true_is_not_one_among_choices():
    parameter = Parameter(name="v", kind="boolean", source="change.pool.v", choices=(1,))

    assert why_not(playbook(step(params={"v": "${v}"}), parameters=(parameter,)), v=True) == (
        "p: parameter v has a value that is not one of [1]",
    )


def test_preconditions_may_ask_for_labels():
    asked = Clause(subject="label.pod", comparator=Comparator.ONE_OF, expected=["web-1"])

    assert bound(playbook(step(), preconditions=(asked,)))
    other = replace(INCIDENT, labels={})
    assert why_not(playbook(step(), preconditions=(asked,)), other) == (
        'p: label.pod must be one of ["web-1"], is unknown',
    )


# --- match ------------------------------------------------------------------------------------------------


def test_severities_and_fingerprints_must_fit():
    for fits in (Match(severities=("error", "critical")), Match(fingerprints=("f0", "f1"))):
        assert bound(playbook(step(), match=fits))
    for other in (Match(severities=("warning",)), Match(fingerprints=("f0",))):
        assert why_not(playbook(step(), match=other)) == ("no playbook is for Slow of shop",)


def test_a_playbook_for_just_this_problem_goes_first():
    general = replace(playbook(step(), match=Match(services=("shop",))), name="general")
    special = replace(playbook(step(), match=Match(fingerprints=("f1",))), name="special")

    assert plan(INCIDENT, SERVICE, dossier(), [general, special]).playbook.name == "special"


def test_an_expression_decides():
    for answer in (True, False):
        match = Match(names=("Slow",), expression="e", holds=lambda _, answer=answer: answer)
        assert (
            isinstance(plan(INCIDENT, SERVICE, dossier(), [playbook(step(), match=match)]), Proposal)
            is answer
        )


def test_an_expression_that_cannot_be_judged_does_not_match_and_says_why():
    def broken(_):
        raise ValueError("Key not found in map")

    match = Match(names=("Slow",), expression="e", holds=broken)
    other = replace(playbook(step()), name="other")

    said = "p: its expression cannot be judged: Key not found in map"
    assert plan(INCIDENT, SERVICE, dossier(), [playbook(step(), match=match)]) == NoPlan(
        reasons=("no playbook is for Slow of shop", said), fits=False
    )
    assert plan(INCIDENT, SERVICE, dossier(), [playbook(step(), match=match), other]).playbook is other
    uncompiled = Match(names=("Slow",), expression="e")
    assert why_not(playbook(step(), match=uncompiled))[1].endswith("nobody compiled it")
