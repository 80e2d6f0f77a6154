"""Thousands of requests of every kind through the policy, both ways of masking and stores that lie: nothing gets out."""

import asyncio
import json
import random
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from penelope.adapters.policy.context_opa import OpaGovernor, OpaServer
from penelope.adapters.policy.context_rego import EmbeddedGovernor, load_governor
from penelope.domain.access import Access, AccessQuestion, Masking, Subject, Verb
from penelope.domain.masking import mask
from penelope.domain.passage import Document, Passage
from penelope.domain.semantics import (
    AllOf,
    AnyOf,
    Condition,
    Filter,
    Member,
    MemberKind,
    Model,
    Operator,
    SemanticQuery,
    Table,
)
from penelope.errors import AccessBroken
from penelope.kit.call_breaker import BreakerState
from penelope.kit.guard import Guard, Patience
from penelope.rooms.context.assets import cube_asset, document_asset
from penelope.rooms.context.govern import Governed, Refusal, checked, govern, visible
from penelope.rooms.context.ports import Governor
from penelope.rooms.context.rows import meets

sys.path.append(str(Path(__file__).resolve().parents[1] / "ports" / "governors"))
import opa_shell

KEY = b"a key of the tests"
REGIONS, ROLES = (
    ("APAC", "EMEA", "AMER"),
    ("admin", "analyst", "support", "service", "agent", "intern", "root", ""),
)
PURPOSES = ("", "analysis", "support", "incident", "audit", "marketing", "curiosity")
CLASSES = {
    "orders.note": "internal",
    "orders.region": "internal",
    "orders.email": "pii",
    "orders.phone": "pii",
    "orders.margin": "restricted",
    "orders.revenue": "internal",
    "orders.best_margin": "internal",
    "orders.last_email": "internal",
    "orders.people_of_ann": "internal",
}
READS = {
    "orders.revenue": frozenset({"orders.amount"}),
    "orders.best_margin": frozenset({"orders.margin"}),
    "orders.last_email": frozenset({"orders.email"}),
    "orders.people_of_ann": frozenset({"orders.email"}),
}
DIMENSIONS = ("orders.note", "orders.region", "orders.email", "orders.phone", "orders.margin")
MEASURES = ("orders.revenue", "orders.best_margin", "orders.last_email")
ROWS: tuple[Mapping[str, Any], ...] = tuple(
    {
        "orders.note": f"note-{REGIONS[number % 3]}-{number}",
        "orders.region": REGIONS[number % 3],
        "orders.email": f"person{number}@clear.example",
        "orders.phone": f"+49 30 55{number:04d}",
        "orders.margin": 700_000 + number,
        "orders.amount": 2**number,
    }
    for number in range(24)
)
"""Every value is seen in one row only; sums of powers of two tell which rows are in them."""

MODEL = Model(
    members=tuple(
        Member(
            name=name,
            kind=MemberKind.MEASURE if name in MEASURES else MemberKind.DIMENSION,
            type="string",
            title=name,
            meta={"classification": kind, "owner": "team-orders"},
        )
        for name, kind in CLASSES.items()
    ),
    reads=READS,
)


def drawn_query(chance: random.Random) -> SemanticQuery:
    dimensions = tuple(chance.sample(DIMENSIONS, chance.randrange(4)))
    measures = tuple(chance.sample(MEASURES, chance.choice((0, 1, 1, 1, 2))))
    if chance.random() < 0.7:
        measures = tuple(name for name in measures if name == "orders.revenue") or ("orders.revenue",)
    filters = tuple(condition(chance, 2) for _ in range(chance.choice((0, 0, 1, 2))))
    order = (
        tuple((name, chance.random() < 0.5) for name in chance.sample((*dimensions, *measures), 1))
        if chance.random() < 0.3 and (dimensions or measures)
        else ()
    )
    segments = ("orders.people_of_ann",) if chance.random() < 0.03 else ()
    return SemanticQuery(
        measures=measures, dimensions=dimensions, filters=filters, segments=segments, order=order
    )


def condition(chance: random.Random, depth: int) -> Condition:
    if depth and chance.random() < 0.3:
        parts = tuple(condition(chance, depth - 1) for _ in range(chance.randrange(1, 3)))
        return chance.choice((AllOf, AnyOf))(parts=parts)
    member = chance.choice(DIMENSIONS if chance.random() < 0.4 else DIMENSIONS[:2])
    values = (str(chance.choice(ROWS)[member]), chance.choice(("APAC", "' OR 1=1 --", "%", "person")))
    operator = chance.choice(
        (Operator.EQUALS, Operator.NOT_EQUALS, Operator.CONTAINS, Operator.NOT_CONTAINS, Operator.SET)
    )
    return Filter(member=member, operator=operator, values=() if operator is Operator.SET else values)


@dataclass
class Warehouse:
    """A store over ROWS: `late` masks what comes out of it, as Cube's answers are masked; `lie` is how it misbehaves."""

    late: bool = False
    lie: str = ""

    def run(self, query: SemanticQuery, masks: Mapping[str, Masking]) -> Table:
        own = query.filters[:-1] if self.lie == "filters" else query.filters
        rows = [row for row in ROWS if all(meets(row, item) for item in own)]
        used = {} if self.lie == "masks" else masks
        groups: defaultdict[tuple[Any, ...], list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows:
            groups[
                tuple(self._shown(row, name, {} if self.late else used) for name in query.dimensions)
            ].append(row)
        found = []
        for key, members in groups.items():
            cells = [
                mask(cell, used[name], KEY) if self.late and name in used else cell
                for name, cell in zip(query.dimensions, key, strict=True)
            ]
            found.append((*cells, *(self._measure(name, members) for name in query.measures)))
        columns = (*query.dimensions, *query.measures)
        if self.lie == "columns":
            columns, found = (*columns, "orders.email"), [(*row, ROWS[0]["orders.email"]) for row in found]
        return Table(columns=columns, rows=tuple(found), query="SELECT …")

    @staticmethod
    def _shown(row: Mapping[str, Any], name: str, masks: Mapping[str, Masking]) -> Any:
        return mask(row[name], masks[name], KEY) if name in masks else row[name]

    @staticmethod
    def _measure(name: str, rows: Sequence[Mapping[str, Any]]) -> Any:
        if name == "orders.revenue":
            return sum(row["orders.amount"] for row in rows)
        return max(row["orders.margin" if name == "orders.best_margin" else "orders.email"] for row in rows)


@dataclass
class Tally:
    answered: int = 0
    refused: int = 0
    denied: int = 0
    broken: int = 0
    masked: int = 0
    texts: list[str] = field(default_factory=list)


def drawn_subject(chance: random.Random) -> Subject:
    return Subject(
        actor=chance.choice(("ann", "bob", "team-orders", "")),
        role=chance.choice(ROLES),
        region=chance.choice(("", *REGIONS, "apac", "' OR 1=1 --")),
        purpose=chance.choice(PURPOSES),
    )


def withheld(subject: Subject) -> tuple[set[str], bool]:
    """By the words of the policy, and not by its answer: the columns whose clear values must not get out to a subject,
    and whether rows of other regions must not.
    """
    if subject.purpose == "marketing":
        people = {"orders.email", "orders.phone"}
    else:
        people = set() if subject.role == "admin" else {"orders.email", "orders.phone"}
    if subject.actor == "team-orders":
        return (people if subject.purpose == "marketing" else set()), False
    bound = subject.role in {"support", "intern"} or (
        subject.role in {"analyst", "agent"} and subject.region != ""
    )
    return people | {"orders.margin"}, bound


def leaks(subject: Subject, query: SemanticQuery, told: Any) -> list[str]:
    """What is in an answer, an error or a refusal that must not be; values that the asker sent are no news."""
    columns, bound = withheld(subject)
    text, sent = json.dumps(told, default=str), repr(query.filters)
    found = [
        str(row[name])
        for row in ROWS
        for name in columns
        if str(row[name]) in text and str(row[name]) not in sent
    ]
    if bound:
        others = [row for row in ROWS if row["orders.region"] != subject.region]
        found += [row["orders.note"] for row in others if json.dumps(row["orders.note"]) in text]
    return found


def asked_by(query: SemanticQuery) -> set[str]:
    """The columns that a question filters, orders or calculates with."""
    found = {name for item in query.filters for name in named(item)} | {name for name, _ in query.order}
    return found.union(*(READS[name] for name in (*query.measures, *query.segments)))


def named(condition: Condition) -> set[str]:
    if isinstance(condition, Filter):
        return {condition.member}
    return set().union(*(named(part) for part in condition.parts))


def sums_leak(subject: Subject, table: Table) -> bool:
    """Whether a sum has a row of another region in it."""
    if not withheld(subject)[1] or "orders.revenue" not in table.columns:
        return False
    place = table.columns.index("orders.revenue")
    others = sum(row["orders.amount"] for row in ROWS if row["orders.region"] != subject.region)
    return any(row[place] & others for row in table.rows)


async def play(governor: Governor, chance: random.Random, tally: Tally, *, down: bool) -> None:
    """One request from its question to whatever is told of it."""
    subject, query = drawn_subject(chance), drawn_query(chance)
    question = AccessQuestion(subject=subject, verb=Verb.READ, asset=cube_asset(MODEL, "orders"))
    [access] = await governor.judge([question])
    if down:
        assert not access.allow
        assert access.failed
    found = govern(query, {"orders": access}, MODEL)
    if isinstance(found, Refusal):
        tally.denied += not access.allow
        tally.refused += access.allow
        assert leaks(subject, query, [found.reasons, access.failed]) == []
        return
    assert not down
    # Whoever may filter or order by a value can find it out, whatever is shown of it.
    assert not asked_by(query) & withheld(subject)[0]
    told = asked(found, chance, tally)
    assert leaks(subject, query, told.rows if isinstance(told, Table) else told) == []
    if isinstance(told, Table):
        assert not sums_leak(subject, told)
        tally.masked += bool(found.masks or found.nulls)


def asked(found: Governed, chance: random.Random, tally: Tally) -> Table | str:
    lies = [""] * 6 + ["masks", "columns"]
    if found.row_filters and "orders.region" in found.query.dimensions:
        lies.append("filters")
    store = Warehouse(late=chance.random() < 0.5, lie=chance.choice(lies))
    try:
        told = checked(store.run(found.query, found.masks), found)
    except AccessBroken as error:
        assert store.lie
        tally.broken += 1
        return f"{error.message} {error!r} {error.__cause__!r}"
    tally.answered += 1
    return told


def test_nothing_gets_out_through_the_embedded_policy() -> None:
    tally, chance = Tally(), random.Random(20261122)
    governor = load_governor([])

    async def run() -> None:
        for _ in range(6000):
            await play(governor, chance, tally, down=False)

    asyncio.run(run())
    assert tally.answered > 800, tally
    assert tally.masked > 200, tally
    assert tally.broken > 50, tally
    assert tally.refused > 200, tally
    assert tally.denied > 1000, tally


class Failing:
    """The shipped policy behind HTTP, that answers by what `mode` says."""

    def __init__(self) -> None:
        self.engine: EmbeddedGovernor = load_governor([])
        self.mode = "up"

    def answer(self, _: str, given: Any) -> Any:
        answers: dict[str, Callable[[], Any]] = {
            "up": lambda: {
                str(index): found for index, found in enumerate(self.engine.decisions(given["questions"]))
            },
            "undefined": lambda: None,
            "garbage": lambda: {"0": {"allow": "yes"}},
            "half": lambda: {"0": {"allow": True, "row_filters": [], "reasons": []}},
            "list": lambda: [True],
            "crash": lambda: 1 / 0,
        }
        return answers[self.mode]()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_while_the_policy_engine_fails_everything_is_denied(capfd: pytest.CaptureFixture[str]) -> None:
    tally, chance, failing = Tally(), random.Random(7), Failing()
    patience = Patience(timeout_seconds=2, attempts=1, failures=5, recovery_seconds=0.05)
    guard = Guard("policy", patience)

    async def run(governor: Governor) -> None:
        for mode in ("up", "undefined", "up", "garbage", "half", "list", "up", "crash", "up"):
            failing.mode = mode
            if mode == "up":
                await asyncio.sleep(0.06)
            for _ in range(100):
                await play(governor, chance, tally, down=mode != "up")
            if mode in {"undefined", "list", "crash"}:
                assert guard.state().breaker is not BreakerState.CLOSED

    with ExitStack() as stack:
        url = stack.enter_context(opa_shell.shell(failing.answer))
        asyncio.run(run(OpaGovernor(OpaServer(url=url, timeout_seconds=2), guard)))
    assert tally.answered > 20, tally
    assert tally.denied > 500, tally
    assert (
        "Traceback" in capfd.readouterr().err
    )  # of the shell's crashes, and of nothing else: they are its own


def test_of_documents_only_those_are_seen_whole_that_may_be() -> None:
    chance, governor = random.Random(11), load_governor([])
    kinds = ("public", "internal", "confidential", "restricted", "pii")
    passages = [
        Passage(
            document=Document(
                id=f"d{number}",
                kind="guide",
                title=f"{kinds[number % 5]}-{number}",
                source="",
                digest="",
                classification=document_class(kinds[number % 5]),
                owner="team-orders",
            ),
            heading="",
            text="",
            score=1.0,
            by=("words",),
        )
        for number in range(25)
    ]

    async def seen(subject: Subject) -> set[str]:
        questions = [
            AccessQuestion(subject=subject, verb=Verb.READ, asset=document_asset(item.document))
            for item in passages
        ]
        found = visible(passages, await governor.judge(questions))
        return {item.document.title.partition("-")[0] for item in found}

    async def run() -> None:
        for _ in range(300):
            subject = drawn_subject(chance)
            told = await seen(subject)
            if subject.actor != "team-orders":
                assert "restricted" not in told
                if subject.role not in {"admin", "support"}:
                    assert "pii" not in told
            if subject.role in {"root", ""} or subject.purpose == "curiosity" or not subject.actor:
                assert told == set()

    asyncio.run(run())


def document_class(name: str) -> Any:
    return cube_asset(
        Model(
            members=(
                Member(
                    name="x.x",
                    kind=MemberKind.DIMENSION,
                    type="string",
                    title="",
                    meta={"classification": name},
                ),
            )
        ),
        "x",
    ).classification


def test_the_search_for_leaks_finds_them() -> None:
    subject = Subject(actor="ann", role="support", region="APAC")
    query = SemanticQuery()
    assert leaks(subject, query, ["person3@clear.example"])
    assert leaks(subject, query, ["note-EMEA-1"])
    assert leaks(subject, query, [700_003])
    assert not leaks(subject, query, ["note-APAC-0", "***0003"])
    table = Table(columns=("orders.revenue",), rows=((2**0 + 2**1,),), query="")
    assert sums_leak(subject, table)
    assert not sums_leak(subject, Table(columns=("orders.revenue",), rows=((2**0 + 2**3,),), query=""))
    assert sums_leak(subject, Warehouse(lie="").run(SemanticQuery(measures=("orders.revenue",)), {}))
    assert Access(allow=False).failed == ""
