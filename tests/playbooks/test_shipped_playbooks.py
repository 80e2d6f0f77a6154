"""Every playbook that ships, in its world, in every kind of trial.

Each fault is tried at one step, drawn by the seed. Deaths are tried in the crash matrix (tests/chaos), and here, at the
places that differ most, for the playbooks that are not in it. PENELOPE_PLAYBOOK_TRIALS=all tries every place at every step.
What cannot be had here is skipped with the reason; a playbook without a world fails.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
from matrix_rows import SHIPPED as IN_THE_MATRIX

from penelope.errors import PenelopeError
from penelope.testing.kit import Kind, Place, Trial, read_playbook, shipped, trials_of, world_class, worlds
from penelope.testing.kit import known_operations as operations
from penelope.testing.kit_session import check

QUICK = os.environ.get("PENELOPE_PLAYBOOK_TRIALS") != "all"
SEED = int(os.environ.get("PENELOPE_PLAYBOOK_SEED", "0"))
DEATHS = {Place.DURING_EXECUTE, Place.AFTER_EXECUTE, Place.BEFORE_COMPENSATE}


def is_left_out(trial: Trial) -> bool:
    """What the crash matrix tries must not be tried twice."""
    if not QUICK or trial.kind is not Kind.DIES:
        return False
    return trial.subject.playbook in IN_THE_MATRIX or trial.place not in DEATHS


def every_trial() -> Iterator[Trial]:
    """In the order of the playbooks, so that each world is opened once."""
    for name in sorted(set(shipped()) & set(worlds())):
        # One that cannot be read at all fails below, alone, and not the collection of all.
        with suppress(PenelopeError):
            trials = trials_of(name, quick=QUICK, seed=SEED)
            yield from (trial for trial in trials if not is_left_out(trial))


@pytest.mark.chaos
@pytest.mark.parametrize("trial", list(every_trial()), ids=lambda trial: f"{trial.subject.playbook}: {trial}")
def test_a_shipped_playbook(trial: Trial) -> None:
    check(trial)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_it_has_a_world_of_its_own(name: str) -> None:
    assert name in worlds(), f"no world is installed for the playbook {name}"
    world = world_class(worlds()[name])
    assert world.playbook == name
    assert len(world.thing) > 3
    playbook = read_playbook(shipped()[name], operations(worlds()[name]))
    assert playbook.name == name
    assert not playbook.match.names or world.signal_name in playbook.match.names


def test_every_world_is_for_a_playbook_that_ships() -> None:
    assert set(worlds()) - set(shipped()) == set()
