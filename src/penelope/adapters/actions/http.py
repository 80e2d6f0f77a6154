"""Calls an HTTP endpoint once, by idempotency key."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self
from urllib.parse import quote, unquote

import msgspec

from penelope.adapters.actions.installed import Surroundings
from penelope.adapters.actions.options import operation, read_options, read_params, require_operation
from penelope.adapters.outbound import Answer, Call, ask
from penelope.domain.action import Action, Difference, Effect, Preview, Progress, Snapshot
from penelope.errors import (
    ActionFailed,
    CompensationFailed,
    InvalidCatalogue,
    InvalidPlaybook,
    OutcomeUnknown,
    Unavailable,
)
from penelope.kit.canonical import Json

_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_KEY = "{key}"


class HttpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a target. `headers` may hold secrets; `observe_path` is read with GET."""

    base_url: str
    headers: dict[str, str] = {}
    observe_path: str | None = None


class CallParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of `call`. In the two last paths ``{key}`` stands for the action's key; `expect_status` is
    200 to 299 where it is not given.
    """

    path: str
    method: str = "POST"
    json: Json = None
    expect_status: list[int] = []
    probe_path: str | None = None
    compensate_path: str | None = None

    def expects(self, status: int) -> bool:
        return status in self.expect_status if self.expect_status else 200 <= status <= 299


class HttpAdapter:
    """Operation `call`. The target recognises a repeat by the header ``Idempotency-Key``."""

    name = "http"
    operations = MappingProxyType(
        {
            "call": operation(
                "Call an HTTP endpoint once", CallParams, "the method on the path, below base_url"
            )
        }
    )

    @classmethod
    def made(cls, _: Surroundings) -> Self:
        return cls()

    def validate(self, operation: str, params: Mapping[str, Json]) -> None:
        require_operation(self.name, self.operations, operation)
        read = read_params(CallParams, params)
        if read.method not in _METHODS:
            raise InvalidPlaybook(f"the method must be one of {', '.join(sorted(_METHODS))}")
        for path in (read.path, read.probe_path, read.compensate_path):
            if path is not None and not _stays_below(path):
                raise InvalidPlaybook(
                    f"{path[:80]!r} is not a plain path",
                    hint="It begins with one `/`, without `..`, `//`, backslashes, `#` or control characters.",
                )
        if read.probe_path is not None and _KEY not in read.probe_path:
            raise InvalidPlaybook(f"probe_path must contain {_KEY}, or it cannot tell one call from the next")
        if read.compensate_path is not None and read.probe_path is None:
            raise InvalidPlaybook(
                "compensate_path needs a probe_path, or nothing could prove that it was taken back"
            )

    async def snapshot(self, action: Action) -> Snapshot:
        """Empty: the target itself remembers calls by their key."""
        read_options(HttpOptions, action.target)
        return Snapshot()

    async def dry_run(self, action: Action, snapshot: Snapshot) -> Preview:  # noqa: ARG002 - nothing is known of it
        params = self._params(action)
        body = "" if params.json is None else f"+{json.dumps(params.json)}\n"
        return Preview(summary=f"{params.method} {params.path} would be sent", diff=body)

    async def probe(self, action: Action, snapshot: Snapshot) -> Progress:  # noqa: ARG002 - the key tells
        params = self._params(action)
        if params.probe_path is None:
            return Progress.UNKNOWN
        answer = await _send(action, "GET", params.probe_path)
        return {200: Progress.APPLIED, 404: Progress.NOT_APPLIED}.get(answer.status, Progress.UNKNOWN)

    async def execute(self, action: Action, snapshot: Snapshot) -> Effect:  # noqa: ARG002 - the key tells
        params = self._params(action)
        body = None if params.json is None else json.dumps(params.json).encode()
        answer = await _send(action, params.method, params.path, body)
        if params.expects(answer.status):
            return Effect(
                summary=f"{params.method} {params.path} answered {answer.status}", details=_said(answer)
            )
        reason = f"{params.method} {params.path} answered {answer.status}"
        if 300 <= answer.status <= 499:
            raise ActionFailed(reason)
        if params.probe_path is None:
            raise OutcomeUnknown(reason)
        raise Unavailable(reason)

    async def compensate(self, action: Action, snapshot: Snapshot) -> Effect:
        params = self._params(action)
        if await self.probe(action, snapshot) is Progress.NOT_APPLIED:
            return Effect(summary=f"{action.name} is not in effect", repeated=True)
        if params.compensate_path is None:
            raise CompensationFailed(
                f"{action.name} cannot be taken back: it names no compensate_path",
                hint="Take the call back by hand.",
            )
        answer = await _send(action, "POST", params.compensate_path, purpose="/compensation")
        if not 200 <= answer.status <= 299:
            raise CompensationFailed(f"POST {params.compensate_path} answered {answer.status}")
        if await self.probe(action, snapshot) is Progress.APPLIED:
            raise CompensationFailed(f"{action.name} is still in effect after POST {params.compensate_path}")
        return Effect(
            summary=f"POST {params.compensate_path} answered {answer.status}", details=_said(answer)
        )

    async def differences(self, action: Action, snapshot: Snapshot) -> Sequence[Difference]:
        """Nothing but the call itself is known of the target: it must not be in effect."""
        progress = await self.probe(action, snapshot)
        if progress is Progress.NOT_APPLIED:
            return []
        return [Difference(subject="call", before=Progress.NOT_APPLIED.value, now=progress.value)]

    async def observe(self, action: Action) -> Mapping[str, Json]:
        path = read_options(HttpOptions, action.target).observe_path
        return {} if path is None else _said(await _send(action, "GET", path))

    def _params(self, action: Action) -> CallParams:
        self.validate(action.operation, action.params)
        return read_params(CallParams, action.params)


def _stays_below(path: str) -> bool:
    """Whether a path, however often a server decodes it, names something below the base URL."""
    if not path.isprintable() or set(path) & set("# "):
        return False
    path = path.split("?", maxsplit=1)[0]
    for _ in range(4):
        steps = [step.split(";")[0] for step in path.split("/")]
        if not path.startswith("/") or not path.isprintable() or "\\" in path:
            return False
        if "." in steps or ".." in steps or "" in steps[1:-1]:
            return False
        decoded = unquote(path)
        if decoded == path:
            return True
        path = decoded
    return False


async def _send(
    action: Action, method: str, path: str, body: bytes | None = None, purpose: str = ""
) -> Answer:
    options = read_options(HttpOptions, action.target)
    path = path.replace(_KEY, quote(action.key, safe=""))
    if not options.base_url.startswith(("http://", "https://")) or not _stays_below(path):
        raise InvalidCatalogue(f"target {action.target.name!r} needs an http(s) base_url and plain paths")
    headers = dict(options.headers)
    if method != "GET":
        headers["Idempotency-Key"] = action.key + purpose
        if action.fence > 0:
            headers["Penelope-Fencing-Token"] = str(action.fence)
    if body is not None:
        headers["Content-Type"] = "application/json"
    return await ask(
        Call(
            what=f"target {action.target.name!r}",
            method=method,
            url=options.base_url.rstrip("/") + path,
            headers=headers,
            content=body or b"",
            timeout_seconds=action.timeout_seconds,
        )
    )


def _said(answer: Answer) -> dict[str, Json]:
    return {"status": answer.status}
