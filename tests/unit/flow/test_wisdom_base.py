"""The wisdom base where things are slow, broken, or too many."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penelope.adapters.vector.memory import MemoryIndex
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.likeness import Hit
from penelope.domain.outcome import OutcomeKind
from penelope.domain.precedent import PastCase, Stratum
from penelope.domain.signal import Severity
from penelope.errors import Unavailable
from penelope.flow.wisdom import Indexed, Limits, WisdomBase
from penelope.kit.clock import timestamp
from penelope.testing.clock import FakeClock
from penelope.testing.past import past_case

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Asked:
    """An index that notes what it is asked, and always finds the same."""

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self.vectors: list[bytes | None] = []

    def __len__(self) -> int:
        return self.size

    def search(self, _terms: Any, vector: bytes | None, _limit: int) -> list[Hit]:
        self.vectors.append(vector)
        return [Hit(incident="past", likeness=0.5, by=("keywords",))]


class Reader:
    def __init__(self, found: Incident | None) -> None:
        self.found = found
        self.asked = 0

    async def incident(self, _identifier: str) -> Incident | None:
        self.asked += 1
        if self.found is None:
            raise Unavailable("the database is away")
        return self.found


class Embedder:
    model = "test"

    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer
        self.asked = 0

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        self.asked += 1
        vector = self.answer()
        return [await vector if asyncio.iscoroutine(vector) else vector for _ in texts]

    def at_hand(self, _text: str) -> bytes | None:
        return None


def incident(number: int = 1) -> Incident:
    return Incident(
        id=f"inc_{number}",
        service="shop",
        fingerprint=f"f{number}",
        name="HighErrorRate",
        severity=Severity.ERROR,
        state=IncidentState.RECEIVED,
        opened_at=NOW,
        updated_at=NOW,
        signal_count=1,
    )


def base(
    embedder: Any, index: Any, reader: Any = None, patience: float = 0.05, store: Any = None
) -> WisdomBase:
    limits = Limits(patience_seconds=patience, refresh_seconds=1, most_cases=10)
    return WisdomBase(store, index, embedder, reader or Reader(incident()), limits)


def broken() -> bytes:
    raise Unavailable("the model is not there")


def test_a_model_that_is_not_there_is_told_once_and_words_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        index, embedder = Asked(), Embedder(broken)
        wisdom = base(embedder, index)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                assert len(await wisdom.recall("inc_1")) == 1
        assert index.vectors == [None, None, None]
        assert embedder.asked == 1
        assert len([line for line in caplog.records if "words alone" in line.message]) == 1

    asyncio.run(scene())


def test_a_slow_model_never_blocks_a_decision_and_goes_on_for_the_next() -> None:
    async def scene() -> None:
        gate = asyncio.Event()

        async def late() -> bytes:
            await gate.wait()
            return b"vector"

        index, embedder = Asked(), Embedder(late)
        wisdom = base(embedder, index, patience=0.01)
        async with asyncio.timeout(5):
            await wisdom.recall("inc_1")
        assert index.vectors == [None]
        gate.set()
        await asyncio.sleep(0.01)
        await wisdom.recall("inc_1")
        assert index.vectors == [None, b"vector"]

    asyncio.run(scene())


def test_in_a_storm_few_texts_wait_for_the_model() -> None:
    async def scene() -> None:
        gate = asyncio.Event()

        async def late() -> bytes:
            await gate.wait()
            return b"vector"

        index, embedder = Asked(), Embedder(late)
        wisdom = base(embedder, index, patience=5)
        storm = [asyncio.create_task(wisdom.recall("inc_1")) for _ in range(100)]
        await asyncio.sleep(0.05)
        assert embedder.asked == 4
        assert len(index.vectors) == 96
        gate.set()
        await asyncio.gather(*storm)

    asyncio.run(scene())


def test_an_incident_that_was_expected_needs_no_look() -> None:
    async def scene() -> None:
        reader = Reader(incident())
        wisdom = base(None, Asked(), reader)
        wisdom.expect(incident())
        await wisdom.recall("inc_1")
        assert reader.asked == 0
        for number in range(2, 2000):
            wisdom.expect(incident(number))
        await wisdom.recall("inc_1")
        assert reader.asked == 1

    asyncio.run(scene())


def test_without_any_past_nothing_is_asked() -> None:
    async def scene() -> None:
        embedder, index = Embedder(lambda: b"vector"), Asked(size=0)
        assert await base(embedder, index).recall("inc_1") == ()
        assert (embedder.asked, index.vectors) == (0, [])

    asyncio.run(scene())


def test_a_decision_does_not_fail_with_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        assert await base(None, Asked(), Reader(None)).recall("inc_1") == ()

    asyncio.run(scene())
    assert "could not be looked up" in caplog.text


class Kept:
    """Past cases with vectors of nothing, stored at moments that the test says."""

    def __init__(self) -> None:
        self.stored: list[Indexed] = []

    def add(self, number: int, at: datetime) -> None:
        self.stored.append(Indexed(case=past(number), model="", vector=None, at=timestamp(at)))
        self.stored.sort(key=lambda item: (item.at, item.case.incident))

    async def unindexed(self, _model: str, _limit: int) -> list[PastCase]:
        return []

    async def horizon(self, _most: int) -> str:
        return ""

    async def indexed(self, after: tuple[str, str], limit: int) -> list[Indexed]:
        return [item for item in self.stored if (item.at, item.case.incident) > after][:limit]


def past(number: int) -> PastCase:
    return past_case(
        incident=f"inc_{number:04}",
        fingerprint=f"f{number}",
        name=f"Problem{number}",
        playbook=None,
        kind=OutcomeKind.ESCALATED,
        verified=None,
        stratum=Stratum.UNSEEN,
        confidence=None,
        opened_at=NOW,
        ended_at=NOW,
    )


def test_a_worker_whose_clock_is_ahead_does_not_hide_what_others_add() -> None:
    async def scene() -> None:
        clock, store, index = FakeClock(NOW), Kept(), MemoryIndex(100)
        wisdom = base(None, index, store=store)
        store.add(1, NOW + timedelta(days=400))
        await wisdom.catch_up(clock)
        for number in range(2, 5):
            clock.advance(60)
            store.add(number, clock.now())
            await wisdom.catch_up(clock)
            assert len(index) == number

    asyncio.run(scene())


def test_problems_that_are_known_are_forgotten_with_their_cases() -> None:
    async def scene() -> None:
        store, index = Kept(), MemoryIndex(10)
        wisdom = base(None, index, store=store)
        for number in range(100):
            store.add(number, NOW)
        await wisdom.catch_up(FakeClock(NOW))
        assert len(wisdom._known) == 10
        assert ("shop", "f99") in wisdom._known

    asyncio.run(scene())


def test_a_search_of_one_service_does_not_read_all_cases() -> None:
    class Wide(Asked):
        limit = 0

        def search(self, terms: Any, vector: bytes | None, limit: int) -> list[Hit]:
            self.limit = limit
            return super().search(terms, vector, limit)

    class Store(Kept):
        async def cases(self, names: Sequence[str], service: str | None) -> list[PastCase]:
            assert names == ["past"]
            return [case for case in [replace(past(1), incident="past")] if service in {None, case.service}]

    async def scene() -> None:
        index = Wide(size=50_000)
        wisdom = base(None, index, store=Store())
        assert len((await wisdom.search("odd", "shop", 10)).found) == 1
        assert index.limit <= 2000
        assert (await wisdom.search("odd", "bank", 10)).found == []

    asyncio.run(scene())
