"""Gathers what the graph of things is made of."""

import asyncio
from pathlib import Path

from penelope.adapters.catalogue.load import load_services
from penelope.adapters.graph.file import load_graph
from penelope.adapters.playbooks.load import load as load_playbooks
from penelope.adapters.semantic.load import load_models
from penelope.bootstrap.context import open_semantic
from penelope.domain.passage import Document
from penelope.domain.semantics import Model
from penelope.rooms.context.assets import cube_assets
from penelope.rooms.context.graph_of import Cubes, Known
from penelope.settings import Settings
from penelope.settings.semantic import Semantic
from penelope.store.database import migrate, open_engine, open_reader, parse_url
from penelope.store.shelf import documents_of


async def gathered(settings: Settings, drawn: Path | None) -> Known:
    """The catalogue, the data models, the playbooks and the indexed documents of the settings, and what `drawn` holds.

    Raises BadSettings, InvalidCatalogue and the like for files with mistakes, Unavailable.
    """
    nodes, edges = load_graph(drawn) if drawn is not None else ([], [])
    catalogue = settings.catalogue.path
    playbooks = load_playbooks(settings.playbooks.paths, settings.playbooks.shipped)
    model, cubes = await _measures(settings.semantic)
    return Known(
        nodes=nodes,
        edges=edges,
        services=load_services(catalogue) if catalogue.exists() else {},
        model=model,
        cubes=cubes,
        playbooks=playbooks.playbooks(),
        documents=await _documents(settings.database.url),
    )


async def _measures(settings: Semantic) -> tuple[Model, Cubes]:
    if not settings.models and settings.kind != "cube":
        return Model(members=()), Cubes()
    layer = await asyncio.to_thread(open_semantic, settings, example=False)
    try:
        model = await layer.model()
    finally:
        layer.close()
    # Cube tells of no tables.
    shape = None if settings.kind == "cube" else load_models(settings.models)
    tables = {} if shape is None else {name: _tables(cube.table) for name, cube in shape.cubes.items()}
    classifications = {name: asset.classification for name, asset in cube_assets(model).items()}
    return model, Cubes(tables=tables, classifications=classifications)


def _tables(source: str) -> tuple[str, ...]:
    """Of what stands behind FROM: a query in parentheses is no table."""
    return () if source.startswith("(") else (source,)


async def _documents(url: str) -> tuple[Document, ...]:
    parsed = parse_url(url)
    writer, reader = open_engine(parsed), open_reader(parsed)
    try:
        await migrate(writer)
        return await documents_of(reader)
    finally:
        await reader.dispose()
        await writer.dispose()
