"""One graph of what is known elsewhere."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from penelope.adapters.graph.file import load_graph
from penelope.adapters.playbooks.load import load
from penelope.domain.access import Classification
from penelope.domain.graph import Edge, Node
from penelope.domain.graph_shape import check
from penelope.domain.passage import Document
from penelope.domain.semantics import Member, MemberKind, Model
from penelope.domain.service import Service
from penelope.rooms.context.graph_of import Cubes, Known, graph_of

EXAMPLE = Path(__file__).parents[3] / "src" / "penelope" / "adapters" / "example" / "graph.yaml"


def measure(name: str, **meta: object) -> Member:
    return Member(name=name, kind=MemberKind.MEASURE, type="sum", title=name.title(), meta=meta)


KNOWN = Known(
    services={
        "checkout": Service(name="checkout", owner="shop", tier=1, dependencies=("payments",)),
        "payments": Service(name="payments", owner="money", tier=2, dependencies=("a bank",)),
    },
    model=Model(
        members=(
            measure("orders.revenue", classification="internal", owner="data", dashboards=["Sales", 3, ""]),
            measure("orders.margin", classification="of no known kind"),
            Member(name="orders.id", kind=MemberKind.DIMENSION, type="number", title="Id"),
            measure("all_orders.revenue"),
        ),
        views=frozenset({"all_orders"}),
        joins={"orders": ("customers",), "all_orders": ("orders",)},
    ),
    cubes=Cubes(tables={"orders": ("shop.orders",)}, classifications={"orders": Classification.INTERNAL}),
    documents=(
        Document(id="a.md", kind="guide", title="A", source="a.md", digest="0", services=("checkout",)),
        Document(id="b.md", kind="runbook", title="B", source="b.md", digest="0", services=("checkout",)),
    ),
)


def test_everything_that_is_known_is_in_the_graph() -> None:
    nodes, edges = graph_of(KNOWN)
    check(nodes, edges)
    assert {(edge.type, edge.start, edge.end) for edge in edges} == {
        ("OWNED_BY", "service:checkout", "team:shop"),
        ("OWNED_BY", "service:payments", "team:money"),
        ("DEPENDS_ON", "service:checkout", "service:payments"),
        ("DEPENDS_ON", "service:payments", "service:a bank"),
        ("DERIVED_FROM", "dataset:orders", "table:shop.orders"),
        ("DEPENDS_ON", "dataset:orders", "dataset:customers"),
        ("DERIVED_FROM", "metric:orders.revenue", "dataset:orders"),
        ("DERIVED_FROM", "metric:orders.margin", "dataset:orders"),
        ("OWNED_BY", "metric:orders.revenue", "team:data"),
        ("SHOWN_ON", "metric:orders.revenue", "dashboard:Sales"),
        ("DESCRIBED_BY", "service:checkout", "document:a.md"),
        ("FITS", "document:b.md", "service:checkout"),
    }
    assert {node.id: dict(node.properties) for node in nodes}["service:payments"] == {"tier": 2}
    labels = {node.id: node.label for node in nodes}
    assert labels["document:a.md"] == "Document"
    assert labels["document:b.md"] == "Runbook"


def test_what_nobody_classified_is_confidential() -> None:
    found = {node.id: node.classification for node in graph_of(KNOWN)[0]}
    assert found["dataset:orders"] is Classification.INTERNAL
    assert found["metric:orders.revenue"] is Classification.INTERNAL
    assert found["metric:orders.margin"] is Classification.CONFIDENTIAL
    assert found["dataset:customers"] is Classification.CONFIDENTIAL


def test_what_was_drawn_by_hand_counts() -> None:
    drawn = Node(id="service:checkout", label="Service", name="Kasse", classification=Classification.PUBLIC)
    edge = Edge(type="DEPENDS_ON", start=drawn.id, end=drawn.id)
    nodes, edges = graph_of(
        Known(nodes=[drawn], edges=[edge], services=KNOWN.services, documents=KNOWN.documents)
    )
    assert [node for node in nodes if node.id == drawn.id] == [drawn]
    assert edge in edges


def test_the_shipped_playbooks_and_the_example_make_a_graph() -> None:
    nodes, edges = load_graph(EXAMPLE)
    assert len(nodes) == 40
    playbooks = load([], shipped=True).playbooks()
    both = graph_of(Known(nodes=nodes, edges=edges, playbooks=playbooks))
    check(*both)
    assert len(both[0]) >= 40 + len(playbooks) > 50


@given(st.text(max_size=600), st.text(max_size=600))
def test_whatever_things_are_called_the_graph_can_be_kept(name: str, title: str) -> None:
    document = Document(
        id=name, kind="guide", title=title, source="", digest="", owner=title, services=(name,)
    )
    check(*graph_of(Known(documents=[document])))
