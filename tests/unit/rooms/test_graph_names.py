"""What the graph has names for becomes definitions, and a row is judged by all that it tells of."""

from typing import Any

import pytest

from penelope.domain.access import Classification
from penelope.domain.concept import DefinitionKind
from penelope.rooms.context.assets import row_assets
from penelope.rooms.context.names_of import names_of


def row(identifier: Any, kind: Any, **more: Any) -> dict[str, Any]:
    return {"id": identifier, "kind": kind, "name": "Pay", "classification": "internal", **more}


def test_things_that_people_name_are_definitions() -> None:
    service, team = names_of(
        [row("service:pay", "Service"), row("team:pay", "Team", classification="public")]
    )
    assert (service.name, service.kind, service.title) == ("service:pay", DefinitionKind.SERVICE, "Pay")
    assert (service.classification, service.certified) == (Classification.INTERNAL, True)
    assert (team.kind, team.classification, team.certified) == (
        DefinitionKind.TEAM,
        Classification.PUBLIC,
        False,
    )
    assert names_of([row("dataset:x", "Dataset", name="")])[0].title == "x"


@pytest.mark.parametrize(
    ("identifier", "kind"),
    [
        ("person:ada", "Person"),
        ("document:1", "Runbook"),
        ("playbook:restart", "Runbook"),
        ("table:orders", "Dataset"),
        ("orders.revenue", "Service"),
        ("service:", "Service"),
        ("service", "Service"),
        ("metric:orders.revenue", "Metric"),
        ("service:a", None),
        (None, "Service"),
        (["service:a"], "Service"),
    ],
)
def test_others_are_none(identifier: Any, kind: Any) -> None:
    assert names_of([row(identifier, kind)]) == ()


@pytest.mark.parametrize("said", [None, "secret", 3, ["internal"]])
def test_what_does_not_say_how_harmful_it_is_counts_as_restricted(said: Any) -> None:
    [found] = names_of([row("service:a", "Service", classification=said)])
    assert found.classification is Classification.RESTRICTED


def test_a_way_is_judged_by_each_thing_on_it() -> None:
    things = [row("service:a", "Service"), row("host:b", "Host", classification="confidential"), "odd"]
    found = row_assets({"path": ["service:a", "host:b"], "things": things, "distance": 1})
    assert [(each.name, each.classification.value) for each in found] == [
        ("service:a", "internal"),
        ("host:b", "confidential"),
        ("", "restricted"),
    ]


@pytest.mark.parametrize("things", [None, [], "service:a", {}])
def test_a_row_that_shows_no_things_is_judged_by_itself(things: Any) -> None:
    [found] = row_assets({"path": ["service:a"], "things": things})
    assert found.classification is Classification.RESTRICTED
