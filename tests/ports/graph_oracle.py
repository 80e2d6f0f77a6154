"""What the named queries must answer, worked out in plain Python on lists and sets, and the graphs to try it on."""

import hashlib
import random
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from penelope.domain.access import Classification
from penelope.domain.graph import Edge, Node

KINDS = (
    "Service",
    "Team",
    "Person",
    "Dataset",
    "Metric",
    "Dashboard",
    "Runbook",
    "Document",
    "Incident",
    "Change",
    "Host",
)
TYPES = (
    "DEPENDS_ON",
    "OWNED_BY",
    "MEMBER_OF",
    "DERIVED_FROM",
    "SHOWN_ON",
    "DESCRIBED_BY",
    "AFFECTS",
    "CHANGED",
    "RUNS_ON",
    "FITS",
)
RESTS_ON = ("DEPENDS_ON", "RUNS_ON", "DERIVED_FROM")
HOSTILE = (
    "x' OR 1=1 //",
    '"; MATCH (n) DETACH DELETE n //',
    "$allowed",
    "${jndi:ldap://x}",
    "a\\'b\\",
    "{}[]()*?%_",
    "`Thing`",
    "Straße",
    "STRASSE",
    "ﬁle \U0001f984",
    "\ufffd end",
    "İstanbul",
    "عربى עברית",
    "e\u0301 and \u00e9",
    "a,b;\"c\",''",
    "NULL",
    "\\N",
    "0",
)


def graph(seed: int, size: int = 300, edges: int = 1100) -> tuple[list[Node], list[Edge]]:
    """A graph with circles, edges from a thing to itself and hostile names, the same for the same seed."""
    chance = random.Random(seed)
    nodes = [
        Node(
            id=f"{kind.lower()}:{number}{HOSTILE[number % len(HOSTILE)] if number % 3 == 0 else ''}",
            label=kind,
            name=HOSTILE[number % len(HOSTILE)] if number % 4 == 0 else f"Thing {number % 90}",
            classification=chance.choice([*Classification, *[Classification.INTERNAL] * 5]),
            properties=chance.choice(
                [
                    {},
                    {"status": "failing"},
                    {"status": "open", "at": chance.randrange(1000), "text": chance.choice(HOSTILE)},
                    {"at": chance.randrange(1000), "deep": {"list": [1, 2.5, None, True]}},
                ]
            ),
        )
        for number in range(size)
        for kind in [chance.choice(KINDS)]
    ]
    ids = [node.id for node in nodes]
    found = [
        Edge(type=chance.choice(TYPES), start=chance.choice(ids), end=chance.choice(ids))
        for _ in range(edges)
    ]
    of_kind = {kind: [node.id for node in nodes if node.label == kind] for kind in KINDS}
    for kind, edge in (("Change", "CHANGED"), ("Incident", "AFFECTS"), ("Runbook", "FITS")):
        found += [
            Edge(type=edge, start=chance.choice(of_kind[kind]), end=chance.choice(ids)) for _ in range(60)
        ]
    found += [Edge(type="SHOWN_ON", start=item, end=chance.choice(of_kind["Dashboard"])) for item in ids[::6]]
    found += [Edge(type="RUNS_ON", start=item, end=chance.choice(of_kind["Host"])) for item in ids[::7]]
    found += [Edge(type="OWNED_BY", start=item, end=chance.choice(of_kind["Team"])) for item in ids[::5]]
    found += [Edge(type="DEPENDS_ON", start=item, end=item) for item in ids[::40]]
    return nodes, [*found, *found[::50]]


def fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


Rows = list[dict[str, Any]]


class Oracle:
    """The world as somebody sees it who may know of things of the allowed classifications, and of no others."""

    def __init__(self, nodes: Iterable[Node], edges: Iterable[Edge], allowed: Collection[str]) -> None:
        self.nodes = {node.id: node for node in nodes if str(node.classification) in set(allowed)}
        self.edges = {
            (edge.type, edge.start, edge.end)
            for edge in edges
            if edge.start in self.nodes and edge.end in self.nodes
        }

    def ask(self, name: str, given: Mapping[str, Any]) -> Rows:
        rows: Rows = getattr(self, name)(given)
        return rows[: given.get("limit", 200)]

    # --- moving about -------------------------------------------------------------------------------------

    def after(self, thing: str, *types: str) -> set[str]:
        return {end for kind, start, end in self.edges if start == thing and kind in types}

    def before(self, thing: str, *types: str) -> set[str]:
        return {start for kind, start, end in self.edges if end == thing and kind in types}

    def distances(
        self, thing: str, depth: int, types: Iterable[str], *, back: bool = False
    ) -> dict[str, int]:
        """The fewest edges to each thing within reach, the thing itself with 0 among them."""
        if thing not in self.nodes:
            return {}
        step = self.before if back else self.after
        found, edge = {thing: 0}, {thing}
        for distance in range(1, depth + 1):
            edge = {item for one in edge for item in step(one, *types)} - found.keys()
            found |= dict.fromkeys(edge, distance)
        return found

    def row(self, thing: str, **more: Any) -> dict[str, Any]:
        node = self.nodes[thing]
        plain = {
            "id": thing,
            "kind": node.label,
            "name": node.name,
            "classification": str(node.classification),
        }
        return plain | more

    def rows(self, things: Iterable[str]) -> Rows:
        return [self.row(thing) for thing in sorted(things)]

    def far(self, distances: Mapping[str, int]) -> Rows:
        ordered = sorted(distances.items(), key=lambda item: (item[1], item[0]))
        return [self.row(thing, distance=distance) for thing, distance in ordered]

    def reach(self, given: Mapping[str, Any], *types: str, back: bool) -> Rows:
        found = self.distances(given["id"], given.get("depth", 4), types, back=back)
        return self.far({thing: distance for thing, distance in found.items() if distance})

    def full(self, thing: str) -> dict[str, Any]:
        properties = dict(self.nodes[thing].properties)
        return {
            "status": properties.get("status", ""),
            "at": properties.get("at", 0),
            "properties": properties,
        }

    def of_kind(self, things: Iterable[str], kind: str) -> set[str]:
        return {thing for thing in things if self.nodes[thing].label == kind}

    # --- the queries --------------------------------------------------------------------------------------

    def depends_on(self, given: Mapping[str, Any]) -> Rows:
        return self.reach(given, "DEPENDS_ON", back=False)

    def dependents_of(self, given: Mapping[str, Any]) -> Rows:
        return self.reach(given, "DEPENDS_ON", back=True)

    def blast_radius(self, given: Mapping[str, Any]) -> Rows:
        return self.reach(given, *RESTS_ON, back=True)

    def lineage_up(self, given: Mapping[str, Any]) -> Rows:
        return self.reach(given, "DERIVED_FROM", back=False)

    def lineage_down(self, given: Mapping[str, Any]) -> Rows:
        return self.reach(given, "DERIVED_FROM", back=True)

    def owner_of(self, given: Mapping[str, Any]) -> Rows:
        return self.rows(self.after(given["id"], "OWNED_BY"))

    def owned_by(self, given: Mapping[str, Any]) -> Rows:
        return self.rows(self.before(given["id"], "OWNED_BY"))

    def members_of(self, given: Mapping[str, Any]) -> Rows:
        return self.rows(self.before(given["id"], "MEMBER_OF"))

    def runbooks_of(self, given: Mapping[str, Any]) -> Rows:
        return self.rows(self.of_kind(self.before(given["id"], "FITS"), "Runbook"))

    def documents_of(self, given: Mapping[str, Any]) -> Rows:
        return self.rows(self.after(given["id"], "DESCRIBED_BY"))

    def described_by(self, given: Mapping[str, Any]) -> Rows:
        return self.rows(self.before(given["id"], "DESCRIBED_BY"))

    def hosts_of(self, given: Mapping[str, Any]) -> Rows:
        return self.rows(self.of_kind(self.after(given["id"], "RUNS_ON"), "Host"))

    def dashboards_of(self, given: Mapping[str, Any]) -> Rows:
        return self.rows(self.of_kind(self.after(given["id"], "SHOWN_ON"), "Dashboard"))

    def affected_by(self, given: Mapping[str, Any]) -> Rows:
        return self.rows(self.after(given["id"], "AFFECTS"))

    def team_of(self, given: Mapping[str, Any]) -> Rows:
        found = self.distances(given["id"], 2, ("OWNED_BY", "MEMBER_OF"))
        teams = self.of_kind(found, "Team") - {given["id"]}
        return self.far({thing: found[thing] for thing in teams})

    def impacted_dashboards(self, given: Mapping[str, Any]) -> Rows:
        found: dict[str, int] = {}
        made = self.distances(given["id"], given.get("depth", 4), ("DERIVED_FROM",), back=True)
        for thing, distance in made.items():
            for board in self.of_kind(self.after(thing, "SHOWN_ON"), "Dashboard"):
                found[board] = min(distance, found.get(board, distance))
        return self.far(found)

    def upstream_causes(self, given: Mapping[str, Any]) -> Rows:
        rows = []
        for row in self.far(self.distances(given["id"], given.get("depth", 4), RESTS_ON)):
            thing = row["id"]
            moments = {item: self.full(item)["at"] for item in self.before(thing, "CHANGED")}
            late = [at for at in moments.values() if at >= given["since"]]
            incidents = self.of_kind(self.before(thing, "AFFECTS"), "Incident")
            still = [item for item in incidents if self.full(item)["status"] == "open"]
            status = self.full(thing)["status"]
            if late or still or status == "failing":
                more = {"status": status, "incidents": len(still), "changes": len(late)}
                rows.append(row | more | {"changed_at": max(late, default=0)})
        return rows

    def dated(self, given: Mapping[str, Any], edge: str, kind: str) -> Rows:
        found = self.of_kind(self.before(given["id"], edge), kind)
        rows = [self.row(thing, **self.full(thing)) for thing in found]
        late = [row for row in rows if row["at"] >= given["since"]]
        return sorted(late, key=lambda row: (-row["at"], row["id"]))

    def changes_of(self, given: Mapping[str, Any]) -> Rows:
        return self.dated(given, "CHANGED", "Change")

    def incidents_of(self, given: Mapping[str, Any]) -> Rows:
        return self.dated(given, "AFFECTS", "Incident")

    def siblings(self, given: Mapping[str, Any]) -> Rows:
        owners = self.after(given["id"], "OWNED_BY")
        return self.rows(
            {item for owner in owners for item in self.before(owner, "OWNED_BY")} - {given["id"]}
        )

    def orphans(self, _: Mapping[str, Any]) -> Rows:
        linked = {end for _, *ends in self.edges if ends[0] != ends[1] for end in ends}
        return self.rows(self.nodes.keys() - linked)

    def unowned(self, _: Mapping[str, Any]) -> Rows:
        return self.rows(
            thing
            for thing, node in self.nodes.items()
            if node.label in {"Service", "Dataset", "Dashboard"}
            and not self.after(thing, "OWNED_BY") - {thing}
        )

    def catalogue(self, _: Mapping[str, Any]) -> Rows:
        named = {"Service", "Team", "Dataset", "Dashboard", "Runbook"}
        return self.rows(thing for thing, node in self.nodes.items() if node.label in named)

    def things_named(self, given: Mapping[str, Any]) -> Rows:
        wanted = fold(given["name"])
        return self.rows(thing for thing, node in self.nodes.items() if fold(node.name) == wanted)

    def things_like(self, given: Mapping[str, Any]) -> Rows:
        wanted = fold(given["name"])
        return self.rows(thing for thing, node in self.nodes.items() if wanted in fold(node.name))

    def thing(self, given: Mapping[str, Any]) -> Rows:
        known = [given["id"]] if given["id"] in self.nodes else []
        return [self.row(thing, **self.full(thing)) for thing in known]

    def neighbours(self, given: Mapping[str, Any]) -> Rows:
        thing = given["id"]
        out = {(end, kind, "out") for kind, start, end in self.edges if start == thing}
        into = {(start, kind, "in") for kind, start, end in self.edges if end == thing and start != thing}
        return [self.row(item, type=kind, direction=way) for item, kind, way in sorted(out | into)]

    def dependency_path(self, given: Mapping[str, Any]) -> Rows:
        return self.way(given, 5, lambda thing: self.after(thing, *RESTS_ON))

    def shortest_path(self, given: Mapping[str, Any]) -> Rows:
        return self.way(given, 3, lambda thing: self.after(thing, *TYPES) | self.before(thing, *TYPES))

    def way(self, given: Mapping[str, Any], most: int, step: Any) -> Rows:
        start, end = given["id"], given["to"]
        if start not in self.nodes or end not in self.nodes or start == end:
            return []
        ways = [[start]]
        for distance in range(1, most + 1):
            ways = [[*way, item] for way in ways for item in step(way[-1]) if item not in way]
            if whole := [way for way in ways if way[-1] == end]:
                path = min(whole, key=weight)
                return [{"path": path, "things": [self.row(thing) for thing in path], "distance": distance}]
        return []


def weight(way: Iterable[str]) -> int:
    """By which one of several shortest ways is chosen: a number that nobody can steer easily, the same everywhere."""
    return sum(
        int.from_bytes(hashlib.blake2b(item.encode("utf-8"), digest_size=5).digest(), "big") for item in way
    )
