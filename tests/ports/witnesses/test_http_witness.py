"""The HTTP client against answers that no good witness gives, and against none at all."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from penelope.adapters.signers.ed25519 import Ed25519Signer, verifier
from penelope.adapters.witnesses.http import SIZE_TYPE, HttpWitness, write_request
from penelope.errors import PenelopeError, Timeout, Unavailable, WitnessRefused
from penelope.ledger.notes import Checkpoint, Note, Signature, sign, sign_checkpoint
from penelope.testing.clock import FakeClock
from penelope.testing.witness import FakeWitness, served

ORIGIN = "log.example/penelope"
LOG = Ed25519Signer.generate(ORIGIN)
CLOCK = FakeClock()
WITNESS = FakeWitness("witness.example/w1", {ORIGIN: [LOG.vkey]}, CLOCK)
OTHER = FakeWitness("witness.example/w2", {ORIGIN: [LOG.vkey]}, CLOCK)
NOTE = asyncio.run(sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(range(32))), [LOG]))
(GOOD,) = asyncio.run(WITNESS.add_checkpoint(0, [], NOTE))
(FOREIGN,) = asyncio.run(OTHER.add_checkpoint(0, [], NOTE))

Send = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Send:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return send


def cosigned(*lines: str) -> Send:
    return answer(200, "".join(f"{line}\n" for line in lines).encode())


@contextmanager
def answering(send: Send) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers everything so; the URL, and the requests as they come."""
    requests: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(f"{self.command} {self.path}\n".encode() + body)
            send(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/prefix", requests
        finally:
            server.shutdown()
            thread.join()


def ask(url: str, timeout_seconds: float = 5.0) -> list[str]:
    keys = [verifier(WITNESS.vkey, clock=CLOCK)]
    witness = HttpWitness(url, keys, timeout_seconds=timeout_seconds)
    return asyncio.run(witness.add_checkpoint(3, [bytes(32), bytes([255]) * 32], NOTE))


def failing(send: Send) -> PenelopeError:
    with answering(send) as (url, _), pytest.raises(PenelopeError) as failure:
        ask(url)
    return failure.value


def test_the_request_is_that_of_the_protocol() -> None:
    with answering(cosigned(GOOD)) as (url, requests):
        assert ask(url) == [GOOD]
    assert requests == [
        b"POST /prefix/add-checkpoint\nold 3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        b"//////////////////////////////////////////8=\n\n" + NOTE
    ]


def test_cosignatures_by_others_are_left_out() -> None:
    with answering(cosigned(FOREIGN, GOOD, GOOD)) as (url, _):
        assert ask(url) == [GOOD]


def _over_other_text() -> bytes:
    """An answer that would be a good note, if its own text were taken for the one that was sent."""
    text = f"{Note.parse(NOTE).text}\n{FOREIGN}\n"
    line = asyncio.run(_cosign(text))
    return f"{FOREIGN}\n\n{line}\n".encode()


async def _cosign(text: str) -> str:
    cosigned = WITNESS._cosign(text.encode())
    assert verifier(WITNESS.vkey, clock=CLOCK).verify(text.encode(), cosigned.data)
    return cosigned.line


def _signed_plainly() -> str:
    """The log's own kind of signature, under the witness's name."""
    note = asyncio.run(sign(Note.parse(NOTE).text, [Ed25519Signer.generate(WITNESS.name)]))
    return note.signatures[0].line


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        GOOD.encode(),
        f"{FOREIGN}\n".encode(),
        f"{GOOD}\nmore\n".encode(),
        f"{GOOD}\n\n".encode(),
        b"\xff" * 100,
        NOTE,
        f"{_signed_plainly()}\n".encode(),
        f"{Signature(WITNESS.name, WITNESS.vkey.split('+')[1], bytes(72)).line}\n".encode(),
        _over_other_text(),
        f"{GOOD}\n".encode() * 101,
        b"x" * 200_000,
    ],
)
def test_an_answer_without_a_good_cosignature_is_refused(body: bytes) -> None:
    failure = failing(answer(200, body))
    assert isinstance(failure, WitnessRefused)
    assert (failure.size, "no good cosignature" in failure.message) == (None, True)


def test_a_cosignature_from_the_future_is_refused() -> None:
    later = FakeClock()
    later.advance(3600)
    ahead = FakeWitness("witness.example/w1", {ORIGIN: [LOG.vkey]}, later)
    body = ahead.answer(write_request(0, [], NOTE)).body
    for clock, accepted in ((later, True), (CLOCK, False)):
        witness_keys = [verifier(ahead.vkey, clock=clock)]
        with answering(answer(200, body)) as (url, _):
            call = HttpWitness(url, witness_keys).add_checkpoint(0, [], NOTE)
            if accepted:
                assert len(asyncio.run(call)) == 1
                continue
            with pytest.raises(WitnessRefused):
                asyncio.run(call)


@pytest.mark.parametrize(
    ("body", "content_type", "size"),
    [
        (b"17\n", SIZE_TYPE, 17),
        (b"0\n", SIZE_TYPE, 0),
        (b"9223372036854775807\n", SIZE_TYPE, 2**63 - 1),
        (b"9223372036854775808\n", SIZE_TYPE, None),
        (b"17", SIZE_TYPE, None),
        (b"017\n", SIZE_TYPE, None),
        (b"-1\n", SIZE_TYPE, None),
        (b"1" * 100 + b"\n", SIZE_TYPE, None),
        (b"17\n", "text/plain", None),
    ],
)
def test_a_conflict_tells_the_size_only_in_the_protocol_s_words(
    body: bytes, content_type: str, size: int | None
) -> None:
    failure = failing(answer(409, body, {"Content-Type": content_type}))
    assert isinstance(failure, WitnessRefused)
    assert failure.size == size


@pytest.mark.parametrize("status", [201, 204, 301, 307, 400, 403, 404, 410, 422])
def test_other_answers_are_refusals(status: int) -> None:
    # A redirect leads back to the same server, which would cosign: it must not be followed.
    failure = failing(answer(status, headers={"Location": "/add-checkpoint", "Content-Type": SIZE_TYPE}))
    assert isinstance(failure, WitnessRefused)
    assert (failure.size, f"HTTP {status}" in failure.message, failure.retryable) == (None, True, False)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_witness_in_trouble_may_be_asked_again(status: int) -> None:
    failure = failing(answer(status))
    assert (type(failure), failure.retryable) == (Unavailable, True)


def test_a_witness_that_does_not_answer_in_time() -> None:
    over = threading.Event()

    def dawdle(handler: BaseHTTPRequestHandler) -> None:
        over.wait(30)
        handler.close_connection = True

    with answering(dawdle) as (url, _):
        with pytest.raises(Timeout, match=r"witness\.example/w1"):
            ask(url, timeout_seconds=0.2)
        over.set()


def test_a_witness_that_is_not_there() -> None:
    with served(WITNESS) as url:
        pass
    with pytest.raises(Unavailable, match="out of reach"):
        ask(url)


def test_the_fake_serves_its_one_call_only() -> None:
    with served(WITNESS) as url, pytest.raises(WitnessRefused, match="HTTP 404"):
        ask(f"{url}/elsewhere")


@pytest.mark.parametrize(
    "request_body",
    [b"", b"old 0\n", b"\xff", b"old 00\n\n" + NOTE, b"old 0\nAA\n\n" + NOTE, b"old 0\n\nno note\n"],
)
def test_the_fake_refuses_what_is_no_request(request_body: bytes) -> None:
    assert WITNESS.answer(request_body).status == 400
