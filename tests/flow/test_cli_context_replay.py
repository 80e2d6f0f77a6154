"""The command that asks again, against a real server in a process of its own."""

import json

import httpx
import pytest
from serving import Server


@pytest.fixture(scope="module")
def answered(server: Server) -> str:
    """The id of an answer: that of a key without a role, so the policy that ships lets it know of nothing."""
    asked = httpx.post(
        f"{server.address}/api/v1/resolve",
        json={"concept": "who owns shop?"},
        headers={"Authorization": f"Bearer {server.key}"},
        trust_env=False,
    )
    assert asked.status_code == 404, asked.text
    return str(asked.json()["answer"])


def test_an_answer_is_made_again_and_nothing_differs(server: Server, answered: str) -> None:
    done = server.run("context", "replay", answered)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"Asked again, {answered} is the same.\n"
    told = json.loads(server.run("context", "replay", answered, "--json").stdout)
    assert (told["id"], told["identical"], told["outcome"]) == (answered, True, "unresolved")


def test_what_differs_for_whoever_asks_now_is_named(server: Server) -> None:
    asked = httpx.post(
        f"{server.address}/api/v1/resolve",
        json={"concept": "who owns shop?", "user_context": {"role": "analyst"}},
        headers={"Authorization": f"Bearer {gateway(server)}"},
        trust_env=False,
    )
    assert asked.status_code == 200, asked.text
    known = asked.json()["id"]
    # The same name, and no longer believed whose role it says.
    done = server.run("context", "replay", known, key=gateway(server, "gateway", "read"))
    assert done.exit_code == 1
    assert f"{known} is another: definition, other, outcome, policy." in " ".join(done.stdout.split())
    assert "/outcome" in done.stdout
    admin = gateway(server, "chief", "admin")
    assert server.run("context", "replay", known, key=admin).exit_code == 0
    mine = server.run("context", "replay", known)
    assert mine.exit_code == 1
    assert "there is no answer" in mine.stderr


def gateway(server: Server, name: str = "gateway", *scopes: str) -> str:
    wanted = [f"--scope={scope}" for scope in scopes or ("read", "delegate")]
    return server.run("keys", "create", name, *wanted).stdout.strip()
