"""What routers ask for: their configuration, with a token of their own instead of an API key."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from penelope.entry.api.access import Running
from penelope.errors import Unavailable

TRAEFIK = "/providers/traefik"

# Not in the OpenAPI document: the form is Traefik's, and the path is there only where a token is set.
router = APIRouter(include_in_schema=False)


@router.get(TRAEFIK)
async def get_traefik_configuration(request: Request, application: Running) -> Response:
    """The dynamic configuration of all services of the kind `traefik_http`, as Traefik's HTTP provider reads it."""
    if application.provider is None:
        raise Unavailable("no token for Traefik is set")
    given = request.headers.get("authorization", "").encode("latin-1")
    document = await application.provider.document(given)
    return JSONResponse(document, headers={"Cache-Control": "no-store"})
