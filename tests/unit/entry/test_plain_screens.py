"""What a server says is shown as it is: whoever answers at its address styles nothing and breaks nothing."""

import pytest

from penelope.entry.cli import missions, screens

HOSTILE = "[red]x[/red][/no]\x1b[2J"
SHOWN = "[red]x[/red][/no]\\x1b[2J"


def test_cells_of_tables_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    screens.show(screens.table("a", "b", rows=[(HOSTILE, f"one\ntwo {HOSTILE}")]))
    _, _, *lines = (line.split() for line in capsys.readouterr().out.splitlines())
    assert lines == [[SHOWN, "one"], ["two", SHOWN]]


def test_ids_of_missions_and_incidents_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    mission = {"id": HOSTILE, "status": HOSTILE, "incidents": [], "actions": [], "name": "calm"}
    screens.show(missions._table({"missions": [mission]}))
    incident = {
        "id": HOSTILE,
        "state": "healed",
        "severity": "error",
        "opened_at": "2026-11-21T07:00:00Z",
        "ended_at": None,
        "signal_count": 1,
        "summary": "",
        "name": "n",
        "service": "s",
    }
    screens.show(screens.incident(incident))
    assert capsys.readouterr().out.count(SHOWN) == 3
