"""kill -9 at every step boundary of a healing, all of them in turn: nothing is lost, nothing is done twice."""

import sys
import time
from pathlib import Path

import pytest
from theatre import BAD, GOOD, Theatre, each

_DYING = Path(__file__).with_name("dying.py")
_PATIENCE_SECONDS = 900.0

pytestmark = pytest.mark.chaos


def test_every_boundary_of_a_rollback(theatre: Theatre, tmp_path: Path) -> None:
    graves = tmp_path / "graves"
    launch = (sys.executable, str(_DYING), str(graves))
    theatre.penelope.start(launch)
    theatre.penelope.await_ready()
    before = theatre.starts()
    theatre.world.deploy(BAD.name)

    deaths, deadline = 0, time.monotonic() + _PATIENCE_SECONDS
    while not theatre.ended(set()):
        assert time.monotonic() < deadline, f"not over after {deaths} deaths"
        if theatre.penelope.wait(0.2) is not None:
            deaths += 1
            theatre.penelope.start(launch)

    incident = theatre.ended(set())[0]
    boundaries = graves.read_text(encoding="utf-8").splitlines()
    print(f"\n{deaths} deaths at {len(boundaries)} boundaries; the incident is {incident['state']}:")
    print("\n".join(f"  {place}" for place in boundaries))
    assert incident["state"] == "healed"
    assert len(boundaries) == len(set(boundaries)) >= 60
    assert deaths == len(boundaries)

    # Counted at the shop: one start of the bad release each, by the pipeline, and one of the good one, by Penelope.
    assert theatre.starts() - before == each(BAD) + each(GOOD)
    assert theatre.is_restored()
    attempts = theatre.attempts(incident["id"])
    assert len(attempts) == 4
    assert min(attempts.values()) >= 2, (
        "every action was interrupted, and so was probed before the second attempt"
    )
    assert theatre.ledger()["ok"]
    assert len(theatre.incidents()) == 1
