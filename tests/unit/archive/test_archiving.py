"""Old payloads move into the archive: proofs stay as they were, and nothing is lost whatever happens in between."""

import asyncio
import resource
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from vault import DAYS, Play, Vault, change, play

from penelope.domain.work import Change, Entry
from penelope.errors import ChainBroken, Unavailable
from penelope.flow.archiving import Archiver, Done
from penelope.ledger import segment
from penelope.ledger.erasures import Archived

DAY = 86_400


# --- what it is for ---------------------------------------------------------------------------------------


def test_proofs_are_the_same_before_and_after(on_vaults: Play) -> None:
    async def scene(vault: Vault) -> None:
        checkpoint = await vault.signed()
        places = (0, 1, 255, 256, 2048, 4095, 4096, 4105)
        before = [await vault.proof(place, checkpoint) for place in places]
        entries = await vault.entries()

        assert await vault.archiver.archive_once(vault.clock.now()) == Done(segments=1, payloads=4096)

        assert [await vault.proof(place, checkpoint) for place in places] == before
        after = (await vault.entries())[: len(entries)]
        assert [(entry.body, entry.hash) for entry in after] == [
            (entry.body, entry.hash) for entry in entries
        ]
        assert [entry.erased for entry in after] == [True] * 4096 + [False] * 10
        # Ten that are still there, and the two entries that tell of the segment.
        assert await vault.payloads() == 12
        assert await vault.flaws() == []

    on_vaults(scene)


def test_payloads_are_read_back_as_they_were(on_vaults: Play) -> None:
    async def scene(vault: Vault) -> None:
        entries = await vault.entries()
        await vault.archiver.archive_once(vault.clock.now())
        after = (await vault.entries())[: len(entries)]
        assert entries[7].reason == "the error rate is 7"
        assert after[7].reason == ""

        assert await vault.recall.filled(after) == list(entries)
        assert await vault.recall.filled([after[7], after[4100]]) == [entries[7], entries[4100]]
        assert await vault.recall.filled(entries) == list(entries)
        recall = vault.recall
        await recall.filled(after[:1])
        vault.files[0].unlink()  # its neighbours are at hand
        assert await recall.filled(after[5:9]) == list(entries[5:9])

    on_vaults(scene)


def test_the_ledger_tells_of_each_segment(on_vaults: Play) -> None:
    async def scene(vault: Vault) -> None:
        checkpoint = await vault.signed()
        await vault.archiver.archive_once(vault.clock.now())
        written, cleared = (await vault.entries())[-2:]
        assert (written.event, cleared.event) == ("PayloadsArchived", "PayloadsCleared")
        assert written.unit == cleared.unit == "ledger:segment:0-4095"
        (unit,) = await vault.store.segments()
        archived = Archived.of(unit)
        (file,) = vault.files
        assert (archived.first, archived.last, archived.payloads) == (0, 4095, 4096)
        assert (archived.checkpoint, archived.file) == (checkpoint.size, file.name)
        assert archived.sha256 == vault.archive.sha256(file.name)
        assert archived.sha256.startswith(file.name.split(".")[1])
        assert await vault.archiver.verify_all() == 1

    on_vaults(scene)


def test_archiving_goes_on_segment_by_segment(on_sqlite: Play) -> None:
    async def scene(vault: Vault) -> None:
        await vault.fill(4096, "more")
        await vault.log_all()
        vault.clock.advance((DAYS + 1) * DAY)
        assert await vault.archiver.archive_once(vault.clock.now()) == Done(segments=2, payloads=8192)
        assert [file.name[:25] for file in vault.files] == [
            "000000000000-000000004095",
            "000000004096-000000008191",
        ]
        erasures = await vault.store.erasures()
        assert erasures.runs == [(1, 8192)]
        entries = await vault.entries()
        filled = await vault.recall.filled([entries[10], entries[5106]])
        assert [entry.reason for entry in filled] == ["the error rate is 10", "the error rate is 1000"]
        assert await vault.archiver.archive_once(vault.clock.now()) == Done(segments=0, payloads=0)

    on_sqlite(scene)


# --- when it is due ---------------------------------------------------------------------------------------


def test_nothing_is_archived_before_its_time(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        nothing = Done(segments=0, payloads=0)
        assert await vault.archiver.archive_once(vault.clock.now()) == nothing
        await vault.fill(4095, "first")
        vault.clock.advance(DAY)
        await vault.log_all()
        long_ago = vault.clock.now()
        vault.clock.advance(DAYS * DAY)
        assert await vault.archiver.archive_once(vault.clock.now()) == nothing  # not a whole segment
        vault.clock.advance(-DAYS * DAY)
        await vault.fill(10, "last")
        vault.clock.advance(DAYS * DAY)
        assert await vault.archiver.archive_once(vault.clock.now()) == nothing  # not signed
        await vault.log_all()
        # The newest entry of the segment is a day younger than the others.
        assert await vault.archiver.archive_once(vault.clock.advance(-1)) == nothing
        assert vault.files == []
        assert (await vault.archiver.archive_once(vault.clock.advance(1))).segments == 1
        assert vault.clock.now() - long_ago == timedelta(days=DAYS)

    on_empty(scene)


def test_the_job_goes_on_after_an_error(on_sqlite: Play, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(vault: Vault) -> None:
        with vault.archive.locked():
            task = asyncio.create_task(vault.archiver.run(vault.clock, 0.01))
            await until(lambda: "another process changes the archive" in caplog.text)
        await until(lambda: bool(vault.files))
        await vault.sql("DROP TABLE log_checkpoints")
        await until(lambda: "old payloads were not archived\n" in caplog.text)
        assert not task.done()
        task.cancel()

    on_sqlite(scene)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for is a file, or a line of the log
            await asyncio.sleep(0.01)


# --- what must not be taken for archived ------------------------------------------------------------------


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM history_payloads WHERE unit = 'plan-77'",
        "UPDATE history_payloads SET body = replace(body, 'rate', 'tale') WHERE unit = 'plan-77'",
        "UPDATE history_payloads SET salt = 'xyz' WHERE unit = 'plan-77'",
    ],
)
def test_tampering_is_not_archived_away(on_sqlite: Play, tampering: str) -> None:
    async def scene(vault: Vault) -> None:
        await drop_guards(vault)
        assert await vault.sql(tampering) == 1
        with pytest.raises(ChainBroken, match="entry 77 "):
            await vault.archiver.archive_once(vault.clock.now())
        assert await vault.payloads() >= 4105
        assert await vault.store.segments() == []

    on_sqlite(scene)


def test_a_payload_that_is_deleted_without_a_word_is_a_flaw(on_vaults: Play) -> None:
    async def scene(vault: Vault) -> None:
        await vault.archiver.archive_once(vault.clock.now())
        assert await vault.flaws() == []
        assert await vault.sql("DELETE FROM history_payloads WHERE unit = 'plan-4100'") == 1
        assert await vault.flaws() == ["plan-4100: its payload is gone though retention did not take it"]

    on_vaults(scene)


def test_an_altered_leaf_is_not_archived(on_sqlite: Play) -> None:
    async def scene(vault: Vault) -> None:
        await drop_guards(vault)
        await vault.sql(
            "UPDATE units_of_work_history SET body = replace(body, 'PlanMade', 'PlanMode') WHERE seq = 9"
        )
        with pytest.raises(ChainBroken, match="not those of the log"):
            await vault.archiver.archive_once(vault.clock.now())
        assert await vault.payloads() == 4106

    on_sqlite(scene)


def test_missing_lines_are_told(on_sqlite: Play) -> None:
    async def scene(vault: Vault) -> None:
        await drop_guards(vault)
        await vault.sql("DELETE FROM units_of_work_history WHERE seq > 4000")
        with pytest.raises(ChainBroken, match="entry 4000"):
            await vault.archiver.archive_once(vault.clock.now())
        assert vault.files == []
        await vault.sql("DELETE FROM units_of_work_history")
        with pytest.raises(ChainBroken, match="entries 0 to 4095 of the log are missing"):
            await vault.archiver.archive_once(vault.clock.now())

    on_sqlite(scene)


async def drop_guards(vault: Vault) -> None:
    from penelope.store import guards  # noqa: PLC0415 - only for those who tamper

    async with vault.writer.begin() as connection:
        await connection.run_sync(guards.remove)


# --- dying in between -------------------------------------------------------------------------------------


class Death(Exception):
    """Where the process would have died."""


class Mortal:
    """A port whose nth call of one method is its last, before or after it took effect."""

    def __init__(self, inner: Any, method: str, call: int, *, after: bool) -> None:
        self._inner, self._method, self._left, self._after = inner, method, call, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method:
            return found

        async def dying(*arguments: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise Death
            answer = await found(*arguments)
            if self._left == 0:
                raise Death
            return answer

        return dying


@pytest.mark.parametrize(
    ("method", "call", "after"),
    [
        ("logged", 3, False),
        ("save", 1, False),
        ("save", 1, True),
        ("clear", 1, True),
        ("clear", 9, False),
        ("save", 2, False),
    ],
)
def test_dying_anywhere_loses_nothing(on_vaults: Play, method: str, call: int, *, after: bool) -> None:
    async def scene(vault: Vault) -> None:
        entries = await vault.entries()
        port = "writer" if method == "save" else "store"
        mortal = Mortal(getattr(vault.parts, port), method, call, after=after)
        with pytest.raises(Death):
            await Archiver(replace(vault.parts, **{port: mortal}), DAYS).archive_once(vault.clock.now())
        halfway = (await vault.entries())[: len(entries)]
        assert await vault.recall.filled(halfway) == list(entries)

        await vault.archiver.archive_once(vault.clock.now())

        assert len(vault.files) == 1
        assert list((vault.folder / "archive").glob(".*.new")) == []
        finished = (await vault.entries())[: len(entries)]
        assert [entry.erased for entry in finished] == [True] * 4096 + [False] * 10
        assert await vault.recall.filled(finished) == list(entries)

    on_vaults(scene)


def test_what_was_written_aside_is_cleared_away(on_sqlite: Play) -> None:
    async def scene(vault: Vault) -> None:
        with vault.archive.locked():
            pass
        (vault.folder / "archive" / ".000000000000-000000004095.new").write_bytes(b"half")
        with vault.archive.locked():
            assert list((vault.folder / "archive").glob(".*.new")) == []

    on_sqlite(scene)


def test_a_full_disk_leaves_everything_as_it_was(on_vaults: Play) -> None:
    async def scene(vault: Vault) -> None:
        with no_room(), pytest.raises(Unavailable, match="cannot be written: File too large"):
            await vault.archiver.archive_once(vault.clock.now())
        assert [file.name for file in (vault.folder / "archive").iterdir()] == [".lock"]
        assert await vault.payloads() == 4106
        assert await vault.store.segments() == []
        assert (await vault.archiver.archive_once(vault.clock.now())).payloads == 4096

    on_vaults(scene)


@contextmanager
def no_room() -> Iterator[None]:
    """No file may grow beyond some kilobytes; the database is only read meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- hostile archives -------------------------------------------------------------------------------------


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [flipped, lambda content: content[:-100], lambda _: b"", lambda _: b"\0" * 1000],
    ids=["flipped", "cut", "empty", "zeros"],
)
def test_a_damaged_file_is_told_and_nothing_is_deleted(
    on_sqlite: Play, damage: Callable[[bytes], bytes]
) -> None:
    async def scene(vault: Vault) -> None:
        mortal = Mortal(vault.store, "clear", 2, after=False)
        with pytest.raises(Death):
            await Archiver(replace(vault.parts, store=mortal), DAYS).archive_once(vault.clock.now())  # type: ignore[arg-type]  # it stands for the store
        left = await vault.payloads()
        (file,) = vault.files
        good = file.read_bytes()
        file.write_bytes(damage(good))
        with pytest.raises(ChainBroken, match="of the archive was altered"):
            await vault.archiver.archive_once(vault.clock.now())
        with pytest.raises(ChainBroken):
            await vault.recall.filled(await vault.entries())
        assert await vault.payloads() == left > 0
        file.write_bytes(good)
        await vault.archiver.archive_once(vault.clock.now())
        assert (await vault.recall.filled((await vault.entries())[:1]))[0].reason == "the error rate is 0"

    on_sqlite(scene)


def test_a_file_of_another_log_is_not_touched(on_sqlite: Play, tmp_path: Path) -> None:
    async def scene(vault: Vault) -> None:
        await vault.archiver.archive_once(vault.clock.now())

    async def other(vault: Vault) -> None:
        shutil.copytree(tmp_path / "vault" / "archive", tmp_path / "other" / "archive")
        with pytest.raises(ChainBroken, match="was not made for this log"):
            await vault.archiver.archive_once(vault.clock.now())
        assert len(vault.files) == 1

    on_sqlite(scene)
    play(other, f"sqlite:///{tmp_path}/other.db", tmp_path / "other")


def test_a_file_that_is_missing_is_told(on_sqlite: Play) -> None:
    async def scene(vault: Vault) -> None:
        await vault.archiver.archive_once(vault.clock.now())
        vault.files[0].unlink()
        with pytest.raises(ChainBroken, match="cannot be read: No such file"):
            await vault.recall.filled(await vault.entries())
        with pytest.raises(ChainBroken, match="cannot be read: No such file"):
            await vault.archiver.verify_all()

    on_sqlite(scene)


def test_a_payload_in_the_archive_is_held_against_its_entry(on_sqlite: Play) -> None:
    async def scene(vault: Vault) -> None:
        await vault.archiver.archive_once(vault.clock.now())
        (file,) = vault.files
        content = zstandard.ZstdDecompressor().stream_reader(file.read_bytes()).read()
        assert b"the error rate is 7\\" in content
        forged = content.replace(b"the error rate is 7\\", b"the error rate is 8\\")
        file.write_bytes(zstandard.ZstdCompressor().compress(forged))
        entries = await vault.entries()
        with pytest.raises(ChainBroken, match="payload of plan-7, version 1, is not the recorded one"):
            await vault.recall.filled(entries[:20])
        assert (await vault.recall.filled(entries[8:20]))[0].reason == "the error rate is 8"

    on_sqlite(scene)


def test_a_record_that_was_tampered_with_explains_nothing(on_sqlite: Play) -> None:
    async def scene(vault: Vault) -> None:
        await vault.archiver.archive_once(vault.clock.now())
        wider = "UPDATE units_of_work SET attributes = replace(attributes, '[[1,4096]]', '[[1,9999]]')"
        assert await vault.sql(f"{wider} WHERE incident = 'ledger:archive'") == 1
        with pytest.raises(ChainBroken, match="were changed by something else"):
            await vault.store.erasures()

    on_sqlite(scene)


def test_units_that_tell_nonsense_are_refused(on_sqlite: Play) -> None:
    async def scene(vault: Vault) -> None:
        await vault.ledger.save(odd("ledger:erasure"))
        with pytest.raises(ChainBroken, match="odd-ledger:erasure tells of no erasure"):
            await vault.store.erasures()
        await vault.ledger.save(odd("ledger:archive"))
        with pytest.raises(ChainBroken, match="odd-ledger:archive tells of no segment"):
            await vault.store.segments()

    on_sqlite(scene)


def odd(incident: str) -> Change:
    return replace(change(f"odd-{incident}"), incident=incident)


def test_entries_that_lie_in_no_segment_stay_as_they_are(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        await vault.fill(3)
        entries: Sequence[Entry] = [replace(entry, salt="") for entry in await vault.entries()]
        assert await vault.recall.filled(entries) == list(entries)  # not in the log
        await vault.log_all()
        assert await vault.recall.filled(entries) == list(entries)  # in no segment

    on_empty(scene)


def test_large_payloads_are_read_back_without_being_kept(on_empty: Play) -> None:
    async def scene(vault: Vault) -> None:
        large = replace(change("large"), reason="x" * 9_000_000)
        await vault.ledger.save(large)
        await vault.ledger.save(replace(large, unit="larger", reason="y" * 9_000_000))
        await vault.fill(4094)
        await vault.log_all()
        entries = await vault.entries()
        await vault.archiver.archive_once(vault.clock.advance((DAYS + 1) * DAY))
        after, recall = await vault.entries(), vault.recall
        for place in (0, 1, 4095):
            assert await recall.filled([after[place]]) == [entries[place]]

    on_empty(scene)


def test_a_segment_of_the_archive_stands_for_itself(on_sqlite: Play) -> None:
    """Offline: with the file and the log's public key alone."""

    async def scene(vault: Vault) -> None:
        checkpoint = await vault.signed()
        await vault.archiver.archive_once(vault.clock.now())
        content = zstandard.ZstdDecompressor().stream_reader(vault.files[0].read_bytes()).read()
        proven = segment.verify(content.splitlines(keepends=True), vault.keys.verifiers)
        assert proven == segment.Proven(0, checkpoint.size, 4096)

    on_sqlite(scene)
