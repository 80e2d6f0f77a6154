"""The OpenAPI document holds: made-up requests get answers that it describes, and never a 500."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from doorstep import Doorstep, settings
from hypothesis import HealthCheck
from hypothesis import settings as effort

from penelope.entry.api.app import openapi_document

SCHEMA = schemathesis.openapi.from_dict(openapi_document())
CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.status_code_conformance,
    schemathesis.checks.content_type_conformance,
    schemathesis.checks.response_schema_conformance,
]


@schemathesis.serializer("application/x-ndjson")
def as_lines(_context: Any, text: str) -> bytes:
    return str(text).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    with Doorstep(settings(tmp_path_factory.mktemp("contract"))) as door:
        door.wait_for(door.open(), "escalated")
        yield door


@pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)
@SCHEMA.parametrize()
@effort(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_the_document_holds(door: Doorstep, case: Any) -> None:
    case.validate_response(answered(door, case), checks=CHECKS)


def answered(door: Doorstep, case: Any) -> httpx.Response:
    """The answer to a made-up request, which says in the words of another client what is to be sent."""
    wanted = case.as_transport_kwargs(base_url="http://penelope.test")
    content = {name: wanted[name] for name in ("params", "json") if wanted.get(name) is not None}
    if "data" in wanted:
        content["content"] = wanted["data"]
    # A header's value is Latin-1 on the wire, as made-up ones are; this client would encode text as ASCII.
    headers = {
        name: value.encode("latin-1") if isinstance(value, str) else value
        for name, value in wanted["headers"].items()
        if name.lower() != "authorization"
    }
    return door.ask(wanted["method"], wanted["url"], headers=headers, **content)
