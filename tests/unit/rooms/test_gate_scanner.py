"""The scanner rule: critical refuses whoever approved, warnings are told and may ask, a playbook is read once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from penelope.domain.action import Tier
from penelope.domain.gate import Ruling
from penelope.domain.plan import BlockKind, BlockTemplate, Parameter, RollbackTemplate, StepTemplate
from penelope.kit.canonical import Json
from penelope.rooms.gate.ports import Danger, Finding
from penelope.rooms.gate.run import gate
from penelope.rooms.gate.scanner import ScannerRule, values_of_playbook
from penelope.testing.gate import passage, planned

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
PLAN = planned({"params": {"a": 1}}, {"name": "Second"})


def finding(danger: Danger, number: int = 0) -> Finding:
    return Finding(rule=f"rule-{number}", danger=danger, place="here", excerpt="***")


class Scripted:
    def __init__(self, *found: Finding) -> None:
        self.found = found
        self.asked: list[Mapping[str, Json]] = []

    def scan(self, values: Mapping[str, Json]) -> Sequence[Finding]:
        self.asked.append(values)
        return self.found if values else ()


def rule(*dangers: Danger, ask: bool = False) -> ScannerRule:
    scanner = Scripted(*(finding(item, number) for number, item in enumerate(dangers)))
    return ScannerRule(scanner=scanner, ask_on_warning=ask)


@pytest.mark.parametrize(
    ("dangers", "ask", "ruling"),
    [
        ((), True, Ruling.PASS),
        ((Danger.INFO,), True, Ruling.PASS),
        ((Danger.INFO, Danger.WARNING), False, Ruling.PASS),
        ((Danger.INFO, Danger.WARNING), True, Ruling.ASK),
        ((Danger.WARNING, Danger.CRITICAL), False, Ruling.REFUSE),
    ],
)
def test_the_worst_finding_counts(*, dangers: tuple[Danger, ...], ask: bool, ruling: Ruling) -> None:
    verdict = rule(*dangers, ask=ask).check(passage(PLAN, NOW))
    assert verdict.ruling is ruling
    assert verdict.noted is (dangers[-1:] == (Danger.WARNING,))
    assert all(f"{item.value} rule-{number} at here" in verdict.reason for number, item in enumerate(dangers))


def test_many_findings_are_counted_and_the_worst_told() -> None:
    verdict = rule(*[Danger.INFO] * 7, Danger.CRITICAL).check(passage(PLAN, NOW))
    assert verdict.reason.startswith("critical rule-7")
    assert verdict.reason.endswith("and 3 more")


def test_every_action_is_looked_through_and_the_playbook_once() -> None:
    scanner = Scripted()
    made = ScannerRule(scanner=scanner, ask_on_warning=False)
    request = passage(PLAN, NOW)
    made.check(request)
    made.check(request)
    assert list(scanner.asked[0]) == ["1. Restart it (process.restart)", "2. Second (process.restart)"]
    assert len(scanner.asked) == 3


def test_two_actions_of_one_name_are_both_looked_through() -> None:
    scanner = Scripted()
    ScannerRule(scanner=scanner, ask_on_warning=False).check(passage(planned({}, {"params": {"a": 1}}), NOW))
    assert list(scanner.asked[0].values()) == [{}, {"a": 1}]


def test_what_takes_an_action_back_is_looked_through_too() -> None:
    scanner = Scripted()
    [action] = planned({}).actions
    back = replace(action, key="back", name="Take back: it", operation="switch_release", params={"b": 2})
    ScannerRule(scanner=scanner, ask_on_warning=False).check(passage(planned({"rollback": back}), NOW))
    assert list(scanner.asked[0].items()) == [
        ("1. Restart it (process.restart)", {}),
        ("2. Take back: it (process.switch_release)", {"b": 2}),
    ]


def test_rollbacks_and_choices_of_a_playbook_are_looked_through() -> None:
    back = RollbackTemplate(
        adapter="http", operation="call", target="a", params={"path": "/x"}, timeout_seconds=1
    )
    step = StepTemplate(
        name="Do",
        adapter="process",
        operation="restart",
        target="a",
        params={},
        tier=Tier.LOCAL,
        timeout_seconds=1,
        rollback=back,
    )
    playbook = replace(
        passage(PLAN, NOW).playbook,
        steps=(BlockTemplate(kind=BlockKind.SEQUENCE, name="In order", steps=(step,)),),
        parameters=(Parameter(name="p", kind="string", default="d", choices=("d", "e")),),
    )
    assert values_of_playbook(playbook) == {
        "1. Do (process.restart)": {},
        "1. rollback of Do (http.call)": {"path": "/x"},
        "parameter p": "d",
        "choices of p": ["d", "e"],
    }


def test_a_scanner_that_breaks_refuses() -> None:
    class Broken:
        def scan(self, values: Mapping[str, Json]) -> Sequence[Finding]:
            raise RuntimeError(str(values))

    verdict = gate(passage(PLAN, NOW), [ScannerRule(scanner=Broken(), ask_on_warning=False)])
    assert verdict.ruling is Ruling.REFUSE
