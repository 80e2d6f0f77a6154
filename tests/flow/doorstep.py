"""A whole Penelope behind its HTTP interface: the real app, engine and store in a folder, asked without a socket."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import httpx
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from penelope.bootstrap import Application
from penelope.entry.api.app import create_app
from penelope.flow.keys import Key, Order, Scope
from penelope.settings import Settings
from penelope.testing.clock import HurriedClock

PATIENCE_SECONDS = 180.0

SERVICES = """\
apiVersion: penelope.dev/v1
kind: Services
services:
  shop:
    owner: team-shop
    tier: 2
    targets:
      admin: {adapter: http, options: {base_url: "http://127.0.0.1:9"}}
"""

PLAYBOOK = """\
apiVersion: penelope.dev/v1
kind: Playbook
name: free-the-lock
version: "1"
title: Free the lock
match: {labels: {stuck: "yes"}}
approval: true
steps:
  - {name: Free it, action: http.call, target: admin, params: {path: /free}, tier: 1, timeout: 1s}
verify: {within: 1s, clauses: [{subject: metric.error_ratio, at_most: 0.02}]}
"""

RESTING = frozenset({"awaiting_approval", "healed", "resolved", "escalated"})
"""The states in which a story writes nothing by itself."""

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def event(number: int | str = 1, **changes: Any) -> dict[str, Any]:
    """A CloudEvent about a problem that no playbook is for, unless it is told otherwise."""
    made = {
        "specversion": "1.0",
        "id": f"event-{number}",
        "source": "/test",
        "type": "Odd",
        "subject": "shop",
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def settings(folder: Path, **sections: Any) -> Settings:
    """Settings for a Penelope in a folder, with quick reactions."""
    (folder / "services.yaml").write_text(SERVICES)
    (folder / "playbook.yaml").write_text(PLAYBOOK)
    tree = {
        "database": {"url": "sqlite:///penelope.db"},
        "engine": {"poll_seconds": 0.05},
        "keys": {"pepper_file": "pepper"},
        "catalogue": {"path": "services.yaml"},
        "ledger": {"keys": "ledger-keys", "archive": "archive", "checkpoint_seconds": 0.1},
        "playbooks": {"paths": ["playbook.yaml"], "shipped": False},
        "decide": {"confidence_floor": 0.1},
        **sections,
    }
    return Settings.model_validate(tree, context={"folder": folder})


def warehoused(folder: Path, model: str, *tables: str, **sections: Any) -> Settings:
    """The same, with a warehouse of these statements, and measures of it."""
    (folder / "model.yaml").write_text(model)
    with duckdb.connect(str(folder / "shop.duckdb")) as shop:
        for statement in tables:
            shop.execute(statement)
    semantic = {"models": ["model.yaml"], "database": "shop.duckdb"}
    return settings(folder, semantic=semantic, graph={"folder": "graph"}, **sections)


class Doorstep:
    """Stands before a Penelope that runs from entry to exit. Stories go on only while something is asked."""

    def __init__(self, wanted: Settings) -> None:
        self.clock = HurriedClock()
        self.app = create_app(wanted, self.clock)
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._keys: dict[frozenset[Scope], str] = {}

    def __enter__(self) -> Self:
        try:
            self.run(self._stack.enter_async_context(self.app.router.lifespan_context(self.app)))
        except BaseException:
            self._runner.close()
            raise
        transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 50_000))
        client = httpx.AsyncClient(transport=transport, base_url="http://penelope.test")
        self._client = self.run(self._stack.enter_async_context(client))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.run(self._stack.aclose())
        finally:
            self._runner.close()

    @property
    def running(self) -> Application:
        application: Application = self.app.state.running
        return application

    def run(self, work: Any) -> Any:
        return self._runner.run(work)

    # --- asking ---

    def ask(self, method: str, path: str, *, key: str | None = "", **content: Any) -> httpx.Response:
        """Asks with an admin's key, or the given one, or none at all (None)."""
        shown = self.key(Scope.ADMIN) if key == "" else key
        headers = dict(content.pop("headers", {}))
        if shown is not None:
            headers["Authorization"] = f"Bearer {shown}"
        return self.run(self._client.request(method, path, headers=headers, **content))

    def get(self, path: str, **content: Any) -> Any:
        answer = self.ask("GET", path, **content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, *events: dict[str, Any], **content: Any) -> httpx.Response:
        return self.ask(
            "POST", "/api/v1/events", json=list(events), headers={"Content-Type": BATCH}, **content
        )

    def open(self, **changes: Any) -> str:
        """The incident that an event opens."""
        (opened,) = self.send(event(**changes)).json()["opened"]
        return str(opened)

    def incident(self, identifier: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/v1/incidents/{identifier}")["incident"]
        return found

    def wait_for(self, identifier: str, state: str) -> dict[str, Any]:
        return self.until(lambda: self.incident(identifier), lambda found: found["state"] == state)

    def until(self, look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not good(found := look()):
            assert time.monotonic() < deadline, found
            self.run(asyncio.sleep(0.02))
        return found

    # --- keys ---

    def key(self, *scopes: Scope) -> str:
        """The text of a key with these scopes."""
        wanted = frozenset(scopes)
        if wanted not in self._keys:
            self._keys[wanted] = self.new_key(name="-".join(sorted(scopes)), scopes=wanted)[1]
        return self._keys[wanted]

    def new_key(self, **order: Any) -> tuple[Key, str]:
        made: tuple[Key, str] = self.run(self.running.keys.create(Order(**order), datetime.now(UTC)))
        return made

    # --- looking behind the door ---

    def metric(self, name: str, **labels: str) -> float:
        return self.running.telemetry._registry.get_sample_value(name, labels) or 0.0

    def kept(self) -> tuple[int, str]:
        """What the database holds, as the ledger tells it, once no story is on its way."""
        self.until(lambda: self.run(self.running.reader.counts()), RESTING.issuperset)
        found = self.run(self.running.reader.entries(incident=None, after=0, limit=1_000_000))
        return len(found), found[-1].hash if found else ""

    @contextmanager
    def refusing(self, code: str) -> Iterator[None]:
        """Holds that nothing is changed, and that one line is logged and one problem counted, under this code."""
        before, counted = self.kept(), self.metric("penelope_problems_total", code=code)
        with capture_logs(processors=[merge_contextvars]) as lines:
            yield
        assert self.kept() == before
        assert self.metric("penelope_problems_total", code=code) == counted + 1
        assert [line["code"] for line in lines] == [code]
        assert lines[0]["request_id"]

    def problem(self, status: int, code: str, answer: Callable[[], httpx.Response]) -> dict[str, Any]:
        """The problem that is answered, after all that is promised of a refusal was held against it."""
        with self.refusing(code):
            refused = answer()
        assert refused.headers["content-type"] == "application/problem+json"
        content: dict[str, Any] = refused.json()
        assert (refused.status_code, content["status"], content["code"]) == (status, status, code), content
        assert content["type"] == f"urn:penelope:problem:{code}"
        assert content["request_id"] == refused.headers["x-request-id"]
        assert content["title"]
        assert content["hint"]
        return content


def key_of(door: Doorstep, name: str, *scopes: Scope) -> str:
    """The text of a new key."""
    return str(door.new_key(name=name, scopes=frozenset(scopes))[1])
