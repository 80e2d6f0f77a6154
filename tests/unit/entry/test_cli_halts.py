"""Words of the commands that halt and resume, and what their screens show."""

import pytest
from rich.console import Console

from penelope.entry.cli import halts
from penelope.errors import InvalidRequest


@pytest.mark.parametrize(
    ("named", "label"),
    [
        ({"service": "shop"}, "service:shop"),
        ({"playbook": "fix"}, "playbook:fix"),
        ({"cause": "0f"}, "cause:0f"),
        ({"everything": True}, "fleet"),
    ],
)
def test_one_thing_is_named(named: dict[str, str | bool], label: str) -> None:
    given = {"service": None, "playbook": None, "cause": None, "everything": False, **named}
    everything = given.pop("everything")
    assert halts._scope(**given, everything=everything) == label


@pytest.mark.parametrize(
    ("service", "everything"), [(None, False), ("shop", True)], ids=["nothing", "two things"]
)
def test_nothing_and_two_things_are_refused(service: str | None, *, everything: bool) -> None:
    with pytest.raises(InvalidRequest, match="name one thing"):
        halts._scope(service, None, None, everything=everything)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86_400)])
def test_durations(text: str, seconds: int) -> None:
    assert halts._seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "1.5h", "-1h", "2 h", "1w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no duration"):
        halts._seconds(text)


def test_a_name_with_odd_characters_stays_one_piece_of_the_path() -> None:
    assert halts._path("service:a/b?c") == "/api/v1/halts/service:a%2Fb%3Fc"


def test_the_list_says_who_halted_what_and_why() -> None:
    failures = [{"incident": "inc_1", "kind": kind, "at": ""} for kind in ("relapsed", "failed", "relapsed")]
    common = {"failures": [], "held_by": None, "reason": "", "trial": None, "until": None}
    found = [
        {**common, "scope": "fleet", "state": "open", "held_by": "key:ada", "reason": "a move"},
        {
            **common,
            "scope": "service:shop",
            "state": "open",
            "until": "2026-11-21T08:00:00Z",
            "failures": failures,
        },
        {**common, "scope": "playbook:fix", "state": "half_open", "trial": "inc_9"},
    ]
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115 - shows nothing
    console.print(halts._table(found))
    shown = console.export_text()
    console.file.close()
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[-3:] == [
        "fleet open resumed 0 key:ada: a move",
        "service:shop open 2026-11-21 08:00:00 3 1 failed, 2 relapsed",
        "playbook:fix half open - 0 incident inc_9 is its trial",
    ]
