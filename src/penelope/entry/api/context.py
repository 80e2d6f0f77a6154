"""The context: what a concept is and comes to, what is known, and what people say of the answers."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from penelope.bootstrap import Application
from penelope.domain.access import Subject
from penelope.domain.concept import DefinitionKind, Request
from penelope.entry.api import context_models as models
from penelope.entry.api import context_shown as shown
from penelope.entry.api.access import Running, requires
from penelope.entry.api.approvals import voter_of
from penelope.entry.api.problems import documented
from penelope.errors import (
    AccessBroken,
    AccessDenied,
    AmbiguousConcept,
    AppendConflict,
    ChainBroken,
    Forbidden,
    InvalidRequest,
    Timeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownAnswer,
    UnknownConcept,
)
from penelope.flow.answers import KeptAnswer
from penelope.flow.keys import Caller, Scope
from penelope.flow.looking_up import Wanted
from penelope.kit.codec import to_data

router = APIRouter(
    prefix="/api/v1",
    tags=["context"],
    responses=documented(InvalidRequest, Unauthenticated, Forbidden, Unavailable, Timeout),
)

Reader = Annotated[Caller, requires(Scope.READ)]
Writer = Annotated[Caller, requires(Scope.WRITE)]
AnswerId = Annotated[str, Path(pattern=r"^ans_[a-z0-9]{1,40}$", description="The id of an answer.")]
AssetName = Annotated[
    str, Path(max_length=200, pattern=r"^[^\x00/]+$", description="The name of a definition.")
]


@router.post(
    "/resolve",
    responses=documented(UnknownConcept, AmbiguousConcept, AccessDenied, AccessBroken, TooLarge),
)
async def resolve_concept(application: Running, caller: Reader, wanted: models.WantedAnswer) -> models.Told:
    """Says what a concept is and, if asked, what it comes to, for whom it is asked. Needs the scope `read`.

    It answers 409 with choices where several definitions fit, 404 where none does, 403 where the policy withholds it. The
    answer, or that there was none, is in the ledger before it is sent.
    """
    request = _request(application, caller, wanted.concept, wanted.user_context, execute=wanted.execute)
    return shown.told(await application.answers.answer(request))


@router.post("/search", responses=documented(TooLarge))
async def search_context(application: Running, caller: Reader, wanted: models.WantedSearch) -> models.Found:
    """Finds documents and definitions by words and meaning. Needs the scope `read`.

    That it was asked, and the ids of what was found, are in the ledger before it is sent, as with all that can be looked up.
    """
    request = _request(application, caller, wanted.query, wanted.user_context)
    look = await application.answers.looks.search(request, wanted.kinds, wanted.limit)
    found = look.found
    return models.Found(
        look=look.id,
        definitions=shown.choices(found.definitions),
        documents=shown.excerpts(found.passages),
        notices=shown.notices(found.notices),
    )


async def _as_asked(
    application: Running,
    caller: Reader,
    role: Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")] = None,
    region: Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]*$")] = None,
) -> Subject:
    return _subject(application, caller, models.UserContext(role=role, region=region))


Asker = Annotated[Subject, Depends(_as_asked)]


@router.get("/assets")
async def list_assets(
    application: Running,
    asker: Asker,
    kind: Annotated[DefinitionKind | None, Query(description="Only those of this kind.")] = None,
    q: Annotated[
        str, Query(max_length=200, pattern=r"^[^\x00]*$", description="Letters of a name, title or synonym.")
    ] = "",
    after: Annotated[
        str, Query(max_length=200, pattern=r"^[^\x00]*$", description="`next` of the page before.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> models.Assets:
    """Lists the definitions that may be asked for, by name. Needs the scope `read`."""
    wanted = Wanted(kind=kind, words=q, after=after, limit=limit)
    look = await application.answers.looks.definitions(asker, wanted)
    page = look.found
    listed = [shown.definition(item) for item in page.definitions]
    return models.Assets(look=look.id, assets=listed, next=page.next, notices=shown.notices(page.notices))


@router.get("/assets/{name}", responses=documented(UnknownConcept))
async def get_asset(application: Running, asker: Asker, name: AssetName) -> models.Asset:
    """Shows one definition. Needs the scope `read`."""
    look = await application.answers.looks.definition(asker, name)
    return models.Asset(look=look.id, **shown.definition(look.found).model_dump())


@router.get("/lineage/{name}", responses=documented(UnknownConcept))
async def get_lineage(
    application: Running,
    asker: Asker,
    name: AssetName,
    depth: Annotated[int, Query(ge=1, le=4, description="How many steps away.")] = 4,
) -> models.Lineage:
    """Shows what a definition is made of, and what is made of it. Needs the scope `read`."""
    look = await application.answers.looks.lineage(asker, name, depth)
    found = look.found
    return models.Lineage(
        look=look.id,
        name=found.definition.name,
        up=to_data(found.up),
        down=to_data(found.down),
        notices=shown.notices(found.notices),
    )


@router.post("/explain", responses=documented(AccessBroken, TooLarge))
async def explain_concept(
    application: Running, caller: Reader, wanted: models.WantedAnswer
) -> models.Explanation:
    """Tells how a concept is understood, what was weighed and what the policy adds; never a value. Needs the scope `read`."""
    request = _request(application, caller, wanted.concept, wanted.user_context)
    look = await application.answers.looks.explained(request)
    found = look.found
    told = found.told
    return models.Explanation(
        look=look.id,
        concept=told.concept,
        outcome=told.outcome,
        why=told.why,
        definition=None if told.definition is None else shown.definition(told.definition),
        parsed=to_data(found.parsed),
        candidates=shown.choices(found.candidates),
        confidence=shown.confidence(told.confidence),
        query=to_data(told.query),
        row_filters=to_data(told.row_filters),
        masks=dict(told.masks),
        notices=shown.notices(told.notices),
    )


@router.post(
    "/feedback",
    status_code=201,
    responses=documented(UnknownConcept, UnknownAnswer, TooLarge, AppendConflict, ChainBroken),
)
async def correct_concept(
    application: Running, caller: Writer, wanted: models.WantedCorrection
) -> models.Correction:
    """Teaches what words mean: they find this definition from now on, for all who may know of it. Needs the scope `write`.

    A later word about the same words stands above an earlier one; both stay in the ledger.
    """
    subject = _subject(application, caller, wanted.user_context)
    if wanted.id is not None:
        await _kept(application, caller, wanted.id)
    found = await application.answers.correct(wanted.phrase, wanted.name, subject, wanted.id or "")
    return models.Correction.model_validate(found, from_attributes=True)


@router.post(
    "/feedback/withdraw",
    responses=documented(UnknownConcept, TooLarge, AppendConflict, ChainBroken),
)
async def withdraw_correction(
    application: Running, caller: Writer, wanted: models.WantedWithdrawal
) -> models.Withdrawal:
    """Takes back what was taught: the words mean again what they did before. Needs the scope `write`.

    Whoever may know of the definition may do it, and who has the scope `admin`. It is an entry of its own in the ledger, where
    what was taught stays.
    """
    subject = _subject(application, caller, wanted.user_context)
    found = await application.answers.withdraw(wanted.phrase, subject, any_name=caller.allows(Scope.ADMIN))
    return models.Withdrawal.model_validate(found, from_attributes=True)


@router.get("/answers/{id}", responses=documented(UnknownAnswer, ChainBroken))
async def get_answer(application: Running, caller: Reader, id: AnswerId) -> models.KeptAnswer:  # noqa: A002 - its name in the path
    """Shows an answer as it was told, to whoever asked and to those with the scope `admin`. Needs the scope `read`."""
    kept = await _kept(application, caller, id)
    return models.KeptAnswer(
        id=kept.id, actor=kept.actor, request=to_data(kept.request), told=dict(kept.told)
    )


@router.post(
    "/answers/{id}/replay",
    responses=documented(UnknownAnswer, ChainBroken, AccessBroken, TooLarge),
)
async def replay_answer(
    application: Running,
    caller: Reader,
    id: AnswerId,  # noqa: A002 - its name in the path
    wanted: models.WantedReplay | None = None,
) -> models.Replay:
    """Asks again what was asked then, as of the same moment, and names what differs now. Needs the scope `read`.

    It is judged anew: whoever may see less by now is shown less.
    """
    kept = await _kept(application, caller, id)
    subject = kept.request.subject
    if wanted is not None and wanted.user_context is not None:
        subject = _subject(application, caller, wanted.user_context)
    elif not caller.allows(Scope.DELEGATE):
        subject = _subject(application, caller, models.UserContext(purpose=subject.purpose))
    found = await application.answers.again(id, subject)
    return models.Replay(
        id=id,
        again=found.id,
        identical=not found.differences,
        outcome=found.told.outcome,
        changed=list(found.changed),
        differences=[
            models.Difference.model_validate(item, from_attributes=True) for item in found.differences
        ],
        notices=shown.notices(found.told.notices),
    )


@router.get("/degradation", dependencies=[requires(Scope.READ)])
async def get_degradation(application: Running) -> models.Degradation:
    """Shows how each store of the context stands, and how answers go on without it. Needs the scope `read`."""
    return models.Degradation(
        stores=[shown.standing(item) for item in application.answers.looks.bare.standings()]
    )


async def _kept(application: Application, caller: Caller, identifier: str) -> KeptAnswer:
    """What others asked is not there for whoever is no administrator."""
    kept = await application.answers.kept(identifier)
    if kept.actor != voter_of(application, caller).actor and not caller.allows(Scope.ADMIN):
        raise UnknownAnswer(f"there is no answer {identifier!r}")
    return kept


def _request(
    application: Application,
    caller: Caller,
    concept: str,
    context: models.UserContext,
    *,
    execute: bool = False,
) -> Request:
    return Request(
        concept=concept,
        subject=_subject(application, caller, context),
        at=application.parts.clock.now(),
        zone=context.zone or "",
        execute=execute,
    )


def _subject(application: Application, caller: Caller, context: models.UserContext) -> Subject:
    """Raises Forbidden for a role or region that is not the caller's own, without the scope `delegate`."""
    own = application.settings.context.standing(caller.holder, caller.role, caller.region)
    role = own.role if context.role is None else context.role
    region = own.region if context.region is None else context.region
    if (role, region) != (own.role, own.region) and not caller.allows(Scope.DELEGATE):
        raise Forbidden(
            f"{caller.described} speaks for another role or region without the scope '{Scope.DELEGATE}'",
            hint="Leave role and region out, or ask for a key that may speak for others.",
        )
    actor = voter_of(application, caller).actor
    return Subject(actor=actor, role=role, region=region, purpose=context.purpose)
