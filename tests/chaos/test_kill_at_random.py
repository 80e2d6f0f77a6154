"""kill -9 at fifty random moments, in two kinds of trouble: every incident ends, every action happens once."""

import os
import random
import time
from collections import Counter

import pytest
from theatre import Theatre, each

from shop.release import BAD, GOOD

_MOMENTS = 50
_LONGEST_LIFE_SECONDS = 4.0
_PATIENCE_SECONDS = 300.0

pytestmark = pytest.mark.chaos


class Killer:
    """Kills and restarts the server after lives of random length, until it has killed often enough."""

    def __init__(self, theatre: Theatre, chance: random.Random) -> None:
        self.kills = 0
        self._theatre = theatre
        self._chance = chance

    def strike_until_over(self, known: set[str]) -> str:
        """The id of the new incident, once it has ended and the server is up."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (ended := self._theatre.ended(known)):
            assert time.monotonic() < deadline, f"not over after {self.kills} kills"
            if self.kills >= _MOMENTS:
                time.sleep(0.2)
                continue
            # Lives are so short that some end while the server still starts.
            time.sleep(self._chance.uniform(0.0, _LONGEST_LIFE_SECONDS))
            self.kills += self._theatre.kill()
        self._theatre.penelope.await_ready()
        return str(ended[0]["id"])


def test_fifty_random_moments(theatre: Theatre) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "20261121"))
    killer = Killer(theatre, random.Random(seed))
    ends: Counter[str] = Counter()
    theatre.open()
    theatre.penelope.await_ready()
    while killer.kills < _MOMENTS:
        ends[f"release {_suffer_release(theatre, killer)}"] += 1
        ends[f"configuration {_suffer_config(theatre, killer)}"] += 1
    print(f"\nseed {seed}: {killer.kills} kills, {ends.total()} incidents: {dict(ends)}")
    assert killer.kills == theatre.deaths() == _MOMENTS
    assert theatre.ledger()["ok"]


def _suffer_release(theatre: Theatre, killer: Killer) -> str:
    """A bad release; returns how it ended, with every start of an instance accounted for."""
    known, before = {item["id"] for item in theatre.incidents()}, theatre.starts()
    theatre.world.deploy(BAD.name)
    state = _state(theatre, killer.strike_until_over(known))
    starts = theatre.starts() - before
    if state == "healed":
        assert starts == each(BAD) + each(GOOD)
        assert theatre.is_restored()
    else:
        # Taken back once: never more than one start forward and one back.
        assert starts <= each(BAD) + each(BAD) + each(GOOD)
        theatre.world.deploy(GOOD.name)
    theatre.await_calm()
    return state


def _suffer_config(theatre: Theatre, killer: Killer) -> str:
    """A corrupt configuration; returns how it ended, with every commit and every call accounted for."""
    known = {item["id"] for item in theatre.incidents()}
    commits, operations = len(theatre.world.commits()), len(theatre.world.operations())
    theatre.world.corrupt_config()
    state = _state(theatre, killer.strike_until_over(known))
    made = len(theatre.world.commits()) - commits
    called = Counter(item["key"] for item in theatre.world.operations()[operations:])
    assert max(called.values(), default=0) <= 1
    assert state == "healed"
    assert made == 2, "the corruption and its revert"
    assert len(called) == 2, "one reload an instance"
    theatre.await_calm()
    return state


def _state(theatre: Theatre, incident: str) -> str:
    return next(str(item["state"]) for item in theatre.incidents() if item["id"] == incident)
