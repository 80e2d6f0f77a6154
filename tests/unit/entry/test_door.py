import asyncio
from typing import Any

import pytest

from penelope.entry.api.door import Door


async def silent() -> dict[str, Any]:
    raise AssertionError("nothing was to be read")


async def unsent(message: Any) -> None:
    raise AssertionError(message)


def test_what_is_no_request_passes_untouched() -> None:
    passed: list[Any] = []

    async def app(*arguments: Any) -> None:
        passed.extend(arguments)

    scope = {"type": "lifespan"}
    asyncio.run(Door(app, max_body_bytes=1)(scope, silent, unsent))
    assert passed == [scope, silent, unsent]
    assert scope == {"type": "lifespan"}


class State:
    running = None


class App:
    state = State()


def scope(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/x",
        "headers": list(headers),
        "app": App(),
        "query_string": b"",
    }


def test_an_error_after_the_answer_began_is_raised_so_that_the_connection_is_cut() -> None:
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError("in the middle")

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(ValueError, match="in the middle"):
        asyncio.run(Door(app, max_body_bytes=1)(scope(), silent, send))
    assert [message["type"] for message in sent] == ["http.response.start"]


@pytest.mark.parametrize(
    ("announced", "status"),
    [(b"11", 413), (b"9" * 5000, 413), (b"10", 200), (b"00000000000000000000000", 200), (b"-1", 200)],
)
def test_an_announced_length_is_believed_only_when_it_is_too_much(announced: bytes, status: int) -> None:
    sent: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"x" * 10
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 10, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Door(app, max_body_bytes=10)(scope((b"content-length", announced)), receive, send))
    assert sent[0]["status"] == status
