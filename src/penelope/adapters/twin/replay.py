"""Sends recorded requests to a copy of the service in the sandbox, and compares what it answers without and with a change."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import msgspec

from penelope.adapters.twin import layout
from penelope.adapters.twin.sandbox import Ended, Job, Sandbox
from penelope.domain.rehearsal import Check
from penelope.domain.service import TwinReplay, TwinServe
from penelope.errors import InvalidCatalogue

_MOST_BYTES = 1 << 20
_MOST_REQUESTS = 500
_MOST_SHOWN = 20
_ORDER = "/replay"


class Recorded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a file of recorded requests."""

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What the copy answered: untrusted, so that figures are bounded before they are written down."""

    status: Annotated[int, msgspec.Meta(ge=0, le=999)]
    headers: dict[str, str | None]
    body: str
    ms: Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]


class Told(msgspec.Struct, frozen=True):
    """What came out of one round."""

    up: bool
    answers: list[Answer]


@dataclass(frozen=True, slots=True)
class Round:
    """One round of all requests. `trouble` says why there are no answers."""

    answers: Sequence[Answer]
    trouble: str
    seconds: float


def read(replay: TwinReplay) -> list[Recorded]:
    """The recorded requests. Raises InvalidCatalogue, naming the line and no content."""
    try:
        file = Path(replay.file)
        if file.stat().st_size > _MOST_BYTES:
            raise InvalidCatalogue(f"the recorded requests are longer than {_MOST_BYTES} bytes")
        lines = [line for line in file.read_bytes().splitlines() if line.strip()]
    except OSError as error:
        raise InvalidCatalogue(f"the recorded requests cannot be read: {error.strerror}") from error
    if len(lines) > _MOST_REQUESTS:
        raise InvalidCatalogue(f"there are more than {_MOST_REQUESTS} recorded requests")
    requests = []
    for number, line in enumerate(lines, start=1):
        try:
            request = msgspec.json.decode(line, type=Recorded)
        except msgspec.DecodeError as error:
            raise InvalidCatalogue(f"line {number} of the recorded requests does not fit") from error
        if not request.method.isalpha() or not request.path.startswith("/"):
            raise InvalidCatalogue(f"line {number} of the recorded requests needs a method and a path")
        requests.append(request)
    return requests


async def ask(sandbox: Sandbox, job: Job, serve: TwinServe, replay: TwinReplay, work: Path) -> Round:
    """One round in a sandbox of its own; `job` says what is laid out there and where the service is started."""
    place = work / "replay"
    place.mkdir(exist_ok=True)
    order = {
        "argv": serve.argv,
        "port": serve.port,
        "ready": serve.ready_seconds,
        "headers": replay.headers,
        "ignore": replay.ignore,
        "requests": msgspec.to_builtins(read(replay)),
    }
    (place / "order.json").write_text(json.dumps(order), encoding="utf-8")
    command = (
        layout.interpreter(),
        "-I",
        "-S",
        "-B",
        f"{layout.INSIDE}/replaying.py",
        f"{_ORDER}/order.json",
    )
    ended = await sandbox.run(replace(job, argv=command, copies={**job.copies, _ORDER: place}))
    return _round(ended)


def _round(ended: Ended) -> Round:
    if ended.stopped or ended.code:
        return Round(
            (), f"stopped by {ended.stopped}" if ended.stopped else f"ends with {ended.code}", ended.seconds
        )
    try:
        told = msgspec.json.decode(ended.out, type=Told)
    except (msgspec.DecodeError, RecursionError):
        return Round((), "the answers cannot be read", ended.seconds)
    return Round(told.answers, "" if told.up else "does not listen", ended.seconds)


def compared(replay: TwinReplay, before: Round, after: Round) -> list[Check]:
    """One check for all, and one for each request that is answered otherwise, up to a bound."""
    seconds = round(before.seconds + after.seconds, 3)

    def whole(*, held: bool) -> Check:
        old, new = _said(before), _said(after)
        return Check(name="recorded requests", before=old, after=new, held=held, seconds=seconds)

    if before.trouble or after.trouble:
        return [whole(held=bool(before.trouble))]
    requests = read(replay)
    differing = [
        Check(
            name=f"{request.method} {request.path.partition('?')[0][:80]}",
            before=_short(old),
            after=_short(new),
            held=False,
            seconds=new.ms / 1000,
        )
        for request, old, new in zip(requests, before.answers, after.answers, strict=False)
        if _essence(old) != _essence(new)
    ]
    same = not differing and len(before.answers) == len(after.answers) == len(requests)
    return [whole(held=same), *differing[:_MOST_SHOWN]]


def _essence(answer: Answer) -> Any:
    return answer.status, answer.headers, answer.body


def _short(answer: Answer) -> str:
    body = answer.body[:12] if answer.body.isascii() and answer.body.isalnum() else "?"
    return f"{answer.status} {body}"


def _said(held: Round) -> str:
    if held.trouble:
        return held.trouble
    times = [answer.ms for answer in held.answers] or [0.0]
    return f"{len(held.answers)} answers, {median(times):.1f} ms in the median"
