"""Slack: requests with buttons through an incoming webhook, and the presses that come back."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

import orjson

from penelope.adapters.outbound import Call, ask
from penelope.errors import InvalidRequest, Unauthenticated, Unavailable
from penelope.flow.approvals import Token
from penelope.flow.courier import Message
from penelope.kit.clock import Clock

_STALE = timedelta(minutes=5)
"""How far Slack's timestamp may lie from our clock; Slack's own advice, and what its verifier holds to."""

_MOST_TEXT = 2700
"""Characters; a section takes 3,000, and a longer text is followed by where to read the rest."""

_STAMP = re.compile(r"[0-9]{1,12}")
_OK = 200
_APPROVE, _REJECT, _REASON = "penelope_approve", "penelope_reject", "penelope_reason"


class SlackChannel:
    """Posts to an incoming webhook of an app whose interactivity leads to `/api/v1/slack/actions`; fulfils `Channel`."""

    def __init__(self, name: str, url: str, timeout_seconds: float = 10.0) -> None:
        self._name = name
        self._url = url
        self._timeout_seconds = timeout_seconds

    async def send(self, message: Message) -> None:
        answer = await ask(
            Call(
                what=f"the channel {self._name}",
                method="POST",
                url=self._url,
                headers={"Content-Type": "application/json"},
                content=orjson.dumps({"text": message.title, "blocks": _blocks(message)}),
                timeout_seconds=self._timeout_seconds,
            )
        )
        if answer.status != _OK:
            raise Unavailable(f"the channel {self._name} answered {answer.status}")


def _shown(message: Message) -> str:
    """The text as far as it goes in; who presses a button must know that there is more to it."""
    if len(message.text) <= _MOST_TEXT:
        return message.text
    begins = message.text[:_MOST_TEXT]
    whole = begins.rpartition("\n")[0]
    kept = whole if len(whole) > _MOST_TEXT // 2 else begins
    where = f"approvals show {message.about}" if message.approval else f"show {message.incident}"
    return f"{kept}\n… {len(message.text) - len(kept)} more characters are not shown here: penelope {where}"


def _blocks(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": message.title[:150]}},
        {"type": "section", "text": {"type": "plain_text", "text": _shown(message)}},
    ]
    if message.approval is None:
        return blocks
    reason = {"type": "plain_text_input", "action_id": _REASON, "max_length": 2000}
    label = {"type": "plain_text", "text": "Reason (a rejection needs one)"}
    blocks.append({"type": "input", "block_id": _REASON, "optional": True, "label": label, "element": reason})
    buttons = [(_APPROVE, "Approve", "primary"), (_REJECT, "Reject", "danger")]
    blocks.append(
        {
            "type": "actions",
            "elements": [
                {
                    "type": "button",
                    "action_id": action,
                    "text": {"type": "plain_text", "text": text},
                    "style": style,
                    "value": message.about,
                }
                for action, text, style in buttons
            ],
        }
    )
    return blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A button that was pressed: by which Slack user, about which request. `token` makes it good once."""

    user: str
    approval: str
    approve: bool
    reason: str
    token: Token


class SlackDoor:
    """Lets in what Slack signed a moment ago, and nothing else."""

    def __init__(self, signing_secret: str, clock: Clock) -> None:
        # Loads all of Slack's clients, which nobody without Slack should wait for.
        from slack_sdk.signature import SignatureVerifier  # noqa: PLC0415 - see above

        self._clock = clock
        self._verifier: Any = SignatureVerifier(signing_secret, _Ticking(clock))  # type: ignore[arg-type]  # it has all that is asked of it

    def read(self, body: bytes, headers: Mapping[str, str]) -> Press:
        """Raises Unauthenticated for a signature that is missing, wrong or stale, InvalidRequest for odd content."""
        stamp = headers.get("x-slack-request-timestamp", "")
        signature = headers.get("x-slack-signature", "")
        try:
            # Its comparison takes ASCII alone, and its reading of the time raises for odd digits.
            readable = signature.isascii() and _STAMP.fullmatch(stamp) is not None
            good = readable and self._verifier.is_valid(body, stamp, signature)
        except UnicodeDecodeError:
            raise InvalidRequest("this is no press of one of our buttons") from None
        if not good:
            raise Unauthenticated(
                "this was not signed by Slack a moment ago",
                hint="Check notify.slack_signing_secret, and the clocks of both sides.",
            )
        seen = hashlib.sha256(stamp.encode() + b":" + body).hexdigest()
        token = Token(id=f"slack:{seen}", expires_at=self._clock.now() + 2 * _STALE)
        return _press(body, token)


class _Ticking:
    """Our clock in the form of Slack's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now().timestamp()


def _press(body: bytes, token: Token) -> Press:
    try:
        (payload,) = parse_qs(body.decode(), strict_parsing=True, max_num_fields=4)["payload"]
        told = orjson.loads(payload)
        (action,) = told["actions"]
        user, approval = str(told["user"]["id"]), str(action["value"])
        approve = {_APPROVE: True, _REJECT: False}[action["action_id"]]
        typed = told.get("state", {}).get("values", {}).get(_REASON, {}).get(_REASON, {}).get("value")
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidRequest("this is no press of one of our buttons") from None
    return Press(user=user, approval=approval, approve=approve, reason=str(typed or ""), token=token)
