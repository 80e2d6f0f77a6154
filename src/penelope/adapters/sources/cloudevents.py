"""Signals from CloudEvents 1.0 over HTTP: structured, batched and binary."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent

from penelope.adapters.sources.body import Moment, Texts, fit, lowered, parse, utc
from penelope.domain.signal import Severity, Signal, SignalStatus, problem_fingerprint
from penelope.errors import InvalidRequest, InvalidSignal
from penelope.kit.canonical import Json

_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch+json"
_REQUIRED = ("specversion", "id", "source", "type")
_JSON_TYPE = re.compile(r"(application|text)/([a-z0-9.-]+\+)?json", re.IGNORECASE)
_URI_REFERENCE = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_LONGEST_ATTRIBUTE = 1024
_INT32 = range(-(2**31), 2**31)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class _Data(msgspec.Struct, kw_only=True):
    """What Penelope reads of an event's data; anything else in it is the sender's own affair."""

    name: Name | None = None
    service: Name | None = None
    severity: Severity = Severity.WARNING
    status: SignalStatus = SignalStatus.FIRING
    labels: Texts = {}
    annotations: Texts = {}
    starts_at: Moment | None = None
    ends_at: Moment | None = None


def read(headers: Mapping[str, str], body: bytes, now: datetime) -> list[Signal]:
    """The signals of a request; an event's data may refine what its attributes say.

    All or nothing: one event that cannot be taken refuses the request. Raises InvalidRequest for a request
    that is no CloudEvent, InvalidSignal for an event whose attributes are wrong or that names no service.
    """
    fields = lowered(headers)
    content_type = fields.get("content-type", "")
    match content_type.partition(";")[0].strip().lower():
        case media if media == _BATCH:
            events = parse(body)
            if not isinstance(events, list):
                raise InvalidRequest("the body: a batch is a JSON array of events", hint=_HINT)
            return [_structured(event, f"[{index}]", now) for index, event in enumerate(events)]
        case media if media == _STRUCTURED:
            return [_structured(parse(body), "", now)]
        case media if media.startswith("application/cloudevents"):
            raise InvalidRequest(f"the event format {media} is not spoken here, only JSON is", hint=_HINT)
        case _ if "ce-specversion" in fields:
            return [_binary(fields, body, now)]
        case _:
            raise InvalidRequest(
                "neither the Content-Type nor ce- headers say that this is a CloudEvent", hint=_HINT
            )


_HINT = (
    f"Send {_STRUCTURED}, {_BATCH}, or JSON with the headers ce-specversion, ce-id, ce-source and ce-type."
)


def _structured(event: Json, path: str, now: datetime) -> Signal:
    if not isinstance(event, dict):
        raise InvalidRequest(f"{path or 'the body'}: an event is a JSON object", hint=_HINT)
    # An attribute that is null counts as absent (JSON format, section 2.2).
    present = {name: value for name, value in event.items() if value is not None}
    data, encoded = present.pop("data", None), present.pop("data_base64", None)
    if data is not None and encoded is not None:
        raise InvalidRequest(f"{_at(path, 'data')}: an event has data or data_base64, not both")
    if encoded is not None:
        data = _decoded(encoded, _at(path, "data_base64"))
    return _signal(present, data, path, now)


def _decoded(encoded: Json, path: str) -> Json:
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InvalidRequest(f"{path}: is not base64") from error
    return parse(content, path)


def _binary(fields: Mapping[str, str], body: bytes, now: datetime) -> Signal:
    attributes: dict[str, Json] = {
        name.removeprefix("ce-"): _header(name, value)
        for name, value in fields.items()
        if name.startswith("ce-")
    }
    if "content-type" in fields:
        attributes["datacontenttype"] = fields["content-type"]
    _require_json(attributes, "")
    return _signal(attributes, parse(body) if body else None, "", now)


def _header(name: str, value: str) -> str:
    """A header's value: quotes taken off, then percent-decoded once (HTTP binding, section 3.1.3.2)."""
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"header {name}: its percent-encoding is not UTF-8") from error


def _signal(attributes: dict[str, Json], data: Json, path: str, now: datetime) -> Signal:
    event = _event(attributes, path, now)
    if data is not None:
        _require_json(attributes, path)
    said = fit(data if isinstance(data, dict) else {}, _Data, _at(path, "data"))
    name = said.name or event.get_type()
    service = said.service or event.get_subject()
    if service is None:
        raise InvalidSignal(
            f"{_at(path, 'data.service')}: neither data.service nor subject says which service this is about",
            hint="Set data.service, or the attribute subject, to the service's name in services.yaml.",
        )
    return Signal(
        source=event.get_source(),
        id=event.get_id(),
        service=service,
        name=name,
        severity=said.severity,
        status=said.status,
        starts_at=utc(said.starts_at or event.get_time() or now, _at(path, "data.starts_at")),
        received_at=now,
        fingerprint=problem_fingerprint(service, name),
        ends_at=utc(said.ends_at, _at(path, "data.ends_at")) if said.ends_at else None,
        labels=said.labels,
        annotations=said.annotations,
    )


def _require_json(attributes: Mapping[str, Json], path: str) -> None:
    content_type = str(attributes.get("datacontenttype", "application/json"))
    if not _JSON_TYPE.fullmatch(content_type.partition(";")[0].strip()):
        raise InvalidRequest(
            f"{_at(path, 'datacontenttype')}: the data must be JSON", hint="Send application/json."
        )


def _event(attributes: dict[str, Json], path: str, now: datetime) -> CloudEvent:
    """The attributes, checked. The library would invent what is missing and forgives much, so we look first."""
    for name in _REQUIRED:
        if name not in attributes:
            raise InvalidSignal(f"{_at(path, name)}: the attribute is missing", hint=_HINT)
    for name, value in attributes.items():
        _check_value(value, _at(path, name))
    if not isinstance(attributes["source"], str) or not _URI_REFERENCE.fullmatch(attributes["source"]):
        raise InvalidSignal(f"{_at(path, 'source')}: must be a URI reference", hint=_HINT)
    time = _at(path, "time")
    moment = utc(fit(attributes["time"], Moment, time), time) if "time" in attributes else now
    checked: dict[str, Any] = {**attributes, "time": moment}
    try:
        return CloudEvent(checked)
    except CloudEventValidationError as error:
        name = next(iter(error.errors))
        raise InvalidSignal(f"{_at(path, name)}: {error.errors[name][0]}", hint=_HINT) from error


def _check_value(value: Json, path: str) -> None:
    match value:
        case bool():
            return
        case int() if value in _INT32:
            return
        case str() if len(value) <= _LONGEST_ATTRIBUTE and not _CONTROL.search(value):
            return
        case str():
            raise InvalidSignal(
                f"{path}: must have at most {_LONGEST_ATTRIBUTE} characters, none of them a control character"
            )
        case _:
            raise InvalidSignal(f"{path}: must be a text, a whole number of 32 bits or a boolean")


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
