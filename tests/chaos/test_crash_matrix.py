"""The crash matrix: every adapter, killed at every boundary of an action (kill -9), and what the world is afterwards.

A cell is one trial of the playbook test kit (docs/testing-playbooks.md): a real Penelope in a process of its own heals a
world through the adapter, dies there, and a new process on the same database ends the story. Then the world is looked at:
as promised, each action in effect once, or as before. The last test prints the table, and says what may be missing in it.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

import pytest
from matrix_rows import ROWS, SHIPPED, Row
from rich import box
from rich.console import Console
from rich.table import Table

from penelope.adapters.actions.installed import installed
from penelope.testing.kit import Finding, Place, Result, Trial, shipped
from penelope.testing.kit_session import check

pytestmark = pytest.mark.chaos

SEED = int(os.environ.get("PENELOPE_PLAYBOOK_SEED", "0"))
CELLS = [(row, trial) for row in ROWS for trial in row.trials(SEED)]

MUST_DIE: tuple[frozenset[Place], ...] = tuple(
    frozenset(places)
    for places in (
        {Place.BEFORE_SNAPSHOT},
        {Place.BEFORE_EXECUTE},
        {Place.DURING_EXECUTE, Place.SEEN_EXECUTE},
        {Place.AFTER_EXECUTE},
        {Place.BEFORE_VERIFY},
        {Place.BEFORE_COMPENSATE, Place.DURING_COMPENSATE},
    )
)
"""Each row must have died in one place of each of these."""

UNREACHED: Mapping[tuple[str, Place], str] = {}
"""By the row's action and the place: why nobody can die there."""

SEEN: dict[tuple[Row, Place], Result] = {}
BROKEN: dict[tuple[Row, Place], str] = {}


def place_of(trial: Trial) -> Place:
    assert trial.place is not None
    return trial.place


@pytest.mark.parametrize(("row", "trial"), CELLS, ids=lambda value: getattr(value, "action", str(value)))
def test_whoever_dies_there_leaves_it_as_before_or_as_promised(row: Row, trial: Trial) -> None:
    cell = row, place_of(trial)
    try:
        SEEN[cell] = check(trial)
    except AssertionError as error:
        BROKEN[cell] = str(error)
        raise


def test_every_installed_adapter_has_a_row() -> None:
    assert {row.adapter for row in ROWS} == set(installed())
    assert len({str(row) for row in ROWS}) == len(ROWS)
    assert set(shipped()) >= SHIPPED


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        Console(width=180).print("", the_table(), *notes())
    assert not BROKEN
    missing = [f"{row} at {trial}" for row, trial in CELLS if (row, place_of(trial)) not in SEEN]
    if missing:
        pytest.skip(f"{len(missing)} cells were not tried in this run: {', '.join(missing[:3])} …")
    assert {key for key in UNREACHED if key not in unreached()} == set(), "it is reached after all"
    assert {key for key in unreached() if key not in UNREACHED} == set(), "nobody says why it is not reached"
    for row in ROWS:
        for places in MUST_DIE:
            assert any(SEEN[row, place].deaths or (row.action, place) in UNREACHED for place in places), (
                f"{row} never died at one of {', '.join(sorted(places))}"
            )


def unreached() -> set[tuple[str, Place]]:
    return {(row.action, place) for (row, place), result in SEEN.items() if not result.deaths}


def the_table() -> Table:
    table = Table(title="kill -9, and the world afterwards (seconds)", box=box.ASCII2, pad_edge=False)
    table.add_column("adapter", no_wrap=True)
    for place in Place:
        table.add_column(place.value.replace("_", "\n", 1), no_wrap=True)
    for row in ROWS:
        table.add_row(str(row), *(shown(row, place) for place in Place))
    results = list(SEEN.values())
    died = sum(result.deaths for result in results)
    spent = sum(result.seconds for result in results)
    table.caption = f"{len(results) + len(BROKEN)} cells, {died} deaths, {len(BROKEN)} broken, {spent:.0f} s"
    return table


def shown(row: Row, place: Place) -> str:
    if (row, place) in BROKEN:
        return "BROKEN"
    result = SEEN.get((row, place))
    if result is None:
        return "not tried"
    if not result.deaths:
        return "not reached"
    return f"{outcome(result)} {result.seconds:.1f}"


def outcome(result: Result) -> str:
    if result.finding is not Finding.HELD:
        return str(result.finding)
    return "as before" if "all as before" in result.why else "promised"


def notes() -> Iterable[str]:
    for (row, place), why in BROKEN.items():
        yield f"BROKEN: {row} at {place}: {why}"
    for action, place in sorted(unreached()):
        with suppress(KeyError):
            yield f"not reached: {action} at {place}: {UNREACHED[action, place]}"
    for (row, place), result in SEEN.items():
        if result.finding is Finding.NOTED and result.deaths:
            yield f"noted: {row} at {place}: {result.why}"
