"""The known ways in which guards fail: each refuses here when it breaks, takes too long, gets garbage, or is lied to."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penelope.adapters.calendars.ical import parsed, spans
from penelope.adapters.calendars.shelf import Shelf
from penelope.adapters.policy.cel import EXAMPLE, Expressions, Policy, compiled
from penelope.adapters.policy.load import load_expressions
from penelope.adapters.policy.rego import load_rego
from penelope.adapters.scanners.scan import ThoroughScanner
from penelope.bootstrap.parts import rules_of
from penelope.domain.asking import AskingPolicy
from penelope.domain.gate import GateVerdict, Ruling
from penelope.domain.outcome import PlaybookRecord
from penelope.errors import BadSettings, InvalidPolicy
from penelope.flow.lifting import judged
from penelope.rooms.gate.dependency import Dependency
from penelope.rooms.gate.policy import PolicyRule
from penelope.rooms.gate.ports import Danger
from penelope.rooms.gate.rest import Rest
from penelope.rooms.gate.rules import Request, Rule, Upstream
from penelope.rooms.gate.run import gate
from penelope.rooms.gate.scanner import ScannerRule
from penelope.settings import Settings
from penelope.testing.clock import FakeClock
from penelope.testing.gate import approval_of, passage, planned

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
POLICIES = Path(__file__).resolve().parents[2] / "policies"
PLAN = planned({"params": {"release": "1.4.2"}})
CASE = passage(PLAN, NOW)
SCANNER = ThoroughScanner(5.0)


class Empty:
    def pauses(self, service: str, moment: datetime) -> list[Any]:  # noqa: ARG002 - there are none
        return []


RULES: Sequence[Rule] = (
    Rest(calendars=Empty(), cooldown_seconds=60),
    PolicyRule(name="policy", policies=load_expressions([POLICIES / "examples.yaml"])),
    PolicyRule(name="rego", policies=load_rego([POLICIES])),
    ScannerRule(scanner=SCANNER, ask_on_warning=True),
    Dependency(wait_seconds=60, recheck_seconds=5),
)


def policy(expression: str, ruling: Ruling = Ruling.REFUSE) -> PolicyRule:
    return PolicyRule(name="policy", policies=Expressions([compiled("p", ruling, "no", expression)]))


def verdict(rule: Rule, request: Request = CASE) -> GateVerdict:
    return gate(request, [rule])


# --- a rule that breaks, and garbage ----------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_an_ordinary_request_passes(rule: Rule) -> None:
    assert verdict(rule).ruling is Ruling.PASS


class Breaking:
    """Stands for every port, and breaks whatever is asked of it."""

    def __len__(self) -> int:
        return 1

    def __getattr__(self, name: str) -> Any:
        raise TimeoutError(name)


@pytest.mark.parametrize(
    "rule",
    [
        Rest(calendars=Breaking(), cooldown_seconds=60),  # type: ignore[arg-type]  # a port that breaks
        PolicyRule(name="policy", policies=Breaking()),  # type: ignore[arg-type]  # a port that breaks
        ScannerRule(scanner=Breaking(), ask_on_warning=True),  # type: ignore[arg-type]  # a port that breaks
    ],
    ids=lambda rule: rule.name,
)
def test_a_rule_whose_port_breaks_refuses(rule: Rule) -> None:
    found = verdict(rule)
    assert found.ruling is Ruling.REFUSE
    assert "the rule broke (TimeoutError)" in found.reasons[0]


@pytest.mark.parametrize(
    ("name", "garbage"),
    [
        ("rest", {"record": None}),
        ("rest", {"now": None, "record": PlaybookRecord(playbook="", service="", healed_at=NOW)}),
        ("rest", {"service": None}),
        ("policy", {"plan": None}),
        ("policy", {"decision": None}),
        ("policy", {"now": "yesterday"}),
        ("rego", {"record": None}),
        ("rego", {"incident": None}),
        ("scanner", {"plan": None}),
        ("scanner", {"playbook": None}),
        ("dependency", {"upstream": [Upstream(id="i", service="s", opened_at=NOW)], "now": None}),
    ],
)
def test_a_missing_input_refuses(name: str, garbage: dict[str, Any]) -> None:
    [rule] = [item for item in RULES if item.name == name]
    assert verdict(rule, replace(CASE, **garbage)).ruling is Ruling.REFUSE


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=40),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
        max_leaves=20,
    )
)
def test_whatever_the_parameters_are_every_rule_answers(value: Any) -> None:
    request = passage(planned({"params": {"value": value}}), NOW)
    for rule in RULES:
        assert verdict(rule, request).ruling in {Ruling.PASS, Ruling.ASK, Ruling.REFUSE}


def test_nobody_can_approve_what_is_refused() -> None:
    approved = replace(CASE, approvals=[approval_of(PLAN, NOW, reasons=("policy: may I?",))])

    def with_that_word(rule: Rule) -> Ruling:
        return judged(approved, [rule], None, AskingPolicy(good_seconds=60.0)).ruling

    assert with_that_word(policy("plan.tier == 1")) is Ruling.REFUSE
    assert with_that_word(policy("incident.labels.team == 'x'", Ruling.ASK)) is Ruling.REFUSE
    assert with_that_word(policy("plan.tier == 1", Ruling.ASK)) is Ruling.PASS


# --- expressions ------------------------------------------------------------------------------------------

LIST = f"[{', '.join('1' * 90)}]"


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('id') == 0",
        "service.__class__ == 1",
        "open('/etc/passwd') != ''",
        "true) || (true",
        "true], [true",
        "true // ) || (",
        "'a'.format('b') == ''",
        "dyn(service.tier) == 'x'",
        "[1].map(x, x) == [1]",
        "['a' + 'a'].exists(x, [x + x].exists(y, y == ''))",
        "(" * 200 + "true" + ")" * 200,
        "1" + " + 1" * 20 + " > 0",
        "service.name.matches('(((((a{99}){99}){99}){99}')",
        "\u202etrue",
        "",
        "   ",
    ],
)
def test_an_expression_that_would_escape_or_explode_is_not_loaded(expression: str) -> None:
    # A comment at the end is harmless; what it would hide must not be.
    if expression.startswith("true //"):
        assert policy(expression).policies.objections(EXAMPLE)
        return
    with pytest.raises(ValueError, match=r"\S"):
        policy(expression)


@pytest.mark.parametrize(
    "expression",
    [
        f"{LIST}.all(a, {LIST}.all(b, {LIST}.all(c, true))) || false",
        "1 / (service.tier - 4) > 0",
        "incident.labels.team == 'x'",
        "plan.actions[99].name == 'x'",
        "plan.actions.exists(a, a.params.nothing == 'x')",
        "plan.actions[0].params.release > 3",
        "timestamp(service.name) < now",
    ],
)
@pytest.mark.parametrize("ruling", [Ruling.ASK, Ruling.REFUSE])
def test_an_expression_that_fails_denies_whatever_its_effect(expression: str, ruling: Ruling) -> None:
    try:
        rule = policy(expression, ruling)
    except ValueError:
        return  # found when it was loaded, which is better still
    assert verdict(rule).ruling is Ruling.REFUSE


def test_a_mistake_in_one_file_stops_all_of_them(tmp_path: Path) -> None:
    text = (POLICIES / "examples.yaml").read_text()
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(text.replace("service.tier == 1", "service.tier = 1"))
    configured = Settings.model_validate({"policy": {"paths": [tmp_path]}})
    with pytest.raises(InvalidPolicy):
        rules_of(configured, Empty())


def test_what_came_uncompiled_past_the_loader_denies() -> None:
    class Odd:
        def eval(self, activation: object) -> Any:
            raise MemoryError(activation)

    made = compiled("p", Ruling.REFUSE, "no", "plan.tier == 9")
    odd = Policy(name="odd", ruling=Ruling.ASK, message="", source="false", program=Odd())
    expressions = Expressions([made, odd])
    expressions._all = Odd()
    assert [(item.policy, item.ruling) for item in expressions.objections(EXAMPLE)] == [
        ("odd", Ruling.REFUSE)
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**30, b"bytes", object()])
def test_values_that_no_language_knows_deny_and_do_not_pass(value: object) -> None:
    [found] = policy("plan.actions[0].params.x == 'y'").policies.objections(
        {**EXAMPLE, "plan.actions": [{**EXAMPLE["plan.actions"][0], "params": {"x": value}}]}
    ) or [None]
    assert found is None or found.ruling is Ruling.REFUSE
    request = passage(planned({"params": {"x": value}}), NOW)
    assert verdict(RULES[2], request).ruling is (Ruling.PASS if value == 10**30 else Ruling.REFUSE)


# --- calendars that lie -----------------------------------------------------------------------------------


def calendar(event: str) -> bytes:
    return (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:1\r\nSUMMARY:Freeze\r\n"
        f"{event}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    ).encode()


@pytest.mark.parametrize(
    "event",
    [
        "DTSTART:20261121T060000Z",
        "DTSTART:20261121T060000Z\r\nDTEND:19700101T000000Z",
        "DTSTART;TZID=Nowhere/Land:20261121T060000\r\nDTEND;TZID=Nowhere/Land:20261121T080000",
        "DTSTART:20261121T060000Z\r\nDTEND:20261121T080000Z\r\nRRULE:FREQ=SECONDLY",
        "DTSTART:20261121T060000Z\r\nDTEND:20261121T080000Z\r\nRRULE:FREQ=DAILY;UNTIL=whenever",
        "DTSTART:20261121T060000Z\r\nDTEND:20261121T080000Z\r\nEXDATE:whenever",
        "DTSTART:20261121T060000Z\r\nDURATION:-PT2H",
    ],
)
def test_a_calendar_that_is_half_understood_is_no_calendar(event: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parsed(calendar(event))
    (tmp_path / "a.ics").write_bytes(calendar(event))
    file = tmp_path / "calendars.yaml"
    file.write_text(
        "apiVersion: penelope.dev/v1\nkind: Calendars\ncalendars: [{name: freeze, source: a.ics}]\n"
    )
    with pytest.raises(BadSettings):
        Shelf(file, tmp_path, FakeClock())


def test_a_source_that_answers_with_nothing_is_no_all_clear(tmp_path: Path) -> None:
    file = tmp_path / "calendars.yaml"
    file.write_text(
        "apiVersion: penelope.dev/v1\nkind: Calendars\n"
        "calendars: [{name: freeze, source: 'http://127.0.0.1:9/x.ics', passes: info}]\n"
    )
    shelf = Shelf(file, tmp_path, FakeClock())
    asyncio.run(shelf.renew())
    found = verdict(Rest(calendars=shelf, cooldown_seconds=0))
    assert found.ruling is Ruling.REFUSE
    assert "freeze cannot be told" in found.reasons[0]


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=8 * 24 * 60))
def test_a_moment_is_covered_if_and_only_if_the_calendar_says_so(minutes: int) -> None:
    """Nightly from 22:00 to 06:00 UTC, asked for any minute of a week."""
    event = "DTSTART:20200101T220000Z\r\nDURATION:PT8H\r\nRRULE:FREQ=DAILY"
    moment = NOW + timedelta(minutes=minutes)
    found = spans(parsed(calendar(event)), UTC, NOW - timedelta(days=1), NOW + timedelta(days=9))  # type: ignore[arg-type]  # a zone like any other
    assert any(item.start <= moment < item.end for item in found) == (moment.hour >= 22 or moment.hour < 6)


# --- scanner bypasses -------------------------------------------------------------------------------------


@st.composite
def disguised(draw: st.DrawFn) -> str:
    """``rm -rf /`` as a shell would still read it: letters quoted or escaped, options in any form, wrapped."""
    letters = [
        draw(st.sampled_from([item, f"'{item}'", f'"{item}"', f"\\{item}", f"''{item}"])) for item in "rm"
    ]
    options = draw(st.sampled_from(["-rf", "-r -f", "-fr", "-Rf", "--recursive --force", "-r", "'-r'f"]))
    target = draw(st.sampled_from(["/", "'/'", '"/"', "/*", "//", "/./", "~", "/etc", "$HOME", "-- /"]))
    command = f"{''.join(letters)}{draw(st.sampled_from([' ', '  ', chr(9)]))}{options} {target}"
    wrapper = draw(
        st.sampled_from(
            [
                "{}",
                "sudo {}",
                "true && {}",
                "true; {} #",
                "( {} )",
                "if :; then {}; fi",
                "nohup {} &",
                "x=1 {}",
            ]
        )
    )
    return wrapper.format(command)


@settings(deadline=None)
@given(disguised())
def test_a_shell_reads_it_and_so_does_the_scanner(command: str) -> None:
    findings = SCANNER.scan({"step": {"script": command}})
    assert Danger.CRITICAL in {item.danger for item in findings}, command


@pytest.mark.parametrize(
    "text",
    [
        "f\u4371^\U000bbe98\xc5\u252a\x9e[\u0288{\U000e283a-$\U0006544a<\u02993$\u51a8n\u021b>l\U00042c7a\u030c\U00086257\n$<",
        "S\u02ed\U0006234a\xba\U0010521d;<\xa5{1\U000ca343\u0165\u0159R",
    ],
)
def test_strange_letters_do_not_crash_the_grammar(text: str) -> None:
    """Both ended the process: the C code of the grammar looks letters up in a table of bytes."""
    assert Danger.CRITICAL in {
        item.danger for item in SCANNER.scan({"step": {"script": f"{text} ; rm -rf /"}})
    }


@settings(deadline=None)
@given(st.text(alphabet="rm -f/$(){}[]<>|&;'\"\\`#!=*?\n\t\u2066\u0288\U000bbe98", max_size=60))
def test_any_mess_of_shell_signs_is_answered(text: str) -> None:
    """It neither raises nor ends the process, and what stands beside it is found."""
    findings = SCANNER.scan({"mess": {"script": text}, "step": {"script": "rm -rf /"}})
    assert "step, script" in {item.place for item in findings}


def test_a_plan_cannot_hide_behind_its_size() -> None:
    large = planned(*[{"params": {f"key-{number}": "harmless " * 100}} for number in range(400)])
    assert verdict(RULES[3], passage(large, NOW)).ruling is Ruling.REFUSE
    many = planned(*[{} for _ in range(60)])
    assert verdict(RULES[2], passage(many, NOW)).ruling is Ruling.REFUSE
