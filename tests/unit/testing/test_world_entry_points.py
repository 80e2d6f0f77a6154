"""Each world that is installed is for a playbook that ships, and named after it."""

from importlib.metadata import entry_points

import pytest

from penelope.adapters.actions.installed import operations
from penelope.adapters.playbooks.load import load
from penelope.testing.worlds import GROUP, World

POINTS = sorted(entry_points(group=GROUP), key=lambda point: point.name)
PLAYBOOKS = {
    playbook.name: playbook for playbook in load([], shipped=True, adapters=operations()).playbooks()
}


def test_there_are_worlds() -> None:
    assert len({point.name for point in POINTS}) == len(POINTS) >= 7


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_world_breaks_what_its_playbook_mends(point: object) -> None:
    kind = point.load()  # type: ignore[attr-defined]  # an entry point
    assert issubclass(kind, World)
    assert kind.playbook == point.name  # type: ignore[attr-defined]  # an entry point
    match = PLAYBOOKS[kind.playbook].match
    assert kind.signal_name in match.names or not match.names
    assert kind.thing
