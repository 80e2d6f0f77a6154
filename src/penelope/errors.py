"""The one error tree.

PenelopeError
├── InputError            the caller can mend it
│   ├── InvalidRequest        malformed body, header or parameter
│   ├── InvalidSignal         a signal that says too little, or something impossible
│   ├── InvalidPlaybook       a playbook that does not follow its schema
│   ├── InvalidCatalogue      a service catalogue that does not follow its schema
│   ├── InvalidPolicy         a policy that does not follow its schema, or is not admitted
│   ├── PolicyFailed          a policy that could not be judged, and so refused
│   ├── InvalidPatch          a diff that does not parse, or leaves its repository
│   ├── UnknownService        not in the catalogue
│   ├── UnknownPlaybook       not in the library
│   ├── UnknownIncident       no such incident
│   ├── UnknownAdapter        an action names an adapter or operation that is not installed
│   ├── UnknownApproval       no such request for approval
│   ├── UnknownReview         no such review of a broken glass
│   ├── UnknownMission        no such mission
│   ├── UnknownDeployment     no such deployment
│   ├── InvalidQuery          a question that the model or the graph cannot answer
│   ├── InvalidLink           a link to answer with that was altered, used or has expired
│   ├── AlreadyDecided        the approval was decided, expired or withdrawn before
│   ├── UnknownDecision       no such decision
│   ├── NotReplayable         a decision that cannot be made again from what is recorded
│   ├── PayloadGone           what was recorded was erased since
│   ├── BadSettings           configuration that cannot be used
│   ├── Unauthenticated       no key, or one that is wrong, expired or revoked
│   ├── Forbidden             the key lacks the scope
│   └── TooLarge              the body exceeds the limit
├── DependencyError       something that we lean on
│   ├── Unavailable           does not answer (retryable)
│   ├── Timeout               answered too late (retryable)
│   └── AccessBroken          a store gave what the policy withholds: nothing of it is shown
├── ActionError           something that we tried to do
│   ├── ActionFailed          it certainly did not happen, or its failure is known
│   ├── OutcomeUnknown        it may have happened: probe it, never repeat it blindly
│   └── CompensationFailed    it could not be taken back: the loudest event of the system
├── VerificationError
│   └── ObservationMissing    what a contract asks about could not be seen
└── LedgerError
    ├── ChainBroken           stored history does not hash to what was recorded
    ├── ProofInvalid          a proof does not lead to the root that it is said to lead to
    ├── EntryTooLarge         more than a line of the log can hold
    ├── SignatureInvalid      no trusted key signed it, or a trusted key's signature does not fit
    ├── WitnessRefused        a witness does not cosign a checkpoint
    └── AppendConflict        another writer was first (retryable)

Refusals, escalations and degraded evidence are ordinary values, not errors.
"""

from collections.abc import Mapping
from typing import ClassVar


class PenelopeError(Exception):
    """Base of all errors; `code` is stable, `hint` tells a person what to do next."""

    code: ClassVar[str] = "penelope_error"
    retryable: ClassVar[bool] = False
    hint: ClassVar[str] = "Look into the server's log for the request id."

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = hint if hint is not None else type(self).hint


class InputError(PenelopeError):
    """The caller can mend it."""

    code = "invalid_input"
    hint = "Correct the input and send it again."


class InvalidRequest(InputError):
    """A malformed body, header or parameter."""

    code = "invalid_request"
    hint = "Compare the request with the OpenAPI document at /openapi.json."


class InvalidSignal(InputError):
    """A signal that says too little, or something impossible."""

    code = "invalid_signal"
    hint = "A signal needs a name, a service and a start time with a time zone."


class InvalidPlaybook(InputError):
    """A playbook that does not follow its schema."""

    code = "invalid_playbook"
    hint = "Run `penelope playbooks lint FILE`: it names line and column of each mistake."


class InvalidCatalogue(InputError):
    """A service catalogue that does not follow its schema."""

    code = "invalid_catalogue"
    hint = "Compare the file with docs/reference/services.schema.json."


class InvalidPolicy(InputError):
    """A policy that does not follow its schema, or that uses what is not admitted."""

    code = "invalid_policy"
    hint = "Run `penelope policy lint FILE`; docs/policy.md lists the variables and what is admitted."


class PolicyFailed(InputError):
    """A policy that could not be judged, and so refused. `details` are its inputs, redacted."""

    code = "policy_failed"
    hint = "Correct the policy, and add the case to its tests: `penelope policy test FILE`."

    def __init__(
        self, message: str, *, hint: str | None = None, inputs: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.details = dict(inputs or {})


class InvalidPatch(InputError):
    """A diff that does not parse, or that leaves its repository."""

    code = "invalid_patch"
    hint = "Make the diff with `git diff` inside the repository; paths must stay inside it."


class UnknownService(InputError):
    """A service that the catalogue does not list."""

    code = "unknown_service"
    hint = "Add the service to services.yaml, or correct its name."


class UnknownPlaybook(InputError):
    """A playbook that the library does not hold."""

    code = "unknown_playbook"
    hint = "List the library with `penelope playbooks list`."


class UnknownIncident(InputError):
    """No incident has this identifier."""

    code = "unknown_incident"
    hint = "List incidents with `penelope incidents`."


class UnknownAdapter(InputError):
    """An action names an adapter or an operation that is not installed."""

    code = "unknown_adapter"
    hint = "See docs/playbooks.md for the operations that exist."


class UnknownApproval(InputError):
    """No request for approval has this identifier."""

    code = "unknown_approval"
    hint = "List requests with `penelope approvals list`."


class UnknownReview(InputError):
    """No review of a broken glass has this identifier."""

    code = "unknown_review"
    hint = "List reviews with `penelope approvals reviews`."


class UnknownMission(InputError):
    """No mission has this identifier."""

    code = "unknown_mission"
    hint = "List missions with `penelope missions list`."


class UnknownDeployment(InputError):
    """No deployment has this identifier."""

    code = "unknown_deployment"
    hint = "List deployments with `penelope rollout list`."


class InvalidQuery(InputError):
    """A question that the semantic model or the graph cannot answer: an unknown member, a join that fans out."""

    code = "invalid_query"
    hint = "List what can be asked for with `penelope context model`."


class InvalidLink(InputError):
    """A link to answer with that was altered, was used before, or has expired."""

    code = "invalid_link"
    hint = "Answer with `penelope approvals show ID` and a key of yours, or wait for the next notice."


class AlreadyDecided(InputError):
    """The approval was decided, expired or withdrawn before this answer came."""

    code = "already_decided"
    hint = "Look at the incident: it shows who decided what, and when."


class UnknownDecision(InputError):
    """No decision has this number, and no incident of this identifier was judged."""

    code = "unknown_decision"
    hint = (
        "List decisions with `penelope audit list`; an incident's identifier stands for its latest decision."
    )


class NotReplayable(InputError):
    """A decision that cannot be made again: another version made it, or its inputs are not complete."""

    code = "not_replayable"
    hint = "Explain it instead: what it said is recorded. To make it again, run the version that made it."


class PayloadGone(InputError):
    """What was recorded was erased since; that it was recorded can still be proven."""

    code = "payload_gone"
    hint = (
        "If it was archived, put the archive's file back; what was erased about a person does not come back."
    )


class BadSettings(InputError):
    """Configuration that cannot be used."""

    code = "bad_settings"
    hint = "Run `penelope config check`; every setting is in docs/reference/settings.md."


class Unauthenticated(InputError):
    """No key, or one that is wrong, expired or revoked."""

    code = "unauthenticated"
    hint = "Send `Authorization: Bearer <key>`; make a key with `penelope keys create`."


class Forbidden(InputError):
    """The key is good but lacks the scope."""

    code = "forbidden"
    hint = "Ask for a key with the scope that the message names."


class TooLarge(InputError):
    """The body exceeds the limit."""

    code = "too_large"
    hint = "Split the batch; the limit is the setting api.max_body_bytes."


class DependencyError(PenelopeError):
    """Something that we lean on."""

    code = "dependency_failed"
    hint = "Check the dependency that the message names; Penelope tries again by itself."


class Unavailable(DependencyError):
    """A dependency does not answer."""

    code = "unavailable"
    retryable = True


class Timeout(DependencyError):
    """A dependency answered too late."""

    code = "timeout"
    retryable = True


class AccessBroken(DependencyError):
    """A store gave what the policy withholds; nothing of it is shown."""

    code = "access_broken"
    hint = (
        "Check that the store runs the models and masks of this version; tell whoever looks after the data."
    )


class ActionError(PenelopeError):
    """Something that we tried to do."""

    code = "action_error"
    hint = "Look at the incident's timeline for what was tried and what was taken back."


class ActionFailed(ActionError):
    """The action certainly did not take effect, or its failure is known."""

    code = "action_failed"


class OutcomeUnknown(ActionError):
    """The action may have happened: it is probed, never repeated blindly."""

    code = "outcome_unknown"
    hint = "Check the target by hand, then reopen the incident or close it."


class CompensationFailed(ActionError):
    """What was done could not be taken back."""

    code = "compensation_failed"
    hint = "Restore the target by hand from the snapshot that the timeline shows."


class VerificationError(PenelopeError):
    """Something about judging an effect."""

    code = "verification_error"
    hint = "Check that the service's metrics are reachable."


class ObservationMissing(VerificationError):
    """What a contract asks about could not be seen."""

    code = "observation_missing"


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
