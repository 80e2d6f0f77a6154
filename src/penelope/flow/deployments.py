"""Deployments: what is said of them, and how they stand; Python, API and command line share this desk."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import stamina

from penelope.domain.deployment import Course, Deployment, Order
from penelope.domain.service import Service
from penelope.domain.traffic import Feature
from penelope.domain.work import Entry, UnitOfWork
from penelope.errors import (
    AppendConflict,
    InvalidRequest,
    UnknownDeployment,
    UnknownService,
)
from penelope.flow.deploying import DEPLOY, KIND, change_of, kept_from, set_out
from penelope.flow.engine import Engine
from penelope.flow.ports import Transaction
from penelope.kit.canonical import Json
from penelope.kit.codec import from_data, to_data
from penelope.kit.harmless import is_plain
from penelope.kit.ids import digest_id, new_id
from penelope.rooms.rollout.course import ordered, revised
from penelope.rooms.rollout.look import Kept
from penelope.rooms.rollout.ports import Router

_log = logging.getLogger(__name__)


class DeploymentReader(Protocol):
    """Reads deployments that were committed."""

    async def deployments(
        self, *, service: str | None, active: bool | None, before: str | None, limit: int
    ) -> Sequence[Deployment]:
        """Deployments, the newest first; `before` is the id of the last one of the page before."""

    async def active(self) -> Sequence[Deployment]:
        """All that have not ended, by one query."""

    async def deployment(self, identifier: str) -> Kept | None:
        """One of them, with what its last look came to."""

    async def history(
        self, identifier: str, after: int, limit: int, *, newest: bool = False
    ) -> Sequence[Entry]:
        """Its entries in order, beyond the version `after`: the first ones, or the `newest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDeployment:
    """What is to be rolled out. One with a `key` is begun once, however often it is asked for by the same actor.

    `patch` is the action whose change the canary runs, if Penelope made it: a rollback takes that back too.
    """

    service: str
    course: Course
    actor: str
    reason: str = ""
    revision: str = ""
    patch: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What a person says to a deployment, and why. `stage` (from 0) is where they saw it, so that a STEP that is sent
    twice is one.
    """

    order: Order
    actor: str
    reason: str
    stage: int | None = None


class DeploymentDesk:
    """Every command is durable when it returns, and an entry of the ledger; what changes nothing is none."""

    def __init__(
        self,
        engine: Engine,
        deployments: DeploymentReader,
        services: Mapping[str, Service],
        routers: Mapping[str, Router] | None = None,
    ) -> None:
        """Where `routers` are given, what a router cannot do is refused before anything begins."""
        self._engine = engine
        self._routers = routers or {}
        self._deployments = deployments
        self._services = services

    async def page(
        self,
        *,
        service: str | None = None,
        active: bool | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Sequence[Deployment]:
        return await self._deployments.deployments(service=service, active=active, before=before, limit=limit)

    async def active(self) -> Sequence[Deployment]:
        """All that have not ended."""
        return await self._deployments.active()

    async def shown(self, identifier: str) -> Kept:
        """A deployment, and what its last look came to. Raises UnknownDeployment."""
        kept = await self._deployments.deployment(identifier)
        if kept is None:
            raise _unknown(identifier)
        return kept

    async def history(
        self, identifier: str, after: int = 0, limit: int = 500, *, newest: bool = False
    ) -> Sequence[Entry]:
        """What happened to it, in order: a version is the number of an entry, from 1. With `newest` the last so many."""
        return await self._deployments.history(identifier, after, limit, newest=newest)

    async def start(self, wanted: NewDeployment) -> Deployment:
        """Begins a rollout. Raises UnknownService, InvalidRequest for arms that the service does not have, a key that
        stands for another one or a text with control characters, and AlreadyDecided where another rollout has the
        service's traffic.
        """
        _expect_plain(
            wanted.reason, actor=wanted.actor, revision=wanted.revision, patch=wanted.patch, key=wanted.key
        )
        self._expect_arms(wanted)
        name = digest_id(wanted.actor, wanted.key) if wanted.key else ""
        identifier = f"{KIND}_{name}" if name else new_id(KIND)

        async def body(transaction: Transaction) -> Json:
            unit = await transaction.unit(identifier) if wanted.key else None
            if unit is not None:
                return to_data(_same(kept_from(unit).deployment, wanted))
            deployment = Deployment(
                id=identifier,
                service=wanted.service,
                course=wanted.course,
                created_by=wanted.actor,
                created_at=transaction.now(),
                revision=wanted.revision,
                patch=wanted.patch,
                reason=wanted.reason,
            )
            await _expect_patch(transaction, wanted)
            deployment = await set_out(transaction, deployment)
            change = change_of(Kept(deployment=deployment), "RolloutBegun", wanted.actor, wanted.reason)
            await transaction.save(change)
            return to_data(deployment)

        deployment = await self._changed(body)
        # The process may die here: the sweep begins it then.
        await self._engine.begin(DEPLOY, deployment.id, deployment.id, None)
        return deployment

    async def tell(self, identifier: str, word: Word) -> Deployment:
        """Raises UnknownDeployment, AlreadyDecided where the word comes too late, and InvalidRequest for a reason with
        control characters.
        """
        _expect_plain(word.reason, actor=word.actor)

        def told(deployment: Deployment, transaction: Transaction) -> Deployment:
            if word.order is Order.STEP and word.stage not in {None, deployment.stage}:
                return deployment
            return ordered(deployment, word.order, word.reason, transaction.now())

        return await self._told(identifier, told, _EVENTS[word.order], word.actor, word.reason)

    async def revise(self, identifier: str, revision: str, actor: str, reason: str) -> Deployment:
        """A new revision runs in the changed arm: all begins anew. Raises as `tell`."""
        _expect_plain(reason, actor=actor, revision=revision)

        def told(deployment: Deployment, _: Transaction) -> Deployment:
            return revised(deployment, revision)

        return await self._told(identifier, told, "RolloutRevised", actor, reason)

    async def _told(
        self,
        identifier: str,
        told: Callable[[Deployment, Transaction], Deployment],
        event: str,
        actor: str,
        reason: str,
    ) -> Deployment:
        async def body(transaction: Transaction) -> Json:
            unit = await transaction.unit(identifier)
            if unit is None or unit.kind != KIND:
                raise _unknown(identifier)
            kept = kept_from(unit)
            after = told(kept.deployment, transaction)
            if after != kept.deployment:
                await transaction.save(change_of(kept.going(after), event, actor, reason, unit.version))
            return to_data(after)

        deployment = await self._changed(body)
        await self._engine.nudge(identifier)
        return deployment

    async def _changed(self, body: Callable[[Transaction], Awaitable[Json]]) -> Deployment:
        # Of two that speak at once, or of a person and the flow, the second sees what the first has done.
        changed: Json = None
        async for attempt in stamina.retry_context(on=AppendConflict, wait_initial=0.01, wait_jitter=0.05):
            with attempt:
                changed = await self._engine.transaction(KIND, body)
        return from_data(Deployment, changed)

    def _expect_arms(self, wanted: NewDeployment) -> None:
        service = self._services.get(wanted.service)
        if service is None:
            raise UnknownService(f"service {wanted.service!r} is not in the catalogue")
        arms = set() if service.router is None else set(service.router.arms)
        course = wanted.course
        named = {extra.arm for extra in (course.mirror, course.pin) if extra is not None}
        missing = sorted({course.canary, course.control, *named} - arms)
        if missing:
            names = ", ".join(map(repr, missing))
            raise InvalidRequest(
                f"the router of {wanted.service!r} has no arm {names}",
                hint="Name two of the arms that the service's router has in the catalogue.",
            )
        router = None if service.router is None else self._routers.get(service.router.kind)
        lacking = _asked(course) - router.features if router else ()
        if lacking:
            raise InvalidRequest(
                f"the router of {wanted.service!r} knows no {', '.join(sorted(lacking))}",
                hint="docs/routers.md lists what each router can do.",
            )


def _asked(course: Course) -> set[Feature]:
    """What a router must be able to do beside weights."""
    extras = {Feature.MIRROR: course.mirror, Feature.PIN: course.pin, Feature.AFFINITY: course.affinity}
    return {feature for feature, extra in extras.items() if extra is not None}


_EVENTS = {
    Order.PAUSE: "RolloutPaused",
    Order.RESUME: "RolloutResumed",
    Order.STEP: "RolloutStepped",
    Order.PROMOTE: "RolloutPromotedByHand",
    Order.ABORT: "RolloutAborted",
    Order.CANCEL: "RolloutCancelRequested",
}


async def resume(engine: Engine, deployments: DeploymentReader) -> None:
    """Goes on with every deployment that has not ended: one that was never begun, and one whose chapter broke off, for
    how far it came stands in its unit. Doing it twice is harmless.
    """
    # By one query: pages are in the order of the last change, and one that changes between two of them is in neither.
    under_way = await deployments.active()
    if not under_way:
        return
    ended = await engine.has_ended([item.id for item in under_way])
    for item in under_way:
        if ended.get(item.id, False):
            _log.error("what carries out %s broke off, and is begun again", item.id)
            await engine.begin(DEPLOY, f"{item.id}~{new_id('again')}", item.id, None)
        elif item.id not in ended:
            await engine.begin(DEPLOY, item.id, item.id, None)


async def resume_forever(engine: Engine, deployments: DeploymentReader, seconds: float) -> None:
    """Resumes at once, and then each `seconds`, until cancelled."""
    while True:
        try:
            await resume(engine, deployments)
        except Exception:  # noqa: BLE001 - the database may be away for a moment; the next time tries again
            _log.exception("deployments could not be looked through")
        await asyncio.sleep(seconds)


def _expect_plain(reason: str, **words: str) -> None:
    """Raises InvalidRequest for what a database would not keep or a terminal would obey; a reason may have lines."""
    wrong = [name for name, word in words.items() if not is_plain(word)]
    if not is_plain(reason, lines=True):
        wrong.append("reason")
    if wrong:
        raise InvalidRequest(
            f"the {' and the '.join(wrong)} of a deployment may hold no control characters",
            hint="Take out NUL, escape sequences and the like; line feeds and tabs may stand in a reason alone.",
        )


def _unknown(identifier: str) -> UnknownDeployment:
    return UnknownDeployment(f"there is no deployment '{identifier}'")


def _same(found: Deployment, wanted: NewDeployment) -> Deployment:
    """The deployment that was begun under a key."""
    if (found.service, found.course, found.patch) != (wanted.service, wanted.course, wanted.patch):
        raise InvalidRequest(
            f"the key stands for another deployment, {found.id}",
            hint="Use a new key for a new deployment; the same one only to send the same request again.",
        )
    return found


async def _expect_patch(transaction: Transaction, wanted: NewDeployment) -> None:
    """Raises InvalidRequest for a patch that is none of the service's, or not in force."""
    if not wanted.patch:
        return
    if wanted.course.calibrates:
        raise InvalidRequest(
            "a calibration compares what is alike, and so runs no patch",
            hint="Name no patch; begin a rollout for it afterwards.",
        )
    unit = (await transaction.peek([wanted.patch])).get(wanted.patch)
    if unit is None or not _in_force(unit, wanted.service):
        raise InvalidRequest(
            f"{wanted.patch!r} is no action on {wanted.service!r} that is in force",
            hint="Name an action that was done, as `penelope patches log` shows them, or none.",
        )


def _in_force(unit: UnitOfWork, service: str) -> bool:
    if unit.kind != "action" or unit.status != "done":
        return False
    return bool(unit.attributes["action"]["target"]["service"] == service)
