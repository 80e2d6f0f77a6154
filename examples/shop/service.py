"""One instance of the shop: products and checkout for customers, an admin corner for operators."""

import argparse
import asyncio
import itertools
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shop.configuration import FILE_NAME, Configuration, ConfigurationInvalid, read_configuration
from shop.database import SHARED, AlreadyMigrated, Database
from shop.measures import CONTENT_TYPE, INSTANCE_HEADER, Measures
from shop.release import Release

_COUNTED = frozenset({"/", "/products", "/checkout"})
_MOST_ITEMS = 100
_LONGEST_KEY = 200
_LONGEST_COUPON = 40


class OrderInvalid(ValueError):
    """An order that cannot be understood."""


def problem(status: int, detail: str) -> JSONResponse:
    """An error as problem details (RFC 9457)."""
    body = {"type": "about:blank", "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")


class Shop:
    """The state and the endpoints of one instance."""

    def __init__(self, *, instance: str, release: Release, repository: Path, database: Database) -> None:
        self.instance = instance
        self.release = release
        self.database = database
        self.measures = Measures(release.name)
        self._file = repository / FILE_NAME
        self._configuration: Configuration | None = None
        self._invalid: str | None = None
        self.read_configuration()

    def read_configuration(self) -> None:
        """Reads the file again; if it is invalid, the last valid configuration stays but checkout closes."""
        try:
            self._configuration, self._invalid = read_configuration(self._file), None
        except ConfigurationInvalid as error:
            self._invalid = str(error)
        self.measures.config_valid.set(self._invalid is None)

    async def home(self, _: Request) -> Response:
        return JSONResponse({"shop": self.instance, "release": self.release.name})

    async def products(self, _: Request) -> Response:
        if self._configuration is None:
            return problem(503, "The shop has no price list.")
        configuration = self._configuration
        return JSONResponse({"currency": configuration.currency, "cents": dict(configuration.prices)})

    async def checkout(self, request: Request) -> Response:
        configuration = self._configuration
        if configuration is None or self._invalid is not None:
            return problem(503, "The configuration is invalid; nothing can be sold.")
        try:
            product, quantity, coupon = _basket(await request.json())
        except ValueError as error:
            return problem(400, str(error))
        if product not in configuration.prices:
            return problem(404, "There is no such product.")
        cents = quantity * configuration.prices[product]
        kept = coupon if configuration.coupons else None
        try:
            number = await run_in_threadpool(self.database.order, product, quantity, cents, kept)
        except sqlite3.OperationalError as error:
            return problem(500, f"The order could not be kept: {error}.")
        return JSONResponse({"order": number, "cents": cents, "currency": configuration.currency})

    async def health(self, _: Request) -> Response:
        return JSONResponse({"instance": self.instance, "release": self.release.name, "pid": os.getpid()})

    async def metrics(self, _: Request) -> Response:
        self.measures.schema_version.set(await run_in_threadpool(self.database.schema_version))
        if self._configuration is not None:
            self.measures.schema_wanted.set(self._configuration.schema_wanted)
        return Response(self.measures.text(), media_type=CONTENT_TYPE)

    async def reload(self, request: Request) -> Response:
        """Reads shop.toml again. Only a success is recorded: a reload that failed may be asked for again."""
        key = request.headers.get("Idempotency-Key")
        if key is not None and not _usable(key):
            return problem(400, "The Idempotency-Key is too long or empty.")
        return await run_in_threadpool(self._reload, key)

    def _reload(self, key: str | None) -> Response:
        known = self.database.operation(key, self.instance) if key is not None else None
        if known is not None:
            return JSONResponse({**known, "repeated": True})
        self.read_configuration()
        if self._invalid is not None:
            return problem(500, self._invalid)
        result = {"valid": True}
        if key is None:
            return JSONResponse(result)
        return JSONResponse(self.database.record(key, self.instance, "reload", result))

    async def migrate(self, request: Request) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not _usable(key):
            return problem(400, "A migration needs the header Idempotency-Key.")
        try:
            return JSONResponse(await run_in_threadpool(self.database.migrate, key))
        except AlreadyMigrated:
            return problem(409, "The database was migrated before, under another key.")

    async def operation(self, request: Request) -> Response:
        key = request.path_params["key"]
        for scope in (SHARED, self.instance):
            known = await run_in_threadpool(self.database.operation, key, scope)
            if known is not None:
                return JSONResponse(known)
        return problem(404, "No operation was recorded under this key.")

    def application(self) -> Starlette:
        """The web application; closes the database when it ends."""
        routes = [
            Route("/", self.home),
            Route("/products", self.products),
            Route("/checkout", self.checkout, methods=["POST"]),
            Route("/health", self.health),
            Route("/metrics", self.metrics),
            Route("/admin/reload", self.reload, methods=["POST"]),
            Route("/admin/migrate", self.migrate, methods=["POST"]),
            Route("/admin/operations/{key:path}", self.operation),
        ]
        middleware = [
            Middleware(CustomerRequests, instance=self.instance, release=self.release, measures=self.measures)
        ]
        return Starlette(routes=routes, middleware=middleware, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(
            self.database.schema_version
        )  # or the first customer waits for a thread's start
        yield
        self.database.close()


class CustomerRequests:
    """Counts and times what customers ask for, and lets it suffer what the release does to it.

    Each answer says which instance gave it.
    """

    def __init__(self, app: ASGIApp, *, instance: str, release: Release, measures: Measures) -> None:
        self._app = app
        self._header = (INSTANCE_HEADER.encode("ascii"), instance.encode("ascii"))
        self._release = release
        self._measures = measures
        self._numbers = itertools.count()
        self._born = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in _COUNTED:
            await self._app(scope, receive, send)
            return
        began, code = time.perf_counter(), 500

        async def remembering(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                message["headers"] = [*message["headers"], self._header]
            await send(message)

        fails, delay = self._release.fate(next(self._numbers), time.monotonic() - self._born)
        app = problem(500, "This release has a fault.") if fails else self._app
        try:
            await asyncio.sleep(delay)
            await app(scope, receive, remembering)
        finally:
            self._measures.seen(scope["path"], code, time.perf_counter() - began)


def _basket(body: Any) -> tuple[str, int, str | None]:
    """Product, quantity and coupon of an order. Raises OrderInvalid."""
    if not isinstance(body, dict):
        raise OrderInvalid("an order is a JSON object")
    product, quantity, coupon = body.get("product"), body.get("quantity", 1), body.get("coupon")
    if not isinstance(product, str):
        raise OrderInvalid("product must be a text")
    if type(quantity) is not int or not 1 <= quantity <= _MOST_ITEMS:
        raise OrderInvalid(f"quantity must be a whole number from 1 to {_MOST_ITEMS}")
    if coupon is not None and not (
        isinstance(coupon, str) and coupon.isascii() and len(coupon) <= _LONGEST_COUPON
    ):
        raise OrderInvalid(f"coupon must be at most {_LONGEST_COUPON} ASCII characters")
    return product, quantity, coupon


def _usable(key: str) -> bool:
    return 0 < len(key) <= _LONGEST_KEY


def note_start(starts: Path, instance: str, release: str) -> None:
    """Appends one line in one write, so that two instances never mix theirs: tests count restarts here."""
    line = {
        "instance": instance,
        "release": release,
        "pid": os.getpid(),
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    file = os.open(starts, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, json.dumps(line).encode() + b"\n")
    finally:
        os.close(file)


def main(release_folder: Path) -> None:
    """Serves one instance until it is told to end; each release's main.py calls this."""
    parser = argparse.ArgumentParser(description="One instance of the shop.")
    parser.add_argument("--instance", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--repository", type=Path, required=True, help="git repository with shop.toml")
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--starts", type=Path, required=True, help="file that gets a line a start")
    options = parser.parse_args()
    release = Release.read(release_folder)
    note_start(options.starts, options.instance, release.name)
    shop = Shop(
        instance=options.instance,
        release=release,
        repository=options.repository,
        database=Database(options.database),
    )
    uvicorn.run(
        shop.application(),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        access_log=False,
        # Longer than a proxy keeps idle connections: the proxy, which can tell, closes them first.
        timeout_keep_alive=120,
        timeout_graceful_shutdown=1,
    )
