"""Signals come in: CloudEvents and Alertmanager's webhook."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request

from penelope.adapters.sources import alertmanager, cloudevents
from penelope.bootstrap import Application
from penelope.domain.signal import Signal
from penelope.entry.api.access import Running, requires
from penelope.entry.api.models import Received
from penelope.entry.api.problems import documented
from penelope.errors import (
    AppendConflict,
    Forbidden,
    InvalidRequest,
    InvalidSignal,
    PenelopeError,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from penelope.flow.keys import Scope

_EVENT = {
    "specversion": "1.0",
    "id": "4711",
    "source": "/monitoring/eu-1",
    "type": "HighErrorRate",
    "subject": "shop",
    "data": {"severity": "critical", "annotations": {"summary": "12 % of requests fail"}},
}
_ALERT = {
    "status": "firing",
    "labels": {"alertname": "HighErrorRate", "service": "shop", "severity": "critical"},
    "annotations": {"summary": "12 % of requests fail"},
    "startsAt": "2026-11-21T07:00:00Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "fingerprint": "801172b6d34960ad",
}
_WEBHOOK = {
    "version": "4",
    "receiver": "penelope",
    "externalURL": "http://alertmanager:9093",
    "alerts": [_ALERT],
}


def _body(**examples: Any) -> dict[str, Any]:
    """The documentation of a body that FastAPI does not parse; media types are written with `_` for `/`."""
    content = {
        media: {"schema": {"type": "array" if isinstance(example, list) else "object"}, "example": example}
        for media, example in examples.items()
    }
    return {"requestBody": {"required": True, "content": content}}


router = APIRouter(
    prefix="/api/v1",
    tags=["signals"],
    dependencies=[requires(Scope.WRITE)],
    responses=documented(
        InvalidRequest,
        InvalidSignal,
        Unauthenticated,
        Forbidden,
        AppendConflict,
        TooLarge,
        Unavailable,
    ),
)


@router.post(
    "/events",
    status_code=202,
    openapi_extra=_body(
        **{
            "application/cloudevents+json": _EVENT,
            "application/cloudevents-batch+json": [_EVENT],
            "application/json": _EVENT["data"],
        }
    ),
)
async def receive_events(request: Request, application: Running) -> Received:
    """Takes CloudEvents 1.0 in: structured, batched or binary (JSON with `ce-` headers). All or none of a batch.

    An event is about the service in `data.service` or `subject`. Sending the same `source` and `id` again
    changes nothing. Needs the scope `write`.
    """

    def read(body: bytes) -> list[Signal]:
        return cloudevents.read(request.headers, body, application.parts.clock.now())

    return await _take_in(request, application, "cloudevents", read)


@router.post("/alertmanager", status_code=202, openapi_extra=_body(**{"application/json": _WEBHOOK}))
async def receive_alertmanager(request: Request, application: Running) -> Received:
    """Takes the webhook of Alertmanager in, version 4, firing and resolved alerts. All or none of a group.

    An alert is about the service in its label `service`, else `job`. Sending the same alert again changes
    nothing. Needs the scope `write`.
    """

    def read(body: bytes) -> list[Signal]:
        return alertmanager.read(body, application.parts.clock.now())

    return await _take_in(request, application, "alertmanager", read)


async def _take_in(
    request: Request, application: Application, source: str, read: Callable[[bytes], list[Signal]]
) -> Received:
    telemetry, most = application.telemetry, application.settings.api.max_batch
    try:
        signals = read(await request.body())
        if len(signals) > most:
            raise TooLarge(
                f"the request holds {len(signals)} signals, at most {most} are taken at once",
                hint="Split the batch; the limit is the setting api.max_batch.",
            )
        receipt = await application.commands.receive_signals(signals)
    except PenelopeError as error:
        telemetry.signal_refused(source, error.code)
        raise
    telemetry.signals_received(source, new=receipt.accepted, duplicates=receipt.duplicates)
    return Received(
        accepted=receipt.accepted,
        duplicates=receipt.duplicates,
        incidents=list(receipt.incidents),
        opened=list(receipt.opened),
    )
