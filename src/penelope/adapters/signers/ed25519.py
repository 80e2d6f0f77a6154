"""Ed25519 keys: signing, and strict verification of notes and of witnesses' cosignatures."""

from datetime import timedelta
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from penelope.errors import BadSettings
from penelope.kit.clock import Clock, SystemClock
from penelope.ledger import notes
from penelope.ledger.notes import VerifierKey, cosigned_message, decode64, encode64, is_name
from penelope.ledger.ports import Verifier

_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_TIME_BYTES = 8
_PRIVATE = "PRIVATE+KEY+"

_PRIME = 2**255 - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _ORDER_8, _PRIME - _ORDER_8})
"""The y coordinates of the points of order 1, 2, 4 and 8: whoever has one as a key can sign anything."""


class Ed25519Signer:
    """A private key that this process holds; fulfils `Signer`."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        if not is_name(name):
            raise BadSettings(
                f"{name!r} cannot name a key", hint="Use a URL without its scheme: example.com/log."
            )
        self._key = key
        self._public = VerifierKey(name, notes.ED25519, key.public_key().public_bytes_raw())
        self.name = name
        self.key_id = self._public.key_id
        self.vkey = self._public.text

    async def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    @property
    def secret(self) -> str:
        """The private key in the form of Go's sumdb/note: ``PRIVATE+KEY+name+key id+base64(1, seed)``."""
        material = bytes([notes.ED25519]) + self._key.private_bytes_raw()
        return f"{_PRIVATE}{self.name}+{self.key_id}+{encode64(material)}"

    @classmethod
    def generate(cls, name: str) -> Self:
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, secret: str) -> Self:
        """The key in that form. Raises BadSettings, which says nothing of what was given."""
        name, _, rest = secret.removeprefix(_PRIVATE).partition("+")
        key_id, _, material = rest.partition("+")
        raw = decode64(material)
        if not secret.startswith(_PRIVATE) or raw is None or raw[:1] != bytes([notes.ED25519]):
            raise BadSettings("this is no private key for notes")
        if len(raw) != 1 + _KEY_BYTES or not is_name(name):
            raise BadSettings("this is no private Ed25519 key")
        signer = cls(name, Ed25519PrivateKey.from_private_bytes(raw[1:]))
        if signer.key_id != key_id:
            raise BadSettings(f"the private key of {name} is damaged: its id does not fit")
        return signer


class Ed25519Verifier:
    """Checks the signatures of notes by one key; fulfils `Verifier`."""

    def __init__(self, key: VerifierKey) -> None:
        self.name = key.name
        self.key_id = key.key_id
        self.vkey = key.text
        self._key = _public_key(key)

    def verify(self, message: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class CosignatureVerifier(Ed25519Verifier):
    """Checks the cosignatures (cosignature/v1) of one witness, made no later than `ahead` from now."""

    def __init__(self, key: VerifierKey, clock: Clock, ahead: timedelta) -> None:
        super().__init__(key)
        self._clock = clock
        self._ahead = ahead

    def verify(self, message: bytes, signature: bytes) -> bool:
        if len(signature) != _TIME_BYTES + _SIGNATURE_BYTES:
            return False
        time = int.from_bytes(signature[:_TIME_BYTES], "big")
        if not 0 < time <= (self._clock.now() + self._ahead).timestamp():
            return False
        return super().verify(cosigned_message(time, message), signature[_TIME_BYTES:])


def verifier(vkey: str, *, clock: Clock | None = None, ahead: timedelta = timedelta(minutes=5)) -> Verifier:
    """The verifier that a verifier key asks for, of a log (Ed25519) or of a witness (cosignature/v1).

    A cosignature that is dated later than `ahead` from now is not accepted. Raises BadSettings.
    """
    key = VerifierKey.parse(vkey)
    match key.kind:
        case notes.ED25519:
            return Ed25519Verifier(key)
        case notes.COSIGNATURE:
            return CosignatureVerifier(key, clock or SystemClock(), ahead)
        case _:
            raise BadSettings(
                f"the verifier key of {key.name} is of type {key.kind}, which is not known here"
            )


def _public_key(key: VerifierKey) -> Ed25519PublicKey:
    # RFC 8032, 5.1.3: little-endian y, the sign of x in the highest bit.
    y = int.from_bytes(key.public, "little") & (2**255 - 1)
    if len(key.public) != _KEY_BYTES or y >= _PRIME or y in _SMALL_ORDER:
        raise BadSettings(f"the verifier key of {key.name} holds no good Ed25519 key")
    return Ed25519PublicKey.from_public_bytes(key.public)
