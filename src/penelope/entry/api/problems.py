"""Errors as problem details (RFC 9457): a status for each class, one log line and one metric for each answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from penelope import errors
from penelope.telemetry import Telemetry
from penelope.telemetry.names import CODE, REQUEST_ID

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[type[errors.PenelopeError], int] = {
    errors.InvalidRequest: 400,
    errors.InvalidSignal: 400,
    errors.BadSettings: 400,
    errors.Unauthenticated: 401,
    errors.InvalidToken: 401,
    errors.Forbidden: 403,
    errors.UnknownIncident: 404,
    errors.UnknownPlaybook: 404,
    errors.UnknownDecision: 404,
    errors.UnknownApproval: 404,
    errors.UnknownReview: 404,
    errors.UnknownMission: 404,
    errors.UnknownDeployment: 404,
    errors.UnknownAnswer: 404,
    errors.UnknownConcept: 404,
    errors.AmbiguousConcept: 409,
    errors.AccessDenied: 403,
    errors.InvalidLink: 403,
    errors.AlreadyDecided: 409,
    errors.NotReplayable: 409,
    errors.PayloadGone: 410,
    errors.AppendConflict: 409,
    errors.TooLarge: 413,
    errors.InvalidPlaybook: 422,
    errors.InvalidCatalogue: 422,
    errors.InvalidPatch: 422,
    errors.InvalidPolicy: 422,
    errors.InvalidQuery: 422,
    errors.PolicyFailed: 422,
    errors.UnknownService: 422,
    errors.UnknownAdapter: 422,
    errors.ActionFailed: 500,
    errors.OutcomeUnknown: 500,
    errors.CompensationFailed: 500,
    errors.ObservationMissing: 500,
    errors.ChainBroken: 500,
    errors.SignatureInvalid: 500,
    errors.ProofInvalid: 500,
    errors.EntryTooLarge: 500,
    errors.WitnessRefused: 502,
    errors.AccessBroken: 502,
    errors.Unavailable: 503,
    errors.Timeout: 504,
}

_UNEXPECTED = 500

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What a caller is told of an error. `retryable` says that the same request may succeed later."""

    status: int
    code: str
    detail: str
    hint: str
    retryable: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, object] = field(default_factory=dict)
    """Members of its own type (RFC 9457, 3.2)."""

    @property
    def urn(self) -> str:
        """The problem's type: a name, not an address."""
        return f"urn:penelope:problem:{self.code}"

    @property
    def title(self) -> str:
        return self.code.replace("_", " ").capitalize()


def problem_of(error: Exception) -> Problem:
    """What to tell of any exception; of one that nobody expected nothing but that it happened."""
    match error:
        case errors.PenelopeError():
            return _of_ours(error)
        case RequestValidationError():
            return _of_ours(errors.InvalidRequest("; ".join(map(_worded, error.errors()))))
        case ClientDisconnect():
            return _of_ours(errors.InvalidRequest("the connection was closed before the body was complete"))
        case HTTPException():
            return _of_routing(error)
        case _:
            return Problem(
                status=_UNEXPECTED,
                code="internal_error",
                detail="Penelope failed to answer this request",
                hint=errors.PenelopeError.hint,
            )


def _of_ours(error: errors.PenelopeError) -> Problem:
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), _UNEXPECTED)
    return Problem(
        status=status,
        code=error.code,
        detail=error.message,
        hint=error.advice,
        retryable=error.retryable,
        headers=_challenge(error),
        members=error.members,
    )


def _challenge(error: errors.PenelopeError) -> dict[str, str]:
    """What RFC 6750 has a caller told whom nobody recognised."""
    match error:
        case errors.Unauthenticated():
            more = ""
        case errors.InvalidToken():
            more = f', error="invalid_token", error_description="{error.message}"'
        case _:
            return {}
    return {"WWW-Authenticate": f'Bearer realm="penelope"{more}'}


def _worded(mistake: Mapping[str, Any]) -> str:
    # What was given is left out: it may be a secret in the wrong place.
    return f"{' '.join(map(str, mistake['loc']))}: {mistake['msg']}"


def _of_routing(error: HTTPException) -> Problem:
    code, detail = {
        404: ("no_such_route", "nothing is served at this path"),
        405: ("method_not_allowed", "this path does not know this method"),
    }.get(error.status_code, ("http_error", error.detail))
    return Problem(
        status=error.status_code,
        code=code,
        detail=detail,
        hint=errors.InvalidRequest.hint,
        headers=error.headers or {},
    )


def answer(request: Request, error: Exception, telemetry: Telemetry | None) -> Response:
    """The response to a request that failed; logs and counts it, so it must be called once an error."""
    problem = problem_of(error)
    event = f"{request.method} {request.url.path} was answered {problem.status}: {problem.detail}"
    if problem.status < _UNEXPECTED:
        _log.warning(event, **{CODE: problem.code})
    else:
        _log.error(event, **{CODE: problem.code}, exc_info=None if _is_expected(error) else error)
    if telemetry is not None:
        telemetry.problem_answered(problem.code)
    content = {
        **problem.members,
        "type": problem.urn,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": quote(request.url.path),
        "code": problem.code,
        "hint": problem.hint,
        "retryable": problem.retryable,
        REQUEST_ID: getattr(request.state, REQUEST_ID, ""),
    }
    return Response(
        orjson.dumps(content), problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE
    )


def _is_expected(error: Exception) -> bool:
    return isinstance(error, errors.PenelopeError)


def install(app: FastAPI) -> None:
    """Has an app answer every expected error in this way; the unexpected ones are left to the door."""

    async def handle(request: Request, error: Exception) -> Response:
        return answer(request, error, telemetry_of(request))

    for kind in (errors.PenelopeError, RequestValidationError, HTTPException, ClientDisconnect):
        app.add_exception_handler(kind, handle)


def telemetry_of(request: Request) -> Telemetry | None:
    """The server's metrics; None while it starts or stops."""
    running = request.app.state.running
    return None if running is None else running.telemetry


def documented(*kinds: type[errors.PenelopeError]) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that may fail in these ways, for the OpenAPI document."""
    by_status: dict[int | str, list[str]] = {}
    for kind in kinds:
        by_status.setdefault(STATUS[kind], []).append(f"`{kind.code}`")
    return {
        status: _described(codes)
        for status, codes in sorted(by_status.items(), key=lambda item: str(item[0]))
    }


def unserved() -> dict[int | str, dict[str, Any]]:
    """The response of a route with names in its path that hold a line break, which no path of ours matches."""
    return {404: _described(["`no_such_route`"])}


def _described(codes: Sequence[str]) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": "A problem: " + ", ".join(codes), "content": content}
