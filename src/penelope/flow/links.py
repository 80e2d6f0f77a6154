"""Links that let one person give one answer, once: signed, short-lived, and of no use to anybody else's request."""

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson

from penelope.errors import InvalidLink
from penelope.flow.approvals import Token

_PURPOSE = b"penelope answer links v1"
_MOST_CHARACTERS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerable:
    """What a link says: whose answer to which request it is. Times to the second."""

    approval: str
    identity: str
    approve: bool
    expires_at: datetime
    nonce: str

    @property
    def token(self) -> Token:
        """What is spent with the answer. Both links of one mail share the nonce: either of them is good, once."""
        return Token(id=f"link:{self.nonce}", expires_at=self.expires_at)


class Links:
    """Signs and reads links with HMAC-SHA256, under a key that is derived from the server's secret (RFC 2104)."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.new(secret, _PURPOSE, hashlib.sha256).digest()

    def pair(
        self, approval: str, identity: str, now: datetime, until: datetime, seconds: float
    ) -> tuple[str, str]:
        """The tokens for yes and no, good for so many seconds, but not beyond the request's own end."""
        nonce = secrets.token_hex(16)
        expires_at = min(until, now + timedelta(seconds=seconds)).replace(microsecond=0)
        yes, no = (
            Answerable(
                approval=approval, identity=identity, approve=approve, expires_at=expires_at, nonce=nonce
            )
            for approve in (True, False)
        )
        return self.sign(yes), self.sign(no)

    def sign(self, link: Answerable) -> str:
        """The text that stands in the address."""
        body = orjson.dumps(
            [link.approval, link.identity, link.approve, int(link.expires_at.timestamp()), link.nonce]
        )
        return f"{_text(body)}.{_text(self._mac(body))}"

    def read(self, token: str, now: datetime) -> Answerable:
        """Raises InvalidLink for one that was altered, is not ours, or has expired."""
        body_text, _, mac_text = token[:_MOST_CHARACTERS].partition(".")
        try:
            body, mac = _bytes(body_text), _bytes(mac_text)
        except (binascii.Error, ValueError):
            raise InvalidLink("this is no link of ours, or it was cut off") from None
        if not hmac.compare_digest(self._mac(body), mac):
            raise InvalidLink("this link was altered, or is not ours")
        approval, identity, approve, expires, nonce = orjson.loads(body)
        link = Answerable(
            approval=approval,
            identity=identity,
            approve=approve,
            expires_at=datetime.fromtimestamp(expires, UTC),
            nonce=nonce,
        )
        if now >= link.expires_at:
            raise InvalidLink(f"this link expired at {link.expires_at:%Y-%m-%d %H:%M:%S} UTC")
        return link

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    # Strict: two texts never stand for one link.
    data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _text(data) != text:
        raise ValueError("not canonical")
    return data
