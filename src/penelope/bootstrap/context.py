"""Puts the context platform together."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
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
from penelope.adapters.policy.context_rego import EmbeddedGovernor, load_governor
from penelope.adapters.semantic.duck import DuckLayer
from penelope.adapters.semantic.load import load_models
from penelope.adapters.vector.minilm import MODEL, MiniLm
from penelope.domain.degradation import Store
from penelope.domain.service import Service
from penelope.errors import Unavailable
from penelope.flow.knowing import Definitions, Stores
from penelope.flow.resolve_observer import ResolveObserver, Unobserved
from penelope.flow.resolving import Resolver
from penelope.kit.clock import Clock
from penelope.kit.guard import Guard, Patience
from penelope.rooms.context.ports import Governor, Graph, SemanticLayer
from penelope.rooms.context.registry_of import registry_of
from penelope.rooms.context.resolve import Rules
from penelope.settings import Settings
from penelope.settings.context import Context
from penelope.settings.context_policy import ContextPolicy
from penelope.settings.graph import Graph as GraphSettings
from penelope.settings.semantic import Semantic
from penelope.store.answers import SqlAnswers
from penelope.store.database import parse_url
from penelope.store.open_passages import open_passages

if TYPE_CHECKING:
    from penelope.adapters.graph.ladybug import LadybugGraph
    from penelope.adapters.graph.neo4j import Neo4jGraph
    from penelope.adapters.semantic.cube import CubeLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What is defined beside the stores: services, and titles of runbooks by name. `observer` is told what is done.

    Where no data models are named there are no measures or, with `example`, those of the shipped example.
    """

    services: Sequence[Service] = ()
    runbooks: Mapping[str, str] = field(default_factory=dict)
    observer: ResolveObserver = field(default_factory=Unobserved)
    example: bool = False


async def resolver_of(
    stack: AsyncExitStack,
    settings: Settings,
    reader: AsyncEngine,
    clock: Clock,
    others: Others,
) -> Resolver:
    """The resolver over the stores of the settings, all closed when the stack is unwound. `reader` is of the database."""
    guards: dict[Store, Guard] = {
        store: Guard(store.value, _patience(settings)) for store in Store if store is not Store.REGISTRY
    }
    embedder = MiniLm()
    stack.callback(embedder.close)
    governor = _governor(settings.context_policy, guards[Store.POLICY])
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
        semantic=await _semantic(stack, settings.semantic, example=others.example),
        graph=await _graph(stack, settings.graph),
        passages=passages,
        governor=governor,
        embedder=embedder,
    )
    definitions = Definitions(
        registry_of=partial(registry_of, services=others.services, runbooks=others.runbooks),
        corrections=SqlAnswers(reader).corrections,
    )
    resolver = Resolver(stores, guards, definitions, _rules(settings.context), clock)
    resolver.observer = others.observer
    if isinstance(governor, EmbeddedGovernor):
        governor.counted = partial(_decisions_counted, others.observer)
    return resolver


def _decisions_counted(observer: ResolveObserver, known: int, asked: int) -> None:
    observer.cache_asked("policy", hits=known, misses=asked)


def others_of(settings: Settings) -> Others:
    """Those of the settings, with the shipped example: for commands that need no server."""
    playbooks = load_playbooks(settings.playbooks.paths, settings.playbooks.shipped)
    runbooks = {each.name: each.title for each in playbooks.playbooks()}
    services = tuple(_services(settings.catalogue.path).values())
    return Others(services=services, runbooks=runbooks, example=True)


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


def open_semantic(settings: Semantic, *, example: bool) -> "DuckLayer | CubeLayer":
    """The semantic layer, which must be closed. `example`: see `Others`. Raises BadSettings; asks nobody yet."""
    # Without a key of the operator's hashes are good for this process alone.
    key = settings.mask_key.get_secret_value().encode() if settings.mask_key else secrets.token_bytes(32)
    if settings.kind == "cube" and settings.url is not None:
        return _cube(settings, settings.url, key)
    played = example and not settings.models
    shape = load_models((MODELS,) if played else settings.models)
    if played:
        warehouse(settings.database)
    return DuckLayer(
        shape,
        settings.database,
        mask_key=key,
        timeout_seconds=settings.timeout_seconds,
        memory_bytes=settings.memory_mib * 1024 * 1024,
        threads=settings.threads,
    )


def _cube(settings: Semantic, url: str, key: bytes) -> "CubeLayer":
    from penelope.adapters.semantic.cube import CubeLayer  # noqa: PLC0415 - 50 ms of every start, for few
    from penelope.adapters.semantic.cube_client import CubeOptions  # noqa: PLC0415 - see above

    secret = settings.api_secret
    server = CubeOptions(
        url=url,
        api_secret=secret.get_secret_value() if secret else "",
        token_file="" if settings.token_file is None else str(settings.token_file),
        ca="" if settings.ca_file is None else str(settings.ca_file),
        timeout_seconds=settings.timeout_seconds,
    )
    return CubeLayer(server, key)


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
