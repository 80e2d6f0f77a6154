"""What becomes of a question when Cube, or whatever answers in its place, is slow, broken or hostile."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from penelope.adapters.semantic import cube_client as module
from penelope.adapters.semantic.cube import CubeLayer
from penelope.adapters.semantic.cube_client import CubeOptions
from penelope.domain.access import Masking
from penelope.domain.semantics import SemanticQuery, Table
from penelope.errors import BadSettings, InvalidQuery, PenelopeError, Timeout, Unavailable

KEY = b"a key of masks, for tests"
QUERY = SemanticQuery(measures=("orders.count",), dimensions=("orders.email",))
SECRET_VALUE = "ann@example.org"
META = {
    "cubes": [
        {
            "name": "orders",
            "measures": [{"name": "orders.count", "type": "number", "aggType": "count"}],
            "dimensions": [{"name": "orders.email", "type": "string"}],
        }
    ]
}
ANNOTATION = {
    "measures": {"orders.count": {"type": "number"}},
    "dimensions": {"orders.email": {"type": "string"}},
}
WAIT = (200, {"error": "Continue wait"})


def loaded(
    *rows: list[object], members: tuple[str, ...] = ("orders.email", "orders.count")
) -> dict[str, Any]:
    return {"data": {"members": list(members), "dataset": list(rows)}, "annotation": ANNOTATION}


GOOD = (200, loaded([SECRET_VALUE, "2"]))


@dataclass
class Impostor:
    """Answers with what is written for a path, the last of it for ever; bytes are sent as they are."""

    url: str = ""
    answers: dict[str, list[tuple[int, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    delay_seconds: float = 0.0

    def says(self, path: str, *answers: tuple[int, Any]) -> None:
        self.answers[path] = list(answers)

    def count(self, path: str) -> int:
        return self.asked.count(path)


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    made = Impostor()
    made.says("meta", (200, META))
    made.says("sql", (200, {"sql": {"sql": ["SELECT 1", []]}}))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.split("?")[0].rsplit("/", 1)[-1]
            made.asked.append(path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if path == "load":
                time.sleep(made.delay_seconds)
            queue = made.answers[path]
            status, body = queue.pop(0) if len(queue) > 1 else queue[0]
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(sent)

        do_POST = do_GET  # noqa: N815 - the base class' own word

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


def run(impostor: Impostor, masks: dict[str, Masking] | None = None, seconds: float = 5.0) -> Table:
    layer = CubeLayer(CubeOptions(url=impostor.url, timeout_seconds=seconds), KEY)
    return asyncio.run(layer.run(QUERY, masks or {}))


def test_a_good_answer_is_a_table(impostor: Impostor) -> None:
    impostor.says("load", GOOD)
    table = run(impostor)
    assert table.rows == ((SECRET_VALUE, 2),)
    assert table.query == "SELECT 1"
    assert table.as_of is None


def test_it_is_asked_again_while_cube_needs_longer(impostor: Impostor) -> None:
    impostor.says("load", WAIT, WAIT, WAIT, GOOD)
    assert run(impostor).rows == ((SECRET_VALUE, 2),)
    assert impostor.count("load") == 4


def test_one_that_waits_for_ever_is_given_up_without_being_pressed(impostor: Impostor) -> None:
    impostor.says("load", WAIT)
    started = time.monotonic()
    with pytest.raises(Timeout):
        run(impostor, seconds=1.0)
    assert time.monotonic() - started < 2
    assert impostor.count("load") < 10


def test_one_that_does_not_answer_is_given_up(impostor: Impostor) -> None:
    impostor.delay_seconds = 3
    impostor.says("load", GOOD)
    started = time.monotonic()
    with pytest.raises(Timeout):
        run(impostor, seconds=0.5)
    assert time.monotonic() - started < 1.5


def test_an_answer_does_not_depend_on_the_statement(impostor: Impostor) -> None:
    impostor.says("load", GOOD)
    impostor.says("sql", (500, b"broken"))
    table = run(impostor)
    assert table.rows == ((SECRET_VALUE, 2),)
    assert json.loads(table.query)["measures"] == ["orders.count"]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"type": "UserError", "error": "Can't find join path"}, InvalidQuery),
        (400, {"error": "Invalid query format: no"}, InvalidQuery),
        (500, {"error": "Error: You requested hidden member: 'orders.x'"}, InvalidQuery),
        (500, {"error": "Error: The query limit has been exceeded."}, InvalidQuery),
        (400, {"error": f"Error: cannot cast {SECRET_VALUE}"}, Unavailable),
        (400, {"error": f"ConversionException: {SECRET_VALUE}"}, Unavailable),
        (500, {"error": f"Error: {SECRET_VALUE}"}, Unavailable),
        (403, {"error": "Invalid token"}, Unavailable),
        (401, b"", Unavailable),
        (404, b"<html>", Unavailable),
        (302, b"", Unavailable),
        (502, b"\xff\xfe", Unavailable),
        (400, b"[" * 100_000, Unavailable),
        (200, b"", Unavailable),
        (200, b"not json", Unavailable),
        (200, b"\xff\xff", Unavailable),
        (200, b"[" * 1_000_000, Unavailable),
        (200, b'{"data": ' + b"[" * 1_000_000, Unavailable),
        (200, {"error": f"whatever {SECRET_VALUE}"}, Unavailable),
        (200, {"data": 7, "annotation": ANNOTATION}, Unavailable),
        (200, {"data": {"members": ["orders.email"], "dataset": [[SECRET_VALUE]]}}, Unavailable),
        (200, loaded([SECRET_VALUE], members=("orders.email",)), Unavailable),
        (200, loaded([SECRET_VALUE, 1], [SECRET_VALUE]), Unavailable),
        (200, loaded([SECRET_VALUE, SECRET_VALUE]), Unavailable),
        (200, loaded([SECRET_VALUE, [1]]), Unavailable),
        (200, loaded([SECRET_VALUE, True]), Unavailable),
        (200, loaded([{"nested": SECRET_VALUE}, 1]), Unavailable),
        (200, loaded([SECRET_VALUE, "9" * 500]), Unavailable),
        (200, loaded(*[[SECRET_VALUE, 1]] * 10_001), Unavailable),
    ],
)
def test_no_broken_answer_becomes_a_table_or_shows_what_was_in_it(
    impostor: Impostor, status: int, body: Any, expected: type[PenelopeError]
) -> None:
    impostor.says("load", (status, body))
    with pytest.raises(expected) as raised:
        run(impostor)
    assert SECRET_VALUE not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"cubes": 1}', b'{"cubes": [{"name": 7}]}', b"[" * 500_000, b"\xff"]
)
def test_a_broken_model_is_no_model(impostor: Impostor, body: bytes) -> None:
    impostor.says("meta", (200, body))
    with pytest.raises(Unavailable):
        run(impostor)
    assert impostor.count("load") == 0


def test_an_endless_answer_is_cut_off(impostor: Impostor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_TABLE_BYTES", 100_000)
    impostor.says("load", (200, loaded(*[["x" * 100, 1]] * 5_000)))
    with pytest.raises(InvalidQuery, match="larger than"):
        run(impostor)


def test_what_a_mask_hides_is_in_no_error_either(impostor: Impostor) -> None:
    impostor.says("load", (200, loaded([SECRET_VALUE, "two"])))
    with pytest.raises(Unavailable) as raised:
        run(impostor, {"orders.email": Masking.HASH})
    told: BaseException | None = raised.value
    while told is not None:
        assert SECRET_VALUE not in str(told)
        told = told.__cause__


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("126.00", 126),
        ("126", 126),
        (126.0, 126),
        ("1.5", 1.5),
        ("-0.25", -0.25),
        ("NaN", None),
        (None, None),
    ],
)
def test_a_number_is_one_however_a_database_writes_it(
    impostor: Impostor, cell: object, expected: object
) -> None:
    impostor.says("load", (200, loaded([SECRET_VALUE, cell])))
    assert run(impostor).rows[0][1] == expected


def test_a_member_that_came_lately_is_found_without_waiting(impostor: Impostor) -> None:
    layer = CubeLayer(CubeOptions(url=impostor.url), KEY)
    impostor.says("meta", (200, {"cubes": []}))
    impostor.says("load", GOOD)
    with pytest.raises(InvalidQuery, match="has no"):
        asyncio.run(layer.run(QUERY, {}))
    impostor.says("meta", (200, META))
    assert asyncio.run(layer.run(QUERY, {})).rows == ((SECRET_VALUE, 2),)
    assert impostor.count("meta") == 2
    asyncio.run(layer.run(QUERY, {}))
    assert impostor.count("meta") == 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (CubeOptions(url="ftp://cube"), "URL"),
        (CubeOptions(url="http://cube?x=1"), "URL"),
        (CubeOptions(url="http://cube", api_secret="short"), "at least 16 bytes"),
        (CubeOptions(url="http://cube", api_secret="x" * 32, token_file="/token"), "not both"),
        (CubeOptions(url="http://cube", timeout_seconds=0), "time limit"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(options: CubeOptions, why: str) -> None:
    with pytest.raises(BadSettings, match=why):
        CubeLayer(options, KEY)
    with pytest.raises(BadSettings, match="key of masks"):
        CubeLayer(CubeOptions(url="http://cube"), b"")


def test_the_secret_is_not_in_what_options_show() -> None:
    assert "x" * 32 not in repr(CubeOptions(url="http://cube", api_secret="x" * 32))
