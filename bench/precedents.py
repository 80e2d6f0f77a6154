"""Finding past cases among 10,000 and 50,000 by words and meaning, beside the bare product of the vectors."""

import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median

import numpy as np

from penelope.adapters.vector.memory import MemoryIndex
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.signal import Severity
from penelope.rooms.decide.precedents import rank, terms_of
from penelope.testing.past import past_case

SIZES = (10_000, 50_000)
DIMENSIONS = 384
WORDS = 5_000
QUESTIONS = 50
CANDIDATES = 10
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def terms(chance: random.Random) -> tuple[str, ...]:
    """Words as texts have them: some in every third one, most in hardly any (Zipf)."""
    text = " ".join(f"word{int(chance.paretovariate(0.7)) % WORDS}" for _ in range(12))
    return terms_of("", text, {"team": f"team-{chance.randrange(20)}"})


def measured(size: int) -> tuple[float, float, float]:
    """Seconds: a bare product, a search, and to add one case, all as medians."""
    chance, numbers = random.Random(size), np.random.default_rng(size)
    vectors = numbers.standard_normal((size, DIMENSIONS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = MemoryIndex(size)
    rows = [(f"case-{number}", terms(chance), vectors[number].tobytes()) for number in range(size)]
    adding = seconds(lambda: [index.add(*row) for row in rows]) / size
    asked = [(terms(chance), vectors[chance.randrange(size)]) for _ in range(QUESTIONS)]
    # In turns, so that whatever else the machine does meets both.
    times = [
        (
            seconds(lambda: vectors @ vector),  # noqa: B023 - called at once
            seconds(lambda: index.search(words, vector.tobytes(), 20)),  # noqa: B023 - called at once
        )
        for words, vector in asked
    ]
    return median(bare for bare, _ in times), median(whole for _, whole in times), adding


def ranking() -> float:
    """Seconds of processor time to rank what a decision about a known problem reads."""
    incident = Incident(
        id="inc",
        service="shop",
        fingerprint="f",
        name="Odd",
        severity=Severity.ERROR,
        state=IncidentState.RECEIVED,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
        labels={"team": "shop", "region": "eu", "instance": "a"},
    )
    cases = [
        past_case(
            incident=f"case-{number}",
            fingerprint="f",
            name="Odd",
            labels={"team": "shop", "region": "eu", "instance": str(number)},
            confidence=0.8,
            opened_at=NOW,
            ended_at=NOW - timedelta(hours=number),
        )
        for number in range(CANDIDATES)
    ]
    began = time.process_time()
    for _ in range(1000):
        rank(incident, cases, (), playbook="fix", limit=5)
    return (time.process_time() - began) / 1000


def main() -> int:
    for size in SIZES:
        bare, whole, adding = measured(size)
        print(
            f"{size:,} cases: a search takes {whole * 1e3:.2f} ms, the bare product {bare * 1e3:.2f} ms, "
            f"ratio {whole / bare:.2f}; adding a case takes {adding * 1e6:.0f} us"
        )
    print(f"to rank {CANDIDATES} candidates takes {ranking() * 1e6:.0f} us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
