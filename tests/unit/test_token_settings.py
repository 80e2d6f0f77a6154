"""Settings of access tokens: what would open the door too far is refused before anything starts."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from penelope.bootstrap.tokens import tokens_of
from penelope.errors import BadSettings
from penelope.kit.clock import SystemClock
from penelope.settings import load
from penelope.settings.tokens import Tokens
from penelope.telemetry import Telemetry

GOOD: dict[str, Any] = {"issuer": "https://id.example/realms/a", "audience": "penelope"}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"issuer": "http://id.example"}, "should begin with https://"),
        ({"issuer": "http://localhost.evil.example"}, "should begin with https://"),
        ({"issuer": "http://127.0.0.1.evil.example"}, "should begin with https://"),
        ({"issuer": "id.example"}, "should begin with https://"),
        ({"issuer": "https://ann:geheim@id.example"}, "no user name and no password"),
        ({"issuer": "https://id.example?a=b"}, "nothing behind host, port and path"),
        ({"issuer": "https://id.example#a"}, "nothing behind host, port and path"),
        ({"audience": ""}, "at least 1 character"),
        ({"audience": ["penelope"]}, "valid string"),
        ({"algorithms": ["HS256"]}, "RS256"),
        ({"algorithms": ["none"]}, "RS256"),
        ({"algorithms": []}, "at least 1 item"),
        ({"types": ["id"]}, "at+jwt"),
        ({"types": []}, "at least 1 item"),
        ({"scopes": {"sre": ["root"]}}, "admin"),
        ({"scopes": {"sre": []}}, "at least 1 item"),
        ({"scopes": {"": ["read"]}}, "at least 1 character"),
        ({"roles": {"sre": {"region": "EMEA"}}}, "required"),
        ({"key_hosts": ["https://keys.example"]}, "pattern"),
        ({"key_hosts": ["keys.example/path"]}, "pattern"),
        ({"key_hosts": ["user@keys.example"]}, "pattern"),
        ({"key_hosts": [":8443"]}, "should be a host"),
        ({"client_secret": "geheim"}, "Extra inputs are not permitted"),
    ],
)
def test_what_does_not_fit_is_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Tokens.model_validate({"issuers": {"corp": {**GOOD, **given}}})
    assert told in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "Corp", "a:b", "a.b", "a b", "-a", "a" * 33, "ä"])
def test_a_name_cannot_look_like_another_one_and_a_person(name: str) -> None:
    with pytest.raises(ValidationError, match="pattern"):
        Tokens.model_validate({"issuers": {name: GOOD}})


def test_an_issuer_is_named_once() -> None:
    with pytest.raises(ValidationError, match="names an issuer twice"):
        Tokens.model_validate({"issuers": {"a": GOOD, "b": GOOD}})


@pytest.mark.parametrize(
    "given",
    [
        {"leeway_seconds": 61},
        {"leeway_seconds": -1},
        {"keys_seconds": 1},
        {"keys_seconds": 600, "keys_kept_seconds": 300},
        {"keys_kept_seconds": 1e9},
        {"pause_seconds": 0},
        {"timeout_seconds": 61},
    ],
)
def test_times_are_bounded(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Tokens.model_validate(given)


def test_nobody_is_trusted_by_default() -> None:
    async def made(settings: Tokens) -> object:
        async with AsyncExitStack() as stack:
            return tokens_of(stack, settings, SystemClock(), Telemetry())

    assert asyncio.run(made(Tokens())) is None
    loopback = [{**GOOD, "issuer": f"http://{host}:9400"} for host in ("localhost", "127.0.0.1", "[::1]")]
    settings = Tokens.model_validate({"issuers": {f"l{at}": each for at, each in enumerate(loopback)}})
    assert asyncio.run(made(settings)) is not None


def test_a_file_is_read_as_the_page_shows_it(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "access.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n# penelope.yaml\n")[1].split("```")[0]
    file = tmp_path / "penelope.yaml"
    file.write_text(example)
    corp = load(file, {}, []).tokens.issuers["corp"]
    assert corp.scopes
    assert corp.roles
    file.write_text(example.replace("https://", "http://"))
    with pytest.raises(BadSettings, match=r"tokens\.issuers\.corp\.issuer should begin with https://"):
        load(file, {}, [])
