"""A witness over HTTP, by the C2SP protocol tlog-witness."""

import re
from collections.abc import Sequence

from penelope.adapters.outbound import Answer, Call, ask
from penelope.errors import SignatureInvalid, Unavailable, WitnessRefused
from penelope.ledger.notes import LARGEST_TREE, Note, encode64, verify
from penelope.ledger.ports import Verifier

SIZE_TYPE = "text/x.tlog.size"

_MOST_BYTES = 64 * 1024
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_OK, _CONFLICT, _TOO_MANY, _BROKEN = 200, 409, 429, 500
_MEANINGS = {
    400: "does not understand the request",
    403: "trusts none of the keys that signed the checkpoint",
    404: "does not know this log",
    409: "has seen another size",
    422: "finds that the checkpoint does not follow from what it has seen",
}


class HttpWitness:
    """Asks the witness at a URL (its submission prefix), whose keys are known; fulfils `Witness`."""

    def __init__(self, url: str, verifiers: Sequence[Verifier], *, timeout_seconds: float = 5.0) -> None:
        self.name = verifiers[0].name
        self._url = url.rstrip("/")
        self._verifiers = tuple(verifiers)
        self._timeout_seconds = timeout_seconds

    async def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> list[str]:
        call = Call(
            what=f"the witness {self.name}",
            method="POST",
            url=f"{self._url}/add-checkpoint",
            content=write_request(old_size, proof, note),
            timeout_seconds=self._timeout_seconds,
            body_limit_bytes=_MOST_BYTES,
        )
        return read_answer(await ask(call), self._verifiers, note)


def write_request(old_size: int, proof: Sequence[bytes], note: bytes) -> bytes:
    """The body of add-checkpoint."""
    lines = [f"old {old_size}", *map(encode64, proof), ""]
    return "".join(f"{line}\n" for line in lines).encode() + note


def read_answer(answer: Answer, verifiers: Sequence[Verifier], note: bytes) -> list[str]:
    """The signature lines that verify, of those that a witness returned for a note; at least one.

    Raises WitnessRefused, and Unavailable where asking again may help.
    """
    name = verifiers[0].name
    if answer.status == _OK:
        return _cosignatures(answer.body, verifiers, note)
    if answer.status == _TOO_MANY or answer.status >= _BROKEN:
        raise Unavailable(f"the witness {name} answered {answer.status}")
    size = _size(answer)
    meaning = _MEANINGS.get(answer.status, "answers what the protocol does not know")
    where = "" if size is None else f": {size}"
    raise WitnessRefused(f"the witness {name} {meaning}{where} (HTTP {answer.status})", size=size)


def _size(answer: Answer) -> int | None:
    found = _SIZE.fullmatch(answer.body)
    if answer.status != _CONFLICT or answer.content_type != SIZE_TYPE or found is None:
        return None
    size = int(found[1])
    return size if size <= LARGEST_TREE else None


def _cosignatures(body: bytes, verifiers: Sequence[Verifier], note: bytes) -> list[str]:
    text = Note.parse(note).text
    try:
        # As the protocol suggests: the answer behind the text is a note, to which the note's rules apply. The
        # text that counts is the one that was sent, whatever the answer holds before its signatures.
        signatures = Note.parse(f"{text}\n".encode() + body).signatures
        return [each.line for each in verify(Note(text, signatures), verifiers)]
    except SignatureInvalid as error:
        name = verifiers[0].name
        raise WitnessRefused(f"the witness {name} answered no good cosignature: {error.message}") from error
