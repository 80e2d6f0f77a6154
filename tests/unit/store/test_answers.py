"""Answers and corrections on both databases: kept as they were told, and never told without being kept."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from stores import Store
from telling import ANN, REQUEST, Anything, Knowing, desk

from penelope.errors import ChainBroken, Unavailable, UnknownAnswer, UnknownConcept
from penelope.flow.answers import LARGEST_KEPT_BYTES
from penelope.store.answers import SqlAnswers

OnStores = Callable[[Any], None]


def test_an_answer_is_kept_as_it_was_told_and_compared_with_that_of_now(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        resolver = Knowing()
        answers = desk(store.writer, store.reading, resolver)
        told = await answers.answer(REQUEST)
        kept = await answers.kept(told.id)
        assert (kept.request, kept.actor) == (REQUEST, "key:ann")
        assert kept.told["value"]["table"]["rows"] == [[5050]]
        assert (await answers.again(told.id)).changed == ()
        resolver.rows = ((5051.5,),)
        assert (await answers.again(told.id)).changed == ("figures",)
        other = await answers.again(told.id, replace(ANN, role="guest"))
        assert other.changed == ("figures", "policy")
        with pytest.raises(UnknownAnswer):
            await answers.kept("ans_none")
        kinds = [entry.details.get("again_of") for entry in await store.reader.history(other.id, 0, 10)]
        assert kinds == [told.id]

    on_stores(scene)


def test_of_a_large_table_the_digest_is_kept(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        resolver = Knowing()
        resolver.rows = tuple((number, "x" * 100) for number in range(LARGEST_KEPT_BYTES // 100))
        answers = desk(store.writer, store.reading, resolver)
        told = await answers.answer(REQUEST)
        table = (await answers.kept(told.id)).told["value"]["table"]
        assert (table["rows"], table["count"]) == ([], len(resolver.rows))
        assert (await answers.again(told.id)).changed == ()
        resolver.rows = (*resolver.rows[:-1], (0, "y"))
        assert (await answers.again(told.id)).changed == ("figures",)

    on_stores(scene)


def test_an_answer_that_was_altered_is_not_shown(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        answers = desk(store.writer, store.reading, Knowing())
        told = await answers.answer(REQUEST)
        async with store.writer.begin() as connection:
            kind = "text" if store.writer.dialect.name == "sqlite" else "jsonb"
            await connection.execute(
                text(
                    "UPDATE units_of_work SET attributes = "
                    f"CAST(replace(CAST(attributes AS text), '5050', '6050') AS {kind})"
                )
            )
        with pytest.raises(ChainBroken):
            await answers.kept(told.id)

    on_stores(scene)


def test_nothing_is_told_that_the_database_does_not_take(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        answers = desk(store.writer, store.reading, Knowing())
        async with store.writer.begin() as connection:
            await connection.execute(text("ALTER TABLE units_of_work_history RENAME TO gone"))
        with pytest.raises(Unavailable, match="the ledger cannot be written") as refused:
            await answers.answer(REQUEST)
        assert "5050" not in str(refused.value)

    on_stores(scene)


def run(*told: str) -> subprocess.CompletedProcess[bytes]:
    script = str(Path(__file__).with_name("telling.py"))
    return subprocess.run([sys.executable, script, *told], capture_output=True, check=False, timeout=60)


@pytest.mark.parametrize("dies", ["before", "after"])
def test_who_dies_in_between_has_told_nothing_that_is_not_kept(
    databases: tuple[str, str], on_stores: OnStores, dies: str
) -> None:
    async def scene(store: Store) -> None:
        died, lived = [await asyncio.to_thread(run, "answer", databases[0], how) for how in (dies, "")]
        assert (died.returncode, died.stdout) == (9, b"")
        assert lived.returncode == 0, lived.stderr
        told = lived.stdout.decode().strip()
        assert await SqlAnswers(store.reading).answer(told) is not None
        counting = text("SELECT count(*) FROM units_of_work WHERE kind = 'answer' AND id <> :told")
        async with store.reading.connect() as connection:
            left = (await connection.execute(counting, {"told": told})).scalar_one()
        assert left == {"before": 0, "after": 1}[dies]

    on_stores(scene)


@pytest.mark.parametrize("dies", ["before", "after"])
def test_who_dies_while_a_look_is_recorded_has_told_nothing_that_is_not(
    databases: tuple[str, str], on_stores: OnStores, dies: str
) -> None:
    async def scene(store: Store) -> None:
        died = await asyncio.to_thread(run, "look", databases[0], dies)
        assert (died.returncode, died.stdout) == (9, b"")
        counting = text("SELECT count(*) FROM units_of_work WHERE kind = 'look'")
        async with store.reading.connect() as connection:
            assert (await connection.execute(counting)).scalar_one() == {"before": 0, "after": 1}[dies]

    on_stores(scene)


@pytest.mark.parametrize("dies", ["before", "after"])
def test_a_correction_is_taken_back_or_is_not_wherever_the_process_dies(
    databases: tuple[str, str], on_stores: OnStores, dies: str
) -> None:
    async def scene(store: Store) -> None:
        died = await asyncio.to_thread(run, "withdrawal", databases[0], dies)
        assert (died.returncode, died.stdout) == (9, b"")
        answers: Any = desk(store.writer, store.reading, Knowing())
        answers.looks.bare = Anything()
        kept = await SqlAnswers(store.reading).corrections()
        assert len(kept) == {"before": 1, "after": 0}[dies]
        # Whoever never heard tries again, and it is gone either way.
        if dies == "before":
            assert (await answers.withdraw("takings", ANN)).phrase == "takings"
        else:
            with pytest.raises(UnknownConcept):
                await answers.withdraw("takings", ANN)
        assert await SqlAnswers(store.reading).corrections() == []

    on_stores(scene)


def test_a_correction_that_was_altered_is_not_taken_back_unseen(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        answers: Any = desk(store.writer, store.reading, Knowing())
        answers.looks.bare = Anything()
        await answers.correct("takings", "a", ANN)
        async with store.writer.begin() as connection:
            kind = "text" if store.writer.dialect.name == "sqlite" else "jsonb"
            await connection.execute(
                text(
                    "UPDATE units_of_work SET attributes = "
                    f"CAST(replace(CAST(attributes AS text), '2026', '2025') AS {kind})"
                )
            )
        with pytest.raises(ChainBroken):
            await answers.withdraw("takings", ANN)

    on_stores(scene)


def test_corrections_are_found_in_order_by_their_index(on_stores: OnStores) -> None:
    async def scene(store: Store) -> None:
        answers: Any = desk(store.writer, store.reading, Knowing())
        answers.looks.bare = Anything()
        for phrase, name in (("takings", "a"), ("income", "b"), ("Takings", "c")):
            await answers.correct(phrase, name, ANN)
        kept = await SqlAnswers(store.reading).corrections()
        assert [(item.phrase, item.name, item.actor) for item in kept] == [
            ("income", "b", "key:ann"),
            ("Takings", "c", "key:ann"),
        ]
        plan = "EXPLAIN QUERY PLAN" if store.writer.dialect.name == "sqlite" else "EXPLAIN"
        async with store.writer.connect() as connection:
            if store.writer.dialect.name != "sqlite":
                await connection.execute(text("SET enable_seqscan = off"))
            query = "SELECT * FROM units_of_work WHERE kind = 'correction' ORDER BY updated_at, id"
            lines = [str(row) for row in await connection.execute(text(f"{plan} {query}"))]
        assert "ix_units_of_work_corrections" in str(lines)
        with pytest.raises(UnknownAnswer):
            await answers.kept("correction:none")

    on_stores(scene)
