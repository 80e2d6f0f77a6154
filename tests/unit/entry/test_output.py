"""Files that commands write: whole, or as they were."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from penelope.entry.cli.main import app
from penelope.entry.cli.output import deliver, replacing
from penelope.errors import InvalidRequest, Unavailable


def breaking_off() -> Iterator[bytes]:
    yield b"half"
    raise Unavailable("the server broke off")


def test_what_breaks_off_leaves_an_older_file_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    file.write_text("older")
    with pytest.raises(Unavailable):
        deliver(breaking_off(), file)
    assert file.read_text() == "older"
    deliver([b"new", b"er"], file)
    assert file.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [file]


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reading = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reading.start()
    deliver([b"a", b"b"], pipe)
    reading.join(10)
    assert found == [b"ab"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["folder", "file/below", "nowhere/file", ".", "x" * 300])
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match="cannot be written"), replacing(tmp_path / name) as aside:
        aside.write_text("new")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


class BreakingOff(BaseHTTPRequestHandler):
    """Announces more than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half\n")

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), BreakingOff) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


@pytest.mark.parametrize("group", ["audit", "ledger"])
def test_an_export_that_breaks_off_leaves_an_older_one_as_it_is(
    server: str, tmp_path: Path, group: str
) -> None:
    file = tmp_path / "export"
    file.write_text("older")
    done = CliRunner().invoke(app, [group, "export", "-o", str(file), "--server", server])
    assert done.exit_code == 1
    assert "broke off" in done.stderr
    assert file.read_text() == "older"
    assert list(tmp_path.iterdir()) == [file]
