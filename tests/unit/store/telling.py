"""Tells an answer from a store of answers; run as a script, it dies where it is told to, before or after it has recorded."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.domain.access import Subject
from penelope.domain.answer import Figures, Outcome, Told
from penelope.domain.concept import Definition, DefinitionKind, Request
from penelope.domain.semantics import Table
from penelope.domain.work import Change, Entry
from penelope.flow.answers import AnswerDesk
from penelope.flow.ports import Observer
from penelope.kit.clock import SystemClock
from penelope.store.answers import SqlAnswers
from penelope.store.database import open_engine, open_reader, parse_url
from penelope.store.group import GroupCommit

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
REVENUE = Definition(name="orders.revenue", kind=DefinitionKind.METRIC, title="Revenue")
ANN = Subject(actor="key:ann", role="analyst")
REQUEST = Request(concept="revenue", subject=ANN, at=NOW, execute=True)


class Deaf(Observer):
    """Counts nothing."""

    def __getattribute__(self, name: str) -> Any:
        return lambda *_, **__: None


class Knowing:
    """A resolver that knows one figure; `rows` may be changed."""

    clock = SystemClock()

    def __init__(self) -> None:
        self.rows: Sequence[tuple[Any, ...]] = ((5050.0,),)

    def forget(self) -> None:
        """It has nothing to look at anew."""

    async def tell(self, request: Request) -> Told:
        table = Table(columns=("orders.revenue",), rows=tuple(self.rows), as_of=None, query="SELECT")
        return Told(
            concept=request.concept,
            subject=request.subject,
            at=request.at,
            outcome=Outcome.RESOLVED,
            definition=REVENUE,
            value=Figures(table=table, unit="EUR"),
        )


class Anything:
    """Knows whatever definition it is asked for."""

    async def definition(self, _: Any, name: str) -> Any:
        return replace(REVENUE, name=name)


class Mortal:
    """A ledger's writer whose process dies `before` or `after` it has written."""

    def __init__(self, ledger: GroupCommit, dies: str) -> None:
        self._ledger = ledger
        self._dies = dies

    async def save(self, *changes: Change) -> Sequence[Entry]:
        if self._dies == "before":
            os._exit(9)
        entries = await self._ledger.save(*changes)
        if self._dies == "after":
            os._exit(9)
        return entries


def desk(writer: AsyncEngine, reading: AsyncEngine, resolver: Knowing, dies: str = "") -> AnswerDesk:
    wanted: Any = resolver
    ledger = GroupCommit(writer, SystemClock(), Deaf())
    return AnswerDesk(wanted, Mortal(ledger, dies), SqlAnswers(reading))


async def told(url: str, dies: str) -> str:
    writer, reading = open_engine(parse_url(url)), open_reader(parse_url(url))
    return (await desk(writer, reading, Knowing(), dies).answer(REQUEST)).id


async def looked_up(url: str, dies: str) -> str:
    writer, reading = open_engine(parse_url(url)), open_reader(parse_url(url))
    answers: Any = desk(writer, reading, Knowing(), dies)
    answers.looks.bare = Anything()
    look = await answers.looks.definition(ANN, REVENUE.name)
    return str(look.id)


async def withdrawn(url: str, dies: str) -> str:
    writer, reading = open_engine(parse_url(url)), open_reader(parse_url(url))
    teaching: Any = desk(writer, reading, Knowing())
    withdrawing: Any = desk(writer, reading, Knowing(), dies)
    teaching.looks.bare = withdrawing.looks.bare = Anything()
    await teaching.correct("takings", REVENUE.name, ANN)
    gone = await withdrawing.withdraw("takings", ANN)
    return str(gone.phrase)


TELLING = {"answer": told, "look": looked_up, "withdrawal": withdrawn}

if __name__ == "__main__":
    # Whatever is printed was told: only then does the process outlive the answer.
    print(asyncio.run(TELLING[sys.argv[1]](*sys.argv[2:])))
    sys.stdout.flush()
    os._exit(0)
