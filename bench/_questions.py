"""The questions with known answers, and the registry that they are about."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ruamel.yaml import YAML

from penelope.domain.access import Subject
from penelope.domain.concept import Answer, Correction, Period, Request, Resolution
from penelope.domain.semantics import Filter, Member, MemberKind, Model, Operator, SemanticQuery
from penelope.domain.service import Service
from penelope.rooms.context.registry import Registry
from penelope.rooms.context.registry_of import registry_of
from penelope.rooms.context.resolve import Rules, resolve

FOLDER = Path(__file__).parent / "questions"
EXAMPLE = Path(__file__).parent.parent / "src" / "penelope" / "adapters" / "example" / "model"
SUBJECT = Subject(actor="bench", role="analyst")


def _read(name: str) -> Any:
    return YAML(typ="safe").load((FOLDER / name).read_text(encoding="utf-8"))


def registry() -> Registry:
    data = _read("registry.yaml")
    members = tuple(Member(**{**item, "kind": MemberKind(item["kind"])}) for item in data["members"])
    corrections = [
        Correction(**{**item, "at": datetime.fromisoformat(item["at"])}) for item in data["corrections"]
    ]
    return registry_of(
        Model(members=members, joins={cube: tuple(others) for cube, others in data["joins"].items()}),
        services=[Service(**item) for item in data["services"]],
        runbooks={item["name"]: item["title"] for item in data["playbooks"]},
        corrections=corrections,
    )


def example() -> Registry:
    """The models that ship, read as plain YAML: names, titles and meta are all that a registry needs of them."""
    members: list[Member] = []
    joins: dict[str, tuple[str, ...]] = {}
    services: set[str] = set()
    for file in sorted(EXAMPLE.glob("*.yaml")):
        for cube in YAML(typ="safe").load(file.read_text(encoding="utf-8")).get("cubes", ()):
            joins[cube["name"]] = tuple(join["name"] for join in cube.get("joins", ()))
            for kind in MemberKind:
                members += [_member(cube["name"], kind, item) for item in cube.get(f"{kind.value}s", ())]
    for member in members:
        if member.name.endswith(".service"):
            services.update(member.meta["values"])
    return registry_of(
        Model(members=tuple(members), joins=joins),
        services=[Service(name=name, owner="team", tier=2) for name in sorted(services)],
    )


def _member(cube: str, kind: MemberKind, item: Mapping[str, Any]) -> Member:
    return Member(
        name=f"{cube}.{item['name']}",
        kind=kind,
        type=item.get("type", "boolean"),
        title=item.get("title", item["name"]),
        description=item.get("description", ""),
        public=item.get("public", not item.get("primary_key", False)),
        meta=item.get("meta", {}),
    )


@dataclass(frozen=True, slots=True)
class Questions:
    now: datetime
    rules: Rules
    items: tuple[Mapping[str, Any], ...]

    def ask(self, text: str, known: Registry) -> Answer:
        return resolve(Request(concept=text, subject=SUBJECT, at=self.now), known, self.rules)


def questions(name: str = "resolve.yaml") -> Questions:
    data = _read(name)
    now = datetime.fromisoformat(data["now"]).replace(tzinfo=ZoneInfo(data["zone"]))
    rules = Rules(zone=data["zone"], fiscal_month=data["fiscal_month"])
    return Questions(now, rules, tuple(data["questions"]))


def is_held_apart(text: str) -> bool:
    """Whether a question belongs to the half that nothing is fitted on."""
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 1


def _same(period: Period | None, wanted: list[str] | None, zone: str) -> bool:
    if period is None or wanted is None:
        return period is None and wanted is None
    first, after = (datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)) for text in wanted)
    return (period.start, period.end) == (first, after)


def period_is_right(item: Mapping[str, Any], answer: Resolution, zone: str) -> bool:
    parsed = answer.parsed
    return _same(parsed.period, item.get("period"), zone) and _same(parsed.compared, item.get("versus"), zone)


def question_is_right(item: Mapping[str, Any], answer: Resolution) -> bool:
    """Whether filters, groupings, cut and order are in the query that the store is asked."""
    if "asks" in item:
        return getattr(answer.question, "name", "") == item["asks"]
    if not {"where", "except", "by", "top", "every"} & set(item):
        return True
    query = answer.question
    if not isinstance(query, SemanticQuery):
        return False
    filters = {
        (part.member, part.operator): part.values for part in query.filters if isinstance(part, Filter)
    }
    wanted = [
        *((member, Operator.EQUALS, value) for member, value in item.get("where", {}).items()),
        *((member, Operator.NOT_EQUALS, value) for member, value in item.get("except", {}).items()),
    ]
    cut = query.time_dimensions[0].granularity if query.time_dimensions else None
    return (
        len(filters) == len(wanted)
        and all(value in filters.get((member, operator), ()) for member, operator, value in wanted)
        and list(query.dimensions) == item.get("by", [])
        and cut == item.get("every")
        and ("top" not in item or query.limit == item["top"])
    )
