"""The decision audit: every filter and page is right and answered from an index, on both databases."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.decision import Judgement
from penelope.domain.outcome import Outcome, OutcomeKind
from penelope.domain.work import Change
from penelope.flow.audit import DecisionFilter, DecisionRow, Window
from penelope.flow.records import of_approval
from penelope.kit.clock import timestamp
from penelope.store import decisions
from penelope.store.audit import SqlAudit
from penelope.store.bulk import statements
from penelope.store.decisions import A_MOMENT, band, first_id, words

OnStores = Callable[[Any], None]

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
LAST_ID = 2**63 - 1
MADE = 240


def decided(number: int = 1, **changes: Any) -> Change:
    """A decision about an incident, as the story words it."""
    told = {"service": "shop", "judgement": "intervene", "risk": 0.5, "playbook": "roll-back", "uses": (0, 0)}
    told |= {name: changes.pop(name) for name in list(changes) if name in told}
    successes, failures = told["uses"]
    precedent = {
        "playbook": told["playbook"] or "roll-back",
        "service": told["service"],
        "successes": successes,
        "failures": failures,
    }
    made = Change(
        unit=f"inc_{number:03}:decision",
        kind="decision",
        incident=f"inc_{number:03}",
        status=told["judgement"],
        attributes={"n": random.random()},
        event="DecisionMade",
        actor="penelope",
        reason="playbook roll-back fits",
        details={
            "service": told["service"],
            "judgement": told["judgement"],
            "risk": {"value": told["risk"], "contributions": []},
            "confidence": {"value": 0.75, "contributions": []},
            "playbook": told["playbook"],
            "precedents": [precedent] if successes + failures else [],
        },
    )
    return replace(made, **changes)


def refused(number: int, at: datetime) -> Change:
    approval = Approval(
        id=f"approval-{number}",
        incident=f"inc_{number:03}",
        plan_digest="0" * 64,
        reasons=(),
        status=ApprovalStatus.REJECTED,
        requested_at=at,
        expires_at=at,
    )
    return of_approval(approval, "ApprovalRefused", "no", actor="key:ada")


async def keep(store: Any, *changes: Change, at: datetime = NOW) -> None:
    async with store.transaction(at) as transaction:
        await transaction.save(*changes)


async def pages(
    audit: SqlAudit, wanted: DecisionFilter, limit: int = 7
) -> AsyncIterator[Sequence[DecisionRow]]:
    before = None
    while found := await audit.decisions(wanted, before=before, limit=limit):
        assert len(found) <= limit
        yield found
        before = found[-1].id


async def listed(audit: SqlAudit, **wanted: Any) -> list[DecisionRow]:
    return [row async for found in pages(audit, DecisionFilter(**wanted)) for row in found]


async def furnish(store: Any) -> None:
    """Some hundred decisions of every kind, three at each moment, and some of them overridden."""
    chance = random.Random(7)
    for moment in range(MADE // 3):
        at = NOW + timedelta(seconds=moment)
        changes = [
            decided(
                moment * 2 + number,
                service=chance.choice(["shop", "bank", "post"]),
                judgement=chance.choice(["observe", "intervene", "escalate"]),
                risk=chance.choice([0.0, 0.05, 0.31, 0.33, 0.7, 0.95, 1.0, round(chance.random(), 3)]),
                playbook=chance.choice([None, "roll-back", "restart"]),
                uses=chance.choice([(0, 0), (3, 1)]),
                actor=chance.choice(["penelope", "agent:sage"]),
                reason=chance.choice(
                    ["Latency rose, errors too", "ERRORS rose; p99 of 1.5 s", "änders_Ärger"]
                ),
            )
            for number in range(3)
        ]
        await keep(store, *changes, at=at)
        if chance.random() < 0.2:
            await keep(store, refused(moment * 2 + 1, at), at=at)


def fits(row: DecisionRow, wanted: DecisionFilter) -> bool:
    """The filter once more, in the plainest way."""
    for name in ("service", "judgement", "actor", "playbook", "incident"):
        if getattr(wanted, name) is not None and getattr(row, name) != getattr(wanted, name):
            return False
    low, high = wanted.risk_min or 0.0, 1.0 if wanted.risk_max is None else wanted.risk_max
    said = set(words(f"{row.rationale} {row.service} {row.playbook or ''}"))
    return (
        low <= row.risk <= high
        and (wanted.since is None or row.decided_at >= wanted.since)
        and (wanted.until is None or row.decided_at < wanted.until)
        and (wanted.text is None or set(words(wanted.text)) <= said)
    )


SINGLE: dict[str, Sequence[Any]] = {
    "service": ["shop", "nowhere"],
    "judgement": list(Judgement),
    "risk_min": [0.0, 0.31, 0.7, 0.95, 1.0],
    "risk_max": [0.0, 0.05, 0.33, 0.95, 1.0],
    "actor": ["penelope", "agent:sage", "nobody"],
    "playbook": ["restart", "dance"],
    "incident": ["inc_004", "inc_nowhere"],
    "since": [NOW, NOW + timedelta(seconds=70), NOW + timedelta(days=1), datetime.min.replace(tzinfo=UTC)],
    "until": [NOW, NOW + timedelta(seconds=3), datetime.max.replace(tzinfo=UTC)],
    "text": ["errors", "ROSE errors", "rose, shop", "Ärger", "p99", "1.5", "roll-back", "late", "rose dance"],
}


def test_every_filter_finds_what_fits_page_by_page_and_newest_first(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await furnish(store)
        audit = SqlAudit(store.reading)
        everything = await listed(audit)
        assert len(everything) == MADE
        assert all(before.id > after.id for before, after in pairwise(everything))
        assert all(before.decided_at >= after.decided_at for before, after in pairwise(everything))
        assert {field.name for field in fields(DecisionFilter)} == set(SINGLE)
        chance = random.Random(3)
        questions = [{name: value} for name, values in SINGLE.items() for value in values]
        questions += [
            {name: chance.choice(SINGLE[name]) for name in chance.sample(list(SINGLE), chance.randint(2, 4))}
            for _ in range(60)
        ]
        found = 0
        for question in questions:
            expected = [row for row in everything if fits(row, DecisionFilter(**question))]
            assert await listed(audit, **question) == expected, question
            found += bool(expected)
        assert found > len(SINGLE)

    on_stores(scene)


def test_a_row_tells_all_of_a_decision(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await keep(store, decided(1, uses=(3, 1), risk=0.7))
        later = NOW + timedelta(seconds=1, microseconds=5)
        await keep(store, decided(1, playbook=None, judgement="escalate"), at=later)
        audit = SqlAudit(store.reading)
        second, first = await listed(audit)
        assert first == DecisionRow(
            id=first.id,
            unit="inc_001:decision",
            version=1,
            incident="inc_001",
            service="shop",
            judgement=Judgement.INTERVENE,
            risk=0.7,
            confidence=0.75,
            playbook="roll-back",
            actor="penelope",
            rationale="playbook roll-back fits",
            precedents=4,
            decided_at=NOW,
            overridden_by=None,
            overridden_at=None,
        )
        assert (second.version, second.decided_at, second.playbook) == (2, later, None)
        assert first.id // A_MOMENT == first_id(NOW) // A_MOMENT

    on_stores(scene)


def test_pages_stay_right_while_decisions_come_in(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        for number in range(6):
            await keep(store, decided(number), at=NOW + timedelta(seconds=number))
        audit = SqlAudit(store.reading)
        seen: list[str] = []
        async for found in pages(audit, DecisionFilter(), limit=2):
            seen += [row.incident for row in found]
            await keep(store, decided(100 + len(seen)), at=NOW + timedelta(minutes=len(seen)))
        assert seen == [f"inc_{number:03}" for number in reversed(range(6))]

    on_stores(scene)


def test_decisions_of_one_moment_are_told_apart(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await keep(store, *(decided(number) for number in range(20)))
        for number in range(20, 40):
            await keep(store, decided(number))
        rows = await listed(SqlAudit(store.reading))
        assert [row.incident for row in rows] == [f"inc_{number:03}" for number in reversed(range(40))]
        assert {row.decided_at for row in rows} == {NOW}

    on_stores(scene)


def test_who_refuses_a_plan_overrides_the_latest_decision(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await keep(store, decided(1), decided(2))
        await keep(store, decided(1), at=NOW + timedelta(seconds=1))
        at = NOW + timedelta(seconds=2)
        await keep(store, refused(1, at), refused(9, at), at=at)
        rows = await listed(SqlAudit(store.reading))
        overridden = [(row.incident, row.version, row.overridden_by, row.overridden_at) for row in rows]
        assert overridden == [
            ("inc_001", 2, "key:ada", at),
            ("inc_002", 1, None, None),
            ("inc_001", 1, None, None),
        ]

    on_stores(scene)


def test_what_a_rule_of_the_gate_refuses_is_overridden_by_nobody(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await keep(store, decided(1))
        at = NOW + timedelta(seconds=2)
        await keep(store, replace(refused(1, at), actor="penelope"), at=at)
        (row,) = await listed(SqlAudit(store.reading))
        assert (row.overridden_by, row.overridden_at) == (None, None)

    on_stores(scene)


def test_what_cannot_be_audited_is_not_saved(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        silent = decided(1)
        silent.details.pop("risk")  # type: ignore[attr-defined]  # a dict, here
        with pytest.raises(ValueError, match="risk"):
            await keep(store, silent)
        await store.sql("ALTER TABLE decisions RENAME TO lost")
        with pytest.raises(DBAPIError):
            await keep(store, decided(1))
        await keep(store, replace(decided(2), kind="plan"))
        await store.sql("ALTER TABLE lost RENAME TO decisions")
        assert [unit.id for unit in await store.reader.units("inc_001")] == []
        assert [unit.id for unit in await store.reader.units("inc_002")] == ["inc_002:decision"]
        assert await listed(SqlAudit(store.reading)) == []

    on_stores(scene)


# --- text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        'rose" OR "shop',
        "rose*",
        "rose NOT shop",
        "words:rose",
        "NEAR(rose shop)",
        "^rose",
        "'; DROP TABLE decisions; --",
        "rose & shop | bank",
        "\x00",
        "🙈",
        "{rose}",
        "x" * 5000,
        "",
        "İ",
    ],
)
def test_a_question_for_text_is_words_whatever_it_looks_like(on_stores: OnStores, text: str) -> None:
    async def scene(store: Any) -> None:
        await keep(
            store, decided(1, reason="the rose or not shop"), decided(2, reason="drop table decisions")
        )
        audit = SqlAudit(store.reading)
        every = await listed(audit)
        assert len(every) == 2
        wanted = DecisionFilter(text=text)
        expected = [row for row in every if fits(row, wanted)]
        assert await listed(audit, text=text) == expected

    on_stores(scene)


def test_hostile_rationales_are_kept_and_found(on_stores: OnStores) -> None:
    reasons = ["y" * 100_000, "日本語 が 遅い", "𞤀𞤣𞤤𞤢𞤥 _a_b-c", "\" ' \\ %s :x {} $1", "\ud7ff☃"]

    async def scene(store: Any) -> None:
        await keep(store, *(decided(number, reason=reason) for number, reason in enumerate(reasons)))
        audit = SqlAudit(store.reading)
        for asked, number in (("y" * 64, 0), ("遅い 日本語", 1), ("𞤀𞤣𞤤𞤢𞤥 B", 2), ("$1 %s", 3)):
            assert [row.rationale for row in await listed(audit, text=asked)] == [reasons[number]]

    on_stores(scene)


def test_words_are_letters_and_digits_without_case() -> None:
    assert words("Risk 0.75 ≤ rOll_back, RISK; Straße") == ["risk", "0", "75", "roll", "back", "strasse"]
    assert words("-- * \x00 ☃") == []


# --- figures ----------------------------------------------------------------------------------------------


def nearest_rank(values: Sequence[float], share: int) -> float:
    return sorted(values)[ceil(len(values) * share / 100) - 1]


@pytest.mark.parametrize("service", [None, "shop", "nowhere"])
def test_statistics_count_exactly_what_is_in_the_window(on_stores: OnStores, service: str | None) -> None:
    async def scene(store: Any) -> None:
        await furnish(store)
        audit = SqlAudit(store.reading)
        for begin, end in ((0, 1000), (10, 40), (33, 34), (500, 600)):
            window = Window(
                since=NOW + timedelta(seconds=begin), until=NOW + timedelta(seconds=end), service=service
            )
            rows = await listed(audit, since=window.since, until=window.until, service=service)
            found = await audit.statistics(window)
            assert found.decisions == len(rows)
            for judgement in Judgement:
                expected = sum(row.judgement is judgement for row in rows)
                assert found.by_judgement[judgement] == expected
            assert found.with_precedents == sum(row.precedents > 0 for row in rows)
            assert found.overridden == sum(row.overridden_by is not None for row in rows)
            if not rows:
                assert found.risk is None
                continue
            risks = [row.risk for row in rows]
            assert found.risk is not None
            assert [found.risk.p50, found.risk.p90, found.risk.p99] == [
                nearest_rank(risks, share) for share in (50, 90, 99)
            ]

    on_stores(scene)


@pytest.mark.parametrize("service", [None, "bank"])
def test_the_riskiest_come_first_and_the_newest_of_equal_ones(
    on_stores: OnStores, service: str | None
) -> None:
    async def scene(store: Any) -> None:
        await furnish(store)
        audit = SqlAudit(store.reading)
        every = [row for row in await listed(audit, service=service) if row.risk >= 0.7]
        every.sort(key=lambda row: (row.risk, row.id), reverse=True)
        found: list[DecisionRow] = []
        below = None
        while more := await audit.high_risk(0.7, service=service, below=below, limit=5):
            found += more
            below = more[-1].risk, more[-1].id
        assert found == every
        assert len({row.risk for row in found}) < len(found)

    on_stores(scene)


def test_precedents_are_shown_with_the_cases_before_the_decision(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        async with store.transaction() as transaction:
            for number in range(4):
                outcome = Outcome(
                    incident=f"inc_old_{number}",
                    service="shop" if number else "bank",
                    kind=OutcomeKind.HEALED,
                    reason="done",
                    acted=True,
                    ended_at=NOW + timedelta(seconds=number),
                    total_seconds=1.0,
                    playbook="roll-back",
                    verified=number != 1,
                )
                await transaction.add_outcome(outcome)
        audit = SqlAudit(store.reading)
        await keep(store, decided(1, uses=(1, 1)), at=NOW + timedelta(seconds=2))
        await keep(store, decided(1), at=NOW + timedelta(seconds=9))
        assert await audit.precedents("inc_002", None) is None
        assert await audit.precedents("inc_001", 3) is None
        latest = await audit.precedents("inc_001", None)
        assert (latest.decision.version, latest.precedents) == (2, [])
        found = await audit.precedents("inc_001", 1)
        assert found.decision.version == 1
        ((precedent, cases),) = found.precedents
        assert (precedent.playbook, precedent.successes, precedent.failures) == ("roll-back", 1, 1)
        assert [(case.incident, case.verified) for case in cases] == [
            ("inc_old_2", True),
            ("inc_old_1", False),
        ]
        assert cases[0].ended_at == NOW + timedelta(seconds=2)

    on_stores(scene)


def test_ids_follow_time_and_end_where_numbers_end() -> None:
    step = timedelta(microseconds=1)
    assert first_id(NOW + step) - first_id(NOW) == A_MOMENT
    assert first_id(datetime.min.replace(tzinfo=UTC)) == 0
    assert first_id(datetime.max.replace(tzinfo=UTC)) == LAST_ID
    assert first_id(datetime(2255, 1, 1, tzinfo=UTC)) < LAST_ID
    assert [band(risk) for risk in (0.0, 0.049, 0.05, 0.999, 1.0)] == [0, 0, 1, 19, 19]


# --- no scans ---------------------------------------------------------------------------------------------

PLANNED: list[dict[str, Any]] = [
    {},
    {"service": "service-3"},
    {"judgement": Judgement.ESCALATE},
    {"actor": "key:ada"},
    {"playbook": "playbook-7"},
    {"incident": "inc_000500"},
    {"text": "playbook-7 fits"},
    {"text": "playbook-7 fits", "incident": "inc_000500"},
    {"since": NOW + timedelta(seconds=100), "until": NOW + timedelta(seconds=200)},
    {"risk_min": 0.83},
    {"risk_min": 0.5, "risk_max": 0.6},
    {"service": "service-3", "judgement": Judgement.ESCALATE},
    {"service": "service-3", "risk_min": 0.9},
    {"service": "service-3", "since": NOW + timedelta(seconds=100)},
    {"judgement": Judgement.OBSERVE, "until": NOW + timedelta(seconds=100)},
    {"service": "service-3", "judgement": Judgement.ESCALATE, "risk_max": 0.2, "text": "fits"},
]


def many(count: int) -> list[tuple[Any, ...]]:
    """Rows as `written` makes them, without the way through history."""
    chance = random.Random(11)
    rows = []
    for number in range(count):
        at = NOW + timedelta(seconds=number)
        playbook, service = f"playbook-{chance.randrange(20)}", f"service-{chance.randrange(50)}"
        risk, judgement = chance.random(), chance.choice(list(Judgement)).value
        made = {
            "id": first_id(at),
            "unit": f"inc_{number:06}:decision",
            "version": 1,
            "incident": f"inc_{number:06}",
            "service": service,
            "judgement": judgement,
            "risk": risk,
            "risk_band": band(risk),
            "confidence": 0.5,
            "playbook": playbook,
            "actor": "penelope" if number % 50 else "key:ada",
            "rationale": f"{playbook} fits",
            "words": " ".join(words(f"{playbook} fits {service}")),
            "precedents": number % 2,
            "precedent_list": "[]",
            "decided_at": timestamp(at),
            "broken": None,
        }
        rows.append(tuple(made[name] for name in decisions._WRITTEN))
    return rows


async def fill(store: Any, count: int) -> None:
    large = store.writer.dialect.name == "postgresql"
    statement = (decisions._on_postgresql() if large else decisions._on_sqlite()).insert
    async with store.writer.begin() as connection:
        parameters = statements(store.writer.dialect.name).parameters(many(count))
        await connection.exec_driver_sql(statement, parameters)
        await connection.exec_driver_sql("ANALYZE decisions" if large else "SELECT 1")


async def plans(store: Any, ask: Callable[[SqlAudit], Any]) -> list[list[str]]:
    """How the database answers each statement that a question leads to."""
    heard: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            heard.append((statement, parameters))

    event.listen(store.reading.sync_engine, "before_cursor_execute", hear)
    try:
        await ask(SqlAudit(store.reading))
    finally:
        event.remove(store.reading.sync_engine, "before_cursor_execute", hear)
    explain = "EXPLAIN QUERY PLAN" if store.reading.dialect.name == "sqlite" else "EXPLAIN"
    found = []
    async with store.reading.connect() as connection:
        for statement, parameters in heard:
            lines = await connection.exec_driver_sql(f"{explain} {statement}", parameters)
            found.append([str(line[-1]).strip() for line in lines])
    return found


def scans(plan: Sequence[str]) -> list[str]:
    """Steps that go through the whole table, or, on SQLite, put what they found into order.

    PostgreSQL sorts where it expects to find a few rows only.
    """
    signs = ("SCAN decisions", "Seq Scan on decisions", "TEMP B-TREE FOR ORDER")
    steps = [step for step in plan if "SCAN decisions_text" not in step]
    return [step for step in steps if any(sign in step for sign in signs)]


def test_no_page_is_answered_by_a_scan(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await fill(store, 20_000)
        for question in PLANNED:
            wanted = DecisionFilter(**question)
            (plan,) = await plans(
                store, lambda audit, wanted=wanted: audit.decisions(wanted, before=LAST_ID, limit=50)
            )
            assert scans(plan) == [], (question, plan)
        for service in (None, "service-3"):
            ask = partial(_riskiest, service=service)
            for plan in await plans(store, ask):
                assert scans(plan) == [], plan

    on_stores(scene)


async def _riskiest(audit: SqlAudit, service: str | None) -> None:
    await audit.high_risk(0.7, service=service, below=None, limit=50)
    await audit.high_risk(0.7, service=service, below=(0.8, LAST_ID), limit=50)


def test_statistics_and_precedents_read_nothing_but_their_part_of_an_index(on_stores: OnStores) -> None:
    async def scene(store: Any) -> None:
        await fill(store, 20_000)
        for service in (None, "service-3"):
            window = Window(
                since=NOW + timedelta(seconds=100), until=NOW + timedelta(seconds=900), service=service
            )
            counts, *risks = await plans(store, lambda audit, window=window: audit.statistics(window))
            assert len(risks) == 3
            for plan in (counts, *risks):
                assert not any("SCAN decisions" in step or "Seq Scan" in step for step in plan), plan
            if store.reading.dialect.name == "sqlite":
                name = "service" if service else "time"
                assert f"USING COVERING INDEX ix_decisions_{name} " in counts[0]
                assert all("USING COVERING INDEX" in plan[0] for plan in risks)
        for plan in await plans(store, lambda audit: audit.precedents("inc_000500", None)):
            assert scans(plan) == []

    on_stores(scene)


# --- what it says is held against history -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "UPDATE decisions SET risk = 0.1, risk_band = 2",
            "is listed by the audit as something that it is not",
        ),
        ("UPDATE decisions SET actor = 'key:eve'", "is listed by the audit as something that it is not"),
        ("UPDATE decisions SET id = id - 5000", "is listed by the audit as something that it is not"),
        ("UPDATE decisions SET version = 7", "is listed by the audit and in no history"),
        ("UPDATE decisions SET unit = 'elsewhere'", "is listed by the audit and in no history"),
        ("DELETE FROM decisions", "is a decision that the audit does not list"),
    ],
)
def test_a_row_that_says_something_else_is_found(on_stores: OnStores, statement: str, says: str) -> None:
    async def scene(store: Any) -> None:
        async with store.transaction(NOW) as transaction:
            await transaction.save(decided())
        assert await store.flaws() == []
        assert await store.sql(statement) == 1
        assert says in {flaw.problem for flaw in await store.flaws()}

    on_stores(scene)
