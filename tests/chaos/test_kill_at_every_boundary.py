"""kill -9 at every step boundary of a healing, all of them in turn: nothing is lost, nothing is done twice."""

import time
from pathlib import Path

import pytest
from theatre import Theatre, each

from shop.release import BAD, GOOD

_PATIENCE_SECONDS = 900.0

pytestmark = pytest.mark.chaos


def test_every_boundary_of_a_rollback(theatre: Theatre, tmp_path: Path) -> None:
    graves = tmp_path / "graves"
    theatre.open(graves)
    theatre.penelope.await_ready()
    before = theatre.starts()
    theatre.world.deploy(BAD.name)

    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (ended := theatre.ended(set())):
        assert time.monotonic() < deadline, f"not over after {theatre.deaths()} deaths"
        time.sleep(0.5)

    boundaries = graves.read_text(encoding="utf-8").splitlines()
    print(
        f"\n{theatre.deaths()} deaths at {len(boundaries)} boundaries; the incident is {ended[0]['state']}:"
    )
    print("\n".join(f"  {place}" for place in boundaries))
    assert ended[0]["state"] == "healed"
    assert len(boundaries) == len(set(boundaries)) >= 80
    assert theatre.deaths() == len(boundaries)

    # Counted at the shop: one start of the bad release each, by the pipeline, and one of the good one, by Penelope.
    assert theatre.starts() - before == each(BAD) + each(GOOD)
    assert theatre.is_restored()
    attempts = theatre.attempts(ended[0]["id"])
    assert len(attempts) == 4
    assert min(attempts.values()) >= 2, (
        "every action was interrupted, and so was probed before the second attempt"
    )
    assert theatre.ledger()["ok"]
    assert len(theatre.incidents()) == 1
