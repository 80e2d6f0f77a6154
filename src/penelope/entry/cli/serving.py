"""Runs the server until it is told to stop."""

import asyncio
import signal
import socket
import sys

import structlog
import uvicorn
from fastapi import FastAPI
from rich.text import Text

import penelope
from penelope.entry.api.app import create_app
from penelope.entry.cli import screens
from penelope.errors import BadSettings
from penelope.settings import Settings
from penelope.telemetry import configure_logging

_PATIENCE_SECONDS = 10
"""How long requests in flight may take when the server is told to stop."""

_log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises PenelopeError for what keeps it from starting."""
    configure_logging(settings.log.level, settings.log.format, sys.stderr)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        # The lifespan stands around the server instead, so that its errors reach our caller.
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_PATIENCE_SECONDS,
    )
    server = uvicorn.Server(config)
    # Before it serves, a signal is remembered; after, uvicorn raises it again, and it must not kill the shutdown.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    # The port is taken first: where another server has it, no story must be started.
    loop = config.get_loop_factory()
    with (
        _listener(settings.api.host, settings.api.port) as listener,
        asyncio.Runner(loop_factory=loop) as runner,
    ):
        runner.run(_run(app, server, listener))


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise BadSettings(
            f"cannot listen on {host}, port {port}: {error.strerror}",
            hint="Stop what listens there, or choose another place with --host and --port.",
        ) from error


async def _run(app: FastAPI, server: uvicorn.Server, listener: socket.socket) -> None:
    async with app.router.lifespan_context(app):
        host, port = listener.getsockname()[:2]
        _announce(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        await server.serve(sockets=[listener])


def _announce(address: str) -> None:
    told = f"Penelope {penelope.__version__} serves {address}"
    if sys.stdout.isatty():
        screens.show(Text(f"{told}, documentation at {address}/docs"))
    else:
        _log.info(told)
