"""Logs: one stream for everything that the process says, JSON or for the eye, without secrets."""

import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO, TypeAlias

import structlog

_SECRET_NAME = re.compile(
    r"token|secret|authorization|passw|passphrase|credential|(api|private)[-_]?key|pepper|cookie",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(r"\bpnl_[\w-]+|(?<=bearer )\S+|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)", re.IGNORECASE)
_REDACTED = "[redacted]"

# What a terminal would obey instead of show; a log line may carry text from outside.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}

# Libraries that tell more at `info` than an operator wants to read.
_TALKATIVE = ("alembic", "dbos", "httpcore", "httpx", "sqlalchemy", "uvicorn.access")
# Loggers to which their libraries would give handlers of their own.
_ADOPTED = ("alembic", "dbos", "sqlalchemy", "uvicorn", "uvicorn.access", "uvicorn.error")

EventDict: TypeAlias = MutableMapping[str, Any]


def redact(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: blanks values under secret-sounding names, and keys and passwords inside texts."""
    return {name: _redacted(name, value) for name, value in event.items()}


def _redacted(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name):
        return _REDACTED
    if isinstance(value, Mapping):
        return {str(key): _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted("", item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _SECRET_TEXT.sub(_REDACTED, str(value))


def _shown(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """A structlog processor for terminals: control characters become visible instead of effective."""
    return {
        name: value.translate(_CONTROL) if isinstance(value, str) else value for name, value in event.items()
    }


def configure_logging(level: str, form: Literal["auto", "json", "console"], stream: TextIO) -> None:
    """Sends everything that this process logs, by structlog or the standard library, to one stream.

    `json` writes one object a line, `console` coloured lines; `auto` is `console` where the stream is a
    terminal. It may be called again: the last call holds.
    """
    console = form == "console" or (form == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Tracebacks become text here, for only text can be redacted; local variables stay out of them.
                structlog.processors.format_exc_info,
                redact,
                *_renderers(console=console, colors=stream.isatty()),
            ],
        )
    )
    _route(handler, level.upper())


def _renderers(*, console: bool, colors: bool) -> list[structlog.typing.Processor]:
    if console:
        return [_shown, structlog.dev.ConsoleRenderer(colors=colors)]
    return [structlog.processors.JSONRenderer(ensure_ascii=False)]


def _route(handler: logging.Handler, level: str) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _ADOPTED:
        logger = logging.getLogger(name)
        # The engine adds a handler of its own to a logger that has none.
        logger.handlers = [logging.NullHandler()]
        logger.propagate = True
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(level if level == "DEBUG" else "WARNING")
