"""The wisdom base: past incidents are searched, shown, and taken in."""

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from penelope.adapters.sources.past_cases import LONGEST_LINE, SCHEMA_PAGE, read_line
from penelope.bootstrap import Application
from penelope.domain.precedent import PastCase
from penelope.entry.api import wisdom_models as models
from penelope.entry.api.access import Running, requires
from penelope.entry.api.problems import documented
from penelope.errors import (
    AppendConflict,
    Forbidden,
    InvalidRequest,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownIncident,
)
from penelope.flow.keys import Caller, Scope

_MOST_MISTAKES = 20
"""Mistakes that are told; who made more made the same one again and again."""
_LONGEST_MISTAKE = 300

router = APIRouter(
    prefix="/api/v1/wisdom",
    tags=["wisdom"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable),
)


@router.get("", dependencies=[requires(Scope.READ)])
async def search_wisdom(
    application: Running,
    q: Annotated[
        str,
        Query(
            max_length=1000,
            pattern=r"^[^\x00]*$",
            description="What happened, in words; found by meaning too.",
        ),
    ] = "",
    service: Annotated[
        str | None, Query(max_length=256, pattern=r"^[^\x00]*$", description="Only cases of this service.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> models.CasesFound:
    """Finds past cases by meaning and words, the most alike first; without `q` the newest. Needs the scope `read`."""
    findings = await application.wisdom.search(q, service, limit)
    return models.CasesFound(
        found=[
            models.FoundCase.model_validate(
                {
                    "case": _shown(case),
                    "likeness": None if hit is None else round(hit.likeness, 4),
                    "by": () if hit is None else hit.by,
                }
            )
            for case, hit in findings.found
        ],
        degraded=findings.degraded,
    )


@router.get("/{id}", dependencies=[requires(Scope.READ)], responses=documented(UnknownIncident))
async def get_past_case(
    application: Running,
    id: Annotated[  # noqa: A002 - its name in the path
        str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The id of an incident that has ended.")
    ],
) -> models.PastCase:
    """Shows a past case. Needs the scope `read`."""
    found = await application.wisdom.cases([id])
    if not found:
        raise UnknownIncident(
            f"there is no past case '{id}'", hint="Look for it with `penelope wisdom search`."
        )
    return _shown(found[0])


def _shown(case: PastCase) -> models.PastCase:
    return models.PastCase.model_validate(case, from_attributes=True)


async def leaned_on(application: Application, unit: str, version: int) -> list[models.LeanedOn]:
    """The past cases that a decision leaned on, as its entry says; none where its payload was erased."""
    entries = await application.reader.history(unit, version - 1, 1)
    told = [
        item
        for entry in await application.recall.filled(entries)
        for item in entry.details.get("leaned_on", ())
    ]
    cases = {
        case.incident: case for case in await application.wisdom.cases([item["incident"] for item in told])
    }
    return [
        models.LeanedOn.model_validate(
            {**item, "case": _shown(cases[item["incident"]]) if item["incident"] in cases else None}
        )
        for item in told
    ]


# --- imports ----------------------------------------------------------------------------------------------

_EXAMPLE = (
    '{"service": "shop", "name": "HighErrorRate", "summary": "12 % of requests failed after a release", '
    '"opened_at": "2026-03-02T09:12:00Z", "duration": "19m", "playbook": "rollback-release"}'
)
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}

Writer = Annotated[Caller, requires(Scope.WRITE)]


@router.post("/import", responses=documented(AppendConflict, TooLarge), openapi_extra=_BODY)
async def import_past_cases(
    request: Request,
    application: Running,
    caller: Writer,
    wanted: Annotated[models.WantedImport, Query()],
) -> models.ImportedCases:
    """Takes past incidents in, one JSON object a line (docs/reference/past-case.schema.json). All or none of them.

    Sending the same incident again changes nothing. Imported ones are precedents; they never count for a playbook's
    record or autonomy. Needs the scope `write`.
    """
    batch = _Batch(application.parts.clock.now(), application.settings.wisdom.max_import, wanted.first_line)
    async for line in _lines(request):
        batch.take(line)
    cases, digest = batch.whole()
    if wanted.dry_run:
        different = len({case.incident for case in cases})
        known = await application.case_import.known(cases)
        return models.ImportedCases(
            new=different - known, known=len(cases) - different + known, dry_run=True, digest=digest
        )
    result = await application.case_import.take(cases, digest, caller.actor)
    return models.ImportedCases(new=result.new, known=len(cases) - result.new, dry_run=False, digest=digest)


async def _lines(request: Request) -> AsyncIterator[bytes]:
    """The lines of a body as they come in, with their ends. One that is too long is cut where it shows to be."""
    rest = b""
    async for piece in request.stream():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > LONGEST_LINE:
            break
    if rest:
        yield rest


class _Batch:
    """What was read of an import so far: cases, mistakes, and the digest of it all."""

    def __init__(self, now: datetime, most: int, first_line: int) -> None:
        self._now = now
        self._most = most
        self._digest = hashlib.sha256()
        self._cases: list[PastCase] = []
        self._mistakes: list[str] = []
        self._number = first_line - 1

    def take(self, line: bytes) -> None:
        """Raises TooLarge for more cases than one import may have, InvalidRequest once it has too many mistakes."""
        self._number += 1
        self._digest.update(line)
        try:
            case = read_line(line.rstrip(b"\r\n"), self._now)
        except InvalidRequest as error:
            self._mistakes.append(f"line {self._number}: {error.message}"[:_LONGEST_MISTAKE])
            if len(self._mistakes) >= _MOST_MISTAKES or len(line) > LONGEST_LINE:
                self.whole()
            return
        if case is not None:
            self._cases.append(case)
        if len(self._cases) > self._most:
            raise TooLarge(
                f"there are more than {self._most} past incidents in one import",
                hint="Split the file, as `penelope wisdom import` does; the limit is the setting wisdom.max_import.",
            )

    def whole(self) -> tuple[list[PastCase], str]:
        """All cases and the digest of what was sent. Raises InvalidRequest where any line was wrong, or all empty."""
        if self._mistakes:
            raise InvalidRequest(
                "; ".join(self._mistakes),
                hint=f"Nothing was taken. Compare these lines with {SCHEMA_PAGE}, and send all of them again.",
            )
        if not self._cases:
            raise InvalidRequest(
                "there is no past incident in the body", hint=f"Send one JSON object a line: {SCHEMA_PAGE}."
            )
        return self._cases, self._digest.hexdigest()
