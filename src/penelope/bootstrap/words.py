"""Puts together how people are asked and told."""

from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from penelope.adapters.notify.apprise import Answering, AppriseChannel, MailChannel
from penelope.adapters.notify.slack import SlackChannel, SlackDoor
from penelope.bootstrap.background import background
from penelope.domain.approval import OnTimeout
from penelope.domain.asking import AskingPolicy, Escalation
from penelope.domain.people import APPROVER, People, person_from
from penelope.domain.quorum import RULE, quorum_rule_from
from penelope.errors import BadSettings
from penelope.flow.approvals import ApprovalDesk
from penelope.flow.breaking_glass import GlassDesk, GlassLimits
from penelope.flow.courier import Channel, Courier, CourierLimits
from penelope.flow.engine import Engine
from penelope.flow.links import Links
from penelope.flow.outbox import DueReader
from penelope.flow.parts import Parts
from penelope.kit.clock import Clock
from penelope.settings import Settings

_SLACK = "slack+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Where people are known, asked and heard. `slack` is None where no buttons are expected."""

    people: People
    approvals: ApprovalDesk
    glass: GlassDesk
    links: Links
    slack: SlackDoor | None


async def words_of(
    stack: AsyncExitStack, settings: Settings, engine: Engine, parts: Parts, due: DueReader, secret: bytes
) -> Words:
    """The desks; notices are sent in the background until the stack is unwound. Raises BadSettings."""
    people, links = people_of(settings), Links(secret)
    channels = channels_of(settings, people, links, parts.clock)
    if channels:
        courier = Courier(engine, due, channels, parts.clock, courier_limits_of(settings))
        await background(stack, courier.run(settings.notify.poll_seconds))
    return Words(
        people=people,
        approvals=ApprovalDesk(engine, parts.autonomy),
        glass=GlassDesk(engine, parts.asking, glass_limits_of(settings)),
        links=links,
        slack=slack_of(settings, parts.clock),
    )


def asking_of(settings: Settings) -> AskingPolicy:
    """Raises BadSettings for an escalation to a channel that is not there."""
    wanted, names = settings.approval, tuple(_lines(settings))
    escalations = tuple(
        Escalation(share=float(share), channel=channel)
        for share, channel in (line.split(" ", 1) for line in wanted.escalation)
    )
    for item in escalations:
        if item.channel not in names:
            raise BadSettings(f"approval.escalation: notify.channels has no channel {item.channel!r}")
    return AskingPolicy(
        quorums=tuple(map(quorum_rule_from, wanted.quorum)),
        on_timeout=OnTimeout(wanted.on_timeout),
        on_timeout_of={
            service: OnTimeout(word) for service, word in (line.split(" ") for line in wanted.on_timeout_of)
        },
        reminders=wanted.reminders,
        escalations=escalations,
        channels=names,
        good_seconds=wanted.good_seconds,
        refusal_seconds=wanted.refusal_seconds,
    )


def expect_voters(settings: Settings, rules: Collection[str]) -> None:
    """Raises BadSettings for a seat that nobody could ever take: each plan that wants it would only expire."""
    persons = people_of(settings).persons
    for bench in (bench for line in settings.approval.quorum for bench in quorum_rule_from(line).quorum):
        if bench.role.startswith(RULE) and (name := bench.role.removeprefix(RULE)) not in rules:
            raise BadSettings(f"approval.quorum: no rule of the gate is called {name!r}")
        if bench.machine or bench.role == APPROVER:
            continue
        holders = sum(bench.role in person.roles for person in persons)
        if holders < bench.needed:
            raise BadSettings(
                f"approval.quorum: '{bench}' needs {bench.needed} with that role, and approval.people has {holders}",
                hint="Give people the role in approval.people (`roles=`), or ask for fewer.",
            )


def people_of(settings: Settings) -> People:
    return People(tuple(map(person_from, settings.approval.people)))


def glass_limits_of(settings: Settings) -> GlassLimits:
    return GlassLimits(
        good_seconds=settings.approval.glass_seconds, review_seconds=settings.approval.review_seconds
    )


def courier_limits_of(settings: Settings) -> CourierLimits:
    wanted = settings.notify
    return CourierLimits(
        attempts=wanted.attempts,
        backoff_seconds=wanted.backoff_seconds,
        timeout_seconds=wanted.timeout_seconds,
    )


def channels_of(settings: Settings, people: People, links: Links, clock: Clock) -> Mapping[str, Channel]:
    """The channels by name. Raises BadSettings for a URL that nothing can use."""
    answering = Answering(
        links=links,
        people=people,
        clock=clock,
        address=settings.notify.public_address,
        link_seconds=settings.notify.link_seconds,
    )
    return {name: _channel(name, url, answering) for name, url in _lines(settings).items()}


def slack_of(settings: Settings, clock: Clock) -> SlackDoor | None:
    """The door for Slack's buttons; None without a signing secret."""
    secret = settings.notify.slack_signing_secret
    return None if secret is None else SlackDoor(secret.get_secret_value(), clock)


def _channel(name: str, url: str, answering: Answering) -> Channel:
    if url.startswith(_SLACK):
        return SlackChannel(name, url.removeprefix(_SLACK))
    if url.startswith(("mailto://", "mailtos://")):
        return MailChannel(name, url, answering)
    return AppriseChannel(name, url)


def _lines(settings: Settings) -> dict[str, str]:
    """URLs of channels by name, in order."""
    lines = (secret.get_secret_value().split(" ", 1) for secret in settings.notify.channels)
    return {name: url.strip() for name, url in lines}
