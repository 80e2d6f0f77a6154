"""HTTP calls to other systems: short-lived, bounded in time and size, failing in Penelope's words."""

import asyncio
import functools
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import httpx

from penelope.errors import Timeout, Unavailable

BODY_LIMIT_BYTES = 64 * 1024
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `what` names the other side in errors, for its URL may hold secrets. `ca` is the path of a file with the
    certificates that the other side's is held against, by default the machine's authorities.
    """

    what: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    timeout_seconds: float = 5.0
    body_limit_bytes: int = BODY_LIMIT_BYTES
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and the body, cut off at the call's limit. The names of headers are in lower case."""

    status: int
    body: bytes
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


async def ask(call: Call) -> Answer:
    """Sends one request; follows no redirect, uses no proxy or credentials of the environment.

    A client is made for each call, so that nothing is bound to one event loop. Raises Unavailable, or
    Timeout when the other side was reached and has not answered within `timeout_seconds`.
    """
    url, headers = _without_credentials(call)
    async with _in_our_words(call), asyncio.timeout(call.timeout_seconds):
        connect = min(_CONNECT_SECONDS, call.timeout_seconds)
        limits = httpx.Timeout(call.timeout_seconds, connect=connect)
        async with (
            httpx.AsyncClient(verify=_trust(call.ca), trust_env=False, timeout=limits) as client,
            client.stream(call.method, url, headers=headers, content=call.content) as response,
        ):
            body = await _body(response, call.body_limit_bytes)
            headers = dict(response.headers)
            return Answer(response.status_code, body, headers.get("content-type", ""), headers)


def _trust(ca: str) -> ssl.SSLContext:
    return _trusted(ca, Path(ca).stat().st_mtime_ns if ca else 0)


@functools.lru_cache(maxsize=32)
def _trusted(ca: str, _changed: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca or None)


async def _body(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body[:limit])


def _without_credentials(call: Call) -> tuple[httpx.URL, dict[str, str]]:
    """Credentials move from the URL into a header: the client's own log shows URLs."""
    try:
        url = httpx.URL(call.url)
    except httpx.InvalidURL:
        raise Unavailable(f"{call.what} has a URL that cannot be used") from None
    headers = {"Accept-Encoding": "identity", **call.headers}
    if url.userinfo:
        pair = unquote(url.userinfo.decode("ascii")).encode()
        headers.setdefault("Authorization", "Basic " + b64encode(pair).decode("ascii"))
    return url.copy_with(username=None, password=None), headers


@asynccontextmanager
async def _in_our_words(call: Call) -> AsyncIterator[None]:
    try:
        yield
    except (httpx.ConnectTimeout, httpx.ConnectError):
        raise Unavailable(f"{call.what} is out of reach") from None
    except (TimeoutError, httpx.TimeoutException):
        raise Timeout(f"{call.what} has not answered within {call.timeout_seconds:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise Unavailable(f"{call.what} cannot be asked: {type(error).__name__}") from None
