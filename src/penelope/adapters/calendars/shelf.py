"""Keeps calendars in memory: read at start, renewed in the background, answered at once."""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx

from penelope.adapters.calendars.ical import MAX_BYTES, Span, parsed, spans
from penelope.adapters.calendars.model import CalendarRule, CalendarsFile
from penelope.adapters.yaml_model import validate
from penelope.adapters.yaml_source import read
from penelope.errors import BadSettings
from penelope.kit.clock import Clock
from penelope.rooms.gate.ports import Pause

HORIZON = timedelta(days=8)
"""How far ahead times are worked out; beyond that, without a renewal, a calendar does not know."""

_BACK = timedelta(days=1)
_TIMEOUT_SECONDS = 10.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Held:
    """One calendar as it was last understood."""

    rule: CalendarRule
    location: str
    spans: Sequence[Span] = ()
    known_from: datetime | None = None
    known_until: datetime | None = None
    fetched_at: datetime | None = None
    trouble: str = "it was not read yet"
    zone: ZoneInfo = field(init=False)

    def __post_init__(self) -> None:
        self.zone = ZoneInfo(self.rule.timezone)

    @property
    def remote(self) -> bool:
        return self.location.startswith(("http://", "https://"))


class Shelf:
    """Fulfils Calendars."""

    def __init__(self, file: Path | None, cache: Path, clock: Clock) -> None:
        """Reads all files, and for addresses what was fetched before. Raises BadSettings for what cannot be read."""
        self._clock = clock
        self._cache = cache
        self._held = [] if file is None else [_held(rule, file) for rule in _listed(file)]
        for held in self._held:
            self._begin(held)

    @property
    def services(self) -> set[str]:
        """The services that are named in its list."""
        return {service for held in self._held for service in held.rule.services}

    def pauses(self, service: str, moment: datetime) -> Sequence[Pause]:
        return [
            pause
            for held in self._held
            if not held.rule.services or service in held.rule.services
            for pause in _pauses(held, moment)
        ]

    async def run(self, every_seconds: float) -> None:
        """Renews all calendars for ever, addresses at once."""
        while self._held:
            await self.renew()
            await asyncio.sleep(every_seconds)

    async def renew(self) -> None:
        """Reads and fetches once more. What fails keeps its last good copy until that is stale."""
        for held in self._held:
            try:
                text = await _fetched(held.location) if held.remote else _read(Path(held.location))
                await asyncio.to_thread(self._take, held, text, self._clock.now())
                if held.remote:
                    await asyncio.to_thread(_keep, self._file(held), text)
            except Exception as error:  # noqa: BLE001 - one calendar's trouble must not end the renewal of all
                held.trouble = _words(error)
                _log.warning("the calendar %s cannot be renewed: %s", held.rule.name, held.trouble)

    def _begin(self, held: _Held) -> None:
        try:
            if not held.remote:
                self._take(held, _read(Path(held.location)), self._clock.now())
            elif (file := self._file(held)).is_file():
                fetched = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                self._take(held, _read(file), min(fetched, self._clock.now()))
        except (ValueError, OSError) as error:
            if not held.remote:
                message = f"the calendar {held.rule.name}: {_words(error)}"
                raise BadSettings(message, hint="See docs/rest.md for what a calendar may hold.") from error
            held.trouble = _words(error)

    def _take(self, held: _Held, text: bytes, fetched_at: datetime) -> None:
        now = self._clock.now()
        start, end = now - _BACK, now + HORIZON
        held.spans = spans(parsed(text), held.zone, start, end)
        held.known_from, held.known_until, held.fetched_at, held.trouble = start, end, fetched_at, ""

    def _file(self, held: _Held) -> Path:
        return self._cache / f"{hashlib.sha256(held.location.encode()).hexdigest()}.ics"


def _pauses(held: _Held, moment: datetime) -> list[Pause]:
    if trouble := _ignorance(held, moment):
        return [Pause(calendar=held.rule.name, title=trouble, until=None)]
    # Times that touch or overlap are one pause, so that "until" is when it is really over.
    until, titles = moment, list[str]()
    for span in held.spans:
        if span.start <= until < span.end:
            until = span.end
            titles.append(span.title)
    if not titles:
        return []
    passes = held.rule.severity
    return [Pause(calendar=held.rule.name, title=titles[0], until=until, passes=passes)]


def _ignorance(held: _Held, moment: datetime) -> str:
    """Why the calendar cannot tell about a moment; empty if it can."""
    if held.fetched_at is None or held.known_from is None or held.known_until is None:
        return held.trouble
    if moment - held.fetched_at > timedelta(seconds=held.rule.stale_after):
        return f"its last copy is of {held.fetched_at:%Y-%m-%d %H:%M} UTC; {held.trouble or 'it was not renewed'}"
    if not held.known_from <= moment < held.known_until:
        return "it was not worked out for this moment"
    return ""


def _listed(file: Path) -> Sequence[CalendarRule]:
    content, problems = validate(read(file), CalendarsFile)
    if content is None:
        raise BadSettings("\n".join(map(str, problems)), hint="docs/rest.md shows what the file looks like.")
    return content.calendars


def _held(rule: CalendarRule, file: Path) -> _Held:
    remote = rule.source.startswith(("http://", "https://"))
    return _Held(rule, rule.source if remote else str(file.parent / rule.source))


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)


async def _fetched(address: str) -> bytes:
    """The body, up to one byte more than is allowed, so that no answer can fill the memory."""
    async with (
        asyncio.timeout(_TIMEOUT_SECONDS),
        httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=True) as client,
        client.stream("GET", address) as answer,
    ):
        answer.raise_for_status()
        body = b""
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > MAX_BYTES:
                break
        return body


def _keep(file: Path, text: bytes) -> None:
    """Written aside and put in place, so that a crash leaves the copy before."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    aside.write_bytes(text)
    aside.replace(file)


def _words(error: Exception) -> str:
    """What went wrong, without an address: it may hold a secret."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"its source answers {error.response.status_code}"
    if isinstance(error, httpx.HTTPError | TimeoutError):
        return f"its source does not answer ({type(error).__name__})"
    if isinstance(error, OSError):
        return f"it cannot be read ({error.strerror})"
    return str(error) if isinstance(error, ValueError) else f"it cannot be read ({type(error).__name__})"
