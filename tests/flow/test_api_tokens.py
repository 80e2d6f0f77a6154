"""People of a real OpenID Connect provider before a whole Penelope."""

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from doorstep import Doorstep, settings
from oidc_provider import Provider

from penelope.flow.keys import Scope

PEOPLE: dict[str, dict[str, Any]] = {
    "ann": {"groups": ["sre"]},
    "bob": {"groups": ["sre"]},
    "eve": {"groups": ["visitors"]},
    "bot": {"groups": ["sre", "robots"]},
}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider(PEOPLE)
    provider.start()
    yield provider
    provider.kill()


@pytest.fixture(scope="module")
def door(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    trusted = {
        "issuer": provider.issuer,
        "audience": provider.audience,
        "types": ["jwt"],
        "scopes": {"sre": ["read", "write", "approve"]},
        "roles": {"sre": {"role": "analyst", "region": "EMEA"}},
        "agents": ["robots"],
    }
    wanted = settings(
        tmp_path_factory.mktemp("tokens"),
        tokens={"issuers": {"mock": trusted, "none": {**trusted, "issuer": "http://127.0.0.1:9"}}},
        approval={
            "quorum": ["tier 1: 2 approver"],
            "people": ["ann@example.com aka=oidc:mock:ann,annie"],
        },
        context={"roles": {"oidc:mock:bob": {"role": "boss"}}},
        gate={"halt_failures": 1000, "rate_actions": 1000},
    )
    with Doorstep(wanted) as door:
        yield door


@pytest.fixture(scope="module")
def tokens(provider: Provider) -> dict[str, str]:
    return {name: provider.sign_in(name) for name in PEOPLE}


def status(door: Doorstep, token: str) -> int:
    return int(door.ask("GET", "/api/v1/status", key=token).status_code)


def refused(door: Doorstep, token: str) -> dict[str, Any]:
    return door.problem(401, "invalid_token", lambda: door.ask("GET", "/api/v1/status", key=token))


def test_whoever_signed_in_may_what_their_groups_may(door: Doorstep, tokens: dict[str, str]) -> None:
    assert status(door, tokens["ann"]) == 200
    assert door.metric("penelope_tokens_total", issuer="mock", outcome="good") == 1
    assert status(door, tokens["ann"]) == 200
    # Remembered for a moment, as keys are.
    assert door.metric("penelope_tokens_total", issuer="mock", outcome="good") == 1


def test_groups_that_give_nothing_open_nothing(door: Doorstep, tokens: dict[str, str]) -> None:
    problem = door.problem(403, "forbidden", lambda: door.ask("GET", "/api/v1/status", key=tokens["eve"]))
    assert problem["detail"] == "the access token of oidc:mock:eve lacks the scope 'read'"
    assert status(door, door.key(Scope.READ)) == 200


def test_a_token_that_is_not_good_is_told_so_and_not_why(door: Doorstep, tokens: dict[str, str]) -> None:
    head, body, signed = tokens["ann"].split(".")
    swapped = f"{head}.{tokens['eve'].split('.')[1]}.{signed}"
    for token in (swapped, f"{head}.{body}.AAAA", f"{head}.{body}", "e30.e30.AAAA", "nonsense"):
        problem = refused(door, token)
        assert problem["detail"] == "this access token is not good here"
        assert token not in str(problem)
    answer = door.ask("GET", "/api/v1/status", key=swapped)
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="penelope", error="invalid_token", error_description="this access token is not good here"'
    )


def test_an_api_key_is_what_it_was(door: Doorstep) -> None:
    problem = door.problem(401, "unauthenticated", lambda: door.ask("GET", "/api/v1/status", key="pnl_a.b.c"))
    assert "not an API key" in problem["detail"]
    assert (
        door.ask("GET", "/api/v1/status", key=None).headers["www-authenticate"] == 'Bearer realm="penelope"'
    )


def test_a_persons_token_and_key_have_one_vote(door: Doorstep, tokens: dict[str, str]) -> None:
    incident = door.open(id="stuck", type="stuck", data={"labels": {"stuck": "yes"}})
    door.wait_for(incident, "awaiting_approval")
    (request,) = door.get("/api/v1/approvals", params={"status": "pending"})["approvals"]

    def approve(key: str) -> dict[str, Any]:
        path = f"/api/v1/approvals/{request['id']}/approve"
        answer = door.ask("POST", path, key=key, json={})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    key = door.new_key(name="annie", scopes=frozenset({Scope.APPROVE}))[1]
    assert approve(tokens["ann"])["status"] == "pending"
    for again in (key, tokens["ann"]):
        found = approve(again)
        assert (found["status"], len(found["votes"])) == ("pending", 1)
    # A program's token casts no person's vote.
    path = f"/api/v1/approvals/{request['id']}/approve"
    door.problem(403, "forbidden", lambda: door.ask("POST", path, key=tokens["bot"], json={}))
    done = approve(tokens["bob"])
    assert (done["status"], done["decided_by"]) == ("approved", "oidc:mock:bob")
    assert {vote["actor"] for vote in done["votes"]} >= {"oidc:mock:bob"}
    actors = {each["name"]: each["kind"] for each in door.get("/api/v1/actors")}
    assert (actors["oidc:mock:ann"], actors["oidc:mock:bob"]) == ("person", "person")
    ended = {"healed", "resolved", "escalated"}
    door.until(lambda: door.incident(incident)["state"], lambda state: state in ended)


def test_a_role_comes_from_the_groups_unless_the_settings_name_the_person(
    door: Doorstep, tokens: dict[str, str]
) -> None:
    def asks_as(token: str, role: str, region: str = "") -> int:
        params = {"role": role, "region": region}
        return int(door.ask("GET", "/api/v1/assets", params=params, key=token).status_code)

    assert asks_as(tokens["ann"], "analyst", "EMEA") == 200
    assert asks_as(tokens["bob"], "boss") == 200
    for name, role in (("ann", "boss"), ("ann", "analyst"), ("bob", "analyst"), ("ann", "guest")):
        assert asks_as(tokens[name], role) == 403


def test_an_issuer_that_was_never_there_opens_nothing_and_stops_nobody_else(
    door: Doorstep, tokens: dict[str, str]
) -> None:
    head, _, signed = tokens["ann"].split(".")
    body = urlsafe_b64encode(b'{"iss": "http://127.0.0.1:9", "exp": 4000000000}').rstrip(b"=").decode()
    ghost = f"{head}.{body}.{signed}"
    door.problem(503, "unavailable", lambda: door.ask("GET", "/api/v1/status", key=ghost))
    assert status(door, tokens["ann"]) == 200


def test_the_provider_is_killed_and_comes_back_with_another_key(
    door: Doorstep, provider: Provider, tokens: dict[str, str]
) -> None:
    assert status(door, tokens["ann"]) == 200
    provider.kill()
    try:
        for seconds in (6, 301, 600, 600, 600, 600, 600):
            door.clock.ahead += timedelta(seconds=seconds)
            assert status(door, tokens["ann"]) == 200
        door.clock.ahead += timedelta(seconds=600)
        problem = door.problem(
            503, "unavailable", lambda: door.ask("GET", "/api/v1/status", key=tokens["ann"])
        )
        assert problem["retryable"]
        assert door.metric("penelope_issuer_requests_total", issuer="mock", outcome="failed") >= 2
    finally:
        provider.start()
    door.clock.ahead += timedelta(seconds=11)
    assert refused(door, tokens["ann"])["detail"] == "this access token is not good here"
    assert status(door, provider.sign_in("ann")) == 200
    # Once more, while the keys are fresh: the first token by the new key has them fetched again.
    provider.kill()
    provider.start()
    door.clock.ahead += timedelta(seconds=11)
    fresh = provider.sign_in("ann")
    assert status(door, fresh) == 200
    # And its life ends.
    door.clock.ahead += timedelta(seconds=90_000)
    assert refused(door, fresh)["detail"] == "this access token has expired"
