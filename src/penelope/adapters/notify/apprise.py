"""Notices through Apprise, which knows some hundred services; and mail, to each person with links of their own."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from penelope.adapters.notify.threads import OwnThreads
from penelope.domain.people import People, Person
from penelope.errors import BadSettings, Unavailable
from penelope.flow.courier import Message
from penelope.flow.links import Links
from penelope.kit.clock import Clock


@functools.cache
def _library() -> Any:
    # Loads all of its services, which takes a while that nobody without channels should wait.
    import apprise  # noqa: PLC0415 - see above

    return apprise


def _opened(name: str, url: str) -> Any:
    """An Apprise object for one URL. Raises BadSettings; the URL is not repeated, for it holds secrets."""
    made = _library().Apprise()
    if not made.add(url):
        raise BadSettings(
            f"notify.channels: Apprise cannot use the URL of {name!r}",
            hint="See https://github.com/caronc/apprise/wiki for the form of each service's URL.",
        )
    return made


class _Sender:
    """Has Apprise send, which blocks, and has no limit of time for the whole of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._threads = OwnThreads(name)

    async def send(self, made: Any, title: str, text: str) -> None:
        call = functools.partial(made.notify, body=text, title=title, body_format="text")
        if not await self._threads.run(call):
            raise Unavailable(f"{self._name} did not take the message")


def _letter(name: str, url: str, address: str) -> Any:
    """An Apprise object that writes to this address and to no other: a letter holds links that are one person's.

    Raises BadSettings, also for a URL that names recipients of its own.
    """
    made = _opened(name, f"{url}{'&' if '?' in url else '?'}{urlencode({'to': address})}")
    reached = [other.casefold() for mail in made for _, other in mail.targets]
    if reached != [address.casefold()] or any(mail.cc or mail.bcc for mail in made):
        raise BadSettings(
            f"notify.channels: letters of {name!r} would not reach {address} alone",
            hint="Name no recipients in the URL (a path, to=, cc= or bcc=): Penelope writes to those in approval.people.",
        )
    return made


class AppriseChannel:
    """Any service that Apprise knows; fulfils `Channel`. Raises BadSettings for a URL that it does not."""

    def __init__(self, name: str, url: str) -> None:
        self._made = _opened(name, url)
        self._sender = _Sender(name)

    async def send(self, message: Message) -> None:
        await self._sender.send(self._made, message.title, message.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What links in mails are made of: `address` is where people reach the server, empty for no links."""

    links: Links
    people: People
    clock: Clock
    address: str
    link_seconds: float


class MailChannel:
    """Mail to everybody who may answer, each with links of their own; fulfils `Channel`.

    What asks for no answer goes to everybody who is known. One letter that is not taken fails the try: it is then
    sent to all again, with fresh links.
    """

    def __init__(self, name: str, url: str, answering: Answering) -> None:
        self._name = name
        self._url = url
        self._answering = answering
        self._sender = _Sender(name)
        _letter(name, url, "nobody@example.com")  # raises now what would be found too late

    async def send(self, message: Message) -> None:
        readers = list(self._readers(message))
        if not readers:
            raise Unavailable(f"{self._name}: nobody in approval.people has an e-mail address and a seat")
        for person in readers:
            letter = _letter(self._name, self._url, person.mail or "")
            await self._sender.send(letter, message.title, f"{message.text}{self._ways(message, person)}")

    def _readers(self, message: Message) -> Iterable[Person]:
        approval = message.approval
        known = [person for person in self._answering.people.persons if person.mail]
        if approval is None:
            return known
        roles = {bench.role for bench in approval.quorum if not bench.machine}
        handed = {item.to for item in approval.delegations if not item.to_role}
        return [
            person
            for person in known
            if person.id != approval.requested_by
            and ("approver" in roles or roles & person.roles or person.id in handed)
        ]

    def _ways(self, message: Message, person: Person) -> str:
        """The links; each leads to a page that asks once more, for mail scanners follow links."""
        approval, of = message.approval, self._answering
        if approval is None or not of.address:
            return ""
        now = of.clock.now()
        yes, no = of.links.pair(approval.id, person.id, now, approval.expires_at, of.link_seconds)
        base = f"{of.address.rstrip('/')}/api/v1/approval-links?"
        return (
            f"\n\nApprove: {base}{urlencode({'token': yes})}\nReject:  {base}{urlencode({'token': no})}\n"
            "These links are yours alone, and good for one answer."
        )
