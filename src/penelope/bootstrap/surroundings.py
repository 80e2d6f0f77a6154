"""Puts together what an incident is seen in the light of."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.adapters.graph.generations import Generations
from penelope.bootstrap.background import background
from penelope.bootstrap.context import Others, resolver_of
from penelope.domain.access import Subject
from penelope.errors import Unavailable
from penelope.flow.parts import NothingAround, Parts
from penelope.flow.resolve_observer import ResolveObserver
from penelope.flow.resolving import Resolver
from penelope.flow.surroundings import Manner, ResolvedSurroundings, SetUp
from penelope.rooms.context.ports import ContextReader
from penelope.settings import Settings
from penelope.store.reader import SqlReader
from penelope.store.shelf import any_documents


async def surrounded(
    stack: AsyncExitStack, settings: Settings, parts: Parts, reading: AsyncEngine, observer: ResolveObserver
) -> tuple[Resolver, Parts]:
    """The resolver, and the parts with what asks it about incidents."""
    runbooks = {each.name: each.title for each in parts.playbooks.playbooks()}
    others = Others(services=tuple(parts.services.values()), runbooks=runbooks, observer=observer)
    resolver = await resolver_of(stack, settings, reading, parts.clock, others)
    await background(stack, _warmed(resolver, reading))
    return resolver, replace(parts, surroundings=surroundings_of(settings, resolver, parts, reading))


async def _warmed(resolver: Resolver, reading: AsyncEngine) -> None:
    """Where nothing was indexed there is nothing to wait for, and no need for a model of 100 MB."""
    with suppress(Unavailable):
        if await any_documents(reading):
            await resolver.warm()


def surroundings_of(
    settings: Settings, resolver: Resolver, parts: Parts, reading: AsyncEngine
) -> ContextReader:
    """What asks the resolver about incidents; nothing does where it is switched off."""
    how = settings.context_healing
    if not how.enabled:
        return NothingAround()
    subject = Subject(actor=how.actor, role=how.role, region=how.region, purpose=how.purpose)
    return ResolvedSurroundings(
        resolver,
        SqlReader(reading),
        parts.services,
        set_up_of(settings, reading),
        Manner(subject=subject, seconds=how.seconds, minutes=how.impact_minutes),
    )


def set_up_of(settings: Settings, reading: AsyncEngine) -> SetUp:
    """What there is to be asked: a server of graphs, or one that was drawn; documents once some were indexed; models."""
    generations = Generations(settings.graph.folder)

    async def graph() -> bool:
        if settings.graph.kind == "neo4j":
            return True
        try:
            return await asyncio.to_thread(generations.current) is not None
        except Unavailable:
            return True  # and asking it will tell why it cannot be asked

    async def documents() -> bool:
        try:
            return await any_documents(reading)
        except Unavailable:
            return True

    return SetUp(graph=graph, documents=documents, figures=bool(settings.semantic.models))
