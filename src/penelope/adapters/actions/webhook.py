"""Tells one declared address of an event, signed (Standard Webhooks), so that a repeat is recognised by its id."""

import binascii
import hashlib
import hmac
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Self
from urllib.parse import quote

import msgspec

from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.adapters.outbound import Answer, Call, ask
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot
from penelope.domain.service import Target
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidCatalogue,
    InvalidPlaybook,
    OutcomeUnknown,
    Unavailable,
)
from penelope.kit.canonical import Json, canonical
from penelope.kit.clock import Clock, SystemClock, timestamp

_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_LARGEST_BYTES = 256 * 1024
_SHORTEST_SECRET = 16
_OWN_HEADERS = frozenset({"content-type", "webhook-id", "webhook-timestamp", "webhook-signature"})
_ID = "{id}"
_TAKES_BACK = ".reverted"


class WebhookOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target. `secret` signs: base64 after ``whsec_``, otherwise the text itself. `status_url` holds
    ``{id}`` and is read with GET: 200 says that the event was taken in, 404 that it is unknown or was taken back.
    `reverts` says that an event of the type with ``.reverted`` at its end, and the first one's id as `data.reverts`,
    takes an event back. `headers` may hold secrets; `types`, where given, are the events that may be sent.
    """

    url: str
    secret: str
    headers: dict[str, str] = {}
    types: list[str] = []
    status_url: str | None = None
    reverts: bool = False


class SendParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `send`. `type` is lower-case words joined by dots, such as ``cache.flushed``."""

    type: str
    data: dict[str, Json] = {}


class WebhookAdapter:
    """Operation `send`. Where the target tells no status, nobody can say whether a lost answer meant delivery."""

    name = "webhook"
    operations = MappingProxyType(
        {
            "send": operation(
                "Send a signed event", SendParams, "POST to url", snapshots=("the time of the event",)
            )
        }
    )

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    @classmethod
    def made(cls, _: Surroundings) -> Self:
        return cls()

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        read = read_params(SendParams, params)
        if not _TYPE.fullmatch(read.type) or len(read.type) > 128 or read.type.endswith(_TAKES_BACK):
            raise InvalidPlaybook(
                f"the type of an event is lower-case words joined by dots, and does not end in {_TAKES_BACK}"
            )
        try:
            size = len(canonical(read.data))
        except (TypeError, ValueError) as error:
            raise InvalidPlaybook("the event's data has no form in JSON") from error
        if size > _LARGEST_BYTES:
            raise InvalidPlaybook(f"the event's data is larger than {_LARGEST_BYTES // 1024} KiB")

    async def snapshot(self, action: Action) -> Snapshot:
        """The time that the event bears, so that each attempt sends the same body."""
        self._params(action)
        return Snapshot(state={"at": timestamp(self._clock.now())})

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:
        params = self._params(action)
        body = json.dumps(json.loads(_body(params.type, params.data, snapshot)), indent=2, ensure_ascii=False)
        lines = "".join(f"+{line}\n" for line in body.splitlines())
        return Preview(summary=f"the event {params.type} would be sent", diff=lines)

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:  # noqa: ARG002 - the id tells
        self._params(action)
        options = _options(action.target)
        if options.status_url is None:
            return Progress.UNKNOWN
        url = options.status_url.replace(_ID, quote(_id_of(action), safe=""))
        answer = await _call(action, "GET", url, dict(options.headers))
        return {200: Progress.APPLIED, 404: Progress.NOT_APPLIED}.get(answer.status, Progress.UNKNOWN)

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:
        params = self._params(action)
        answer = await self._send(action, _id_of(action), _body(params.type, params.data, snapshot))
        reason = f"the event {params.type} was answered with {answer.status}"
        if 200 <= answer.status <= 299:
            return Effect(summary=reason, details={"status": answer.status})
        if 300 <= answer.status <= 499 and answer.status not in {408, 409, 425, 429}:
            raise ActionFailed(reason, hint=_advice(answer.status))
        # The receiver knows the id: it takes the event in once, however often it comes.
        if _options(action.target).status_url is None:
            raise OutcomeUnknown(reason)
        raise Unavailable(reason)

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        params, options = self._params(action), _options(action.target)
        if await self.probe(action, snapshot) is Progress.NOT_APPLIED:
            return Effect(summary=f"{action.name} is not in effect", repeated=True)
        if not options.reverts:
            raise CompensationFailed(
                f"{action.name} cannot be taken back: an event that was sent stays sent",
                hint="Tell its receiver; set the target's option `reverts` if the receiver can take events back.",
            )
        data = {"reverts": _id_of(action)}
        body = _body(params.type + _TAKES_BACK, data, snapshot)
        answer = await self._send(action, _id_of(action) + "/compensation", body)
        if not 200 <= answer.status <= 299:
            raise CompensationFailed(f"taking the event back was answered with {answer.status}")
        if await self.probe(action, snapshot) is Progress.APPLIED:
            raise CompensationFailed("the receiver took the revocation in, and the event is still in effect")
        return Effect(summary=f"the event {params.type} was taken back", details={"status": answer.status})

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        """Nothing but the event itself is known of the receiver: it must not be in effect."""
        progress = await self.probe(action, snapshot)
        if progress is Progress.NOT_APPLIED:
            return []
        return [Difference(subject="event", before=Progress.NOT_APPLIED.value, now=progress.value)]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        return {"event": (await self.probe(action, Snapshot())).value}

    async def _send(self, action: Action, identity: str, body: bytes) -> Answer:
        options = _options(action.target)
        at = str(int(self._clock.now().timestamp()))
        headers = {
            **options.headers,
            "Content-Type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": at,
            "webhook-signature": signature(_key(action.target), identity, at, body),
        }
        if action.fence > 0:
            headers["Penelope-Fencing-Token"] = str(action.fence)
        return await _call(action, "POST", options.url, headers, body)

    def _params(self, action: Action) -> SendParams:
        self.validate(action.operation, action.params)
        params, options = read_params(SendParams, action.params), _options(action.target)
        if options.types and params.type not in options.types:
            raise InvalidPlaybook(
                f"target {action.target.name!r} takes no event of the type {params.type!r}",
                hint=f"Its option `types` lists {', '.join(options.types)}.",
            )
        return params


def signature(key: bytes, identity: str, at: str, body: bytes) -> str:
    """The header ``webhook-signature`` of Standard Webhooks, version 1. `at` is in whole epoch seconds."""
    signed = f"{identity}.{at}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, hashlib.sha256)).decode("ascii")


def _body(kind: str, data: Mapping[str, Json], snapshot: Snapshot) -> bytes:
    at = snapshot.state.get("at")
    if not isinstance(at, str):
        raise ActionFailed("the snapshot holds no time of the event")
    datetime.fromisoformat(at)
    return canonical({"type": kind, "timestamp": at, "data": dict(data)})


def _options(target: Target) -> WebhookOptions:
    options = read_options(WebhookOptions, target)
    wrong = None
    if not options.url.startswith(("http://", "https://")):
        wrong = "url must begin with https:// or http://"
    elif options.status_url is not None and not options.status_url.startswith(("http://", "https://")):
        wrong = "status_url must begin with https:// or http://"
    elif options.status_url is not None and _ID not in options.status_url:
        wrong = f"status_url must contain {_ID}, or it cannot tell one event from the next"
    elif _OWN_HEADERS & {name.lower() for name in options.headers}:
        wrong = "headers must not name those of the event itself"
    elif not all(_plain(name) and _plain(value) for name, value in options.headers.items()):
        wrong = "headers must be printable ASCII"
    if wrong is not None:
        raise InvalidCatalogue(f"the options of target {target.name!r} do not fit: {wrong}")
    return options


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _key(target: Target) -> bytes:
    secret = _options(target).secret
    try:
        key = b64decode(secret[6:], validate=True) if secret.startswith("whsec_") else secret.encode()
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SHORTEST_SECRET:
        raise InvalidCatalogue(
            f"the secret of target {target.name!r} is no key of {_SHORTEST_SECRET} bytes or more"
        )
    return key


def _id_of(action: Action) -> str:
    """The action's key, which is the same for each attempt."""
    if not action.key or len(action.key) > 256 or not _plain(action.key) or "." in action.key:
        # A dot would let the id run into the timestamp in what is signed.
        return hashlib.sha256(action.key.encode()).hexdigest()
    return action.key


def _advice(status: int) -> str:
    return (
        "Redirects are not followed: correct the target's url." if status < 400 else "Ask the receiver why."
    )


async def _call(
    action: Action, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
) -> Answer:
    return await ask(
        Call(
            what=f"target {action.target.name!r}",
            method=method,
            url=url,
            headers=headers,
            content=body,
            timeout_seconds=action.timeout_seconds,
        )
    )
