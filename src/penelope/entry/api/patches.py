"""The history of patches of a target: what git holds, beside what the ledger says of it."""

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi import Path as InPath

from penelope.adapters.actions import git_history
from penelope.adapters.actions.git_patch import GitOptions
from penelope.adapters.actions.options import read_options
from penelope.bootstrap import Application
from penelope.domain.service import Target
from penelope.domain.work import UnitOfWork
from penelope.entry.api.access import Running, requires
from penelope.entry.api.problems import documented, unserved
from penelope.errors import (
    ChainBroken,
    Forbidden,
    InvalidCatalogue,
    InvalidRequest,
    Timeout,
    Unauthenticated,
    Unavailable,
    UnknownService,
)
from penelope.flow.keys import Scope
from penelope.kit.canonical import canonical
from penelope.kit.described import Described

router = APIRouter(
    prefix="/api/v1",
    tags=["incidents"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable, ChainBroken),
)

Name = Annotated[str, InPath(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]


class PatchVersion(Described):
    """A commit that Penelope made: version control of who changed what, why, and how it went."""

    commit: str
    at: datetime
    subject: str
    who: str
    """Whom the playbook names as its author; empty where it names nobody."""
    why: str
    incident: str
    """The incident that it was made for."""
    playbook: str
    parent: str
    """The patch that it follows or replaces, where the playbook names one."""
    action: str
    """The key of the action."""
    status: str | None
    """What became of the action by the ledger; null where this ledger does not know it."""
    contract: list[str]
    """What the action promised to be seen afterwards."""
    verdict: str | None
    """Whether it was seen: passed or drifted; null where nothing was promised, or the action did not come so far."""
    score: float | None
    """How far it came true, 0 to 1."""
    compensated_by: str | None
    """The commit that took it back; null while it is in force."""


@router.get(
    "/services/{service:path}/targets/{target}/patches",
    dependencies=[requires(Scope.READ)],
    responses=documented(UnknownService, InvalidCatalogue, Timeout) | unserved(),
)
async def list_patches(
    application: Running,
    service: Name,
    target: Name,
    limit: Annotated[int, Query(ge=1, le=200, description="How many commits are looked through.")] = 50,
) -> list[PatchVersion]:
    """Lists the patches that were made in the repository of a target, the newest first. Needs the scope `read`."""
    options = read_options(GitOptions, _git_target(application, service, target))
    found = await git_history.history(Path(options.repository), limit)
    return [await _with_ledger(application, _legible(patch)) for patch in found]


def _legible(patch: git_history.Patch) -> git_history.Patch:
    """The patch without what is no text: git takes any bytes, and neither a database nor an answer does."""
    texts: dict[str, Any] = {
        field.name: value.encode(errors="surrogateescape").decode(errors="replace")
        for field in fields(patch)
        if isinstance(value := getattr(patch, field.name), str)
    }
    return replace(patch, **texts)


def _git_target(application: Application, service: str, name: str) -> Target:
    target = application.parts.service(service).targets.get(name)
    if target is None or target.adapter != "git_patch":
        raise UnknownService(f"service {service!r} has no git_patch target {name!r}")
    return target


async def _with_ledger(application: Application, patch: git_history.Patch) -> PatchVersion:
    unit = await application.reader.asked_unit("action", patch.action)
    verdict = await application.reader.asked_unit("verdict", f"{patch.action}:verdict")
    return PatchVersion(
        commit=patch.commit,
        at=patch.at,
        subject=patch.subject,
        who=patch.who,
        why=patch.why,
        incident=patch.incident or ("" if unit is None else unit.incident),
        playbook=patch.playbook or await _playbook(application, unit),
        parent=patch.parent,
        action=patch.action,
        status=None if unit is None else unit.status,
        contract=[] if unit is None else _promised(unit.attributes["action"]),
        verdict=None if verdict is None else verdict.status,
        score=None if verdict is None else verdict.attributes["score"],
        compensated_by=patch.compensated_by,
    )


async def _playbook(application: Application, unit: UnitOfWork | None) -> str:
    if unit is None:
        return ""
    plans = [item for item in await application.reader.units(unit.incident) if item.kind == "plan"]
    made = (item.attributes for item in plans if _makes(item.attributes, unit.id))
    return str(next((plan["playbook"] for plan in made), ""))


def _makes(plan: Mapping[str, Any], action: str) -> bool:
    return any(item["key"] == action for item in (*plan["steps"], *plan["after"]))


def _promised(action: Mapping[str, Any]) -> list[str]:
    contract = action.get("contract") or {"clauses": ()}
    return [
        f"{item['subject']} {item['comparator'].replace('_', ' ')} {canonical(item['expected']).decode()}"
        for item in contract["clauses"]
    ]
