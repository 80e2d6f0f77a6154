"""Every store of passages keeps the same promises, and ranks alike."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from penelope.domain.access import Classification
from penelope.domain.passage import Document, Passage, Piece
from penelope.errors import Timeout, Unavailable
from penelope.rooms.context.terms import terms_of
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.open_passages import open_passages
from penelope.store.shelf import SqlShelf

MODEL = "a-model"
DIMENSIONS = 384
EVERYTHING = tuple(kind.value for kind in Classification)
WORDS = [
    "payment",
    "refund",
    "checkout",
    "basket",
    "latency",
    "queue",
    "broker",
    "disk",
    "replica",
    "failover",
    "index",
    "search",
    "catalogue",
    "price",
    "stock",
    "warehouse",
    "courier",
    "parcel",
    "invoice",
    "ledger",
    "session",
    "token",
    "cache",
    "timeout",
    "retry",
    "deploy",
    "rollback",
    "canary",
    "quota",
    "alert",
]


def vector(seed: int) -> bytes:
    made = np.random.default_rng(seed).standard_normal(DIMENSIONS).astype("<f4")
    return (made / np.linalg.norm(made)).astype("<f4").tobytes()


def mixed(seed: int, other: int, share: float) -> bytes:
    """A vector between two others, at this cosine to the first (they are about at right angles)."""
    one, two = (np.frombuffer(vector(each), "<f4") for each in (seed, other))
    made = share * one + np.sqrt(1 - share**2) * two
    return (made / np.linalg.norm(made)).astype("<f4").tobytes()


def piece(words: str, of: bytes | None = None, heading: str = "") -> Piece:
    terms, length = terms_of(f"{heading} {words}")
    return Piece(heading=heading, text=words, terms=terms, length=length, vector=of)


def document(name: str, classification: Classification = Classification.INTERNAL, **more: Any) -> Document:
    return Document(
        id=f"doc-{name}",
        kind="guide",
        title=name.title(),
        source=f"/docs/{name}.md",
        digest=f"digest of {name}",
        classification=classification,
        **more,
    )


class Bench:
    def __init__(self, shelf: SqlShelf, passages: Any, writer: Any) -> None:
        self.shelf, self.passages, self.writer = shelf, passages, writer

    async def put(self, name: str, *pieces: Piece, kind: Classification = Classification.INTERNAL) -> None:
        await self.shelf.put(document(name, kind), pieces, "recipe", MODEL)

    async def find(
        self, words: str, of: bytes | None = None, allowed: Collection[str] = EVERYTHING, limit: int = 10
    ) -> Sequence[Passage]:
        return await self.passages.search(words, of, allowed, limit)

    async def names(self, *given: Any, **more: Any) -> list[str]:
        return [item.document.id.removeprefix("doc-") for item in await self.find(*given, **more)]

    async def count(self, table: str) -> int:
        async with self.writer.connect() as connection:
            return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


@asynccontextmanager
async def bench(url: str) -> AsyncIterator[Bench]:
    writer = open_engine(parse_url(url))
    reader = open_reader(parse_url(url))
    await migrate(writer)
    passages = open_passages(parse_url(url), reader, model=MODEL)
    try:
        yield Bench(SqlShelf(writer), passages, writer)
    finally:
        passages.close()
        await reader.dispose()
        await writer.dispose()


@pytest.fixture
def url(databases: tuple[str, str]) -> str:
    return databases[0]


def test_an_empty_store_finds_nothing(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            assert await it.find("payment", vector(1)) == []
            assert await it.find("", None) == []

    asyncio.run(run())


def test_a_document_comes_back_as_it_was_put(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            put = document("runbook", Classification.RESTRICTED, owner="team-pay", services=("pay", "till"))
            await it.shelf.put(put, [piece("restart the broker", vector(1), "Steps > First")], "r1", MODEL)
            (found,) = await it.find("broker")
            assert found.document == put
            assert (found.heading, found.text, found.by) == (
                "Steps > First",
                "restart the broker",
                ("keywords",),
            )
            (kept,) = await it.shelf.shelved()
            assert (kept.id, kept.source, kept.digest, kept.recipe) == (put.id, put.source, put.digest, "r1")

    asyncio.run(run())


def test_rarer_words_weigh_more_and_meaning_finds_what_words_do_not(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            await it.put("one", piece("payment queue", vector(1)))
            await it.put("two", piece("payment refund", vector(2)))
            await it.put("three", piece("payment basket", vector(3)))
            assert (await it.names("refund of a payment"))[0] == "two"
            assert await it.names("nothing that is here") == []
            (found,) = await it.find("nothing that is here", mixed(3, 99, 0.6))
            assert (found.document.id, found.by) == ("doc-three", ("meaning",))
            assert found.score == pytest.approx(0.6, abs=0.15)
            (best, *_) = await it.find("refund", mixed(2, 99, 0.6))
            assert (best.document.id, best.by) == ("doc-two", ("meaning", "keywords"))

    asyncio.run(run())


def test_of_each_document_the_best_passage_comes_and_no_more_than_asked_for(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            await it.put("long", piece("refund"), piece("refund quota"), piece("refund of stock by courier"))
            for number in range(5):
                await it.put(f"short{number}", piece(f"refund alert{number} deploy rollback canary price"))
                # A word that stands everywhere is worth nothing.
                await it.put(f"other{number}", *[piece("basket broker disk")] * 3)
            found = await it.find("refund quota")
            assert len({item.document.id for item in found}) == len(found) == 6
            assert found[0].text == "refund quota"
            assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
            assert len(await it.find("refund quota", limit=2)) == 2
            assert await it.find("refund quota", limit=0) == []

    asyncio.run(run())


def test_what_is_not_allowed_is_not_found_and_moves_no_score(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            for number in range(8):
                await it.put(
                    f"open{number}", piece(f"payment {WORDS[number]} {WORDS[number % 2]}", vector(number))
                )
            asked, allowed = ("payment quota refund checkout", mixed(2, 99, 0.5)), ("public", "internal")
            before = [await it.find(words, of, allowed) for words, of in ((asked[0], None), asked)]
            for number in range(30):
                kind = Classification.PII if number % 2 else Classification.RESTRICTED
                await it.put(f"secret{number}", piece("quota quota payment", mixed(2, 99, 0.5)), kind=kind)
            after = [await it.find(words, of, allowed) for words, of in ((asked[0], None), asked)]
            assert after == before
            assert before[0]
            assert "doc-secret0" in {item.document.id for item in await it.find("quota", limit=50)}
            assert await it.find("quota", None, ()) == []
            assert await it.find("quota", None, ("no such",)) == []

    asyncio.run(run())


def test_a_document_put_again_takes_the_place_of_the_old_one_whole(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            await it.put("one", piece("old courier", vector(1)), piece("old parcel", vector(2)))
            await it.put("two", piece("invoice", vector(3)))
            assert await it.names("courier") == ["one"]
            await it.put("one", piece("new ledger", vector(4)), kind=Classification.CONFIDENTIAL)
            assert await it.names("courier") == []
            assert await it.names("", vector(1)) == []
            assert await it.names("ledger") == ["one"]
            assert await it.names("ledger", allowed=("internal",)) == []
            assert await it.names("", vector(4), ("confidential",)) == ["one"]
            assert await it.count("passages") == 2

    asyncio.run(run())


def test_what_is_forgotten_leaves_nothing_behind(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            await it.put("one", piece("courier", vector(1)))
            await it.put("two", piece("courier stock", vector(2)))
            assert await it.shelf.forget(["doc-one", "doc-unknown"]) == 1
            assert await it.names("courier", vector(1)) == ["two"]
            assert await it.shelf.forget([]) == 0
            assert await it.shelf.forget(["doc-two"]) == 1
            assert await it.find("courier", vector(2)) == []
            assert await it.count("passages") == await it.count("documents") == 0

    asyncio.run(run())


def test_nothing_of_a_document_that_cannot_be_put_whole_is_there(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            await it.put("one", piece("courier"))
            broken = Piece(heading="", text=None, terms=("ledger",), length=1)  # type: ignore[arg-type]  # what the database refuses
            with pytest.raises(Exception, match=r"(?i)null"):
                await it.put("one", piece("ledger"), broken)
            assert await it.names("courier") == ["one"]
            assert await it.names("ledger") == []

    asyncio.run(run())


def test_vectors_of_another_model_are_not_compared(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            await it.shelf.put(document("one"), [piece("courier", vector(1))], "recipe", "another-model")
            assert await it.find("nothing", vector(1)) == []
            assert [item.by for item in await it.find("courier", vector(1))] == [("keywords",)]

    asyncio.run(run())


HOSTILE = [
    "",
    "\x00",
    "'",
    '"',
    "\\",
    "'; DROP TABLE passages; --",
    'internal : "x" OR public : *',
    "NEAR(a b)",
    "courier AND OR NOT (",
    "a & b | !c <-> d:*",
    "%s %(x)s :name {}",
    "\ud800 half",
    "ﬁnance İstanbul ß 東京",
    "x" * 100_000,
    "word " * 50_000,
    "-._/:" * 1000,
]


@pytest.mark.parametrize("words", HOSTILE, ids=range(len(HOSTILE)))
def test_any_question_has_an_answer(url: str, words: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            await it.put("one", piece("courier stock", vector(1)))
            await it.put("two", piece(words[:2000].replace("\x00", "").replace("\ud800", ""), vector(2)))
            for of in (None, vector(1), b"", b"\x00" * 12):
                for item in await it.find(words, of):
                    assert np.isfinite(item.score)
            assert await it.names("courier") == ["one"] or "one" in await it.names("courier")

    asyncio.run(run())


def test_changes_are_seen_by_who_searched_before(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it, bench(url) as other:
            assert await other.names("courier") == []
            await it.put("one", piece("courier", vector(1)))
            assert await other.names("courier") == ["one"]
            await it.put("two", piece("courier", vector(2)))
            assert set(await other.names("courier")) == {"one", "two"}
            await it.shelf.forget(["doc-one"])
            assert await other.names("courier", vector(1)) == ["two"]

    asyncio.run(run())


def test_searches_at_once_and_beside_a_writer_are_each_whole(url: str) -> None:
    async def run() -> None:
        async with bench(url) as it:
            for number in range(10):
                await it.put(f"d{number}", piece(f"courier {WORDS[number]}", vector(number)))

            async def write() -> None:
                for round_ in range(5):
                    await it.put("d3", piece(f"courier round{round_}", vector(3)))

            found = await asyncio.gather(
                write(), *(it.find("courier", vector(3), limit=20) for _ in range(30))
            )
            assert {len(each) for each in found[1:]} == {10}

    asyncio.run(run())


def test_a_store_out_of_reach_says_so(databases: tuple[str, str]) -> None:
    missing = databases[0].replace("penelope.db", "missing.db")
    if missing == databases[0]:
        missing = "postgresql://nobody@127.0.0.1:9/none?connect_timeout=2"

    async def run() -> None:
        reader = open_reader(parse_url(missing))
        passages = open_passages(parse_url(missing), reader, model=MODEL)
        try:
            with pytest.raises((Unavailable, Timeout)):
                await passages.search("courier", None, EVERYTHING, 5)
        finally:
            passages.close()
            await reader.dispose()

    asyncio.run(run())


def test_both_stores_rank_alike(postgres: str, tmp_path: Any) -> None:
    """Same documents, same questions: the same passages in the same order, with scores that agree to 1 in 100,000."""
    chance = random.Random(7)
    kinds = list(Classification)
    shelf = [
        (
            f"d{number:03}",
            kinds[number % 5],
            [
                piece(
                    " ".join(chance.choices(WORDS, k=chance.randrange(3, 40))), vector(1000 * number + part)
                )
                for part in range(chance.randrange(1, 4))
            ],
        )
        for number in range(120)
    ]
    questions = [
        (
            " ".join(chance.sample(WORDS, chance.randrange(0, 6))),
            chance.choice([None, mixed(1000 * chance.randrange(120), 7, chance.uniform(0.2, 0.9))]),
            chance.sample(EVERYTHING, chance.randrange(1, 6)),
        )
        for _ in range(100)
    ]

    async def answers(url: str) -> list[list[tuple[str, str, tuple[str, ...], float]]]:
        async with bench(url) as it:
            for name, kind, pieces in shelf:
                await it.put(name, *pieces, kind=kind)
            found = [await it.find(*question) for question in questions]
            return [[(i.document.id, i.text, i.by, i.score) for i in each] for each in found]

    embedded = asyncio.run(answers(f"sqlite:///{tmp_path}/p.db"))
    distributed = asyncio.run(answers(postgres))
    assert sum(len(each) for each in embedded) > 500
    for one, other in zip(embedded, distributed, strict=True):
        assert [item[:3] for item in one] == [item[:3] for item in other]
        assert [item[3] for item in one] == pytest.approx([item[3] for item in other], abs=1e-5)


def test_without_pgvector_words_still_find_and_no_meaning_is_claimed(postgres: str) -> None:
    async def run() -> None:
        async with bench(postgres) as it:
            async with it.writer.begin() as connection:
                await connection.execute(text("DROP TABLE passages_text_meaning"))
            reader = open_reader(parse_url(postgres))
            passages = open_passages(parse_url(postgres), reader, model=MODEL)
            await it.put("one", piece("courier", vector(1)))
            async with it.writer.begin() as connection:
                await connection.execute(text("DROP TABLE passages_text_meaning"))
            assert [item.by for item in await passages.search("courier", vector(1), EVERYTHING, 5)] == [
                ("keywords",)
            ]
            await reader.dispose()

    asyncio.run(run())
