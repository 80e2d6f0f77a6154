"""What a running Traefik follows: asked of its API, and of an entry point itself."""

from urllib.parse import quote

import msgspec

from penelope.adapters.outbound import Call, ask
from penelope.adapters.routers.traefik_document import PROBE_HEADER, REVISION_HEADER

_HTTP_TEAPOT = 418
_LARGEST_BODY_BYTES = 1024 * 1024


class _Entry(msgspec.Struct, frozen=True):
    name: str
    weight: int = 1


class _Weighted(msgspec.Struct, frozen=True):
    services: list[_Entry]


class _Shown(msgspec.Struct, frozen=True):
    weighted: _Weighted


async def shown_weights(api: str, service: str, timeout_seconds: float) -> dict[str, int]:
    """The weights of a service as ``name@provider``; empty where Traefik knows none. Raises Unavailable, Timeout."""
    url = f"{api.rstrip('/')}/api/http/services/{quote(service, safe='@')}"
    call = Call(
        what="Traefik's API",
        method="GET",
        url=url,
        timeout_seconds=timeout_seconds,
        body_limit_bytes=_LARGEST_BODY_BYTES,
    )
    answer = await ask(call)
    if answer.status != 200:
        return {}
    try:
        shown = msgspec.json.decode(answer.body, type=_Shown)
    except msgspec.MsgspecError:
        return {}
    provider = service.rpartition("@")[2]
    return {entry.name.removesuffix(f"@{provider}"): entry.weight for entry in shown.weighted.services}


async def live_revision(entry_point: str, service: str, timeout_seconds: float) -> str:
    """The revision that requests through an entry point meet; empty where there is none. Raises Unavailable, Timeout."""
    call = Call(
        what="Traefik's entry point",
        method="GET",
        url=entry_point,
        headers={PROBE_HEADER: service},
        timeout_seconds=timeout_seconds,
    )
    answer = await ask(call)
    # Any other status comes from a server behind Traefik, which could say what it likes.
    return answer.headers.get(REVISION_HEADER.lower(), "") if answer.status == _HTTP_TEAPOT else ""
