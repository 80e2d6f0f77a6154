"""Who may do what over HTTP."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from doorstep import Doorstep, settings

from penelope.flow.keys import Scope

ROUTES = [
    ("POST", "/api/v1/events", Scope.WRITE),
    ("POST", "/api/v1/alertmanager", Scope.WRITE),
    ("GET", "/api/v1/incidents", Scope.READ),
    ("GET", "/api/v1/incidents/inc_none", Scope.READ),
    ("GET", "/api/v1/incidents/inc_none/timeline", Scope.READ),
    ("POST", "/api/v1/incidents/inc_none/approve", Scope.APPROVE),
    ("POST", "/api/v1/incidents/inc_none/reject", Scope.APPROVE),
    ("GET", "/api/v1/approvals", Scope.READ),
    ("GET", "/api/v1/approvals/inc_none", Scope.READ),
    ("POST", "/api/v1/approvals/inc_none/approve", Scope.APPROVE),
    ("POST", "/api/v1/approvals/inc_none/reject", Scope.APPROVE),
    ("POST", "/api/v1/approvals/inc_none/comment", Scope.APPROVE),
    ("POST", "/api/v1/approvals/inc_none/delegate", Scope.APPROVE),
    ("POST", "/api/v1/approvals/inc_none/cancel", Scope.APPROVE),
    ("POST", "/api/v1/incidents/inc_none/break-glass", Scope.BREAK_GLASS),
    ("GET", "/api/v1/reviews", Scope.READ),
    ("POST", "/api/v1/reviews/inc_none/close", Scope.APPROVE),
    ("GET", "/api/v1/ledger/checkpoint", Scope.READ),
    ("GET", "/api/v1/incidents/inc_none/receipt", Scope.READ),
    ("GET", "/api/v1/ledger/verify", Scope.READ),
    ("POST", "/api/v1/ledger/verify", Scope.READ),
    ("POST", "/api/v1/ledger/sweep", Scope.WRITE),
    ("GET", "/api/v1/ledger/stats", Scope.READ),
    ("GET", "/api/v1/ledger/export", Scope.READ),
    ("GET", "/api/v1/ledger/units/inc_none/state", Scope.READ),
    ("GET", "/api/v1/ledger/units/inc_none/history", Scope.READ),
    ("GET", "/api/v1/actors", Scope.READ),
    ("GET", "/api/v1/audit/decisions", Scope.READ),
    ("GET", "/api/v1/audit/decisions/high-risk", Scope.READ),
    ("GET", "/api/v1/audit/decisions/statistics", Scope.READ),
    ("GET", "/api/v1/audit/decisions/inc_none/precedents", Scope.READ),
    ("GET", "/api/v1/audit/decisions/export", Scope.READ),
    ("GET", "/api/v1/decisions/inc_none/explanation", Scope.READ),
    ("POST", "/api/v1/decisions/inc_none/replay", Scope.READ),
    ("GET", "/api/v1/calibration", Scope.READ),
    ("GET", "/api/v1/autonomy", Scope.READ),
    ("POST", "/api/v1/autonomy", Scope.APPROVE),
    ("POST", "/api/v1/incidents/inc_none/report", Scope.APPROVE),
    ("GET", "/api/v1/constitution", Scope.READ),
    ("GET", "/api/v1/halts", Scope.READ),
    ("POST", "/api/v1/halts/inc_none/open", Scope.APPROVE),
    ("POST", "/api/v1/halts/inc_none/close", Scope.APPROVE),
    ("POST", "/api/v1/halts/inc_none/reset", Scope.APPROVE),
    ("GET", "/api/v1/wisdom", Scope.READ),
    ("GET", "/api/v1/wisdom/inc_none", Scope.READ),
    ("POST", "/api/v1/wisdom/import", Scope.WRITE),
    ("GET", "/api/v1/actions/running", Scope.READ),
    ("GET", "/api/v1/services/inc_none/targets/inc_none/patches", Scope.READ),
    ("GET", "/api/v1/benchmarks", Scope.READ),
    ("POST", "/api/v1/benchmarks/baselines", Scope.APPROVE),
    ("POST", "/api/v1/benchmarks/runs", Scope.WRITE),
    ("GET", "/api/v1/missions", Scope.READ),
    ("POST", "/api/v1/missions", Scope.WRITE),
    ("GET", "/api/v1/missions/inc_none", Scope.READ),
    ("POST", "/api/v1/missions/inc_none/close", Scope.WRITE),
    ("POST", "/api/v1/missions/inc_none/members", Scope.WRITE),
    ("GET", "/api/v1/deployments", Scope.READ),
    ("POST", "/api/v1/deployments", Scope.APPROVE),
    ("GET", "/api/v1/deployments/inc_none", Scope.READ),
    ("GET", "/api/v1/deployments/inc_none/events", Scope.READ),
    ("GET", "/api/v1/deployments/inc_none/stream", Scope.READ),
    ("POST", "/api/v1/deployments/inc_none/words", Scope.WRITE),
    ("POST", "/api/v1/deployments/inc_none/revision", Scope.WRITE),
    ("POST", "/api/v1/resolve", Scope.READ),
    ("POST", "/api/v1/search", Scope.READ),
    ("POST", "/api/v1/explain", Scope.READ),
    ("POST", "/api/v1/feedback", Scope.WRITE),
    ("POST", "/api/v1/feedback/withdraw", Scope.WRITE),
    ("GET", "/api/v1/assets", Scope.READ),
    ("GET", "/api/v1/assets/inc_none", Scope.READ),
    ("GET", "/api/v1/lineage/inc_none", Scope.READ),
    ("GET", "/api/v1/answers/inc_none", Scope.READ),
    ("POST", "/api/v1/answers/inc_none/replay", Scope.READ),
    ("GET", "/api/v1/degradation", Scope.READ),
    ("GET", "/api/v1/status", Scope.READ),
    ("GET", "/api/v1/playbooks", Scope.READ),
]
OPEN = {("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/metrics")}
PROVEN = {
    ("GET", "/api/v1/approval-links"),
    ("POST", "/api/v1/approval-links"),
    ("POST", "/api/v1/slack/actions"),
}
"""What proves itself without a key: see tests/adversarial/test_approvals.py."""


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    with Doorstep(settings(tmp_path_factory.mktemp("access"))) as door:
        yield door


def test_every_operation_is_in_the_matrix_or_open(door: Doorstep) -> None:
    paths = door.app.openapi()["paths"]
    served = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    named = {(method, re.sub(r"\{\w+\}", "{id}", path)) for method, path in served}
    assert named == OPEN | PROVEN | {(method, path.replace("inc_none", "{id}")) for method, path, _ in ROUTES}


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize(("method", "path", "needed"), ROUTES)
def test_a_key_opens_what_its_scope_says(
    door: Doorstep, method: str, path: str, needed: Scope, scope: Scope
) -> None:
    if scope in {needed, Scope.ADMIN}:
        # Nothing was recorded here, so that there is no checkpoint yet.
        expected = {503} if path.endswith("/checkpoint") else {200, 400, 404}
        # No service of the catalogue bears that name.
        expected = {422} if path.endswith("/patches") else expected
        assert door.ask(method, path, key=door.key(scope)).status_code in expected
        return
    problem = door.problem(403, "forbidden", lambda: door.ask(method, path, key=door.key(scope)))
    assert f"'{needed}'" in problem["detail"]


@pytest.mark.parametrize(("method", "path", "needed"), ROUTES)
def test_without_a_key_nothing_opens(door: Doorstep, method: str, path: str, needed: Scope) -> None:
    problem = door.problem(401, "unauthenticated", lambda: door.ask(method, path, key=None))
    assert "carries no API key" in problem["detail"], needed


@pytest.mark.parametrize(("method", "path"), sorted(OPEN))
def test_probes_and_scrapers_need_no_key(door: Doorstep, method: str, path: str) -> None:
    assert door.ask(method, path, key=None).status_code == 200


def test_the_challenge_names_the_scheme(door: Doorstep) -> None:
    answer = door.ask("GET", "/api/v1/status", key=None)
    assert answer.headers["www-authenticate"] == 'Bearer realm="penelope"'


@pytest.mark.parametrize("key", ["nonsense", "pnl_" + "a" * 60, "pnl_0123456789_" + "a" * 43 + "00000000"])
def test_a_malformed_key_is_refused(door: Doorstep, key: str) -> None:
    problem = door.problem(401, "unauthenticated", lambda: door.ask("GET", "/api/v1/status", key=key))
    assert "not an API key" in problem["detail"]
    assert key not in str(problem)


def test_another_scheme_is_no_key(door: Doorstep) -> None:
    headers = {"Authorization": "Basic YTpi"}
    problem = door.problem(
        401, "unauthenticated", lambda: door.ask("GET", "/api/v1/status", key=None, headers=headers)
    )
    assert "carries no API key" in problem["detail"]


def test_an_expired_key_is_refused(door: Doorstep) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    key, text = door.new_key(name="old", scopes=frozenset(Scope), expires_at=past)
    problem = door.problem(401, "unauthenticated", lambda: door.ask("GET", "/api/v1/status", key=text))
    assert f"API key {key.id} expired" in problem["detail"]


def test_a_revoked_key_is_refused(door: Doorstep) -> None:
    key, text = door.new_key(name="gone", scopes=frozenset(Scope))
    door.run(door.running.keys.revoke(key.id, datetime.now(UTC)))
    problem = door.problem(401, "unauthenticated", lambda: door.ask("GET", "/api/v1/status", key=text))
    assert f"API key {key.id} was revoked" in problem["detail"]


def test_a_key_in_the_address_is_not_looked_at(door: Doorstep) -> None:
    path = f"/api/v1/status?key={door.key(Scope.READ)}"
    assert door.ask("GET", path, key=None).status_code == 401


def test_traefik_is_given_nothing_where_no_token_is_set(door: Doorstep) -> None:
    for method in ("GET", "POST"):
        answer = door.ask(method, "/providers/traefik", key=None)
        assert (answer.status_code, answer.json()["code"]) == (404, "no_such_route")
