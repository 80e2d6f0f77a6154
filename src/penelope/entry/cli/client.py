"""Talks to a running server."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

import httpx

from penelope.errors import BadSettings, InvalidRequest, PenelopeError, Timeout, Unauthenticated, Unavailable
from penelope.settings import Settings

_TIMEOUT = httpx.Timeout(10, read=300)  # seconds; a large ledger takes a while to verify


def address_of(settings: Settings) -> str:
    """Where a server with these settings is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.api.host, settings.api.host)  # noqa: S104 - read, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api.port}"


class Client:
    """Asks a server; what it refuses is raised as PenelopeError in the server's own words."""

    def __init__(self, server: str, key: str | None) -> None:
        self._server = server.rstrip("/")
        headers = {"Accept": "application/json"}
        if key is not None:
            if not key.isascii() or not key.isprintable() or " " in key:
                raise Unauthenticated("this is not an API key: it holds characters that no key has")
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.Client(
            base_url=_checked(self._server),
            headers=headers,
            timeout=_TIMEOUT,
            # A proxy of the environment has no way to this machine; elsewhere it may be the only way.
            trust_env=not _is_loopback(self._server),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON value at a path."""
        return self._ask("GET", path, params={name: item for name, item in query.items() if item is not None})

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON value that the server answers to a command."""
        return self._ask("POST", path, json=body)

    def post_text(self, path: str, text: bytes) -> Any:
        """The JSON value that the server answers to a text."""
        return self._ask("POST", path, content=text, headers={"Content-Type": "text/plain"})

    def pieces(self, path: str, **query: Any) -> Iterator[bytes]:
        """What lies at a path, piece by piece, however much it is."""
        wanted = {name: item for name, item in query.items() if item is not None}
        with self._asking(), self._client.stream("GET", path, params=wanted) as answer:
            if not answer.is_success:
                answer.read()
                self._understood(answer)
            yield from answer.iter_bytes()

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        with self._asking():
            answer = self._client.request(method, path, **content)
        return self._understood(answer)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as error:
            # From a command line whose bytes are no text in UTF-8.
            raise InvalidRequest(
                "what was given is no text: it has bytes that are not UTF-8", hint="Write it in UTF-8."
            ) from error
        except httpx.TimeoutException as error:
            raise Timeout(f"the server at {self._server} takes too long", hint="Try again.") from error
        except httpx.RemoteProtocolError as error:
            raise Unavailable(f"the server at {self._server} broke off", hint="Try again.") from error
        except httpx.TransportError as error:
            raise Unavailable(
                f"no server answers at {self._server}",
                hint="Start one with `penelope serve`, or name another with --server or PENELOPE_SERVER.",
            ) from error

    def _understood(self, answer: httpx.Response) -> Any:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if answer.is_success and content is not None:
            return content
        if isinstance(content, dict) and "detail" in content and "code" in content:
            hint = content.get("hint", "")
            trail = f" (request {content.get('request_id')})" if answer.is_server_error else ""
            raise PenelopeError(content["detail"], hint=f"{hint}{trail}")
        raise Unavailable(
            f"what answers at {self._server} is no Penelope: {answer.status_code} {answer.reason_phrase}",
            hint="Check the address, and what stands between here and there.",
        )


def _checked(server: str) -> httpx.URL:
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host:
        raise BadSettings(f"'{server}' is no address of a server", hint="Write http://host:port.")
    return url


def _is_loopback(server: str) -> bool:
    host = _checked(server).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
