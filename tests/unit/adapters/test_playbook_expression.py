"""Expressions of `match`: judged over the incident, and failing without a word of what it holds."""

from datetime import UTC, datetime

import pytest

from penelope.adapters.actions.installed import operations
from penelope.adapters.playbooks.expression import holds
from penelope.adapters.playbooks.load import load
from penelope.domain.evidence import Dossier
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.service import Service, Target
from penelope.domain.signal import Severity
from penelope.rooms.plan.run import NoPlan, Proposal, plan

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
FILE = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: only-east
version: "1"
title: Only in the east
match: {expression: "incident.labels['zone'] == 'east' && incident.severity in ['error', 'critical']"}
steps: [{name: Restart, action: process.restart, target: a, tier: 1}]
verify: {within: 1m, clauses: [{subject: metric.up, equals: 1}]}
"""


def incident(severity=Severity.ERROR, **labels):
    return Incident(
        id="inc_1",
        service="shop",
        fingerprint="f1",
        name="Slow",
        severity=severity,
        state=IncidentState.RECEIVED,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
        labels=labels,
    )


@pytest.mark.parametrize(
    "source",
    [
        "incident.name == 'Slow'",
        "incident.service.startsWith('sh')",
        "incident.severity == 'error'",
        "incident.fingerprint.matches('^f[0-9]$')",
        "'zone' in incident.labels && incident.labels['zone'] == 'east'",
        "incident.labels.exists(name, name == 'zone')",
    ],
)
def test_what_is_true_of_an_incident(source):
    assert holds(source)(incident(zone="east")) is True
    assert holds(f"!({source})")(incident(zone="east")) is False


def test_what_cannot_be_judged_says_why_and_nothing_of_the_incident():
    with pytest.raises(ValueError, match="it asks for a label that the incident does not have") as refused:
        holds("incident.labels['secret'] == incident.labels['zone']")(incident(zone="s3cret"))
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1", "must be true or false, but it is of type int"),
        ("incident.nme == 'x'", r"did you mean 'incident\.name'"),
        ("whatever == 'x'", r"docs/playbooks\.md lists the variables"),
        ("incident.name + incident.name == 'x'", "no matching overload"),
        ("incident.labels.map(name, name).size() > 0", "undeclared reference"),
        ("true\u200b", "holds a character that cannot be seen"),
        ("'a' == " + " + ".join(["'a'"] * 12), "more than 8 plus signs"),
    ],
)
def test_what_is_not_admitted(source, said):
    with pytest.raises(ValueError, match=said):
        holds(source)


def test_a_playbook_with_an_expression_is_chosen_by_it(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(FILE)
    playbooks = load([path], shipped=False, adapters=operations()).playbooks()
    service = Service(
        name="shop", owner="o", tier=2, targets={"a": Target(name="a", service="shop", adapter="process")}
    )
    nothing = Dossier(service="shop", gathered_at=NOW, evidence=())

    def chosen(found):
        return plan(found, service, nothing, playbooks)

    assert isinstance(chosen(incident(zone="east")), Proposal)
    assert chosen(incident(zone="west")).reasons == ("no playbook is for Slow of shop",)
    assert isinstance(chosen(incident(Severity.WARNING, zone="east")), NoPlan)
    [_, said] = chosen(incident()).reasons
    assert said == (
        "only-east: its expression cannot be judged: it asks for a label that the incident does not have"
    )
