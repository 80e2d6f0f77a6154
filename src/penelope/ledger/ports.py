"""What the log needs from outside: keys that sign and verify, and witnesses."""

from collections.abc import Sequence
from typing import Protocol


class Verifier(Protocol):
    """A public key by name. Name and `key_id` together tell whose a signature in a note is."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> str:
        """Eight lowercase hexadecimal digits, as in the verifier key."""

    @property
    def vkey(self) -> str:
        """The verifier key: how the public key is written for others."""

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature (without its key id) over the message; never raises."""


class Signer(Protocol):
    """A private key by name, wherever it lies: a file, or a service that lets nobody see it."""

    @property
    def name(self) -> str: ...

    @property
    def key_id(self) -> str: ...

    @property
    def vkey(self) -> str: ...

    async def sign(self, message: bytes) -> bytes:
        """The signature, without its key id. Raises Unavailable or Timeout for a key that is elsewhere."""


class Witness(Protocol):
    """Someone else who remembers the log's size and root, and cosigns what follows from them."""

    @property
    def name(self) -> str: ...

    async def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: bytes) -> list[str]:
        """The witness's signature lines on a checkpoint, each verified; at least one.

        `proof` leads from `old_size`, which the witness must have seen last, to the checkpoint in `note`; it
        is empty when `old_size` is 0. Raises WitnessRefused, whose `size` says where the witness stands if
        that is another size, and Unavailable or Timeout for one that does not answer.
        """
