"""An OPA server that is down, slow, flapping or talks nonsense: all is denied, quickly, and it is left alone."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penelope.adapters.policy.context_opa import OpaGovernor, OpaServer
from penelope.domain.access import AccessQuestion, Asset, Classification, Subject, Verb
from penelope.kit.call_breaker import BreakerState
from penelope.kit.guard import Guard, Patience

QUESTION = AccessQuestion(
    subject=Subject(actor="geheim-actor", role="admin"),
    verb=Verb.READ,
    asset=Asset(name="geheim-asset", kind="cube", classification=Classification.PUBLIC),
)
YES = b'{"result": {"0": {"allow": true, "row_filters": [], "masks": {}, "reasons": []}}}'


class Server:
    """Answers each request with the next of `script` (status, body, seconds), the last one for ever."""

    def __init__(self, *script: tuple[int, bytes, float]) -> None:
        self.script, self.seen = list(script), list[tuple[str, str | None]]()

    @contextmanager
    def running(self) -> Iterator[str]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                outer.seen.append((self.path, self.headers.get("Authorization")))
                status, body, seconds = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                time.sleep(seconds)
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)


def guard() -> Guard:
    return Guard("policy", Patience(timeout_seconds=0.3, first_wait_seconds=0.01, most_wait_seconds=0.01))


def judge(governor: OpaGovernor, times: int = 1) -> list[tuple[bool, str]]:
    async def run() -> list[tuple[bool, str]]:
        found = []
        for _ in range(times):
            [access] = await governor.judge([QUESTION])
            found.append((access.allow, access.failed))
        return found

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"{}", "does not know penelope.context_batch"),
        (b"[]", "does not know penelope.context_batch"),
        (b'{"result": 7}', "does not know penelope.context_batch"),
        (b'{"result": {}}', "the policy says nothing"),
        (b'{"result": {"1": {}}}', "the policy says nothing"),
        (b'{"result": {"0": {"allow": true}}}', "not the shape"),
        (YES.replace(b'"reasons": []', b'"reasons": [1]'), "no list of texts"),
        (YES.replace(b'"reasons": []', b'"reasons": [], "more": 1'), "not the shape"),
        (YES[:-1], "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b" " * 5_000_000 + YES, "no JSON"),
        (b'{"result": {"0": NaN}}', "no JSON"),
        (b"\xff\xfe", "no JSON"),
    ],
)
def test_nonsense_denies(body: bytes, why: str) -> None:
    with Server((200, body, 0)).running() as url:
        [(allow, failed)] = judge(OpaGovernor(OpaServer(url=url), guard()))
    assert not allow
    assert why in failed


@pytest.mark.parametrize("status", [204, 301, 400, 401, 404, 429, 500, 503])
def test_only_200_is_an_answer(status: int) -> None:
    with Server((status, YES, 0)).running() as url:
        [(allow, failed)] = judge(OpaGovernor(OpaServer(url=url), guard()))
    assert not allow
    assert failed == f"the policy engine answers with status {status}"


def test_a_server_that_is_down_is_left_alone_after_five_failures_and_all_is_denied() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    guarded = guard()
    found = judge(OpaGovernor(OpaServer(url=f"http://127.0.0.1:{port}"), guarded), 50)
    assert {allow for allow, _ in found} == {False}
    assert found[0][1] == "the policy engine is out of reach"
    assert found[-1][1] == "policy failed again and again and is left alone for a while"
    assert guarded.state().breaker is BreakerState.OPEN


def test_a_slow_server_is_waited_for_no_longer_than_its_time() -> None:
    with Server((200, YES, 2)).running() as url:
        began = time.monotonic()
        [(allow, failed)] = judge(OpaGovernor(OpaServer(url=url, timeout_seconds=0.4), guard()))
        assert time.monotonic() - began < 1.5
    assert not allow
    assert "policy has not answered within" in failed


def test_a_flapping_server_is_asked_again_and_answers() -> None:
    server = Server((503, b"", 0), (200, YES, 0))
    with server.running() as url:
        assert judge(OpaGovernor(OpaServer(url=url, timeout_seconds=5, token=lambda: "t0ken"), guard())) == [
            (True, "")
        ]
    assert server.seen == [("/v1/data/penelope/context_batch/decisions", "Bearer t0ken")] * 2


def test_what_went_wrong_names_nothing_of_the_question() -> None:
    for status, body in ((500, b"geheim-asset"), (200, b"geheim-asset"), (200, b"{}")):
        with Server((status, body, 0)).running() as url:
            [(allow, failed)] = judge(OpaGovernor(OpaServer(url=url), guard()))
        assert not allow
        assert "geheim" not in failed


def test_a_cancelled_question_is_cancelled() -> None:
    async def run(url: str) -> None:
        task = asyncio.create_task(OpaGovernor(OpaServer(url=url), guard()).judge([QUESTION]))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Server((200, YES, 0.5)).running() as url:
        asyncio.run(run(url))
