"""Cube (https://cube.dev) as the semantic layer, over its REST API: the same models and queries as on one machine."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from joserfc import jwt
from joserfc.jwk import OctKey

from penelope.adapters.outbound import Answer, Call, ask
from penelope.adapters.semantic.cube_answer import (
    Compiled,
    Loaded,
    Refused,
    decoded,
    model_of,
    rows_of,
)
from penelope.adapters.semantic.cube_query import columns, filtered, member_of, to_cube
from penelope.domain.access import Masking
from penelope.domain.masking import mask
from penelope.domain.semantics import Member, Model, SemanticQuery, Table
from penelope.errors import BadSettings, InvalidQuery, Timeout, Unavailable
from penelope.kit.canonical import Json, canonical
from penelope.kit.clock import Clock, SystemClock

LARGEST_TABLE_BYTES: Final = 32 * 1024 * 1024
_LARGEST_OTHER_BYTES = 8 * 1024 * 1024
_LARGEST_REFUSAL_BYTES = 4 * 1024
_LONGEST_STATEMENT = 64 * 1024
_LONGEST_REASON = 300
_LONGEST_TOKEN_BYTES = 16 * 1024
_LONGEST_QUESTION_SECONDS = 600
_MODEL_SECONDS = 30.0
_STATEMENT_SECONDS = 1.0
_TOKEN_SECONDS = 120
_SHORTEST_SECRET_BYTES = 16
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 1.0
_BASE_PATH = "/cubejs-api"
_URL = re.compile(r"https?://[^/?#\s]+(?P<path>(?:/[^?#\s]*)?)", re.ASCII)
_FROM_BELOW = re.compile(r"\w*(?:Error|Exception): ")
_MEANINGS: Final = {
    "You requested hidden member": "the query asks for a member that is not public",
    "The query limit has been exceeded": "the limit is higher than Cube's own",
}
"""What callers can mend, by a part of what Cube says with a status of its own failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeOptions:
    """Where Cube is and how it knows us: by tokens signed with its `api_secret` (HS256, good for two minutes), or by the
    one in `token_file`, read anew for each question; without either, Cube must be open to anyone.

    `url` has a path only where Cube's ``CUBEJS_BASE_PATH`` is another than ``/cubejs-api``. `timeout_seconds` is for a
    whole question, however often Cube says that it needs longer. `ca` is a file of certificates to trust.
    """

    url: str
    api_secret: str = field(default="", repr=False)
    token_file: str = ""
    ca: str = ""
    timeout_seconds: float = 20.0


class CubeLayer:
    """A SemanticLayer. `mask_key` is what masks hash with. Reads only: whatever is cut off can be asked again.

    Cube takes no masks with a query, so a masked member's values are masked as they arrive, before anything else sees them.
    They group as they do unmasked. Where a view shows a masked member of a cube, it is masked there too.
    """

    def __init__(self, options: CubeOptions, mask_key: bytes, clock: Clock | None = None) -> None:
        """Raises BadSettings."""
        self._base = _base_of(options)
        self._options = options
        if len(mask_key) < _SHORTEST_SECRET_BYTES:
            raise BadSettings(f"the key of masks must have at least {_SHORTEST_SECRET_BYTES} bytes")
        self._mask_key = mask_key
        self._clock = clock or SystemClock()
        self._known: tuple[float, Model, Mapping[str, str]] | None = None

    async def model(self) -> Model:
        """As Cube tells it now: members that are not public are not in it."""
        async with _in_time(self._options.timeout_seconds):
            return (await self._fetched())[0]

    async def run(self, query: SemanticQuery, masks: Mapping[str, Masking]) -> Table:
        """The table of a query; the docstring of the port says the rest."""
        async with _in_time(self._options.timeout_seconds):
            members, behind = await self._members(query)
            masked = _of_query(query, masks, behind)
            body = to_cube(query, members, masked)
            loaded, statement = await self._load_and_statement(body)
        wanted = columns(query)
        rows = rows_of(loaded, wanted, query.limit)
        return Table(
            columns=wanted,
            rows=self._masked(rows, wanted, masked),
            query=statement,
            as_of=loaded.last_refresh_time,
        )

    async def _members(self, query: SemanticQuery) -> tuple[Mapping[str, Member], Mapping[str, str]]:
        """By name; asked for anew where it is old, or where the query names what was not there."""
        known = self._known
        if known is not None and time.monotonic() - known[0] < _MODEL_SECONDS:
            members = {each.name: each for each in known[1].members}
            if _named(query) <= members.keys():
                return members, known[2]
        model, behind = await self._fetched()
        return {each.name: each for each in model.members}, behind

    async def _fetched(self) -> tuple[Model, Mapping[str, str]]:
        body = await self._answer("meta?extended=true", None, _LARGEST_OTHER_BYTES)
        model, behind = model_of(body)
        self._known = (time.monotonic(), model, behind)
        return model, behind

    async def _load_and_statement(self, body: Mapping[str, Json]) -> tuple[Loaded, str]:
        asked = asyncio.create_task(self._statement(body))
        try:
            loaded = await self._load(body)
            done, _ = await asyncio.wait({asked}, timeout=_STATEMENT_SECONDS)
            return loaded, asked.result() if done else _as_text(body)
        finally:
            asked.cancel()

    async def _load(self, query: Mapping[str, Json]) -> Loaded:
        """Asks until Cube has it: "Continue wait" is its word for a query that still runs."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            body = await self._answer("load", {"query": query}, LARGEST_TABLE_BYTES)
            error = decoded(body, Refused).error if len(body) <= _LARGEST_REFUSAL_BYTES else ""
            if not error:
                return decoded(body, Loaded)
            if error != "Continue wait":
                raise Unavailable("Cube answered something that is no answer")
            # Cube holds such a request for some seconds before it says so; a server that does not is not pressed.
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)

    async def _statement(self, query: Mapping[str, Json]) -> str:
        """What Cube runs; its own query where it does not say, for an answer does not depend on it."""
        try:
            body = await self._answer("sql", {"query": query}, _LARGEST_OTHER_BYTES)
            return decoded(body, Compiled).sql.sql[0][:_LONGEST_STATEMENT]
        except (InvalidQuery, Unavailable, Timeout):
            return _as_text(query)

    async def _answer(self, path: str, given: Mapping[str, Json] | None, limit: int) -> bytes:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token := await asyncio.to_thread(self._token):
            headers["Authorization"] = token
        answer = await ask(
            Call(
                what="Cube",
                method="GET" if given is None else "POST",
                url=f"{self._base}/v1/{path}",
                headers=headers,
                content=b"" if given is None else msgspec.json.encode(given),
                timeout_seconds=self._options.timeout_seconds,
                body_limit_bytes=limit,
                ca=self._options.ca,
            )
        )
        if answer.status != 200:
            raise _refusal(answer)
        if len(answer.body) >= limit:
            raise InvalidQuery(
                f"the answer is larger than {limit // 2**20} MiB", hint="Ask for fewer rows or columns."
            )
        return answer.body

    def _token(self) -> str:
        options = self._options
        if options.token_file:
            return _read(options.token_file)
        if not options.api_secret:
            return ""
        now = int(self._clock.now().timestamp())
        key = OctKey.import_key(options.api_secret)
        return jwt.encode({"alg": "HS256"}, {"iat": now, "exp": now + _TOKEN_SECONDS}, key)

    def _masked(
        self, rows: list[tuple[Json, ...]], wanted: tuple[str, ...], masked: Mapping[str, Masking]
    ) -> tuple[tuple[Json, ...], ...]:
        how = [masked.get(member_of(each)) for each in wanted]
        if not any(how):
            return tuple(rows)
        key = self._mask_key
        made = [
            tuple(mask(cell, by, key) if by else cell for cell, by in zip(row, how, strict=True))
            for row in rows
        ]
        if all(how):
            # Nothing else to order by: the order of what was there would tell of it.
            made.sort(key=canonical)
        return tuple(made)


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    """Bounds all that a question takes, in our words."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Timeout(f"Cube has not answered within {seconds:g} s") from None


def _as_text(query: Mapping[str, Json]) -> str:
    return canonical(query).decode()[:_LONGEST_STATEMENT]


def _named(query: SemanticQuery) -> set[str]:
    times = (each.dimension for each in query.time_dimensions)
    filters = (each.member for each in filtered(query.filters))
    return {*query.measures, *query.dimensions, *query.segments, *times, *filters}


def _of_query(
    query: SemanticQuery, masks: Mapping[str, Masking], behind: Mapping[str, str]
) -> dict[str, Masking]:
    """The masks of the query's members: a member of a view is masked as the one of the cube that it shows."""
    if wrong := [name for name in masks if name.count(".") != 1]:
        raise InvalidQuery(f"a mask needs the full name of its member, as cube.name: {wrong[0][:64]!r}")
    found: dict[str, Masking] = {}
    for name in _named(query):
        by = masks.get(name) or masks.get(behind.get(name, ""))
        if by is not None:
            found[name] = by
    return found


def _refusal(answer: Answer) -> InvalidQuery | Unavailable:
    """What an answer with an error means. Cube gives 400 both for a wrong query and for what its database says of one;
    the latter begins as an exception does, and may hold values of others: it is not told on.
    """
    try:
        told = msgspec.json.decode(answer.body, type=Refused)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Unavailable(f"Cube answered {answer.status}")
    reason = "".join(each for each in told.error[:_LONGEST_REASON] if each.isprintable())
    if answer.status == 400 and (told.type == "UserError" or not _FROM_BELOW.match(reason)):
        return InvalidQuery(f"Cube cannot answer: {reason}")
    for sign, meaning in _MEANINGS.items():
        if sign in reason:
            return InvalidQuery(meaning)
    if answer.status in {401, 403}:
        return Unavailable(
            "Cube does not accept our token", hint="Check the API secret, or the token in its file."
        )
    below = "the database behind Cube does not answer the query"
    return Unavailable(below if answer.status == 400 else f"Cube answered {answer.status}")


def _base_of(options: CubeOptions) -> str:
    url = _URL.fullmatch(options.url.rstrip("/"))
    if url is None:
        raise BadSettings("the URL of Cube must begin with http:// or https:// and have no query")
    if options.api_secret and options.token_file:
        raise BadSettings("Cube needs an API secret or a file with a token, not both")
    if options.api_secret and len(options.api_secret.encode()) < _SHORTEST_SECRET_BYTES:
        raise BadSettings(f"the API secret of Cube must have at least {_SHORTEST_SECRET_BYTES} bytes")
    if not 0 < options.timeout_seconds <= _LONGEST_QUESTION_SECONDS:
        raise BadSettings(f"Cube's time limit must be above 0 and at most {_LONGEST_QUESTION_SECONDS} s")
    return options.url.rstrip("/") + ("" if url["path"] else _BASE_PATH)


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            token = opened.read(_LONGEST_TOKEN_BYTES + 1)
        text = token.decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise Unavailable(f"the token for Cube cannot be read: {type(error).__name__}") from None
    if len(token) > _LONGEST_TOKEN_BYTES or not text or not text.isprintable():
        raise Unavailable("the file with the token for Cube holds no token")
    return text
