from pathlib import Path

import pytest

from penelope.adapters.actions.installed import operations
from penelope.adapters.playbooks.lint import lint
from penelope.adapters.playbooks.load import load, shipped_folder
from penelope.domain.action import Tier
from penelope.domain.analysis import AnalysisSpec
from penelope.domain.contract import Clause, Comparator, Contract
from penelope.domain.deployment import Course, Stage
from penelope.domain.plan import Match, Parameter, StepTemplate
from penelope.domain.rollout import RolloutLimits
from penelope.errors import InvalidPlaybook

ADAPTERS = operations()
SHIPPED = tuple(sorted(path.stem for path in shipped_folder().glob("*.yaml")))

SMALL = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: {name}
version: "{version}"
title: Restart
match: {{labels: {{severity: warning}}}}
steps: [{{name: Restart, action: process.restart, target: a, tier: 1}}]
verify: {{within: 1m, clauses: [{{subject: metric.up, equals: 1}}]}}
"""


def write(folder: Path, name: str, version: str = "1", file: str | None = None) -> Path:
    path = folder / (file or f"{name}.yaml")
    path.write_text(SMALL.format(name=name, version=version))
    return path


def names(library):
    return tuple(playbook.name for playbook in library.playbooks())


def test_everything_that_ships_can_be_used():
    assert names(load([], shipped=True, adapters=ADAPTERS)) == SHIPPED
    assert {"migrate-database", "restart-instance", "revert-bad-config", "rollback-release"} <= set(SHIPPED)
    assert [lint(path, ADAPTERS) for path in sorted(shipped_folder().iterdir())] == [[]] * len(SHIPPED)


def test_nothing_is_loaded_unasked():
    assert load([], shipped=False).playbooks() == ()


def test_the_rollback_becomes_the_value_that_rooms_know():
    library = load([shipped_folder() / "rollback-release.yaml"], shipped=False)

    [playbook] = library.playbooks()

    settled = Contract(
        clauses=(
            Clause(subject="metric.error_ratio", comparator=Comparator.AT_MOST, expected=0.02),
            Clause(subject="metric.latency_p99_seconds", comparator=Comparator.AT_MOST, expected=0.25),
        ),
        deadline_seconds=60.0,
        hold_seconds=3.0,
    )
    assert playbook.match == Match(names=("ShopHighErrorRate", "HighErrorRate"))
    assert playbook.parameters == (
        Parameter(name="release", kind="string", source="change.instance-b.previous_release"),
    )
    assert playbook.preconditions == (
        Clause(subject="metric.error_ratio", comparator=Comparator.AT_LEAST, expected=0.05),
    )
    assert playbook.steps[1] == StepTemplate(
        name="Switch instance b back to ${release}",
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
    assert playbook.rollout == Course(
        canary="b",
        control="a",
        stages=tuple(Stage(weight=weight, min_seconds=4.0, max_seconds=60.0) for weight in (10, 25, 50, 100)),
        interval_seconds=2.0,
        analysis=AnalysisSpec(
            silence_seconds=60.0,
            negligible_error_ratio=0.01,
            negligible_slow_ratio=0.05,
            limits=RolloutLimits(max_latency_p99_increase_seconds=0.5, min_requests=10),
        ),
    )
    assert [(step.adapter, step.target, step.tier) for step in playbook.after] == [
        ("process", "instance-a", 2),
        ("traffic", "traffic", 1),
    ]
    assert playbook.verify == settled
    assert playbook.approval is False


def test_a_migration_asks_a_person():
    [playbook] = load([shipped_folder() / "migrate-database.yaml"], shipped=False).playbooks()

    assert playbook.approval is True
    assert playbook.tier is Tier.HARD_TO_REVERSE


def test_defaults_of_what_a_playbook_leaves_out(tmp_path):
    [playbook] = load([write(tmp_path, "small")], shipped=False).playbooks()

    assert playbook.steps[0].timeout_seconds == 60.0
    assert playbook.steps[0].params == {}
    assert playbook.rollout is None
    assert playbook.match.labels == {"severity": "warning"}


def test_a_folder_is_read_by_name_and_files_in_the_order_given(tmp_path):
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder", "two", file="b.yml")
    write(tmp_path / "folder", "one", file="a.yaml")
    (tmp_path / "folder" / "README.md").write_text("not a playbook")
    last = write(tmp_path, "zero")

    assert names(load([tmp_path / "folder", last], shipped=False)) == ("one", "two", "zero")


def test_what_an_editor_leaves_in_a_folder_is_no_playbook(tmp_path):
    write(tmp_path, "first")
    (tmp_path / ".#first.yaml").symlink_to("ada@laptop.4711")
    (tmp_path / ".first.yaml.swp.yml").write_text("half a")

    assert names(load([tmp_path], shipped=False)) == ("first",)


def test_an_operators_playbook_comes_first_and_replaces_the_shipped_one(tmp_path):
    write(tmp_path, "rollback-release", version="mine")

    library = load([tmp_path], shipped=True)

    assert names(library) == ("rollback-release", *(name for name in SHIPPED if name != "rollback-release"))
    assert library.playbooks()[0].version == "mine"


def test_two_files_may_not_hold_the_same_name(tmp_path):
    write(tmp_path, "same", file="a.yaml")
    second = write(tmp_path, "same", file="b.yaml")

    with pytest.raises(InvalidPlaybook) as refused:
        load([tmp_path], shipped=False)

    assert str(refused.value) == f"{second}:1:1: another file holds a playbook named 'same' already"


def test_mistakes_of_all_files_are_named_at_once(tmp_path):
    first, second = write(tmp_path, "Bad", file="a.yaml"), write(tmp_path, "bad_", file="b.yaml")
    missing = tmp_path / "missing.yaml"

    with pytest.raises(InvalidPlaybook) as refused:
        load([tmp_path, missing], shipped=True)

    assert str(refused.value).splitlines() == [
        f"{first}:3:7: must be lower-case words joined by hyphens",
        f"{second}:3:7: must be lower-case words joined by hyphens",
        f"{missing}:1:1: no such file",
    ]
    assert "penelope playbooks lint" in refused.value.advice


def test_unknown_actions_are_refused_where_the_adapters_are_known(tmp_path):
    path = write(tmp_path, "small")

    assert names(load([path], shipped=False)) == ("small",)
    with pytest.raises(InvalidPlaybook, match="there is no adapter 'process'"):
        load([path], shipped=False, adapters={"http": {"call"}})
