"""The known ways in which people's words are counted wrongly, each tried on a whole Penelope behind its interface."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from committing import commit
from doorstep import Doorstep, settings

from penelope.domain.approval import Approval, ApprovalStatus
from penelope.domain.incident import Incident, IncidentState
from penelope.domain.people import Voter
from penelope.domain.quorum import Bench
from penelope.domain.signal import Severity
from penelope.errors import AlreadyDecided, InvalidLink
from penelope.flow import records
from penelope.flow.approvals import ApprovalDesk, Token, Word
from penelope.flow.approving import _look as look
from penelope.flow.keys import Scope
from penelope.flow.links import Links
from penelope.kit.codec import from_data
from penelope.store.database import migrate, open_engine, parse_url
from penelope.store.reader import SqlReader
from penelope.store.transaction import SqlTransaction

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
PEOPLE = [
    "ada@example.com aka=ada,a.lovelace roles=dba slack=U0ADA",
    "bob@example.com aka=bob slack=U0BOB",
]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doorstep]:
    wanted = settings(
        tmp_path_factory.mktemp("words"),
        approval={"quorum": ["tier 1: 2 approver"], "people": PEOPLE},
        notify={"slack_signing_secret": SECRET},
        # Many incidents of one service: nothing but the words of people shall stop them here.
        gate={"halt_failures": 1000, "rate_actions": 1000},
        decide={"confidence_floor": 0.1, "recheck_seconds": 0.1},
        brakes=dict.fromkeys(
            ("playbook_failures", "cause_failures", "fleet_failures", "playbook_actions"), 1000
        ),
    )
    with Doorstep(wanted) as door:
        yield door


_numbers = iter(range(1, 1000))


def waiting(door: Doorstep) -> tuple[str, str]:
    """An incident that waits for a word, and the request."""
    name = f"odd-{next(_numbers)}"
    incident = door.open(id=name, type=name, data={"labels": {"stuck": "yes"}})
    door.wait_for(incident, "awaiting_approval")
    (request,) = [
        item
        for item in door.get("/api/v1/approvals", params={"status": "pending", "limit": 500})["approvals"]
        if item["incident"] == incident
    ]
    return incident, request["id"]


def key_of(door: Doorstep, name: str, owner: str | None = None) -> str:
    return door.new_key(name=name, scopes=frozenset({Scope.APPROVE}), owner=owner)[1]


def say(door: Doorstep, request: str, word: str, key: str, **body: Any) -> httpx.Response:
    return door.ask("POST", f"/api/v1/approvals/{request}/{word}", key=key, json=body)


class TestOneApproverIsNotCountedTwice:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            (("ada", None), ("ADA", None)),
            (("laptop", "ada@example.com"), ("phone", "Ada+phone@Example.com")),
            (("ada", None), ("work", "ada@example.com")),
            (("ada", None), ("a.lovelace", None)),
            (("ci", "carl@example.com"), ("cli", "carl@example.com")),
            (("laptop", None), ("phone", None)),
        ],
    )
    def test_under_two_keys_or_spellings(self, door: Doorstep, first: Any, second: Any) -> None:
        _, request = waiting(door)
        one, two = key_of(door, *first), key_of(door, *second)
        assert say(door, request, "approve", one).json()["status"] == "pending"
        again = say(door, request, "approve", two).json()
        assert (again["status"], len(again["votes"])) == ("pending", 1)
        assert say(door, request, "approve", key_of(door, "bob")).json()["status"] == "approved"

    def test_on_two_channels(self, door: Doorstep) -> None:
        _, request = waiting(door)
        assert say(door, request, "approve", key_of(door, "ada")).json()["status"] == "pending"
        pressed = press(door, "U0ADA", request)
        assert (pressed.status_code, pressed.json()) == (200, {"status": "pending"})

    def test_by_handing_the_seat_on_and_voting_all_the_same(self, door: Doorstep) -> None:
        _, request = waiting(door)
        ada, bob = key_of(door, "ada"), key_of(door, "bob")
        assert say(door, request, "delegate", ada, to="bob").status_code == 200
        door.problem(403, "forbidden", lambda: say(door, request, "approve", ada))
        # The delegate votes as himself: once.
        assert say(door, request, "approve", bob).json()["status"] == "pending"
        assert len(say(door, request, "approve", bob).json()["votes"]) == 1

    def test_nor_kept_from_voting_under_a_name_for_the_vote(self, door: Doorstep) -> None:
        _, request = waiting(door)
        bob = key_of(door, "bob")
        door.problem(400, "invalid_request", lambda: say(door, request, "approve", bob, id="adas-vote"))

    def test_as_an_agent_beside_its_owner(self, door: Doorstep) -> None:
        _, request = waiting(door)
        agent = key_of(door, "helper", "agent:helper")
        door.problem(403, "forbidden", lambda: say(door, request, "approve", agent))


class TestAWordComesTooLate:
    def test_after_the_decision(self, door: Doorstep) -> None:
        incident, request = waiting(door)
        no = say(door, request, "reject", key_of(door, "ada"), reason="not tonight")
        assert no.json()["status"] == "rejected"
        door.wait_for(incident, "escalated")
        problem = door.problem(
            409, "already_decided", lambda: say(door, request, "approve", key_of(door, "bob"))
        )
        assert "rejected by key:ada" in problem["detail"]
        units = door.get(f"/api/v1/incidents/{incident}")["units"]
        assert [unit for unit in units if unit["kind"] == "action"] == []

    def test_a_rejection_is_not_overridden_by_breaking_the_glass(self, door: Doorstep) -> None:
        incident, request = waiting(door)
        say(door, request, "reject", key_of(door, "ada"), reason="never")
        door.wait_for(incident, "escalated")
        path = f"/api/v1/incidents/{incident}/break-glass"
        problem = door.problem(409, "already_decided", lambda: door.ask("POST", path, json={"reason": "but"}))
        assert "rejected this plan" in problem["detail"]

    def test_after_it_was_withdrawn(self, door: Doorstep) -> None:
        incident, request = waiting(door)
        assert say(door, request, "cancel", key_of(door, "ada"), reason="wrong shop").status_code == 200
        door.wait_for(incident, "escalated")
        door.problem(409, "already_decided", lambda: say(door, request, "approve", key_of(door, "bob")))

    def test_a_rejection_without_a_reason_is_none(self, door: Doorstep) -> None:
        _, request = waiting(door)
        for body in ({}, {"reason": ""}, {"reason": "  "}):
            door.problem(
                400,
                "invalid_request",
                lambda body=body: say(door, request, "reject", key_of(door, "ada"), **body),
            )


# --- Slack ------------------------------------------------------------------------------------------------


def pressed_body(user: str, request: str, action: str = "penelope_approve", reason: str = "") -> bytes:
    payload = {
        "type": "block_actions",
        "user": {"id": user},
        "actions": [{"action_id": action, "value": request}],
        "state": {"values": {"penelope_reason": {"penelope_reason": {"value": reason}}}},
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def signed(body: bytes, *, secret: str = SECRET, age: float = 0) -> dict[str, str]:
    stamp = str(int(time.time() - age))
    mac = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={mac}"}


def post(door: Doorstep, body: bytes, headers: dict[str, str]) -> httpx.Response:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    return door.ask("POST", "/api/v1/slack/actions", key=None, content=body, headers={**form, **headers})


def press(door: Doorstep, user: str, request: str, **given: Any) -> httpx.Response:
    body = pressed_body(user, request, **given)
    return post(door, body, signed(body))


class TestSlack:
    def test_a_press_counts_as_the_persons_own_word(self, door: Doorstep) -> None:
        incident, request = waiting(door)
        refused = press(door, "U0BOB", request, action="penelope_reject", reason="it is Friday")
        assert refused.json() == {"status": "rejected"}
        vote = door.get(f"/api/v1/approvals/{request}")["votes"][0]
        assert (vote["voter"], vote["actor"], vote["channel"], vote["reason"]) == (
            "bob@example.com",
            "person:bob@example.com",
            "slack",
            "it is Friday",
        )
        door.wait_for(incident, "escalated")

    @pytest.mark.parametrize(
        "forge",
        [
            lambda _: {},
            lambda body: signed(body, secret="another"),
            lambda body: signed(body, age=301),
            lambda body: signed(body, age=-301),
            lambda body: signed(body + b"&x=1"),
            lambda body: {**signed(body), "X-Slack-Request-Timestamp": "soon"},
            lambda body: {**signed(body), "X-Slack-Signature": "v0="},
            lambda body: {**signed(body), "X-Slack-Signature": b"v0=\xe9"},
            lambda body: {**signed(body), "X-Slack-Request-Timestamp": b"\xb2"},
            lambda body: {**signed(body), "X-Slack-Request-Timestamp": "9" * 5000},
        ],
        ids=[
            "unsigned",
            "forged",
            "stale",
            "from the future",
            "altered",
            "no time",
            "empty",
            "no ASCII",
            "odd digits",
            "too many digits",
        ],
    )
    def test_what_slack_did_not_sign_a_moment_ago_is_refused(self, door: Doorstep, forge: Any) -> None:
        _, request = waiting(door)
        body = pressed_body("U0ADA", request)
        door.problem(401, "unauthenticated", lambda: post(door, body, forge(body)))

    def test_a_press_is_taken_once(self, door: Doorstep) -> None:
        _, request = waiting(door)
        body = pressed_body("U0ADA", request)
        headers = signed(body)
        assert post(door, body, headers).status_code == 200
        door.problem(403, "invalid_link", lambda: post(door, body, headers))

    def test_nobody_knows_this_user(self, door: Doorstep) -> None:
        _, request = waiting(door)
        door.problem(403, "forbidden", lambda: press(door, "U0EVE", request))

    @pytest.mark.parametrize(
        "body", [b"payload=", b"payload=%7B%7D", b"x", b"payload=[]&payload=[]", b"\xff"]
    )
    def test_garbage_is_refused(self, door: Doorstep, body: bytes) -> None:
        door.problem(400, "invalid_request", lambda: post(door, body, signed(body)))

    def test_another_requests_button_does_not_answer_this_one(self, door: Doorstep) -> None:
        door.problem(404, "unknown_approval", lambda: press(door, "U0ADA", "no-such-request"))


# --- links ------------------------------------------------------------------------------------------------


def links(door: Doorstep, request: str, who: str = "ada@example.com", seconds: float = 60) -> tuple[str, str]:
    now = datetime.now(UTC)
    return door.running.words.links.pair(request, who, now, now + timedelta(days=1), seconds)


def follow(door: Doorstep, method: str, token: str, **form: str) -> httpx.Response:
    body = urlencode(form).encode()
    return door.ask(method, "/api/v1/approval-links", key=None, params={"token": token}, content=body)


class TestLinks:
    def test_following_decides_nothing_and_pressing_decides_once(self, door: Doorstep) -> None:
        incident, request = waiting(door)
        yes, no = links(door, request)
        before = door.kept()
        for token in (yes, no, yes):
            shown = follow(door, "GET", token)
            assert shown.status_code == 200
            assert "free-the-lock on shop" in shown.text
            assert '<form method="post">' in shown.text
            assert shown.headers["referrer-policy"] == "no-referrer"
        assert door.kept() == before
        assert follow(door, "POST", yes).status_code == 200
        assert door.get(f"/api/v1/approvals/{request}")["votes"][0]["channel"] == "mail"
        # Both links of the mail are spent with it.
        for token in (yes, no):
            door.problem(403, "invalid_link", lambda token=token: follow(door, "POST", token, reason="again"))
        assert incident

    def test_altered_links_are_refused(self, door: Doorstep) -> None:
        _, request = waiting(door)
        yes, no = links(door, request)
        body, _, mac = yes.partition(".")
        altered = [
            f"{no.partition('.')[0]}.{mac}",
            f"{body}.{'A' * len(mac)}",
            f"{body}.{mac}=",
            f"{body} .{mac}",
            body,
            ".",
            "é",
            Links(b"another server's").pair(
                request, "ada@example.com", datetime.now(UTC), datetime.max.replace(tzinfo=UTC), 60
            )[0],
        ]
        for token in altered:
            for method in ("GET", "POST"):
                door.problem(
                    403, "invalid_link", lambda method=method, token=token: follow(door, method, token)
                )

    def test_expired_links_are_refused(self, door: Doorstep) -> None:
        _, request = waiting(door)
        yes, _ = links(door, request, seconds=-1)
        for method in ("GET", "POST"):
            problem = door.problem(403, "invalid_link", lambda method=method: follow(door, method, yes))
            assert "expired" in problem["detail"]

    def test_a_link_of_somebody_who_is_known_no_more_is_refused(self, door: Doorstep) -> None:
        _, request = waiting(door)
        yes, _ = links(door, request, who="mallory@example.com")
        for method in ("GET", "POST"):
            door.problem(403, "forbidden", lambda method=method: follow(door, method, yes))

    def test_a_no_needs_a_reason_and_keeps_the_link_until_it_has_one(self, door: Doorstep) -> None:
        _, request = waiting(door)
        _, no = links(door, request)
        door.problem(400, "invalid_request", lambda: follow(door, "POST", no))
        assert follow(door, "POST", no, reason="not now").status_code == 200
        assert door.get(f"/api/v1/approvals/{request}")["status"] == "rejected"


# --- races, on both databases -----------------------------------------------------------------------------

START = datetime(2026, 11, 21, 7, tzinfo=UTC)


INCIDENT = Incident(
    id="inc_1",
    service="shop",
    fingerprint="problem",
    name="Broken",
    severity=Severity.ERROR,
    state=IncidentState.AWAITING_APPROVAL,
    opened_at=START,
    updated_at=START,
    signal_count=1,
)


class Desk:
    """One worker's engine, as far as the desk needs it, at a moment of the test's choosing."""

    def __init__(self, database: Any, now: datetime) -> None:
        self.database, self.now = database, now

    async def transaction(self, name: str, body: Any) -> Any:  # noqa: ARG002 - the engine's own
        return await commit(self.database, self.now, body)

    async def nudge(self, incident: str) -> None:
        pass


def racing() -> Approval:
    return Approval(
        id="request",
        incident="inc_1",
        plan_digest="p",
        reasons=(),
        status=ApprovalStatus.PENDING,
        requested_at=START,
        expires_at=START + timedelta(hours=1),
    )


@pytest.mark.parametrize("late", [False, True])
def test_a_timeout_a_cancel_and_votes_that_race_are_decided_once(
    databases: tuple[str, str], *, late: bool
) -> None:
    """Two workers, whose clocks stand on both sides of the request's end, or before it."""

    async def run() -> None:
        engines = [open_engine(parse_url(databases[0])) for _ in range(2)]
        await migrate(engines[0])
        made = racing()
        ahead = made.expires_at if late else START
        desks = [Desk(engines[0], made.expires_at - timedelta(microseconds=1)), Desk(engines[1], ahead)]

        async def ask(transaction: SqlTransaction) -> None:
            incident = replace(INCIDENT, opened_at=START)
            await transaction.save(
                records.of_incident(incident, "IncidentOpened", ""),
                records.of_approval(made, "ApprovalRequested", ""),
            )

        async def timeout() -> Any:
            return await desks[1].transaction(
                "look", lambda transaction: look(transaction, "inc_1", "request")
            )

        def vote(number: int, *, approve: bool) -> Any:
            voter = Voter(identity=f"p{number}", actor=f"key:p{number}")
            return ApprovalDesk(desks[0]).vote("request", voter, Word(approve=approve, reason="so it is"))

        def cancel() -> Any:
            return ApprovalDesk(desks[0]).cancel("request", Voter(identity="c", actor="key:c"), "stop")

        await desks[0].transaction("ask", ask)
        answers = await asyncio.gather(
            vote(1, approve=True),
            timeout(),
            vote(2, approve=False),
            cancel(),
            vote(1, approve=True),
            timeout(),
            return_exceptions=True,
        )
        refused = [item for item in answers if isinstance(item, BaseException)]
        assert [item for item in refused if not isinstance(item, AlreadyDecided)] == []
        reader = SqlReader(engines[0])
        (unit,) = [item for item in await reader.units("inc_1") if item.kind == "approval"]
        approval = from_data(Approval, unit.attributes)
        assert approval.status is not ApprovalStatus.PENDING
        # Asked, and decided once: never a third time.
        assert unit.version == 2
        assert len(approval.votes) == (approval.status in {ApprovalStatus.APPROVED, ApprovalStatus.REJECTED})
        for engine in engines:
            await engine.dispose()

    asyncio.run(run())


def test_a_token_that_expired_on_its_way_is_not_good_again(databases: tuple[str, str]) -> None:
    """What was spent is forgotten when it expires: a click read just before must not be taken just after."""

    async def run() -> None:
        engine = open_engine(parse_url(databases[0]))
        await migrate(engine)
        made = replace(racing(), quorum=(Bench(needed=2, seats=2),))
        desk = Desk(engine, START)
        await desk.transaction(
            "ask", lambda transaction: transaction.save(records.of_approval(made, "ApprovalRequested", ""))
        )
        token = Token(id="link:x", expires_at=START + timedelta(minutes=1))

        async def vote(name: str) -> Approval:
            voter = Voter(identity=name, actor=f"key:{name}")
            return await ApprovalDesk(desk).vote("request", voter, Word(approve=True), token)  # type: ignore[arg-type]  # all that it asks of one

        assert (await vote("ada")).status is ApprovalStatus.PENDING
        for seconds in (59, 60, 61):
            desk.now = START + timedelta(seconds=seconds)
            with pytest.raises(InvalidLink):
                await vote("bob")
        await engine.dispose()

    asyncio.run(run())


def test_two_workers_take_one_token_once(databases: tuple[str, str]) -> None:
    async def run() -> None:
        engines = [open_engine(parse_url(databases[0])) for _ in range(2)]
        await migrate(engines[0])
        first = Desk(engines[0], START)

        async def ask(transaction: SqlTransaction) -> None:
            await transaction.save(records.of_approval(racing(), "ApprovalRequested", ""))

        await first.transaction("ask", ask)
        until = START + timedelta(hours=1)

        async def spend(engine: Any) -> bool:
            async def body(transaction: SqlTransaction) -> bool:
                return await transaction.outbox.spend("link:x", until)

            return bool(await Desk(engine, START).transaction("spend", body))

        spent = await asyncio.gather(*(spend(engines[number % 2]) for number in range(6)))
        assert sorted(spent) == [False] * 5 + [True]
        for engine in engines:
            await engine.dispose()

    asyncio.run(run())
