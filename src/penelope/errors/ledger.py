"""What is wrong with recorded history."""

from penelope.errors.base import PenelopeError


class LedgerError(PenelopeError):
    """Something about recorded history."""

    code = "ledger_error"
    hint = "Run `penelope ledger verify`."


class ChainBroken(LedgerError):
    """Stored history does not hash to what was recorded."""

    code = "chain_broken"
    hint = "Stop the server, keep the database file, and compare it with a backup."


class ProofInvalid(LedgerError):
    """A Merkle proof does not lead to the root that it is said to lead to."""

    code = "proof_invalid"
    hint = "Trust neither the proof nor the log that gave it; keep both, with the checkpoint, as evidence."


class EntryTooLarge(LedgerError):
    """The header of an entry is longer than a line of the log can be."""

    code = "entry_too_large"
    hint = "Give shorter identifiers and statuses; details may be long, for only a digest of them is logged."


class SignatureInvalid(LedgerError):
    """A signed note that is malformed, that no trusted key signed, or whose signature does not fit."""

    code = "signature_invalid"
    hint = (
        "Trust nothing in it; get the note anew, and compare the verifier key with what its owner published."
    )


class WitnessRefused(LedgerError):
    """A witness does not cosign a checkpoint.

    `size` is the tree size that the witness has seen last, if it refused because of that: prove from there.
    """

    code = "witness_refused"
    hint = "Check that the witness knows this log's origin and all of its verifier keys."

    def __init__(self, message: str, *, size: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.size = size


class AppendConflict(LedgerError):
    """Another writer changed the unit of work first."""

    code = "append_conflict"
    retryable = True
    hint = "Read it again and repeat the command if it still applies."
