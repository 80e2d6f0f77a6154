"""Puts the context platform together."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from penelope.adapters.catalogue.load import load_services
from penelope.adapters.example import MODELS
from penelope.adapters.example.warehouse import warehouse
from penelope.adapters.graph.opened import BoltServer, open_graph
from penelope.adapters.playbooks.load import load as load_playbooks
from penelope.adapters.policy.context_opa import OpaGovernor, OpaServer
from penelope.adapters.policy.context_rego import load_governor
from penelope.adapters.semantic.duck import DuckLayer
from penelope.adapters.semantic.load import load_models
from penelope.adapters.vector.minilm import MODEL, MiniLm
from penelope.domain.concept import Definition
from penelope.domain.degradation import Store
from penelope.domain.semantics import Model
from penelope.domain.service import Service
from penelope.errors import Unavailable
from penelope.flow.resolving import Resolver, Stores
from penelope.kit.clock import Clock
from penelope.kit.guard import Guard, Patience
from penelope.rooms.context.ports import Governor, Graph, SemanticLayer
from penelope.rooms.context.registry import Registry
from penelope.rooms.context.registry_of import registry_of
from penelope.rooms.context.resolve import Rules
from penelope.settings import Settings
from penelope.settings.context import Context
from penelope.settings.context_policy import ContextPolicy
from penelope.settings.graph import Graph as GraphSettings
from penelope.settings.semantic import Semantic
from penelope.store.database import parse_url
from penelope.store.open_passages import open_passages

if TYPE_CHECKING:
    from penelope.adapters.graph.ladybug import LadybugGraph
    from penelope.adapters.graph.neo4j import Neo4jGraph


async def resolver_of(
    stack: AsyncExitStack, settings: Settings, reader: AsyncEngine, clock: Clock, *, example: bool = False
) -> Resolver:
    """The resolver over the stores of the settings, all closed when the stack is unwound. `reader` is of the database.

    Where no data models are named there are no measures or, with `example`, those of the shipped example.
    """
    guards: dict[Store, Guard] = {
        store: Guard(store.value, _patience(settings)) for store in Store if store is not Store.REGISTRY
    }
    embedder = MiniLm()
    stack.callback(embedder.close)
    limits = settings.documents
    passages = open_passages(
        parse_url(settings.database.url),
        reader,
        model=MODEL,
        weight=limits.keywords,
        patience_seconds=limits.patience_seconds,
    )
    stack.callback(passages.close)
    stores = Stores(
        semantic=await _semantic(stack, settings.semantic, example=example),
        graph=await _graph(stack, settings.graph),
        passages=passages,
        governor=_governor(settings.context_policy, guards[Store.POLICY]),
        embedder=embedder,
    )
    services = _services(settings.catalogue.path)
    playbooks = load_playbooks(settings.playbooks.paths, settings.playbooks.shipped)
    runbooks = {each.name: each.title for each in playbooks.playbooks()}
    return Resolver(stores, guards, partial(_registry, services, runbooks), _rules(settings.context), clock)


def _registry(
    services: Mapping[str, Service], runbooks: Mapping[str, str], model: Model, *, more: Iterable[Definition]
) -> Registry:
    return registry_of(model, services=services.values(), runbooks=runbooks, more=more)


def _services(file: Path) -> dict[str, Service]:
    """Those of the catalogue; measures can be asked for without one."""
    return load_services(file) if file.exists() else {}


def _patience(settings: Settings) -> Patience:
    return Patience(**settings.context_guard.model_dump())


def _rules(settings: Context) -> Rules:
    return Rules(
        zone=settings.zone,
        fiscal_month=settings.fiscal_month,
        named_by_start=settings.fiscal_year_named_by == "start",
        answer_at=settings.answer_at,
        too_close=settings.too_close,
    )


async def _semantic(stack: AsyncExitStack, settings: Semantic, *, example: bool) -> SemanticLayer:
    layer = await asyncio.to_thread(open_semantic, settings, example=example)
    stack.callback(layer.close)
    return layer


def open_semantic(settings: Semantic, *, example: bool) -> DuckLayer:
    """The embedded semantic layer, which must be closed. `example`: see `resolver_of`. Raises BadSettings."""
    played = example and not settings.models
    shape = load_models((MODELS,) if played else settings.models)
    if played:
        warehouse(settings.database)
    key = settings.mask_key
    return DuckLayer(
        shape,
        settings.database,
        # Without a key of the operator's hashes are good for this process alone.
        mask_key=key.get_secret_value().encode() if key else secrets.token_bytes(32),
        timeout_seconds=settings.timeout_seconds,
        memory_bytes=settings.memory_mib * 1024 * 1024,
        threads=settings.threads,
    )


async def _graph(stack: AsyncExitStack, settings: GraphSettings) -> Graph:
    store = await opened_graph(settings)
    stack.push_async_callback(store.close)
    return store


async def opened_graph(settings: GraphSettings) -> "LadybugGraph | Neo4jGraph":
    """The graph of the settings, which must be closed. Raises BadSettings, Unavailable."""
    server = None
    if settings.kind == "neo4j" and settings.url is not None and settings.password_file is not None:
        server = BoltServer(
            url=settings.url,
            user=settings.user,
            password_file=settings.password_file,
            database=settings.database,
        )
    return await open_graph(settings.folder, server, settings.timeout_seconds)


def _governor(settings: ContextPolicy, guard: Guard) -> Governor:
    if settings.kind == "embedded" or settings.url is None:
        return load_governor(settings.paths)
    file = settings.token_file
    server = OpaServer(
        url=str(settings.url),
        timeout_seconds=settings.timeout_seconds,
        token=None if file is None else partial(_token, file),
        ca="" if settings.ca_file is None else str(settings.ca_file),
    )
    return OpaGovernor(server, guard)


def _token(file: Path) -> str:
    """Read anew for each call, for tokens are renewed."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Unavailable(f"the token for the policy engine cannot be read: {type(error).__name__}") from None
