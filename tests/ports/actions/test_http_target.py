"""What is particular to an HTTP endpoint, on a real server."""

import asyncio
import json
import socket
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest

from penelope.adapters.actions.http import HttpAdapter
from penelope.domain.action import Action, Progress, Snapshot, Tier
from penelope.domain.service import Target
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidCatalogue,
    InvalidPlaybook,
    OutcomeUnknown,
    Timeout,
    Unavailable,
)
from penelope.rooms.act.run import perform

ADAPTER = HttpAdapter()
NOTHING = Snapshot()


def call(url: str, /, options: dict[str, Any] | None = None, **params: Any) -> Action:
    return Action(
        key="inc/plan/0",
        name="call it",
        adapter="http",
        operation="call",
        target=Target(
            name="api", service="shop", adapter="http", options={"base_url": url, **(options or {})}
        ),
        params={"path": "/flags", **params},
        tier=Tier.SNAPSHOT,
        timeout_seconds=5.0,
    )


def run(steps: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(steps)


def test_the_request_carries_key_headers_and_body(endpoint: Any) -> None:
    options = {"headers": {"Authorization": "Bearer s3cret"}}
    action = call(endpoint.url + "/", options, method="PUT", json={"on": True})
    effect = run(ADAPTER.execute(action, NOTHING))
    method, path, headers, body = endpoint.requests[0]
    assert (method, path, json.loads(body)) == ("PUT", "/flags", {"on": True})
    assert headers["Idempotency-Key"] == "inc/plan/0"
    assert (headers["Authorization"], headers["Content-Type"]) == ("Bearer s3cret", "application/json")
    assert effect.details == {"status": 201}


def test_the_fencing_token_goes_along_where_there_is_one(endpoint: Any) -> None:
    action = call(endpoint.url, probe_path="/flags/{key}", compensate_path="/undo/{key}")
    run(ADAPTER.execute(replace(action, fence=42), NOTHING))
    run(ADAPTER.compensate(replace(action, fence=43), NOTHING))
    run(ADAPTER.execute(action, NOTHING))
    sent = [(request[0], request[2].get("Penelope-Fencing-Token")) for request in endpoint.requests]
    assert sent == [("POST", "42"), ("GET", None), ("POST", "43"), ("GET", None), ("POST", None)]


def test_credentials_in_the_url_become_a_header(endpoint: Any) -> None:
    run(ADAPTER.execute(call(endpoint.url.replace("//", "//us%40er:pass@")), NOTHING))
    assert endpoint.requests[0][2]["Authorization"] == "Basic dXNAZXI6cGFzcw=="


@pytest.mark.parametrize(
    ("path", "probe_path", "error"),
    [
        ("/status/404", None, ActionFailed),
        ("/status/302", None, ActionFailed),
        ("/status/500", None, OutcomeUnknown),
        ("/status/500", "/flags/{key}", Unavailable),
    ],
)
def test_an_unexpected_status_is_told_by_what_it_means(
    endpoint: Any, path: str, probe_path: str | None, error: type[Exception]
) -> None:
    with pytest.raises(error, match=path.rsplit("/", maxsplit=1)[1]):
        run(ADAPTER.execute(call(endpoint.url, path=path, probe_path=probe_path), NOTHING))
    assert len(endpoint.requests) == 1


def test_a_status_that_is_expected_is_good(endpoint: Any) -> None:
    action = call(endpoint.url, path="/status/404", expect_status=[404, 410])
    assert run(ADAPTER.execute(action, NOTHING)).details == {"status": 404}
    with pytest.raises(OutcomeUnknown, match="201"):
        run(ADAPTER.execute(call(endpoint.url, expect_status=[200]), NOTHING))


def test_a_body_beyond_the_limit_is_not_read(endpoint: Any) -> None:
    assert run(ADAPTER.execute(call(endpoint.url, path="/status/200"), NOTHING)).details == {"status": 200}


def test_a_server_error_after_the_effect_is_cleared_up_by_the_probe(endpoint: Any) -> None:
    action = call(endpoint.url, path="/flags/then-fail", probe_path="/flags/{key}")
    assert run(perform(ADAPTER, action, NOTHING, first_attempt=True)).repeated is True
    assert endpoint.seen == ["inc/plan/0"]


def test_an_endpoint_without_probe_cannot_tell(endpoint: Any) -> None:
    assert run(ADAPTER.probe(call(endpoint.url), NOTHING)) is Progress.UNKNOWN
    action = call(endpoint.url, probe_path="/status/503?key={key}")
    endpoint.release.set()
    assert run(
        ADAPTER.probe(replace(action, params={**action.params, "probe_path": "/slow-{key}"}), NOTHING)
    ) is (Progress.NOT_APPLIED)


def test_a_late_answer_is_a_timeout(endpoint: Any) -> None:
    action = replace(call(endpoint.url, path="/slow"), timeout_seconds=0.2)
    with pytest.raises(Timeout, match=r"0\.2 s"):
        run(ADAPTER.execute(action, NOTHING))


@pytest.fixture
def dropping() -> Iterator[str]:
    """A server that reads a request and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_a_connection_that_breaks_says_nothing_about_the_effect(dropping: str) -> None:
    with pytest.raises(Unavailable, match="cannot be asked"):
        run(ADAPTER.execute(call(dropping), NOTHING))


def test_without_a_way_back_nothing_is_taken_back(endpoint: Any) -> None:
    with pytest.raises(CompensationFailed, match="cannot be taken back"):
        run(ADAPTER.compensate(call(endpoint.url), NOTHING))
    assert endpoint.requests == []


def test_a_compensation_that_is_refused_or_without_effect_has_failed(endpoint: Any) -> None:
    refused = call(endpoint.url, probe_path="/flags/{key}", compensate_path="/status/409")
    run(ADAPTER.execute(refused, NOTHING))
    with pytest.raises(CompensationFailed, match="409"):
        run(ADAPTER.compensate(refused, NOTHING))
    endpoint.stubborn = True
    action = call(endpoint.url, probe_path="/flags/{key}", compensate_path="/undo/{key}")
    run(ADAPTER.execute(action, NOTHING))
    with pytest.raises(CompensationFailed, match="still in effect"):
        run(ADAPTER.compensate(action, NOTHING))
    assert endpoint.requests[-2][1] == "/undo/inc%2Fplan%2F0"
    assert endpoint.requests[-2][2]["Idempotency-Key"] == "inc/plan/0/compensation"


def test_a_target_without_observe_path_shows_nothing(endpoint: Any) -> None:
    assert run(ADAPTER.observe(call(endpoint.url))) == {}
    assert endpoint.requests == []


@pytest.mark.parametrize("url", ["ftp://host", "127.0.0.1:80", ""])
def test_a_base_url_that_is_not_http_is_refused(url: str) -> None:
    with pytest.raises(InvalidCatalogue, match="base_url"):
        run(ADAPTER.execute(call(url), NOTHING))


def test_a_header_that_cannot_be_sent_is_not_shown(endpoint: Any) -> None:
    for value in ("s3cret\r\nX-Evil: 1", "s3cret-ü"):
        with pytest.raises(Unavailable, match="cannot be asked") as caught:
            run(ADAPTER.execute(call(endpoint.url, {"headers": {"X-Key": value}}), NOTHING))
        assert "s3cret" not in str(caught.value)
    assert endpoint.requests == []


def test_a_path_is_checked_again_when_it_is_used(endpoint: Any) -> None:
    with pytest.raises(InvalidPlaybook):
        run(ADAPTER.execute(call(endpoint.url, path="//evil.example/flags"), NOTHING))
    with pytest.raises(InvalidCatalogue):
        run(ADAPTER.observe(call(endpoint.url, {"observe_path": "/../admin"})))
    assert endpoint.requests == []
