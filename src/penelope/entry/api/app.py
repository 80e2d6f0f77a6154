"""Puts the HTTP interface together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

import penelope
from penelope import bootstrap
from penelope.entry.api import (
    answers,
    approvals,
    audit,
    autonomy,
    benchmarks,
    constitution,
    context,
    decisions,
    deployments,
    halts,
    incidents,
    integrity,
    ledger,
    missions,
    patches,
    problems,
    providers,
    running,
    server,
    signals,
    tlog,
    verification,
    wisdom,
)
from penelope.entry.api.access import Acquaintances, requires
from penelope.entry.api.door import Door
from penelope.entry.api.models import Problem
from penelope.flow.keys import Scope
from penelope.kit.clock import Clock
from penelope.settings import Settings

_DESCRIPTION = """\
A remediation control plane: turns a signal into a verified, reversible, audited fix, or a well-prepared escalation.

Every error answers with problem details (`application/problem+json`); match on their `code`. A 401 says
`unauthenticated` of an API key, and `invalid_token` of an access token. Every answer has an
`X-Request-Id`: the one that you sent, if it is at most 64 letters, digits, `.`, `_` and `-`, or a new one."""


def create_app(settings: Settings, clock: Clock | None = None) -> FastAPI:
    """The interface to a Penelope with these settings, which runs for the length of the app's lifespan.

    The durable engine adopts the event loop that the lifespan runs in; a process can run one at a time.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with bootstrap.application(settings, clock) as running:
            app.state.acquaintances = Acquaintances(running.keys, running.parts.clock, running.tokens)
            app.state.running = running
            try:
                yield
            finally:
                app.state.running = None

    app = _Interface(
        title="Penelope",
        version=penelope.__version__,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
    )
    app.state.running = None
    app.add_middleware(Door, max_body_bytes=settings.api.max_body_bytes)
    problems.install(app)
    for router in (signals.router, incidents.router, ledger.router, server.router, server.open_router):
        app.include_router(router)
    app.include_router(audit.router)
    app.include_router(running.router)
    app.include_router(patches.router)
    app.include_router(decisions.router)
    app.include_router(autonomy.router)
    app.include_router(benchmarks.router)
    app.include_router(constitution.router)
    app.include_router(context.router)
    app.include_router(halts.router)
    app.include_router(missions.router)
    app.include_router(deployments.router)
    app.include_router(approvals.router)
    app.include_router(answers.router)
    app.include_router(integrity.router)
    app.include_router(verification.router)
    app.include_router(wisdom.router)
    if settings.routers.serve_traefik:
        app.include_router(providers.router)
    app.include_router(tlog.router, dependencies=[] if settings.ledger.public else [requires(Scope.READ)])
    return app


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document; starts nothing."""
    return create_app(Settings()).openapi()


class _Interface(FastAPI):
    """FastAPI documents 422 and a shape of its own for invalid requests; ours are problems like all others."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            for operation in (item for path in document["paths"].values() for item in path.values()):
                if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                    del operation["responses"]["422"]
            schemas = document["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            schemas["Problem"] = Problem.model_json_schema()
        return super().openapi()


def _operation_id(route: APIRoute) -> str:
    return route.name
