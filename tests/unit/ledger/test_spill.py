"""The spill file: a queue on disk that outlives its process."""

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penelope.domain.log import LogLine
from penelope.errors import BadSettings
from penelope.ledger.spill import LogBatch, SpillFile

ROOM = 1 << 20


def batch(name: str, records: int = 2) -> LogBatch:
    lines = [LogLine(n, "TELEMETRY", "", "", name, '{"n":"ü\\n"}', None) for n in range(records)]
    return LogBatch(name, tuple(lines))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spill"


def fill(path: Path, *names: str) -> None:
    with SpillFile(path, limit_bytes=ROOM) as spill:
        assert all(spill.append(batch(name)) for name in names)


def take_all(path: Path) -> list[tuple[int, LogBatch | None]]:
    with SpillFile(path, limit_bytes=ROOM) as spill:
        found = []
        while spill.records:
            found.append(spill.take())
        spill.done()
        return found


def test_batches_come_back_in_order_and_the_space_with_them(path: Path) -> None:
    with SpillFile(path, limit_bytes=ROOM) as spill:
        assert spill.append(batch("a"))
        assert spill.append(batch("b", 3))
        assert spill.records == 5
        assert spill.take() == (2, batch("a"))
        spill.done()
        assert spill.append(batch("c"))
        assert [spill.take(), spill.take()] == [(3, batch("b", 3)), (2, batch("c"))]
        assert spill.records == 0
        assert path.stat().st_size > 0
        spill.done()
        assert path.stat().st_size == 0
        with pytest.raises(IndexError):
            spill.take()
        assert spill.append(batch("d"))
        assert spill.take() == (2, batch("d"))


def test_what_was_taken_but_not_done_with_is_found_again(path: Path) -> None:
    fill(path, "a", "b")
    with SpillFile(path, limit_bytes=ROOM) as spill:
        assert spill.take() == (2, batch("a"))
        spill.done()
    assert take_all(path) == [(2, batch("a")), (2, batch("b"))]
    assert take_all(path) == []


def test_only_the_owner_may_read_it_whoever_made_it(path: Path) -> None:
    path.touch(mode=0o644)
    fill(path, "a")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        SpillFile(path, limit_bytes=ROOM)


def test_two_processes_do_not_share_it(path: Path) -> None:
    with SpillFile(path, limit_bytes=ROOM), pytest.raises(BadSettings, match="another process"):
        SpillFile(path, limit_bytes=ROOM)
    take_all(path)


def test_it_does_not_outgrow_its_limit(path: Path) -> None:
    fill(path, "a")
    size = path.stat().st_size
    with SpillFile(path, limit_bytes=2 * size) as spill:
        assert spill.append(batch("b"))
        assert not spill.append(batch("c"))
        assert spill.records == 4
        assert path.stat().st_size == 2 * size


@pytest.mark.parametrize("left", [0.02, 0.5, 0.999])
def test_a_torn_last_line_is_cut_off_and_counted(path: Path, left: float) -> None:
    fill(path, "a", "b")
    size = path.stat().st_size // 2
    os.truncate(path, size + max(1, int(size * left)))
    with SpillFile(path, limit_bytes=ROOM) as spill:
        assert spill.torn == 2
        assert spill.records == 2
        assert path.stat().st_size == size
        assert spill.append(batch("c"))
    assert take_all(path) == [(2, batch("a")), (2, batch("c"))]


def flip(data: bytes) -> bytes:
    return data.replace(b'"a"', b'"A"')


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda data: b"2 " + data.partition(b" ")[2].replace(b"[", b"{", 1),
        lambda _: b'2 bea6baf0 ["a",[]]\n',
        lambda _: b"2\n",
    ],
)
def test_a_damaged_line_costs_itself_alone(path: Path, damage: Callable[[bytes], bytes]) -> None:
    fill(path, "a", "b")
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(damage(first) + second)
    assert [found[1] for found in take_all(path)] == [None, batch("b")]


def test_valid_json_of_another_shape_is_damage(path: Path) -> None:
    import zlib  # noqa: PLC0415 - only this test forges checksums

    texts = [b'{"id":"a"}', b'["a",[]]']
    path.write_bytes(b"".join(b"1 %08x %s\n" % (zlib.crc32(text), text) for text in texts) + b"nonsense\n")
    assert take_all(path) == [(1, None), (1, None), (1, None)]


def test_a_full_disk_leaves_the_file_as_it_was(path: Path) -> None:
    fill(path, "a")
    size = path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with SpillFile(path, limit_bytes=ROOM) as spill:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
        try:
            with pytest.raises(OSError, match="large"):
                spill.append(batch("b"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, ignored)
        assert path.stat().st_size == size
        assert spill.append(batch("c"))
    assert take_all(path) == [(2, batch("a")), (2, batch("c"))]


def test_what_cannot_be_read_does_not_keep_the_rest_from_being_taken(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(path, "a", "b")
    read = os.pread

    def failing(file: int, length: int, offset: int) -> bytes:
        if offset == 0:
            raise OSError(5, "Input/output error")
        return read(file, length, offset)

    monkeypatch.setattr(os, "pread", failing)
    assert take_all(path) == [(2, None), (2, batch("b"))]


def test_space_that_cannot_be_given_back_is_so_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SpillFile(path, limit_bytes=ROOM) as spill:
        assert spill.append(batch("a"))
        assert spill.take() == (2, batch("a"))

        def failing(*_: int) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(os, "ftruncate", failing)
            spill.done()
        assert spill.records == 0
        assert spill.append(batch("b"))
        assert spill.take() == (2, batch("b"))
        spill.done()
    assert path.stat().st_size == 0


WRITER = """
import sys
from pathlib import Path
from penelope.domain.log import LogLine
from penelope.ledger.spill import LogBatch, SpillFile

spill = SpillFile(Path(sys.argv[1]), limit_bytes=1 << 30)
for number in range(1_000_000):
    assert spill.append(LogBatch(str(number), (LogLine(number, "TELEMETRY", "", "", "e", "{}", None),)))
    print(number, flush=True)
"""


def test_what_was_appended_outlives_a_kill(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline() for _ in range(20)]
        writer.kill()
        told += writer.stdout.read().splitlines(keepends=True)
    acknowledged = [int(each) for each in told if each.endswith("\n")]
    found = [one.id for _, one in take_all(path) if one is not None]
    assert acknowledged[-1] + 1 <= len(found) <= acknowledged[-1] + 2
    assert found == [str(number) for number in range(len(found))]
