"""The commands that teach what words mean and take it back, against a real server in a process of its own."""

import json
from collections.abc import Iterator

import pytest
from serving import SETTINGS, Server, start

ROLES = "context: {{roles: {{anna: {{role: analyst}}}}}}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Runs with a key that may read and write, of somebody with a role."""
    server = start(tmp_path_factory.mktemp("server"), settings=SETTINGS + ROLES)
    try:
        server.wait_until_ready()
        server.key = server.run("keys", "create", "anna", "--scope=read", "--scope=write").stdout.strip()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


def test_what_words_mean_is_taught_and_taken_back(server: Server) -> None:
    taught = server.run("context", "correct", "the window", "service:shop")
    assert (taught.exit_code, taught.stderr) == (0, "")
    assert taught.stdout == "the window means service:shop from now on.\n"
    gone = server.run("context", "withdraw", "The Window", "--json")
    told = json.loads(gone.stdout)
    assert (gone.exit_code, told["phrase"], told["actor"]) == (0, "the window", "key:anna")
    again = server.run("context", "withdraw", "the window")
    assert again.exit_code == 1
    assert "nothing that you may see is taught by these words" in " ".join(again.stderr.split())
    assert server.run("context", "correct", "the window", "service:shop").exit_code == 0
    done = server.run("context", "withdraw", "the window")
    assert (done.exit_code, done.stdout) == (0, "the window is taught no more.\n")


def test_what_may_not_be_taught_is_refused_in_the_servers_words(server: Server) -> None:
    unknown = server.run("context", "correct", "the window", "service:nothing")
    assert unknown.exit_code == 1
    assert "nothing that you may see has this name" in " ".join(unknown.stderr.split())
    answer = server.run("context", "correct", "the window", "service:shop", "--answer", "ans_0")
    assert answer.exit_code == 1
    assert "there is no answer" in answer.stderr
    reading = server.run("keys", "create", "rita", "--scope=read").stdout.strip()
    assert server.run("context", "withdraw", "the window", key=reading).exit_code == 1
