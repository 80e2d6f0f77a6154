"""The log for everyone: checkpoint, tiles and entries at the paths and in the forms of C2SP tlog-tiles."""

import gzip

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import HTTPException

from penelope.bootstrap import Application
from penelope.entry.api.access import Running
from penelope.errors import InvalidRequest
from penelope.flow.log import LogStore
from penelope.ledger.merkle import HASH_SIZE
from penelope.ledger.notes import add_signatures
from penelope.ledger.tiles import HEIGHT, WIDTH, Tile, bundle, parse_bundle_path, parse_path

_FOR_EVER = "public, max-age=31536000, immutable"
_FOR_NOW = "no-cache"
_BINARY = "application/octet-stream"

# Not in the OpenAPI document: these paths are specified elsewhere, and what is there depends on the log's size.
router = APIRouter(prefix="/log", include_in_schema=False)


@router.get("/checkpoint")
async def get_log_checkpoint(application: Running) -> Response:
    """The newest checkpoint as a signed note, with the cosignatures of witnesses."""
    latest = await application.log.latest()
    if latest is None:
        raise _nothing()
    note = add_signatures(latest.note, await application.log.cosignatures(latest.size))
    headers = {"Cache-Control": _FOR_NOW}
    return Response(note, media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/tile/{path:path}")
async def get_log_tile(request: Request, application: Running, path: str) -> Response:
    """A tile or an entry bundle; a partial one of any width that a signed checkpoint covers."""
    try:
        if path.startswith("entries/"):
            index, width = parse_bundle_path(f"tile/{path}")
            return await _bundle(request, application, Tile(0, index, width))
        tile = parse_path(f"tile/{path}")
    except InvalidRequest:
        raise _nothing() from None
    await _check_covered(application.log, tile)
    data = (await application.log.tiles([tile])).get((tile.level, tile.index), b"")
    if len(data) < tile.width * HASH_SIZE:
        raise _nothing()
    return _immutable(application, data[: tile.width * HASH_SIZE])


async def _bundle(request: Request, application: Application, tile: Tile) -> Response:
    await _check_covered(application.log, tile)
    entries = await application.log.bundle(tile.index, tile.width)
    if len(entries) < tile.width:
        raise _nothing()
    response = _immutable(application, bundle(entries))
    response.headers["Vary"] = "Accept-Encoding"
    if "gzip" in request.headers.get("accept-encoding", ""):
        response.body = gzip.compress(response.body, compresslevel=6, mtime=0)
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Content-Length"] = str(len(response.body))
    return response


async def _check_covered(log: LogStore, tile: Tile) -> None:
    """Refuses what lies beyond the newest checkpoint: nobody could verify it, and it may never be signed."""
    latest = await log.latest()
    size = 0 if latest is None else latest.size
    if tile.index * WIDTH + tile.width > size >> HEIGHT * tile.level:
        raise _nothing()


def _immutable(application: Application, data: bytes) -> Response:
    # What needs a key must not lie in caches that others share.
    control = _FOR_EVER if application.settings.ledger.public else _FOR_EVER.replace("public", "private")
    return Response(data, media_type=_BINARY, headers={"Cache-Control": control})


def _nothing() -> HTTPException:
    return HTTPException(404)
