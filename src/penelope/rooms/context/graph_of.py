"""Makes one graph of what is known elsewhere: the catalogue, the semantic model, playbooks and documents."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from penelope.domain.access import Classification
from penelope.domain.graph import Edge, Node
from penelope.domain.graph_shape import LONGEST_TEXT, flaw_of
from penelope.domain.passage import Document
from penelope.domain.plan import Playbook
from penelope.domain.semantics import Member, MemberKind, Model
from penelope.domain.service import Service
from penelope.kit.canonical import Json

_INVISIBLE = re.compile("[\x00-\x20\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]+")
_RUNBOOK = "runbook"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cubes:
    """What a `Model` does not say of its cubes: the tables that each reads, and how much harm it does where others know
    of it. A cube that nobody classified is confidential.
    """

    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classifications: Mapping[str, Classification] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that a graph is made of. `nodes` and `edges` were drawn by hand, and say more than what is found elsewhere."""

    nodes: Sequence[Node] = ()
    edges: Sequence[Edge] = ()
    services: Mapping[str, Service] = field(default_factory=dict)
    model: Model = field(default_factory=lambda: Model(members=()))
    cubes: Cubes = field(default_factory=Cubes)
    playbooks: Sequence[Playbook] = ()
    documents: Sequence[Document] = ()


def graph_of(known: Known) -> tuple[list[Node], list[Edge]]:
    """Nodes and edges as `Graph.replace` takes them, the same for the same input.

    Names that no graph can keep are made fit: what is in them that cannot be seen becomes a blank, what is too long is
    cut. Things of the same id are one; where they differ, what was drawn by hand counts, then the catalogue, the model,
    the playbooks and the documents, in this order.
    """
    builder = _Builder(known.nodes, known.edges)
    builder.add_services(known.services.values())
    builder.add_model(known.model, known.cubes)
    for playbook in known.playbooks:
        builder.add_playbook(playbook)
    for document in known.documents:
        builder.add_document(document)
    return list(builder.nodes.values()), list(builder.edges.values())


def service_node(name: str) -> str:
    """The id of a service in the graph."""
    return _identifier("service", name)


class _Builder:
    def __init__(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        self.nodes = {node.id: node for node in nodes}
        self.edges = {(edge.type, edge.start, edge.end): edge for edge in edges}

    def add_services(self, services: Collection[Service]) -> None:
        for service in services:
            found = self._thing("Service", service.name, properties={"tier": service.tier})
            self._owned(found, service.owner)
        for service in services:
            for name in service.dependencies:
                # One that the catalogue does not describe is one of somebody else's, and things still rest on it.
                start, end = self._thing("Service", service.name), self._thing("Service", name)
                self._edge("DEPENDS_ON", start, end)

    def add_model(self, model: Model, cubes: Cubes) -> None:
        """Views are left out: each of their measures is a cube's."""
        for member in model.members:
            cube = member.name.partition(".")[0]
            if cube in model.views:
                continue
            dataset = self._dataset(cube, cubes)
            if member.kind is MemberKind.MEASURE and member.public:
                self._add_measure(member, dataset)
        for cube, joined in model.joins.items():
            for other in joined:
                if not {cube, other} & model.views:
                    self._edge("DEPENDS_ON", self._dataset(cube, cubes), self._dataset(other, cubes))

    def _dataset(self, cube: str, cubes: Cubes) -> str:
        classification = cubes.classifications.get(cube, Classification.CONFIDENTIAL)
        found = self._thing("Dataset", cube, classification=classification)
        for table in cubes.tables.get(cube, ()):
            source = self._thing("Dataset", table, prefix="table", classification=classification)
            self._edge("DERIVED_FROM", found, source)
        return found

    def _add_measure(self, member: Member, dataset: str) -> None:
        classification = _classification(member.meta.get("classification"))
        unit = member.meta.get("unit")
        found = self._thing(
            "Metric",
            member.name,
            title=member.title,
            classification=classification,
            properties={"unit": unit} if isinstance(unit, str) else None,
        )
        self._edge("DERIVED_FROM", found, dataset)
        self._owned(found, member.meta.get("owner"))
        boards = member.meta.get("dashboards")
        for board in boards if isinstance(boards, list | tuple) else ():
            if isinstance(board, str) and _fit(board):
                self._edge("SHOWN_ON", found, self._thing("Dashboard", board, classification=classification))

    def add_playbook(self, playbook: Playbook) -> None:
        found = self._thing("Runbook", playbook.name, title=playbook.title, prefix="playbook")
        for service in playbook.match.services:
            self._edge("FITS", found, self._thing("Service", service))

    def add_document(self, document: Document) -> None:
        runbook = document.kind == _RUNBOOK
        found = self._thing(
            "Runbook" if runbook else "Document",
            document.id,
            title=document.title,
            prefix="document",
            classification=document.classification,
            properties={"document": document.id, "kind": document.kind},
        )
        self._owned(found, document.owner)
        for name in document.services:
            service = self._thing("Service", name)
            if runbook:
                self._edge("FITS", found, service)
            else:
                self._edge("DESCRIBED_BY", service, found)

    def _owned(self, thing: str, owner: Json) -> None:
        if isinstance(owner, str) and _fit(owner):
            self._edge("OWNED_BY", thing, self._thing("Team", owner))

    def _edge(self, kind: str, start: str, end: str) -> None:
        self.edges.setdefault((kind, start, end), Edge(type=kind, start=start, end=end))

    def _thing(
        self,
        label: str,
        name: str,
        *,
        title: str = "",
        prefix: str = "",
        classification: Classification = Classification.INTERNAL,
        properties: Mapping[str, Json] | None = None,
    ) -> str:
        identifier = _identifier(prefix or label.lower(), name)
        if identifier not in self.nodes:
            self.nodes[identifier] = Node(
                id=identifier,
                label=label,
                name=_fit(title) or _fit(name) or identifier,
                classification=classification,
                properties=properties or {},
            )
        return identifier


def _identifier(prefix: str, name: str) -> str:
    """``service:checkout``; a name that no id can hold is named by its digest."""
    found = f"{prefix}:{name}"
    if name and not flaw_of(found):
        return found
    return f"{prefix}:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _fit(text: str) -> str:
    return _INVISIBLE.sub(" ", text).strip()[:LONGEST_TEXT].strip()


def _classification(word: Json) -> Classification:
    try:
        return Classification(word)
    except ValueError:
        return Classification.CONFIDENTIAL
