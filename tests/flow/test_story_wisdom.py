"""What an incident leaves behind, and how the next one leans on it."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from stage import BAD, GOOD, Script, Stage, begin, performing, play, playbook, signal

from penelope.adapters.vector.memory import MemoryIndex
from penelope.domain.incident import IncidentState
from penelope.domain.plan import Match
from penelope.domain.precedent import PastCase, Stratum
from penelope.domain.signal import SignalStatus, problem_fingerprint
from penelope.flow.importing import CaseImport
from penelope.flow.wisdom import Limits, WisdomBase
from penelope.kit.clock import SystemClock
from penelope.store.cases import SqlCases
from penelope.store.database import open_reader, parse_url
from penelope.testing.past import past_case

Databases = tuple[str, str]

LIMITS = Limits(patience_seconds=1.0, refresh_seconds=0.05, most_cases=1000)
TOPICS = ("disk", "storage", "error", "login")


class TopicEmbedder:
    """Knows which of a few words are about the same thing, and nothing else."""

    model = "topics"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed(self, texts: Any) -> list[bytes]:
        self.asked += texts
        return [self._of(text) for text in texts]

    def at_hand(self, text: str) -> bytes | None:  # noqa: ARG002 - nothing is kept
        return None

    def _of(self, text: str) -> bytes:
        about = [topic in text.casefold() for topic in TOPICS]
        made = np.array([about[0] or about[1], about[2], about[3], 0.1], dtype="<f4")
        return (made / np.linalg.norm(made)).astype("<f4").tobytes()


def past(number: int = 1, **changes: Any) -> PastCase:
    opened = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    made = past_case(
        incident=f"past_{number:032x}",
        fingerprint=problem_fingerprint("shop", "Other"),
        name="Other",
        summary="the disk is full",
        stratum=Stratum.UNSEEN,
        confidence=None,
        imported=True,
        opened_at=opened,
        ended_at=opened + timedelta(minutes=5),
    )
    return replace(made, **changes)


async def leaned_on(stage: Stage, incident: str) -> list[dict[str, Any]]:
    (decision,) = [unit for unit in await stage.reader.units(incident) if unit.kind == "decision"]
    return list(decision.attributes["leaned_on"])


async def heal(stage: Stage, number: int) -> str:
    incident = await begin(stage, signal(number))
    await stage.until(incident, IncidentState.VERIFYING, IncidentState.HEALED)
    stage.metrics.script("shop", GOOD)
    await stage.until(incident, IncidentState.HEALED)
    await stage.commands.receive_signals([signal(number + 100, status=SignalStatus.RESOLVED)])
    return incident


def test_the_next_incident_of_a_healed_problem_lists_it_as_a_precedent_that_agrees(
    databases: Databases,
) -> None:
    async def scene(stage: Stage) -> None:
        first = await heal(stage, 1)
        assert await leaned_on(stage, first) == []
        stage.metrics.script("shop", BAD)
        second = await begin(stage, signal(2, labels={"alertname": "Broken", "instance": "b"}))
        await stage.until(second)
        (precedent,) = await leaned_on(stage, second)
        assert precedent["incident"] == first
        assert precedent["agrees"] is True
        assert precedent["by"] == ["fingerprint", "labels"]
        assert 0.9 <= precedent["similarity"] < 1
        entries = await stage.reader.entries(incident=second, after=0, limit=100)
        (decided,) = [entry for entry in entries if entry.event == "DecisionMade"]
        assert decided.details["leaned_on"] == [precedent]
        assert await stage.flaws() == []

    play(databases, scene)


class Later:
    """A wisdom base that can only be made once the stage stands."""

    base: WisdomBase

    async def recall(self, incident: str) -> Any:
        return await self.base.recall(incident)


async def with_wisdom(databases: Databases, embedder: Any, scene: Any) -> None:
    """A stage with a wisdom base, the import that feeds it, and a scene on it."""
    async with AsyncExitStack() as stack:
        later = Later()
        stage = await stack.enter_async_context(performing(databases, Script(wisdom=later)))
        reading = open_reader(parse_url(databases[0]))
        stack.push_async_callback(reading.dispose)
        store = SqlCases(stage.database, reading)
        later.base = WisdomBase(store, MemoryIndex(1000), embedder, stage.reader, LIMITS)
        await scene(stage, later.base, CaseImport(stage.engine, later.base))


def test_a_problem_that_is_new_leans_on_what_is_like_it_in_meaning(databases: Databases) -> None:
    embedder = TopicEmbedder()

    async def scene(stage: Stage, base: WisdomBase, imports: CaseImport) -> None:
        cases = [past(1), past(2, summary="login is broken", name="Another"), past(3, service="elsewhere")]
        taken = await imports.take([*cases, cases[0]], "0" * 64, "key:ada")
        assert (taken.new, taken.known) == (3, 0)
        assert (await imports.take(cases, "0" * 64, "key:ada")).new == 0
        await base.catch_up(SystemClock())
        # Storage is no word of theirs, but means the same.
        told = signal(1, name="StorageLow", labels={"alertname": "StorageLow"})
        incident = await begin(stage, told)
        await stage.until(incident)
        first, second = await leaned_on(stage, incident)
        assert (first["incident"], second["incident"]) == (cases[0].incident, cases[2].incident)
        assert first["by"] == ["meaning"]
        # The same service counts a little.
        assert first["similarity"] > second["similarity"]
        assert first["agrees"] is None

    asyncio.run(with_wisdom(databases, embedder, scene))


def test_imported_cases_count_for_no_playbook(databases: Databases) -> None:
    async def scene(stage: Stage, base: WisdomBase, imports: CaseImport) -> None:
        same = problem_fingerprint("shop", "Broken")
        failed = [past(number, name="Broken", fingerprint=same, verified=False) for number in range(1, 6)]
        await imports.take(failed, "1" * 64, "key:ada")
        await base.catch_up(SystemClock())
        incident = await begin(stage)
        await stage.until(incident, IncidentState.ACTING, IncidentState.VERIFYING, IncidentState.ESCALATED)
        assert [item["agrees"] for item in await leaned_on(stage, incident)] == [False] * 5
        (decision,) = [unit for unit in await stage.reader.units(incident) if unit.kind == "decision"]
        assert decision.attributes["precedents"] == []

    asyncio.run(with_wisdom(databases, None, scene))


def test_a_known_problem_asks_no_model(databases: Databases) -> None:
    embedder = TopicEmbedder()

    async def scene(stage: Stage, base: WisdomBase, imports: CaseImport) -> None:
        await imports.take(
            [past(1, name="Broken", fingerprint=problem_fingerprint("shop", "Broken"))], "2" * 64, "a"
        )
        await base.catch_up(SystemClock())
        asked = len(embedder.asked)
        incident = await begin(stage)
        await stage.until(incident, IncidentState.VERIFYING)
        assert len(embedder.asked) == asked
        assert (await leaned_on(stage, incident))[0]["by"] == ["fingerprint"]

    asyncio.run(with_wisdom(databases, embedder, scene))


def test_what_was_not_embedded_when_the_process_died_is_embedded_by_the_next(databases: Databases) -> None:
    dying, living = TopicEmbedder(), TopicEmbedder()

    async def first(_stage: Stage, _base: WisdomBase, imports: CaseImport) -> None:
        await imports.take([past(number) for number in range(1, 101)], "3" * 64, "key:ada")

    async def second(_stage: Stage, base: WisdomBase, _imports: CaseImport) -> None:
        await base.catch_up(SystemClock())
        findings = await base.search("storage", None, 200)
        assert len(findings.found) == 100
        assert len(living.asked) == 101

    async def third(_stage: Stage, base: WisdomBase, _imports: CaseImport) -> None:
        await base.catch_up(SystemClock())
        assert len((await base.search("storage", None, 200)).found) == 100
        # All was read again, and nothing embedded anew but the question.
        assert len(living.asked) == 102

    asyncio.run(with_wisdom(databases, dying, first))
    asyncio.run(with_wisdom(databases, living, second))
    asyncio.run(with_wisdom(databases, living, third))


def test_vectors_outlive_a_start_without_the_model(databases: Databases) -> None:
    living, again = TopicEmbedder(), TopicEmbedder()

    async def first(_stage: Stage, base: WisdomBase, imports: CaseImport) -> None:
        await imports.take([past(number) for number in range(1, 11)], "4" * 64, "key:ada")
        await base.catch_up(SystemClock())
        assert len(living.asked) == 10

    async def without(_stage: Stage, base: WisdomBase, imports: CaseImport) -> None:
        await imports.take([past(11)], "5" * 64, "key:ada")
        await base.catch_up(SystemClock())
        findings = await base.search("the disk", None, 20)
        assert len(findings.found) == 11
        assert "switched off" in findings.degraded

    async def third(_stage: Stage, base: WisdomBase, _imports: CaseImport) -> None:
        await base.catch_up(SystemClock())
        assert len(again.asked) == 1

    asyncio.run(with_wisdom(databases, living, first))
    asyncio.run(with_wisdom(databases, None, without))
    asyncio.run(with_wisdom(databases, again, third))


def test_another_playbook_says_nothing_about_this_one(databases: Databases) -> None:
    async def scene(stage: Stage) -> None:
        await heal(stage, 1)
        stage.parts.playbooks._playbooks = (playbook(name="other", match=Match(names=("Broken",))),)  # type: ignore[attr-defined]  # of a library for tests
        stage.metrics.script("shop", BAD)
        second = await begin(stage, signal(2))
        await stage.until(second)
        (precedent,) = await leaned_on(stage, second)
        assert precedent["agrees"] is None

    play(databases, scene)
