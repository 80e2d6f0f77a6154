"""Indexing: what changed is taken in, what is gone forgotten, nothing is lowered, and a kill leaves every document whole."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import text
from typer.testing import CliRunner

from penelope.domain.access import Classification
from penelope.entry.cli import context_index, main
from penelope.entry.documents import Indexer, Report
from penelope.errors import InvalidRequest, Unavailable
from penelope.settings.documents import Documents
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.shelf import SqlShelf


class Counting:
    """An embedder whose vectors tell the length of a text."""

    model = "counting"

    def __init__(self, most: int = 10**6) -> None:
        self.left = most
        self.texts: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("the model is gone")
        self.texts += texts
        return [len(item).to_bytes(4, "little") * 384 for item in texts]


class Bench:
    def __init__(self, url: str) -> None:
        self.url = url

    def index(self, *roots: Path, embedder: Any = None, **settings: Any) -> Report:
        async def run() -> Report:
            engine = open_engine(parse_url(self.url))
            try:
                await migrate(engine)
                given = Documents(**settings)
                return await Indexer(SqlShelf(engine), embedder, given).run(roots, lambda *_: None)
            finally:
                await engine.dispose()

        return asyncio.run(run())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        async def run() -> list[tuple[Any, ...]]:
            engine = open_engine(parse_url(self.url))
            try:
                async with engine.connect() as connection:
                    return [tuple(row) for row in await connection.execute(text(query))]
            finally:
                await engine.dispose()

        return asyncio.run(run())

    def levels(self) -> dict[str, str]:
        return {
            Path(source).name: level
            for source, level in self.rows("SELECT source, classification FROM documents")
        }


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(f"sqlite:///{tmp_path}/penelope.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    (made / "sub").mkdir(parents=True)
    (made / "a.md").write_text("# A\nabout payments")
    (made / "sub" / "b.md").write_text("# B\nabout refunds")
    return made


def test_only_what_changed_is_made_anew_and_what_is_gone_is_forgotten(bench: Bench, folder: Path) -> None:
    embedder = Counting()
    first = bench.index(folder, embedder=embedder)
    assert (first.indexed, first.unchanged, first.forgotten) == (2, 0, 0)
    embedded = len(embedder.texts)
    again = bench.index(folder, embedder=embedder)
    assert (again.indexed, again.unchanged, len(embedder.texts)) == (0, 2, embedded)
    (folder / "a.md").write_text("# A\nabout invoices")
    (folder / "sub" / "b.md").unlink()
    third = bench.index(folder, embedder=embedder)
    assert (third.indexed, third.unchanged, third.forgotten) == (1, 0, 1)
    assert [row[0] for row in bench.rows("SELECT text FROM passages")] == ["about invoices"]


def test_what_lies_elsewhere_or_cannot_be_looked_at_is_not_forgotten(bench: Bench, folder: Path) -> None:
    bench.index(folder)
    (folder / "a.md").unlink()
    assert bench.index(folder / "sub").forgotten == 0
    beside = folder.with_name("docs2")
    folder.rename(beside)
    report = bench.index(folder)
    assert (report.forgotten, [source for source, _ in report.unread]) == (0, [str(folder)])
    beside.rename(folder)
    assert bench.index(folder).forgotten == 1


def test_another_recipe_makes_everything_anew(bench: Bench, folder: Path) -> None:
    bench.index(folder)
    assert bench.levels() == {"a.md": "internal", "b.md": "internal"}
    assert bench.index(folder, classification="restricted").indexed == 2
    assert bench.levels() == {"a.md": "restricted", "b.md": "restricted"}
    assert bench.index(folder, classification="restricted", embedder=Counting()).indexed == 2


def test_an_embedder_that_fails_leaves_words_and_the_next_run_embeds(bench: Bench, folder: Path) -> None:
    report = bench.index(folder, embedder=Counting(1))
    assert (report.indexed, report.without_meaning) == (2, "the model is gone")
    assert bench.rows("SELECT count(*) FROM passages WHERE vector IS NULL") == [(1,)]
    assert bench.index(folder, embedder=Counting()).indexed == 1
    assert bench.rows("SELECT count(*) FROM passages WHERE vector IS NULL") == [(0,)]


def test_personal_data_raises_and_nothing_lowers(bench: Bench, folder: Path) -> None:
    (folder / "open.md").write_text(
        "---\nclassification: public\n---\nAsk anna.schmidt@kunden-post.de about it."
    )
    (folder / "plain.md").write_text("---\nclassification: public\n---\nAsk nobody.")
    (folder / "pii.md").write_text("---\nclassification: pii\n---\nNothing personal.")
    report = bench.index(folder)
    assert bench.levels() == {
        "a.md": "internal",
        "b.md": "internal",
        "open.md": "pii",
        "plain.md": "public",
        "pii.md": "pii",
    }
    assert [(Path(source).name, level, kinds) for source, level, kinds in report.raised] == [
        ("open.md", Classification.PII, "e-mail address (1)")
    ]


def test_what_became_unfit_is_forgotten(bench: Bench, folder: Path) -> None:
    bench.index(folder)
    (folder / "a.md").write_text("---\nclassification: nobody knows\n---\nText")
    report = bench.index(folder)
    assert (report.forgotten, len(report.left_out), report.unread) == (1, 1, [])
    assert list(bench.levels()) == ["b.md"]


def test_too_many_files_change_nothing(bench: Bench, folder: Path) -> None:
    bench.index(folder)
    (folder / "a.md").unlink()
    (folder / "c.md").write_text("c")
    with pytest.raises(InvalidRequest, match="more than 1 files"):
        bench.index(folder, max_files=1)
    assert len(bench.levels()) == 2


KILLED = """
import asyncio, sys
from pathlib import Path
from penelope.entry.documents import Indexer
from penelope.settings.documents import Documents
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.shelf import SqlShelf

async def run():
    engine = open_engine(parse_url(sys.argv[1]))
    await migrate(engine)
    await Indexer(SqlShelf(engine), None, Documents()).run([Path(sys.argv[2])], lambda *_: None)

asyncio.run(run())
"""


@pytest.mark.chaos
def test_a_kill_anywhere_leaves_each_document_whole(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        parts = "\n".join(f"# Part {part}\ncourier word{number} word{part}" for part in range(50))
        (folder / f"d{number:02}.md").write_text(parts)
    file = tmp_path / "penelope.db"
    seen = set()
    for attempt in range(6):
        process = subprocess.Popen([sys.executable, "-c", KILLED, bench.url, str(folder)])
        # Once it has begun, a little later each time, so that it dies at different places of a transaction.
        before, deadline = passages(file), time.monotonic() + 60
        while passages(file) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(0.007 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        rows = bench.rows(
            "SELECT d.passages, count(p.seq) FROM documents d LEFT JOIN passages p ON p.document = d.id GROUP BY d.id"
        )
        assert all(said == there for said, there in rows)
        ((held,),) = bench.rows("SELECT count(*) FROM passages_text WHERE passages_text MATCH 'courier'")
        assert held == sum(there for _, there in rows)
        seen.add(len(rows))
    assert len(seen) > 1
    report = bench.index(folder)
    assert report.indexed + report.unchanged == 40
    assert report.unchanged == max(seen)
    assert bench.rows("SELECT count(*) FROM passages") == [(2000,)]


def passages(file: Path) -> int:
    try:
        connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT count(*) FROM passages").fetchone()[0])
        finally:
            connection.close()
    except sqlite3.Error:
        return 0


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer(cls=main._Commands)
    made.callback()(main.options)
    made.command("index")(context_index.index)
    made.command("search")(context_index.search)
    return made


def test_the_commands(app: typer.Typer, bench: Bench, folder: Path) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(app, ["--set", f"database.url={bench.url}", *words])

    (folder / "secret.md").write_text("---\nclassification: restricted\n---\nthe courier's code")
    (folder / "code.py").write_text("import os")
    done = run("index", str(folder), "--words-only", "--classification", "public")
    assert done.exit_code == 0, done.output
    assert "3 documents indexed (3 passages), 0 unchanged, 0 forgotten, 1 left out, 0 unread" in done.output
    assert "it is of no kind that is indexed" in done.output
    assert "about refunds" in run("search", "refund", "--words-only").output
    assert '"classification": "public"' in run("search", "refund", "--words-only", "--json").output
    assert "Nothing was found." in run("search", "courier", "--words-only").output
    assert "code" in run("search", "courier", "--words-only", "--allow", "restricted").output
    missing = run("index", str(folder / "missing"), "--words-only")
    assert missing.exit_code == 1
    assert "cannot be read" in missing.output


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unread_and_stays(bench: Bench, folder: Path) -> None:
    bench.index(folder)
    (folder / "a.md").chmod(0)
    report = bench.index(folder)
    assert (len(report.unread), report.forgotten) == (1, 0)
