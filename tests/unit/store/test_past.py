"""Past cases are kept once, and counted at every level that a decision looks at."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from penelope.domain.precedent import PastCase, Stratum, Tallies, Tally
from penelope.testing.past import past_case

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)


def past(incident: str = "inc_1", **changes: Any) -> PastCase:
    made = past_case(
        incident=incident,
        labels={"alertname": "Broken"},
        summary="it broke",
        alone_seconds=3.5,
        opened_at=NOW,
        ended_at=NOW,
    )
    return replace(made, **changes)


def test_a_case_counts_once_and_for_all_levels(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.transaction() as transaction:
            await transaction.add_past_case(past(), "tier=2")
            await transaction.add_past_case(past(verified=False), "tier=2")
            await transaction.add_past_case(past("inc_2", verified=False), "")
            await transaction.add_past_case(past("inc_3", playbook=None, verified=None, confidence=None), "")
        async with store.reading.connect() as connection:
            rows = (await connection.exec_driver_sql("SELECT * FROM tallies ORDER BY 2, 3, 4, 5")).all()
            assert [tuple(row) for row in rows] == [
                ("confirmed", "", "", "", False, 1, 1),
                ("confirmed", "fix", "", "", False, 1, 1),
                ("confirmed", "fix", "", "tier=2", False, 1, 0),
                ("confirmed", "fix", "shop", "", False, 1, 1),
            ]
            kept = (
                await connection.exec_driver_sql("SELECT * FROM past_cases ORDER BY incident LIMIT 1")
            ).one()
            assert kept.labels == '{"alertname":"Broken"}'
            assert (kept.verified, kept.alone_seconds, kept.confidence) == (True, 3.5, 0.7)

    on_stores(scene)


def test_imported_uses_of_a_playbook_are_counted_once_and_apart(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        said = {"imported": True, "stratum": Stratum.UNSEEN, "confidence": None}
        cases = [
            past("past_1", **said),
            past("past_2", **said, verified=False),
            past("past_3", **said, service="bank"),
            past("past_4", **said, playbook=None, verified=None),
            past("past_5", **said, playbook="other"),
        ]
        async with store.transaction() as transaction:
            assert await transaction.import_cases([*cases[:3], cases[0]]) == 3
        async with store.transaction() as transaction:
            assert await transaction.import_cases(cases) == 2
            assert await transaction.import_cases(cases) == 0
        async with store.transaction() as transaction:
            found = await transaction.tallies("fix", "shop", "tier=2", Stratum.CONFIRMED)
            assert found == Tallies(imported=Tally(successes=2, failures=1))
            found = await transaction.tallies("other", "shop", "", Stratum.UNSEEN)
            assert found == Tallies(imported=Tally(successes=1))

    on_stores(scene)
