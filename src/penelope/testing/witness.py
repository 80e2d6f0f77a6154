"""A witness in memory that checks what the C2SP protocol tlog-witness says, and the same over HTTP."""

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from penelope.adapters.outbound import Answer
from penelope.adapters.signers.ed25519 import verifier
from penelope.adapters.witnesses.http import SIZE_TYPE, read_answer, write_request
from penelope.errors import ProofInvalid, SignatureInvalid
from penelope.kit.clock import Clock
from penelope.ledger.merkle import EMPTY_ROOT, check_consistency
from penelope.ledger.notes import (
    COSIGNATURE,
    Checkpoint,
    Note,
    Signature,
    VerifierKey,
    cosigned_message,
    decode64,
    open_checkpoint,
)

_REQUEST = re.compile(r"old (0|[1-9][0-9]{0,18})\n((?:[^\n]+\n)*)\n(.*)", re.DOTALL)
_MOST_HASHES = 63


class FakeWitness:
    """Remembers the latest checkpoint of each log that it knows by origin; fulfils `Witness`.

    `logs` holds the verifier keys of each; `seen` what was cosigned last. Safe to be asked by many threads.
    """

    def __init__(self, name: str, logs: Mapping[str, Sequence[str]], clock: Clock) -> None:
        self.name = name
        self.seen: dict[str, Checkpoint] = {}
        self._logs = {origin: [verifier(vkey) for vkey in vkeys] for origin, vkeys in logs.items()}
        self._clock = clock
        self._key = Ed25519PrivateKey.generate()
        self._public = VerifierKey(name, COSIGNATURE, self._key.public_key().public_bytes_raw())
        self.vkey = self._public.text
        self._lock = threading.Lock()

    async def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> list[str]:
        own = verifier(self.vkey, clock=self._clock)
        return read_answer(self.answer(write_request(old_size, proof, note)), [own], note)

    def answer(self, request: bytes) -> Answer:
        """What the protocol answers to the body of an add-checkpoint, whatever it is."""
        try:
            old_size, proof, note = _read_request(request)
            checkpoint = Checkpoint.parse(Note.parse(note).text)
        except (ValueError, SignatureInvalid):
            return Answer(400, b"malformed\n")
        if checkpoint.origin not in self._logs:
            return Answer(404, b"unknown log\n")
        try:
            open_checkpoint(note, self._logs[checkpoint.origin])
        except SignatureInvalid:
            return Answer(403, b"no signature by the log\n")
        if old_size > checkpoint.size:
            return Answer(400, b"the old size is larger than the new one\n")
        with self._lock:
            return self._advance(old_size, proof, checkpoint)

    def _advance(self, old_size: int, proof: Sequence[bytes], after: Checkpoint) -> Answer:
        before = self.seen.get(after.origin, Checkpoint(after.origin, 0, EMPTY_ROOT))
        if old_size != before.size:
            return Answer(409, b"%d\n" % before.size, SIZE_TYPE)
        try:
            check_consistency(before.size, after.size, before.root, after.root, proof)
        except ProofInvalid:
            return Answer(422, b"not consistent\n")
        self.seen[after.origin] = after
        return Answer(200, f"{self._cosign(after.text.encode()).line}\n".encode())

    def _cosign(self, text: bytes) -> Signature:
        time = int(self._clock.now().timestamp())
        signature = self._key.sign(cosigned_message(time, text))
        return Signature(self.name, self._public.key_id, time.to_bytes(8, "big") + signature)


def _read_request(request: bytes) -> tuple[int, list[bytes], bytes]:
    found = _REQUEST.fullmatch(request.decode())
    if found is None:
        raise ValueError("no add-checkpoint request")
    hashes = [decode64(line) for line in found[2].split("\n")[:-1]]
    proof = [each for each in hashes if each is not None and len(each) == len(EMPTY_ROOT)]
    if len(proof) != len(hashes) or len(proof) > _MOST_HASHES:
        raise ValueError("malformed proof")
    return int(found[1]), proof, found[3].encode()


@contextmanager
def served(witness: FakeWitness) -> Iterator[str]:
    """The witness on a port of this machine, until the block ends; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            known = self.path == "/add-checkpoint"
            answer = witness.answer(request) if known else Answer(404, b"no such call\n")
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type or "text/plain")
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """A test's output stays its own."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
