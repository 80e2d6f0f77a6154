"""A synthetic estate of 10,000 definitions, the graph of them, and 50,000 passages, in the stores that ship; and questions
about it. Names share words, as names do: a word of a title stands in hundreds of others.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path

import numpy as np

from penelope.adapters.catalogue.load import load_services
from penelope.adapters.graph.opened import open_graph
from penelope.adapters.semantic.duck import DuckLayer
from penelope.adapters.semantic.load import load_models
from penelope.adapters.vector.minilm import MODEL, MiniLm
from penelope.domain.access import Classification
from penelope.domain.passage import Document, Piece
from penelope.rooms.context.graph_of import Known, graph_of
from penelope.rooms.context.terms import terms_of
from penelope.settings import Settings
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.shelf import SqlShelf

AREAS = [
    "checkout",
    "payments",
    "basket",
    "catalogue",
    "search",
    "stock",
    "warehouse",
    "courier",
    "returns",
    "invoices",
    "ledger",
    "pricing",
    "loyalty",
    "support",
    "identity",
    "mail",
    "reviews",
    "adverts",
    "partners",
    "payroll",
    "fraud",
    "tax",
    "forecast",
    "planning",
    "fleet",
    "energy",
]
PARTS = [
    "web",
    "mobile",
    "store",
    "wholesale",
    "export",
    "subscription",
    "gift",
    "bulk",
    "express",
    "campaign",
]
QUALIFIERS = ["gross", "net", "average", "peak", "failed", "late", "open"]
NOUNS = ["revenue", "volume", "cost", "duration"]
THINGS = ["api", "worker", "gateway"]
TROUBLES = [
    "stuck jobs",
    "full disk",
    "slow queries",
    "lost messages",
    "expired certificate",
    "memory leak",
    "high latency",
]
REGIONS = ("APAC", "EMEA", "AMER")
CHANNELS = ("online", "branch", "phone")
STATES = ("open", "paid", "refused")
CLASSES = ("public", "internal", "internal", "confidential", "restricted")
TEAMS = [f"team-{area}-{part}" for area, part in product(AREAS, PARTS[:8])]
PASSAGES, PIECES_EACH, DIMENSIONS = 50_000, 25, 384
_DONE = "estate-1"
_RARE = range(1, 20_001)
_SHARES = tuple(accumulate(1 / (rank + 30) for rank in _RARE))


@dataclass(frozen=True, slots=True)
class Estate:
    folder: Path

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(
            {
                "database": {"url": f"sqlite:///{self.folder}/penelope.db"},
                "catalogue": {"path": self.folder / "services.yaml"},
                "semantic": {
                    "models": (self.folder / "model",),
                    "database": self.folder / "warehouse",
                },
                "graph": {"folder": self.folder / "graph"},
            }
        )


async def estate(folder: Path, passages: int = PASSAGES) -> Estate:
    """The estate in this folder; it is made unless it is there, which takes minutes."""
    made = Estate(folder)
    done = folder / f"{_DONE}-{passages}"
    if not done.exists():
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "warehouse").mkdir(exist_ok=True)
        for area in AREAS:
            (folder / "model" / f"{area}.yaml").write_text("cubes:\n" + "".join(_cubes(area)))
        (folder / "services.yaml").write_text(
            "apiVersion: penelope.dev/v1\nkind: Services\nservices:\n" + "".join(_services())
        )
        await _draw(made.settings)
        await _write(made.settings, passages)
        done.touch()
    return made


def titles() -> Iterator[str]:
    for area, part, qualifier, noun in product(AREAS, PARTS, QUALIFIERS, NOUNS):
        yield f"{qualifier} {noun} of {area} {part}"


def services() -> list[str]:
    return [f"{area}-{part}-{thing}" for area, part, thing in product(AREAS, PARTS, THINGS)]


def questions(chance: random.Random, number: int) -> list[str]:
    """Half ask for figures, the others who owns what, what rests on what, how to mend it, what it means; one in ten means
    several things, or nothing."""
    names, running = list(titles()), services()
    asked = []
    while len(asked) < number:
        title, service = chance.choice(names), chance.choice(running)
        area, part = service.split("-")[:2]
        when = chance.choice(["last quarter", "last month", "in March", "yesterday", "last 30 days"])
        where = chance.choice(["", f" in {chance.choice(REGIONS)}", " by channel", " vs last year"])
        figure = f"{title} {when}{where}"
        asked.append(
            chance.choice(
                [
                    *[figure] * 5,
                    f"who owns {service}",
                    f"what does {service} depend on",
                    f"runbook for {chance.choice(TROUBLES)} of {area} {part}",
                    f"how is {title} calculated",
                    chance.choice([f"{title.split(' of ')[0]} of {area}", f"{area} flights to Atlantis"]),
                ]
            )
        )
    return asked


# --- making it ----------------------------------------------------------------------------------------------


def _cubes(area: str) -> Iterator[str]:
    for number, part in enumerate(PARTS):
        meta = f"{{owner: {TEAMS[(AREAS.index(area) * 8 + number) % len(TEAMS)]}, classification: {CLASSES[number % 5]}}}"
        yield f"  - name: {area}_{part}\n    sql_table: {area}_{part}\n    measures:\n"
        yield f"      - {{name: count, type: count, title: number of {area} {part}, meta: {meta}}}\n"
        for qualifier, noun in product(QUALIFIERS, NOUNS):
            yield (
                f"      - {{name: {qualifier}_{noun}, type: sum, sql: {noun}, title: {qualifier} {noun} of {area} {part}, "
                f"meta: {meta}}}\n"
            )
        yield "    dimensions:\n      - {name: id, type: number, sql: id, primary_key: true}\n"
        yield f"      - {{name: created_at, type: time, sql: created_at, meta: {{time: true, {meta[1:]}}}\n"
        for name, values in (("region", REGIONS), ("channel", CHANNELS), ("status", STATES)):
            told = f"{{values: [{', '.join(values)}], {meta[1:]}"
            yield f"      - {{name: {name}, type: string, sql: {name}, meta: {told}}}\n"


def _services() -> Iterator[str]:
    chance, names = random.Random(3), services()
    for number, name in enumerate(names):
        rests = chance.sample(names[:number], min(number, 3))
        owner = TEAMS[number % len(TEAMS)]
        yield f"  {name}:\n    owner: {owner}\n    tier: 2\n    dependencies: [{', '.join(rests)}]\n"


async def _draw(settings: Settings) -> None:
    shape = load_models(settings.semantic.models)
    with DuckLayer(shape, settings.semantic.database, mask_key=b"a key for the bench") as layer:
        known = Known(services=load_services(settings.catalogue.path), model=await layer.model())
    nodes, edges = graph_of(known)
    graph = await open_graph(settings.graph.folder, None, 60.0)
    await graph.replace(nodes, edges)
    await graph.close()


async def _write(settings: Settings, passages: int) -> None:
    """Documents about areas and their parts; their vectors lie about that of their subject, as those of texts do."""
    engine = open_engine(parse_url(settings.database.url))
    await migrate(engine)
    shelf, embedder = SqlShelf(engine), MiniLm()
    chance, figures = random.Random(1), np.random.default_rng(1)
    for number in range(passages // PIECES_EACH):
        area, part, trouble = chance.choice(AREAS), chance.choice(PARTS), chance.choice(TROUBLES)
        title = f"{trouble} of {area} {part}"
        (subject,) = await embedder.embed([title])
        named = Document(
            id=f"d{number}",
            kind=("runbook", "guide", "incident")[number % 3],
            title=title,
            source=f"/d/{number}",
            digest=str(number),
            classification=Classification(CLASSES[number % 5]),
        )
        pieces = [_piece(chance, title, near) for near in _about(figures, np.frombuffer(subject, "<f4"))]
        await shelf.put(named, pieces, "bench", MODEL)
    embedder.close()
    await engine.dispose()


def _about(figures: np.random.Generator, subject: np.ndarray) -> Iterator[np.ndarray]:
    noise = figures.standard_normal((PIECES_EACH, DIMENSIONS))
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    mixed = 0.6 * subject + 0.8 * noise
    yield from (mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).astype("<f4")


def _piece(chance: random.Random, title: str, vector: np.ndarray) -> Piece:
    """A hundred words: some of the title, the others as common and rare as words are (Zipf and Mandelbrot)."""
    words = [f"word{rank}" for rank in chance.choices(_RARE, cum_weights=_SHARES, k=92)]
    text = " ".join([*words, *_some(chance, title.split(), 4), *_some(chance, [*AREAS, *NOUNS, *THINGS], 4)])
    terms, length = terms_of(text)
    return Piece(heading="", text=text, terms=terms, length=length, vector=vector.tobytes())


def _some(chance: random.Random, words: Sequence[str], number: int) -> list[str]:
    return chance.choices(words, k=number)
