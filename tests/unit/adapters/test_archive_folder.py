"""The archive's folder: private, whole files, one who changes it at a time, and no trust in what lies there."""

import hashlib
import io
import stat
from pathlib import Path

import pytest
import zstandard

from penelope.adapters.archives import folder as module
from penelope.adapters.archives.folder import FolderArchive
from penelope.errors import ChainBroken, EntryTooLarge, Unavailable

LINES = [b"one\n", b"two\n"]
NAME = "000000000000-000000004095.0123456789abcdef.jsonl.zst"


@pytest.fixture
def archive(tmp_path: Path) -> FolderArchive:
    return FolderArchive(tmp_path / "archive")


def put(archive: FolderArchive, folder: Path) -> Path:
    with archive.locked(), archive.draft(0, 4095) as draft:
        draft.add(LINES[:1])
        draft.add(LINES[1:])
        return folder / "archive" / draft.finish().name


def test_what_was_written_is_read(archive: FolderArchive, tmp_path: Path) -> None:
    file = put(archive, tmp_path)
    assert list(archive.lines(file.name)) == LINES
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert archive.sha256(file.name) == digest
    assert file.name == f"000000000000-000000004095.{digest[:16]}.jsonl.zst"
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(file.read_bytes())).read() == b"one\ntwo\n"


def test_nobody_else_may_read_it(archive: FolderArchive, tmp_path: Path) -> None:
    file = put(archive, tmp_path)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (file.parent, file, file.parent / ".lock")] == [
        0o700,
        0o600,
        0o600,
    ]


def test_segments_are_found_by_their_first_leaf(archive: FolderArchive, tmp_path: Path) -> None:
    assert archive.files() == {}
    file = put(archive, tmp_path)
    (file.parent / "000000000000-notes.jsonl.zst").write_text("not ours")
    assert archive.files() == {0: [file.name]}
    archive.remove(file.name)
    archive.remove(file.name)
    assert archive.files() == {}


def test_without_its_end_nothing_of_a_draft_stays(archive: FolderArchive, tmp_path: Path) -> None:
    with archive.locked(), archive.draft(0, 4095) as draft:
        draft.add(LINES)
    assert [file.name for file in (tmp_path / "archive").iterdir()] == [".lock"]


def test_one_at_a_time(archive: FolderArchive, tmp_path: Path) -> None:
    with archive.locked(), pytest.raises(Unavailable), FolderArchive(tmp_path / "archive").locked():
        pass
    with archive.locked():
        pass


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    archive = FolderArchive(tmp_path / "file" / "archive")
    with pytest.raises(Unavailable, match="cannot be written: Not a directory"), archive.locked():
        pass
    with pytest.raises(Unavailable, match="cannot be written"), archive.draft(0, 1):
        pass


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "", ".lock", NAME + "x", NAME + "\n"])
def test_a_name_leads_nowhere_else(archive: FolderArchive, name: str) -> None:
    with pytest.raises(ChainBroken, match="can be called"):
        list(archive.lines(name))
    with pytest.raises(ChainBroken, match="can be called"):
        archive.sha256(name)


def test_a_missing_file_is_told(archive: FolderArchive) -> None:
    with pytest.raises(ChainBroken, match="No such file"):
        archive.sha256(NAME)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0" * 100, "is damaged"),
        (
            zstandard.ZstdCompressor(write_checksum=True).compress(b"x" * 500 + b"\n")[:-2] + b"??",
            "is damaged",
        ),
        (zstandard.ZstdCompressor().compress(b"no end"), "is cut off"),
        (zstandard.ZstdCompressor().compress(b"x" * 10_000), "is cut off"),
    ],
    ids=["garbage", "checksum", "open", "long"],
)
def test_damage_is_told(
    archive: FolderArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.setattr(module, "LARGEST_LINE", 4096)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / NAME).write_bytes(content)
    with pytest.raises(ChainBroken, match=message):
        list(archive.lines(NAME))


def test_an_endless_line_is_not_read_to_its_end(
    archive: FolderArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_LINE", 4096)
    bomb = zstandard.ZstdCompressor().compress(b"x" * 50_000_000 + b"\n")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / NAME).write_bytes(bomb)
    with pytest.raises(ChainBroken, match="is cut off"):
        next(archive.lines(NAME))


def test_a_line_that_could_not_be_read_back_is_not_written(
    archive: FolderArchive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_LINE", 4)
    with archive.locked(), archive.draft(0, 4095) as draft:
        draft.add([b"one\n"])
        with pytest.raises(EntryTooLarge):
            draft.add([b"three\n"])
    assert archive.files() == {}
