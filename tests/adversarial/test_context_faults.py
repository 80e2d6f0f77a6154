"""The fault table: each store slow, down, flapping and giving garbage, and what somebody is told then; `-s` prints it."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from leaking import NOW, Estate, furnish, opened
from rich.console import Console
from rich.table import Table

from penelope.domain.access import Subject
from penelope.domain.answer import Told
from penelope.domain.concept import Request
from penelope.domain.degradation import DegradationMode, Store
from penelope.entry.api import context_shown
from penelope.entry.api.problems import problem_of
from penelope.errors import PenelopeError
from penelope.flow.answers import Answered
from penelope.kit.call_breaker import BreakerState

TIMEOUT_SECONDS, RECOVERY_SECONDS = 0.5, 0.3
"""Of each store; the breaker opens after five failures in a row. By default they are 2 s and 60 s."""

BEFORE, AFTER = 6, 20
"""Requests until the breaker must be open, and after."""

REQUEST = Request(
    concept="number of sales by city", subject=Subject(actor="ann", role="admin"), at=NOW, execute=True
)


@dataclass(frozen=True)
class Cell:
    """What came of a store that fails in one manner: HTTP status, the notice's mode, breaker, p50 and worst in ms."""

    status: frozenset[int]
    modes: frozenset[DegradationMode | None]
    breaker: BreakerState
    before: tuple[float, float]
    after: tuple[float, float]
    healed: bool
    valued: bool


CELLS: dict[tuple[Store, str], Cell] = {}

FULL, STALE = None, DegradationMode.STALE
REGISTRY, KEYWORDS, DENY = (
    DegradationMode.REGISTRY_ONLY,
    DegradationMode.KEYWORDS_ONLY,
    DegradationMode.DENY,
)
EXPECTED: dict[tuple[Store, str], tuple[set[int], set[DegradationMode | None], bool]] = {
    (Store.SEMANTIC, "slow"): ({200}, {STALE}, True),
    (Store.SEMANTIC, "down"): ({200}, {STALE}, True),
    (Store.SEMANTIC, "flapping"): ({200}, {FULL, STALE}, False),
    (Store.SEMANTIC, "lying"): ({502}, {FULL}, False),
    (Store.GRAPH, "slow"): ({200}, {REGISTRY}, True),
    (Store.GRAPH, "down"): ({200}, {REGISTRY}, True),
    (Store.GRAPH, "flapping"): ({200}, {FULL, REGISTRY}, False),
    (Store.GRAPH, "lying"): ({200}, {FULL}, False),
    (Store.VECTOR, "slow"): ({200}, {KEYWORDS}, True),
    (Store.VECTOR, "down"): ({200}, {KEYWORDS}, True),
    (Store.VECTOR, "flapping"): ({200}, {FULL, KEYWORDS}, False),
    (Store.VECTOR, "lying"): ({200}, {FULL}, False),
    (Store.POLICY, "slow"): ({403}, {DENY}, False),
    (Store.POLICY, "down"): ({403}, {DENY}, False),
    (Store.POLICY, "flapping"): ({200, 403}, {FULL, DENY}, False),
    (Store.POLICY, "lying"): ({403}, {DENY}, False),
}
"""Statuses, modes of notices, and whether the breaker must be open. The embedded policy has no breaker: it is in this process;
the one before OPA is tried in tests/ports/governors.
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("faults")
    furnish(made)
    yield made
    Console(width=150).print("", the_table())


async def asked(estate: Estate, store: Store) -> tuple[int, DegradationMode | None, bool, float]:
    """Status, mode of the store's notice, whether there is a value, and the time in ms."""
    began = time.perf_counter()
    told: Told | None = None
    status = 200
    try:
        told = await estate.resolver.tell(REQUEST)
        context_shown.told(Answered(id="ans_1", told=told))
    except PenelopeError as error:
        status = problem_of(error).status
    took = (time.perf_counter() - began) * 1e3
    modes = {notice.store: notice.mode for notice in told.notices} if told is not None else {}
    assert set(modes) <= {store}, "another store is blamed"
    return status, modes.get(store), told is not None and told.value is not None, took


async def tried(folder: Path, store: Store, manner: str) -> Cell:
    async with opened(
        folder, 1, timeout_seconds=TIMEOUT_SECONDS, recovery_seconds=RECOVERY_SECONDS
    ) as estate:
        estate.resolver.guards[store].state()
        whole = await asked(estate, store)
        assert (whole[0], whole[1], whole[2]) == (200, None, True)
        estate.fail(store, manner)
        early = [await asked(estate, store) for _ in range(BEFORE)]
        breaker = estate.resolver.guards[store].state().breaker
        late = [await asked(estate, store) for _ in range(AFTER)]
        estate.fail(None, "")
        await asyncio.sleep(RECOVERY_SECONDS * 1.2)
        again = await asked(estate, store)
        every = [*early, *late]
        return Cell(
            status=frozenset(each[0] for each in every),
            modes=frozenset(each[1] for each in every),
            breaker=breaker,
            before=_times(early),
            after=_times(late),
            healed=(again[0], again[1], again[2]) == (200, None, True),
            valued=all(each[2] for each in every),
        )


def _times(found: list[tuple[int, DegradationMode | None, bool, float]]) -> tuple[float, float]:
    times = sorted(each[3] for each in found)
    return times[len(times) // 2], times[-1]


@pytest.mark.parametrize(("store", "manner"), EXPECTED)
def test_a_store_fails(folder: Path, store: Store, manner: str) -> None:
    cell = CELLS[store, manner] = asyncio.run(tried(folder, store, manner))
    statuses, modes, opens = EXPECTED[store, manner]
    assert cell.status <= statuses
    assert cell.modes <= modes
    if opens:
        assert cell.breaker is BreakerState.OPEN
    if manner != "flapping":
        assert cell.modes == modes
    if statuses == {200}:
        assert cell.valued, "what can be told is told"
    assert cell.healed


def the_table() -> Table:
    table = Table(title="each store fails, and what is told (times in ms: p50, worst)")
    for name in ("store", "manner", "HTTP", "notice", "breaker", "until it opens", "after", "healed"):
        table.add_column(name)
    for (store, manner), cell in CELLS.items():
        modes = sorted("none" if mode is None else mode.value for mode in cell.modes)
        table.add_row(
            store.value,
            "garbage" if manner == "lying" else manner,
            " or ".join(map(str, sorted(cell.status))),
            " or ".join(modes),
            cell.breaker.value,
            "{:.1f}, {:.1f}".format(*cell.before),
            "{:.1f}, {:.1f}".format(*cell.after),
            "yes" if cell.healed else "no",
        )
    return table
