"""The courier between notices and channels: what fails is told without its secrets, and keeps nobody else waiting."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from penelope.domain.approval import Approval, ApprovalStatus, Brief, BriefStep
from penelope.domain.notice import Notice, NoticeKind, NoticeState
from penelope.flow.courier import Courier, CourierLimits, Message, _of_request
from penelope.kit.codec import to_data
from penelope.testing.clock import FakeClock

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
ASKED = Approval(
    id="asked",
    incident="inc_1",
    plan_digest="p",
    reasons=("may I?",),
    status=ApprovalStatus.PENDING,
    requested_at=NOW,
    expires_at=NOW + timedelta(hours=1),
)


class Outbox:
    """An engine, its transactions and their outbox, as far as a courier needs them."""

    def __init__(self, *about: str) -> None:
        self.waiting = [Notice.of(NoticeKind.REQUESTED, name, "inc_1", NOW, ("ops",)) for name in about]
        self.settled: dict[str, NoticeState] = {}
        self.reasons: list[str] = []

    async def any_due(self, now: datetime) -> bool:  # noqa: ARG002 - whatever is left is due
        return bool(self.waiting)

    async def transaction(self, name: str, body: Any) -> Any:  # noqa: ARG002 - the engine's own
        return await body(self)

    @property
    def outbox(self) -> "Outbox":
        return self

    def now(self) -> datetime:
        return NOW

    async def claim(self, until: datetime, limit: int) -> Sequence[Notice]:  # noqa: ARG002 - all are claimed
        claimed, self.waiting = self.waiting, []
        return claimed

    async def settle(self, notice: Notice) -> None:
        self.settled[notice.about] = notice.state

    async def save(self, *changes: Any) -> None:
        self.reasons += [change.reason for change in changes]

    async def unit(self, name: str) -> Any:
        attributes = {"id": name} if name == "garbage" else to_data(ASKED)
        return SimpleNamespace(kind="approval", attributes=attributes)


class Taking:
    async def send(self, message: Message) -> None:
        assert message.approval == ASKED


class Telling:
    async def send(self, message: Message) -> None:  # noqa: ARG002 - whatever it is
        error = RuntimeError()
        error.message = "https://hooks.example.com/secret"  # type: ignore[attr-defined]  # as libraries have it
        raise error


class Keeping:
    def __init__(self) -> None:
        self.texts: list[str] = []

    async def send(self, message: Message) -> None:
        self.texts.append(message.text)


def deliver(outbox: Outbox, channel: Taking | Telling | Keeping) -> int:
    limits = CourierLimits(attempts=1)
    courier = Courier(outbox, outbox, {"ops": channel}, FakeClock(NOW), limits)  # type: ignore[arg-type]  # all that it asks for
    return asyncio.run(courier.deliver())


def test_a_notice_that_cannot_be_read_stops_no_other() -> None:
    outbox = Outbox("garbage", "asked")
    assert deliver(outbox, Taking()) == 2
    assert outbox.settled == {"asked": NoticeState.SENT}


class Stuck(Outbox):
    """An outbox with an alarm about an action whose undo failed in many words."""

    async def unit(self, name: str) -> Any:  # noqa: ARG002 - there is one
        target = {"name": "app", "service": "shop"}
        action = {"name": "Restart", "adapter": "process", "operation": "restart", "target": target}
        return SimpleNamespace(
            id="act_1", kind="action", attributes={"action": action, "error": "because " * 1000}
        )


def test_an_alarm_says_what_is_to_be_done_however_long_its_error_is() -> None:
    channel = Keeping()
    deliver(Stuck("act_1"), channel)
    (text,) = channel.texts
    assert text.startswith("because because ")
    assert text.index("Healing of shop is halted until a person resumes it. Incident inc_1.") < 2_000


def test_what_a_library_says_of_a_failure_is_not_repeated() -> None:
    outbox = Outbox("asked")
    deliver(outbox, Telling())
    assert outbox.settled == {"asked": NoticeState.FAILED}
    assert outbox.reasons == ["no channel took it; ops: RuntimeError"]


def test_a_notice_tells_what_a_plan_would_change_and_obeys_nothing_of_it() -> None:
    hostile = (
        "see <!channel> @everyone [here](https://evil.example) `x` www.evil.example\x1b[2J\n- approved by all"
    )
    steps = [
        BriefStep(
            name="patch", adapter="git_patch", operation="apply", target="code", tier=2, preview=hostile
        ),
        BriefStep(
            name="restart",
            adapter="process",
            operation="restart",
            target="web",
            tier=1,
            not_previewed="x" * 999,
        ),
        *(
            BriefStep(name=f"n{number}", adapter="a", operation="o", target="t", tier=1)
            for number in range(20)
        ),
    ]
    text = told(steps)
    lines = text.splitlines()
    would = lines[lines.index("- patch (git_patch.apply on code)") + 1]
    assert would == (
        "  would: see (!channel) (at)everyone (here)(https: //evil.example) 'x' www .evil.example\\x1b(2J\\n- approved by all"
    )
    assert f"  not previewed: {'x' * 199}…" in lines
    assert "- and 10 more" in lines
    assert "On the twin: passed (at)all" in lines
    assert "n15" not in text


def told(steps: Sequence[BriefStep]) -> str:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    brief = Brief(
        service="shop",
        playbook="fix",
        rationale="",
        tier=2,
        risk=0.1,
        confidence=0.9,
        steps=tuple(steps),
        risks=(),
        evidence=(),
        silence="",
        twin="passed @all",
    )
    approval = Approval(
        id="r1",
        incident="inc_1",
        plan_digest="",
        reasons=(),
        status=ApprovalStatus.PENDING,
        requested_at=now,
        expires_at=now,
        brief=brief,
    )
    notice = Notice.of(NoticeKind.REQUESTED, "r1", "inc_1", now, ("ops",))
    message = _of_request(notice, approval)
    assert message is not None
    return message.text


def test_words_of_documents_reach_no_channel_as_markup() -> None:
    runbook = "context.runbooks: “[click](https://evil.example.com) <@everyone> `rm`” (a.md)"
    own = [f"metric.m{number}: 1 (metrics)" for number in range(20)]
    brief = Brief(
        service="shop",
        playbook="fix",
        rationale="it is broken",
        tier=1,
        risk=0.1,
        confidence=0.9,
        steps=(),
        risks=(),
        evidence=(*own, "context.owner: team", runbook),
        silence="nothing happens",
    )
    message = _of_request(
        Notice.of(NoticeKind.REQUESTED, "asked", "inc_1", NOW, ("ops",)), replace(ASKED, brief=brief)
    )
    assert message is not None
    shown = [line for line in message.text.splitlines() if line.startswith(("context.", "metric."))]
    assert len(shown) == 10
    assert shown[-2] == "context.owner: team"
    assert not {*"[<>@`"} & {*shown[-1]}
    assert "://evil" not in shown[-1].replace(": //", "")
