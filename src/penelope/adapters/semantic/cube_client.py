"""Requests to Cube's REST API, in our words."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from joserfc import jwt
from joserfc.jwk import OctKey

from penelope.adapters.outbound import Answer, Call, ask
from penelope.adapters.semantic.cube_answer import Compiled, Loaded, Offered, Refused, decoded, offered
from penelope.errors import BadSettings, InvalidQuery, Timeout, Unavailable
from penelope.kit.canonical import Json
from penelope.kit.clock import Clock

LARGEST_TABLE_BYTES: Final = 32 * 1024 * 1024
_LARGEST_OTHER_BYTES = 8 * 1024 * 1024
_LARGEST_REFUSAL_BYTES = 4 * 1024
_LONGEST_STATEMENT = 64 * 1024
_LONGEST_REASON = 300
_LONGEST_TOKEN_BYTES = 16 * 1024
_LONGEST_QUESTION_SECONDS = 600
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


class CubeClient:
    """Raises BadSettings where it is made, and Unavailable, Timeout and InvalidQuery where it is asked."""

    def __init__(self, options: CubeOptions, clock: Clock) -> None:
        self._base = _base_of(options)
        self._options = options
        self._clock = clock

    @asynccontextmanager
    async def in_time(self) -> AsyncIterator[None]:
        """Bounds all that is done inside, by the time for a whole question."""
        seconds = self._options.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Timeout(f"Cube has not answered within {seconds:g} s") from None

    async def offered(self) -> Offered:
        body = await self._answer("meta?extended=true", None, _LARGEST_OTHER_BYTES)
        # A large model takes longer than other requests should wait.
        return await asyncio.to_thread(offered, body)

    async def load(self, query: Mapping[str, Json]) -> Loaded:
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

    async def statement(self, query: Mapping[str, Json]) -> str:
        """The SQL that Cube makes of a query."""
        body = await self._answer("sql", {"query": query}, _LARGEST_OTHER_BYTES)
        return decoded(body, Compiled).sql.sql[0][:_LONGEST_STATEMENT]

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
