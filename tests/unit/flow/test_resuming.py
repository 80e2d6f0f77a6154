"""Which deployments are gone on with after a crash, while others of them change."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from penelope.domain.deployment import Course, Deployment
from penelope.flow.deploying import DEPLOY
from penelope.flow.deployments import resume

COUNT = 250


def deployment(number: int) -> Deployment:
    return Deployment(
        id=f"deployment_{number}",
        service=f"s{number}",
        course=Course(canary="b", control="a"),
        created_by="anna",
        created_at=datetime(2026, 11, 1, tzinfo=UTC),
    )


class Restless:
    """The one that changed last stands first, as in the store; after each read the one that stood last changes."""

    def __init__(self, count: int) -> None:
        self.found = [deployment(number) for number in range(count)]
        self.reads = 0

    async def deployments(
        self, *, service: str | None, active: bool | None, before: str | None, limit: int
    ) -> Sequence[Deployment]:
        assert (service, active) == (None, True)
        names = [item.id for item in self.found]
        begin = 0 if before is None else names.index(before) + 1
        return self._read(self.found[begin : begin + limit])

    async def active(self) -> Sequence[Deployment]:
        return self._read(list(self.found))

    def _read(self, page: list[Deployment]) -> list[Deployment]:
        self.reads += 1
        assert self.reads == 1, "what moves between two reads is seen in both, or in none"
        if self.found:
            self.found.insert(0, self.found.pop())
        return page


class Chapters:
    """An engine that knows how some chapters stand, and notes which are begun."""

    def __init__(self, ended: Mapping[str, bool]) -> None:
        self.ended = ended
        self.begun: list[tuple[str, str]] = []

    async def has_ended(self, incidents: Sequence[str]) -> Mapping[str, bool]:
        assert incidents, "asked for none, the durable engine tells of all that it ever carried"
        return {name: self.ended[name] for name in incidents if name in self.ended}

    async def begin(self, chapter: str, key: str, incident: str, given: Any) -> None:
        assert (chapter, given) == (DEPLOY, None)
        self.begun.append((key, incident))


def resumed(count: int, ended: Mapping[str, bool]) -> list[tuple[str, str]]:
    engine: Any = Chapters(ended)
    reader: Any = Restless(count)
    asyncio.run(resume(engine, reader))
    begun: list[tuple[str, str]] = engine.begun
    return begun


def test_none_is_skipped_for_having_changed_meanwhile() -> None:
    names = [f"deployment_{number}" for number in range(COUNT)]
    assert sorted(resumed(COUNT, {})) == sorted((name, name) for name in names)


def test_what_goes_on_is_left_alone_and_what_broke_off_gets_a_chapter_of_its_own() -> None:
    begun = resumed(3, {"deployment_0": False, "deployment_1": True})
    assert [incident for _, incident in begun] == ["deployment_1", "deployment_2"]
    assert begun[0][0].startswith("deployment_1~")
    assert begun[1][0] == "deployment_2"


def test_where_none_is_under_way_nothing_is_asked() -> None:
    assert resumed(0, {}) == []
