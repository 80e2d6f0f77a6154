"""The probes that ship, against real pages and processes."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.probes.installed import Surroundings, installed, load, probers
from penelope.adapters.probes.process_memory import resident_bytes
from penelope.domain.benchmark import Measurement, Probe, SuiteName
from penelope.domain.service import Service
from penelope.errors import BadSettings, InvalidCatalogue, Unavailable
from penelope.rooms.verify.benchmark import measure
from penelope.testing.clock import FakeClock
from penelope.testing.metrics import FakeMetrics, Figures, figures

NOW = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
SECRET = "hunter2-hunter2"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append(dict(self.headers))
        if self.path == "/slow":
            time.sleep(1)
        if self.path == "/hangs" and len(self.server.seen) > 1:
            time.sleep(3)
        if self.path == "/leisurely":
            time.sleep(0.4)
        self.send_response({"/broken": 503, "/away": 302}.get(self.path, 200))
        self.send_header("Content-Length", "2")
        self.end_headers()
        with suppress(BrokenPipeError):  # who waited has gone
            self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def measured(probe: Probe, metrics: Any = None) -> Measurement:
    """What a probe finds, once its options were checked as at a start."""
    service = Service(name="shop", owner="team", tier=1, benchmarks={SuiteName.SMOKE: (probe,)})
    metrics = metrics or FakeMetrics(FakeClock(NOW))
    made = probers([service], metrics)
    return asyncio.run(measure(service, [probe], made, datetime(2026, 11, 21, 6, 59, tzinfo=UTC)))[probe.name]


def http(pages: ThreadingHTTPServer, path: str = "/", timeout: float = 5.0, **options: Any) -> Probe:
    url = f"http://127.0.0.1:{pages.server_port}{path}"
    return Probe(name="page", kind="http", options={"url": url, **options}, timeout_seconds=timeout)


class TestHttp:
    def test_the_time_of_a_right_answer_is_its_figure(self, pages: ThreadingHTTPServer) -> None:
        pages.seen.clear()
        found = measured(http(pages, requests=7, headers={"X-Token": SECRET}))
        assert found.figure is not None
        assert 0 < found.figure < 2
        assert [seen["X-Token"] for seen in pages.seen] == [SECRET] * 7

    @pytest.mark.parametrize(
        ("path", "options", "note"),
        [
            ("/broken", {}, "fails: it answers with status 503, not 200"),
            ("/away", {}, "fails: it answers with status 302, not 200"),
            ("/", {"status": 204}, "fails: it answers with status 200, not 204"),
        ],
    )
    def test_another_status_is_a_failure_of_the_service(
        self, pages: ThreadingHTTPServer, path: str, options: dict[str, Any], note: str
    ) -> None:
        assert measured(http(pages, path, **options)) == Measurement(failed=True, note=note)
        assert measured(http(pages, "/broken", status=503)).figure is not None

    def test_no_answer_in_time_is_a_failure_too(self, pages: ThreadingHTTPServer) -> None:
        found = measured(http(pages, "/slow", timeout=0.3))
        assert found.failed
        assert "has not answered" in found.note

    def test_a_request_that_others_left_no_time_for_is_no_failure(self, pages: ThreadingHTTPServer) -> None:
        """Each answer was right: that the last one was cut off is the probe's doing."""
        found = measured(http(pages, "/leisurely", timeout=1.2, requests=5))
        assert not found.failed, found.note
        assert found.figure is not None
        assert 0.4 <= found.figure < 0.9

    def test_a_later_request_that_hangs_is_a_failure(self, pages: ThreadingHTTPServer) -> None:
        pages.seen.clear()
        found = measured(http(pages, "/hangs", timeout=1.0, requests=5))
        assert found.failed
        assert "has not answered" in found.note

    def test_nobody_there_is_a_failure_and_no_secret_is_told(self) -> None:
        url = f"http://ada:{SECRET}@127.0.0.1:9/{SECRET}"
        found = measured(Probe(name="page", kind="http", options={"url": url}))
        assert found.failed
        assert SECRET not in found.note

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"url": "file:///etc/passwd"},
            {"url": SECRET},
            {"url": 7},
            {"url": "http://a/", "requests": 0},
            {"url": "http://a/", "requests": 101},
            {"url": "http://a/", "status": 99},
            {"url": "http://a/", "headers": {"X": f"{SECRET}\r\nY: 1"}},
            {"url": "http://a/", "headers": {"X": f"{SECRET}é"}},
            {"url": "http://a/", "headers": {"X": f" {SECRET}"}},
            {"url": "http://a/", "headers": {f"X {SECRET}": "1"}},
            {"url": "http://a/", "headers": {"": SECRET}},
            {"url": "http://a/", "timeout": 7},
        ],
    )
    def test_options_that_cannot_be_used_stop_the_start(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidCatalogue) as caught:
            measured(Probe(name="page", kind="http", options=options))
        assert SECRET not in caught.value.message


class TestProcessMemory:
    def test_a_process_and_its_children_count(self, tmp_path: Path) -> None:
        script = "import subprocess, sys; sys.stdout.write('up\\n'); sys.stdout.flush(); sys.stdin.read()"
        child = f"x = bytearray(40_000_000); {script}"
        parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
        with subprocess.Popen(
            [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            file = tmp_path / "shop.pid"
            file.write_text(f"{process.pid}\n")
            found = measured(Probe(name="memory", kind="process_memory", options={"pid_file": str(file)}))
            assert found.figure is not None
            assert 45_000_000 < found.figure < 500_000_000
            process.kill()
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
            gone = measured(Probe(name="memory", kind="process_memory", options={"pid_file": str(file)}))
            assert gone == Measurement(note="does not run")
        assert resident_bytes(process.pid) is None

    @pytest.mark.parametrize("text", ["", "abc", "-1", "1 2", "9" * 11, "1" * 100])
    def test_a_file_without_a_process_is_unknown(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "shop.pid"
        file.write_text(text)
        found = measured(Probe(name="memory", kind="process_memory", options={"pid_file": str(file)}))
        assert found == Measurement(note="its pid file holds no process id")

    def test_what_is_no_file_is_not_read(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        for path, note in (
            (pipe, "is no file"),
            (tmp_path, "is no file"),
            (tmp_path / "none", "cannot be read"),
        ):
            found = measured(Probe(name="memory", kind="process_memory", options={"pid_file": str(path)}))
            assert (found.figure, found.failed) == (None, False)
            assert note in found.note

    @pytest.mark.parametrize(
        "options",
        [{}, {"supervisor": "http://a"}, {"program": "a"}, {"pid_file": "a", "program": "b"}, {"pid": 1}],
    )
    def test_a_process_is_named_one_way(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidCatalogue):
            measured(Probe(name="memory", kind="process_memory", options=options))


class TestMetric:
    def test_a_figure_of_the_service(self) -> None:
        metrics = FakeMetrics(FakeClock(NOW))
        metrics.script("shop", Figures(arms={"a": figures(100, 3)}))
        errors = Probe(name="errors", kind="metric", options={"subject": "metric.error_ratio"})
        assert measured(errors, metrics) == Measurement(figure=0.03)
        other = Probe(name="errors", kind="metric", options={"subject": "metric.depth"})
        assert measured(other, metrics).note == "metric.depth is not known"
        metrics.script("shop", Unavailable("away"))
        assert measured(errors, metrics).figure is None

    @pytest.mark.parametrize(
        "options", [{}, {"subject": "state.x"}, {"subject": "metric.error_ratio", "window_seconds": 0}]
    )
    def test_only_metrics_can_be_asked_for(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidCatalogue):
            measured(Probe(name="errors", kind="metric", options=options))


def test_a_kind_that_is_not_installed_stops_the_start() -> None:
    with pytest.raises(InvalidCatalogue, match="not installed"):
        measured(Probe(name="x", kind="telepathy"))


class _Point:
    def __init__(self, name: str, loaded: Any) -> None:
        self.name = self.value = name
        self._loaded = loaded

    def load(self) -> Any:
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def test_packages_bring_probes_under_their_own_names() -> None:
    kinds = installed()
    assert set(kinds) == {"http", "metric", "process_memory"}
    page = kinds["http"]
    assert page.made(Surroundings(metrics=FakeMetrics(FakeClock(NOW))))
    for points in (
        [_Point("http", ImportError("no such module"))],
        [_Point("other", page)],
        [_Point("http", page), _Point("http", page)],
    ):
        with pytest.raises(BadSettings):
            load(points)
