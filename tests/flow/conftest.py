"""A server for the tests of the command line: one process for each file of tests."""

from collections.abc import Iterator

import pytest
from serving import Server, start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Runs with a key that may read, write and approve."""
    server = start(tmp_path_factory.mktemp("server"))
    try:
        server.wait_until_ready()
        scopes = [f"--scope={scope}" for scope in ("read", "write", "approve")]
        server.key = server.run("keys", "create", "anna", *scopes).stdout.strip()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
